/** How many columns text takes on a terminal, and fitting it into some. */

/** East Asian wide characters and emoji take two columns (the wide ranges of Unicode's EastAsianWidth.txt, rounded). */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
/** Marks that sit on the character before them. */
const ZERO = /^[\p{Mn}\p{Me}\p{Cf}]/u;
const characters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Columns that `text`, one line without control characters, takes. */
export function columnsOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let columns = 0;
  for (const { segment } of characters.segment(text)) columns += columnsOfCharacter(segment);
  return columns;
}

/** `text` if it fits, else its beginning and an ellipsis, in at most `columns` columns. */
export function fit(text: string, columns: number): string {
  if (text.length <= columns && columnsOf(text) <= columns) return text;
  let fitted = "";
  let taken = 0;
  for (const { segment } of characters.segment(text)) {
    taken += columnsOfCharacter(segment);
    if (taken > columns - 1) break;
    fitted += segment;
  }
  return `${fitted}…`;
}

/** Lays cells out in columns, two spaces between them; the last column is not filled up. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, columnsOf(cell));
    }
  }
  return rows.map((row) =>
    row.map((cell, column) => {
      const missing = column === row.length - 1 ? 0 : (widths[column] ?? 0) - columnsOf(cell);
      return cell + " ".repeat(missing);
    }).join("  ")
  );
}

function columnsOfCharacter(grapheme: string): number {
  if (ZERO.test(grapheme)) return 0;
  return WIDE.test(grapheme) ? 2 : 1;
}
