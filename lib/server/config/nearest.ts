/** Suggests a name for one that was mistyped. */

/** Maximum edits (insert, delete, replace, swap of neighbours) between a typed name and a suggested one. */
const MAX_EDITS = 3;
/** Maximum characters of a typed name: the cost of a comparison is the product of both lengths. */
const MAX_NAME_CHARACTERS = 64;

/**
 * Returns the number of edits that turn `a` into `b`: insertions, deletions, replacements and swaps of neighbours, none of
 * them twice at one place (optimal string alignment distance).
 */
export function editDistance(a: string, b: string): number {
  const from = [...a];
  const to = [...b];
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [i, character] of from.entries()) {
    const row = [i + 1];
    for (const [j, other] of to.entries()) {
      const replaced = (last[j] ?? 0) + (character === other ? 0 : 1);
      let edits = Math.min(replaced, (last[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1);
      if (i > 0 && j > 0 && character === to[j - 1] && from[i - 1] === other) {
        edits = Math.min(edits, (beforeLast[j - 1] ?? 0) + 1);
      }
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[to.length] ?? 0;
}

/**
 * Returns the name nearest to `typed`, or null when none is near enough: at most three edits, and fewer than
 * half of the letters typed (a beginning of at least two letters counts as near). The first of equals wins.
 */
export function nearest(typed: string, names: readonly string[]): string | null {
  if (typed.length > MAX_NAME_CHARACTERS) return null;
  const word = typed.toLowerCase();
  let best: string | null = null;
  let fewest = Math.min(MAX_EDITS, Math.floor(word.length / 2)) + 1;
  for (const name of names) {
    const edits = word.length >= 2 && name.startsWith(word) ? 1 : editDistance(word, name);
    if (edits < fewest) [best, fewest] = [name, edits];
  }
  return best;
}
