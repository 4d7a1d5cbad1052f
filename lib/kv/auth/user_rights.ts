/** The rights of one user: the grants of all roles, merged. */
import { compareKeys, successor } from "../keys.ts";
import { assertNever } from "../../platform/assert.ts";
import { belowReserved, hasRegistryKeys, isOfRegistry, withoutRegistry } from "../databases/reserved_keys.ts";
import type { Grant, GrantedKeys, Right } from "./auth_command.ts";

/** The start of a range from the first key on. */
const FIRST_KEY = new Uint8Array(0);
/** The least key that there can be. */
const LEAST_KEY = Uint8Array.of(0);
const ALL_KEYS: GrantedKeys = { kind: "range", start: FIRST_KEY, end: null };

/** A range of keys: from `start` (included) to `end` (excluded; null: to the last key). */
export interface KeyRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | null;
}

/** Disjoint ranges of keys in ascending order, between any two of which there is a key. */
export class KeyRanges {
  readonly ranges: readonly KeyRange[];
  /** The range that was found last: most requests of a user are about keys of one range. */
  #found: KeyRange | null = null;

  /** Merges sets of keys. O(n log n). */
  constructor(sets: readonly GrantedKeys[]) {
    const sorted = sets.map(rangeOf).sort((a, b) => compareKeys(a.start, b.start));
    const ranges: { start: Uint8Array; end: Uint8Array | null }[] = [];
    for (const { start, end } of sorted) {
      const last = ranges.at(-1);
      if (last === undefined || (last.end !== null && compareKeys(start, last.end) > 0)) {
        ranges.push({ start, end });
      } else if (last.end !== null && (end === null || compareKeys(end, last.end) > 0)) {
        last.end = end;
      }
    }
    this.ranges = ranges;
  }

  /** Whether the ranges have all keys. */
  get isAll(): boolean {
    const [first] = this.ranges;
    return first !== undefined && first.start.length === 0 && first.end === null;
  }

  /** Returns the range that has a key, or null. O(log n). */
  rangeWith(key: Uint8Array): KeyRange | null {
    const found = this.#found;
    if (found !== null && hasKey(found, key)) return found;
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.ranges[middle];
      if (range !== undefined && compareKeys(range.start, key) <= 0) low = middle + 1;
      else high = middle;
    }
    const range = this.ranges[low - 1];
    if (range === undefined || !hasKey(range, key)) return null;
    this.#found = range;
    return range;
  }

  /** Whether the ranges have all keys from `start` to `end` (excluded; null: to the last key). O(log n). */
  hasRange(start: Uint8Array, end: Uint8Array | null): boolean {
    if (end !== null && compareKeys(end, start.length === 0 ? LEAST_KEY : start) <= 0) return true;
    const range = this.rangeWith(start);
    if (range === null) return false;
    return range.end === null || (end !== null && compareKeys(end, range.end) <= 0);
  }
}

/** The rights of a user as of one auth revision. */
export class UserRights {
  /** Whether the user has the role root. */
  readonly isRoot: boolean;
  readonly #ranges: Readonly<Record<Right, KeyRanges>>;

  /** Merges grants; the role root has every right. */
  constructor(grants: readonly Grant[], { isRoot }: { readonly isRoot: boolean }) {
    this.isRoot = isRoot;
    const rangesOf = (...rights: readonly Right[]): KeyRanges => {
      const granted = grants.filter(({ right }) => rights.includes(right)).map(({ keys }) => keys);
      return new KeyRanges(isRoot ? [ALL_KEYS] : granted);
    };
    this.#ranges = {
      read: rangesOf("read", "admin"),
      write: rangesOf("write", "admin"),
      admin: rangesOf("admin"),
    };
  }

  /** The keys that the user may read, in ascending order: those of the registry of databases only with the role root. */
  get readableRanges(): readonly KeyRange[] {
    const { ranges } = this.#ranges.read;
    if (this.isRoot) return ranges;
    return ranges.flatMap(({ start, end }) => withoutRegistry(start, end));
  }

  /** The keys over which the user has a right. */
  ranges(right: Right): KeyRanges {
    return this.#ranges[right];
  }

  /** Whether the user has a right over a key; over one of the registry of databases only root has any. O(log grants). */
  allows(right: Right, key: Uint8Array): boolean {
    if (key[0] === 0xff && !this.isRoot && isOfRegistry(key)) return false;
    return this.#ranges[right].rangeWith(key) !== null;
  }

  /**
   * Whether the user has a right over all keys from `start` to `end` (excluded; null: to the last key), stored or not. True
   * for a range without keys. Of reserved keys, only a range that begins among them has any. O(log grants).
   */
  allowsRange(right: Right, start: Uint8Array, end: Uint8Array | null): boolean {
    const last = belowReserved(start, end);
    if (!this.isRoot && hasRegistryKeys(start, last)) return false;
    return this.#ranges[right].hasRange(start, last);
  }

  /** The same of a key or a range. */
  allowsKeys(right: Right, keys: GrantedKeys): boolean {
    return keys.kind === "key" ? this.allows(right, keys.key) : this.allowsRange(right, keys.start, keys.end);
  }

  /** Whether the user has a right over at least one key. */
  allowsSome(right: Right): boolean {
    return this.#ranges[right].ranges.length > 0;
  }

  /** Whether the user has a right over all keys. */
  allowsAll(right: Right): boolean {
    return this.#ranges[right].isAll;
  }
}

/** Returns the keys as a range. */
function rangeOf(keys: GrantedKeys): KeyRange {
  switch (keys.kind) {
    case "key":
      return { start: firstFrom(keys.key), end: successor(keys.key) };
    case "range":
      return { start: firstFrom(keys.start), end: keys.end };
    default:
      return assertNever(keys);
  }
}

/** Returns the one written form of the start of a range. */
function firstFrom(start: Uint8Array): Uint8Array {
  return compareKeys(start, LEAST_KEY) <= 0 ? FIRST_KEY : start;
}

function hasKey({ start, end }: KeyRange, key: Uint8Array): boolean {
  return compareKeys(start, key) <= 0 && (end === null || compareKeys(key, end) < 0);
}
