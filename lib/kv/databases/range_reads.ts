/** Reads of several ranges at one revision, as Deno KV's clients make them; of any keys, not only those of databases. */
import {
  type KeyValue,
  LIST_PAGE_BYTES,
  LIST_PAGE_VERSIONS,
  type ListPage,
  type ListQuery,
  MAX_LIST_ENTRIES,
  type Past,
} from "../command.ts";
import { type CommandProblem, firstProblem, invalid, validateKeyLength } from "../problems.ts";

/** Ranges of one read. */
export const MAX_READ_RANGES = 100;
/** Entries that are asked for of one range. */
export const MAX_RANGE_ENTRIES = 1_000;

/** A range of keys, of which the first or last ones are read. */
export interface ReadRange {
  /** First key (included). */
  readonly start: Uint8Array;
  /** End (excluded); null: to the last key. */
  readonly end: Uint8Array | null;
  /** 1 … MAX_RANGE_ENTRIES. */
  readonly limit: number;
  /** In descending order. */
  readonly reverse: boolean;
}

/** The place where a read continues that was too large for one answer. */
export interface NextRange {
  /** The position of the range. */
  readonly range: number;
  /** The key after which it continues, in the direction of the range; null: at its beginning. */
  readonly after: Uint8Array | null;
}

/**
 * The entries of ranges, as of one revision. A range has fewer than its limit only if it has no more keys, but for the one
 * at which the read continues; those after it are missing, or empty.
 */
export interface RangesPage {
  readonly revision: number;
  readonly ranges: readonly (readonly KeyValue[])[];
  /** Null where the page has everything. */
  readonly next: NextRange | null;
}

/** The state that is read, as of `revision`. */
export interface RangeSource {
  readonly revision: number;
  readonly get: (key: Uint8Array) => Past<KeyValue | null>;
  readonly list: (query: ListQuery) => Past<ListPage>;
}

const NO_KEY = new Uint8Array(0);

/** Returns the problem of ranges, or null when they are valid. */
export function validateRanges(ranges: readonly ReadRange[]): CommandProblem | null {
  if (ranges.length >= 1 && ranges.length <= MAX_READ_RANGES) return firstProblem(ranges, validateRange);
  return invalid(`Cannot read ${ranges.length} ranges at once: name from 1 to ${MAX_READ_RANGES}.`);
}

/** Returns how many entries the ranges have at most. */
export function entriesOfRanges(ranges: readonly ReadRange[]): number {
  let entries = 0;
  for (const range of ranges) entries += isOneKey(range) ? 1 : range.limit;
  return entries;
}

/** Reads valid ranges until they are complete, or until the page has as many bytes or entries as a page of a listing. */
export function readRanges(ranges: readonly ReadRange[], source: RangeSource): Past<RangesPage> {
  const { revision } = source;
  const found: (readonly KeyValue[])[] = [];
  let looked = 0;
  let bytes = 0;
  let count = 0;
  const pageOf = (next: NextRange | null): Past<RangesPage> => ({
    result: { revision, ranges: found, next },
    looked,
  });
  for (const [position, range] of ranges.entries()) {
    if (isOneKey(range)) {
      const { result, looked: more } = source.get(range.start);
      looked += more;
      found.push(result === null ? [] : [result]);
      bytes += result === null ? 0 : result.key.length + result.value.length;
      count++;
    } else {
      const { start, end, limit, reverse } = range;
      const query = { prefix: NO_KEY, start, end, after: null, reverse, limit };
      const { result: page, looked: more } = source.list({
        ...query,
        limit: Math.min(limit, MAX_LIST_ENTRIES - count),
      });
      looked += more;
      found.push(page.entries);
      for (const { key, value } of page.entries) bytes += key.length + value.length;
      count += page.entries.length;
      if (page.more && page.entries.length < limit) {
        return pageOf({ range: position, after: page.after ?? page.entries.at(-1)?.key ?? null });
      }
    }
    const isFull = bytes >= LIST_PAGE_BYTES || count >= MAX_LIST_ENTRIES || looked >= LIST_PAGE_VERSIONS;
    if (isFull && position + 1 < ranges.length) return pageOf({ range: position + 1, after: null });
  }
  return pageOf(null);
}

/** Whether a range has one key at most, its start: the form in which Deno KV's clients read one. */
function isOneKey({ start, end }: ReadRange): boolean {
  if (end === null || end.length !== start.length + 1 || end[start.length] !== 0) return false;
  for (let position = 0; position < start.length; position++) {
    if (start[position] !== end[position]) return false;
  }
  return true;
}

function validateRange({ start, end, limit }: ReadRange): CommandProblem | null {
  const problem = validateKeyLength(start) ?? (end === null ? null : validateKeyLength(end));
  if (problem !== null) return problem;
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_RANGE_ENTRIES) return null;
  return invalid(
    `Cannot read ${limit} entries of a range: the limit is an integer from 1 to ${MAX_RANGE_ENTRIES}.`,
  );
}
