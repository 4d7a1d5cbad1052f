/** Listings of the keys that a user may read (`--visible-only`). */
import { compareKeys, type KeyRange, LIST_PAGE_BYTES, type ListPage, type ListQuery } from "../../kv/mod.ts";

/** Ranges of granted keys that one page looks into; the page ends then, even without an entry. */
export const MAX_RANGES_A_PAGE = 1_000;
/** The number of versions to which looking into a range is equivalent. */
const RANGE_VERSIONS = 16;

/** A page, with the number of versions that were looked at for it besides those in it. */
export interface LookedPage {
  readonly result: ListPage;
  readonly looked: number;
}

/** The state that is listed. */
export interface Listing {
  readonly list: (query: ListQuery) => LookedPage;
  readonly revision: number;
}

/**
 * Returns a page of those keys of a range that are in `visible`, which are disjoint ranges in ascending order. Costs what the
 * visible keys cost, however many others lie between them.
 */
export function visiblePage(query: ListQuery, visible: readonly KeyRange[], listing: Listing): LookedPage {
  const { after, reverse, limit } = query;
  const ahead = visible.filter((range) => after === null || isAhead(range, after, reverse));
  const ranges = reverse ? ahead.reverse() : ahead;
  const entries: ListPage["entries"][number][] = [];
  const { revision } = listing;
  let bytes = 0;
  let looked = 0;
  for (const [position, range] of ranges.entries()) {
    const { result, looked: more } = listing.list({ ...within(query, range), limit: limit - entries.length });
    looked += more + RANGE_VERSIONS;
    for (const entry of result.entries) {
      entries.push(entry);
      bytes += entry.key.length + entry.value.length;
    }
    if (result.more) return { result: { ...result, entries }, looked };
    const isFull = entries.length >= limit || bytes >= LIST_PAGE_BYTES || position + 1 >= MAX_RANGES_A_PAGE;
    if (!isFull || position + 1 === ranges.length) continue;
    // Neither bound of a range is a visible key of another one: no key of the next range is left out.
    return { result: { entries, more: true, revision, after: reverse ? range.start : range.end }, looked };
  }
  return { result: { entries, more: false, revision, after: null }, looked };
}

/** Whether a range may have keys after a position, in the direction of a listing. */
function isAhead({ start, end }: KeyRange, after: Uint8Array, reverse: boolean): boolean {
  return reverse ? compareKeys(start, after) < 0 : end === null || compareKeys(end, after) > 0;
}

/** Returns the query for that part of its range which is in another range. */
function within(query: ListQuery, range: KeyRange): ListQuery {
  const start = query.start !== null && compareKeys(query.start, range.start) > 0 ? query.start : range.start;
  const isQueryShorter = range.end === null || (query.end !== null && compareKeys(query.end, range.end) < 0);
  return { ...query, start, end: isQueryShorter ? query.end : range.end };
}
