/**
 * The configurations that a search has met, and need not enter again (Lowe's memoisation, with one thing added: of two
 * that differ only in what is left to choose from, the one that leaves less is not entered either).
 */

/** Bits in one word of a set. */
export const WORD_BITS = 16;

/** All that the rest of a search depends on. */
export interface Configuration {
  /** The state, the required steps that are placed and the next revision to come: what must be equal. */
  readonly name: string;
  /** The greatest revision so far. The smaller, the more is open. */
  readonly floor: number;
  /** The least revision that is left for a write of unknown revision. The smaller, the more is open. */
  readonly open: number;
  /** The optional steps that are placed, as a set in words. The fewer, the more is open. */
  readonly optional: string;
}

/** Configurations by their names. */
export class Memory {
  readonly #met = new Map<string, Configuration[]>();
  #size = 0;

  /** Configurations that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** Adds a configuration; false if one was met that left at least as much open. */
  remember(configuration: Configuration): boolean {
    const { name } = configuration;
    const met = this.#met.get(name);
    if (met?.some((other) => leavesMore(other, configuration))) return false;
    if (met === undefined) this.#met.set(name, [configuration]);
    else met.push(configuration);
    this.#size++;
    return true;
  }
}

function leavesMore(a: Configuration, b: Configuration): boolean {
  return a.floor <= b.floor && a.open <= b.open && isSubset(a.optional, b.optional);
}

function isSubset(a: string, b: string): boolean {
  for (let i = 0; i < a.length; i++) if ((a.charCodeAt(i) & ~b.charCodeAt(i)) !== 0) return false;
  return true;
}

/** Whether a set has this element. */
export function hasBit(words: Uint16Array, bit: number): boolean {
  return (((words[bit >>> 4] ?? 0) >>> (bit & 15)) & 1) === 1;
}

/** Puts an element into a set. */
export function setBit(words: Uint16Array, bit: number): void {
  words[bit >>> 4] = (words[bit >>> 4] ?? 0) | (1 << (bit & 15));
}

/** Takes an element out of a set. */
export function clearBit(words: Uint16Array, bit: number): void {
  words[bit >>> 4] = (words[bit >>> 4] ?? 0) & ~(1 << (bit & 15));
}

/** A set's words as the characters of a text. */
export function textOf(words: Uint16Array): string {
  let text = "";
  for (const word of words) text += String.fromCharCode(word);
  return text;
}
