/**
 * Reads of a range as etcd's clients make them: without values, with the number of all keys, or that number alone.
 *
 * The present number of keys is known to the pages of the tree. That of a past revision is found from the changes since,
 * or, where they are too many, by counting the keys page by page.
 */
import { LIST_PAGE_VERSIONS, type ListPage, type ListQuery, MAX_LIST_ENTRIES, type Past } from "./command.ts";
import type { Scan, StoreReader } from "./pages/store_reader.ts";
import { type CommandProblem, invalid, validateKeyLength } from "./problems.ts";

/** Changes after a past revision that are looked at to count its keys: about 2 ms of work. */
const MAX_COUNTED_CHANGES = 2_048;

/** The part of a range that is read. */
export interface ScanQuery {
  /** First key (included). */
  readonly start: Uint8Array;
  /** End (excluded); null: to the last key. */
  readonly end: Uint8Array | null;
  /** 1 … MAX_LIST_ENTRIES; 0: counts the keys and reads none. */
  readonly limit: number;
  /** In descending order. */
  readonly reverse: boolean;
  /** Whether the entries have empty values. */
  readonly keysOnly: boolean;
  /** Whether the keys of the whole range are counted. */
  readonly count: boolean;
}

/** One page of a range, as of one revision. */
export interface ScanPage extends ListPage {
  /**
   * The number of keys of the whole range; null if it was not asked for, or takes longer than a page may. With limit 0, if
   * there is more, that of the keys up to `after`.
   */
  readonly count: number | null;
}

/** The reads of a store that a scan is made of. */
export interface ScanSource {
  /** `revision`: of the past; null: the present. */
  readonly list: (
    query: ListQuery & { readonly keysOnly: boolean },
    revision: number | null,
  ) => Past<ListPage>;
  readonly pages: StoreReader;
  readonly revision: number;
}

const NO_KEY = new Uint8Array(0);

/** Returns the problem of a scan, or null when it is valid. */
export function validateScan({ start, end, limit }: ScanQuery): CommandProblem | null {
  const problem = validateKeyLength(start) ?? (end === null ? null : validateKeyLength(end));
  if (problem !== null) return problem;
  if (Number.isSafeInteger(limit) && limit >= 0 && limit <= MAX_LIST_ENTRIES) return null;
  return invalid(
    `Cannot read ${limit} entries of a range: the limit is an integer from 0 to ${MAX_LIST_ENTRIES}.`,
  );
}

/** Returns one page of a range of valid bounds, which is below the reserved keys, as of a readable revision. */
export function scanRange(
  { start, end, limit, reverse, keysOnly, count }: ScanQuery,
  { list, pages, revision: present }: ScanSource,
  revision: number | null,
): Past<ScanPage> {
  const range = { lower: start, upper: end, reverse };
  if (limit === 0) return countPage(range, pages, revision ?? present);
  const listed = list({ prefix: NO_KEY, start, end, after: null, reverse, limit, keysOnly }, revision);
  const page = listed.result;
  if (!count) return { ...listed, result: { ...page, count: null } };
  if (!page.more) return { ...listed, result: { ...page, count: page.entries.length } };
  const counted = countAt(range, pages, revision ?? present);
  return { looked: listed.looked + counted.looked, result: { ...page, count: counted.result } };
}

/** Returns the number of keys of a range as of a revision; null if too much has changed since. */
function countAt(range: Scan, pages: StoreReader, revision: number): Past<number | null> {
  const changes = pages.eventsAfter(revision);
  if (changes > MAX_COUNTED_CHANGES) return { result: null, looked: 0 };
  const { records } = pages;
  let count = pages.count(range);
  if (changes === 0) return { result: count, looked: 0 };
  const events = pages.eventsFrom(revision + 1);
  for (let address = events.next(); address !== 0; address = events.next()) {
    const before = records.previous(address);
    const isFirst = before === 0 || records.modRevision(before) <= revision;
    const key = records.key(address);
    if (!isFirst || !isWithin(range, address, pages)) continue;
    if (before !== 0 && records.isPut(before)) count++;
    if (pages.get(key) !== 0) count--;
  }
  return { result: count, looked: changes };
}

function isWithin({ lower, upper }: Scan, address: number, { records }: StoreReader): boolean {
  return (lower === null || records.compare(lower, address, 0) <= 0) &&
    (upper === null || records.compare(upper, address, 0) > 0);
}

/** Counts the keys of a range as of a revision, of a page's worth of versions at most. */
function countPage(range: Scan, pages: StoreReader, revision: number): Past<ScanPage> {
  const whole = countAt(range, pages, revision);
  const page = { entries: [], more: false, revision, after: null };
  if (whole.result !== null) return { ...whole, result: { ...page, count: whole.result } };
  const cursor = pages.scanAt(range, revision);
  let count = 0;
  while (cursor.next(LIST_PAGE_VERSIONS) !== 0) count++;
  const more = !cursor.isAtEnd;
  const after = more ? pages.records.key(cursor.last).slice() : null;
  return { result: { ...page, count, more, after }, looked: cursor.looked };
}
