/** Counts of keys that are left out, or lose something, by the reason, with the first names. */
import { countOf, fit, wordAsTyped } from "../text.ts";

/** Names of keys per reason; longer ones are cut. */
const MAX_NAMES = 3;
const MAX_NAME_COLUMNS = 60;
/** Reasons with names of their own; more are counted together, so that an input cannot fill the memory. */
const MAX_REASONS = 32;
const OTHER_REASONS = "for other reasons";

/** The keys of one reason. */
export interface TallyLine {
  readonly reason: string;
  readonly count: number;
  /** The first few keys, as they would be typed. */
  readonly keys: readonly string[];
}

/** The keys of one reason while they are counted. */
interface Line {
  count: number;
  readonly keys: string[];
}

/** Counts by reason, in the order in which the reasons were met. */
export class Tally {
  readonly #lines = new Map<string, Line>();

  /** The number of all keys. */
  get total(): number {
    return [...this.#lines.values()].reduce((total, { count }) => total + count, 0);
  }

  get lines(): readonly TallyLine[] {
    return [...this.#lines].map(([reason, { count, keys }]) => ({ reason, count, keys }));
  }

  add(reason: string, key: Uint8Array): void {
    const { keys } = this.#count(reason, 1);
    if (keys.length < MAX_NAMES) keys.push(fit(wordAsTyped(key), MAX_NAME_COLUMNS));
  }

  /** Adds keys whose names are not known. */
  addUnnamed(reason: string, count: number): void {
    if (count > 0) this.#count(reason, count);
  }

  /** Returns `2 keys of type list, 1 key that had expired`. */
  text(): string {
    return this.lines.map(({ reason, count }) => `${countOf(count, "key")} ${reason}`).join(", ");
  }

  #count(reason: string, count: number): Line {
    const isKnown = this.#lines.has(reason) || this.#lines.size < MAX_REASONS;
    const name = isKnown ? reason : OTHER_REASONS;
    const line = this.#lines.get(name) ?? { count: 0, keys: [] };
    line.count += count;
    this.#lines.set(name, line);
    return line;
  }
}

/** Returns `a, b, c, …`. */
export function namesText({ keys, count }: TallyLine): string {
  return [...keys, ...(count > keys.length ? ["…"] : [])].join(", ");
}
