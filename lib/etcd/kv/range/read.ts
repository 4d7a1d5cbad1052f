/** Reads the entries of an answer, all as of one revision, and passes them on as they are read. */
import { CompactedError } from "../../../client/errors.ts";
import type { CallContext } from "../../../client/call_context.ts";
import type { KeyValue } from "../../../kv/command.ts";
import type { EtcdContext } from "../../context.ts";
import type { RangeRequest } from "../../messages/kv.ts";
import type { Call } from "../../rpc/method.ts";
import { yieldOf } from "../../rpc/long_lists.ts";
import { etcdError } from "../../rpc/status.ts";
import { RangePages } from "./pages.ts";
import { hasFilters, isKeyOrder, orderOf, passes } from "./selection.ts";
import { SortedRuns } from "./sorted_runs.ts";
import type { Turns } from "./turns.ts";

/** Entries that are read at once: about a millisecond of work for a node. */
export const PAGE_ENTRIES = 1_000;
/** Attempts of a read of several pages, of which a compaction may take the rest. */
const MAX_ATTEMPTS = 3;

/** Receives the entries of an answer, in their order. */
export interface RangeSink {
  /** Takes entries. Rejects with EtcdError if the answer has become too large. */
  add(entries: readonly KeyValue[]): Promise<void>;
  /** Drops all entries: the read begins again. */
  clear(): void;
}

/** The part of an answer that is not its entries. */
export interface RangeFacts {
  /** The store's revision. */
  readonly present: number;
  readonly more: boolean;
  readonly count: number;
}

/** Reads a range. Rejects with EtcdError or KvraftError. */
export async function readRange(
  context: EtcdContext,
  request: RangeRequest,
  { call, sink, sorts }: { readonly call: Call; readonly sink: RangeSink; readonly sorts: Turns },
): Promise<RangeFacts> {
  const limits = call.core.context({ timeoutMs: call.timeoutMs, signal: call.signal });
  for (let attempt = 1;; attempt++) {
    const pages = new RangePages(request, { core: call.core, context: () => limits });
    try {
      return await readPages(pages, request, { context, call, sink, sorts, limits });
    } catch (error) {
      if (!(error instanceof CompactedError) || request.revision > 0) throw error;
      // The history of a revision is compacted that the client has not named.
      if (attempt === MAX_ATTEMPTS) throw etcdError("timeout");
      sink.clear();
    }
  }
}

/** The parts of a read beside its request. */
interface Reading {
  readonly context: EtcdContext;
  readonly call: Call;
  readonly sink: RangeSink;
  /** The turns of sorts of more than a page. */
  readonly sorts: Turns;
  readonly limits: CallContext;
}

async function readPages(pages: RangePages, request: RangeRequest, reading: Reading): Promise<RangeFacts> {
  let more = false;
  if (!request.countOnly) {
    if (!isKeyOrder(request)) more = await readSorted(pages, request, reading);
    else if (hasFilters(request)) more = await readFiltered(pages, request, reading);
    else more = await readOrdered(pages, request, reading);
  }
  const count = await pages.count();
  return { present: pages.present, more, count };
}

/** Reads the first entries of a range; returns whether it has more. */
async function readOrdered(pages: RangePages, request: RangeRequest, { sink }: Reading): Promise<boolean> {
  const limit = limitOf(request);
  let taken = 0;
  while (!pages.isAtEnd && taken < limit) {
    const entries = await pages.next(Math.min(PAGE_ENTRIES, limit - taken));
    taken += entries.length;
    await sink.add(entries);
  }
  return !pages.isAtEnd && await pages.count() > taken;
}

/** Reads the first entries of a range that are not left out; returns whether there are more. */
async function readFiltered(pages: RangePages, request: RangeRequest, { sink }: Reading): Promise<boolean> {
  const limit = limitOf(request);
  let taken = 0;
  while (!pages.isAtEnd) {
    const entries = (await pages.next(PAGE_ENTRIES)).filter((entry) => passes(request, entry));
    const isEnough = taken + entries.length > limit;
    await sink.add(isEnough ? entries.slice(0, limit - taken) : entries);
    if (isEnough) return true;
    taken += entries.length;
  }
  return false;
}

/** Reads a whole range, and takes the first entries in another order; returns whether there are more. */
async function readSorted(pages: RangePages, request: RangeRequest, reading: Reading): Promise<boolean> {
  const first = await pages.next(PAGE_ENTRIES);
  // A recipe that looks for the oldest of a few keys does not wait for others.
  if (pages.isAtEnd) return await sortPages(pages, { first, request, reading });
  const endTurn = await reading.sorts.begin(reading.limits);
  try {
    return await sortPages(pages, { first, request, reading });
  } finally {
    endTurn();
  }
}

/** Sorts the first page of a range and the others. */
async function sortPages(
  pages: RangePages,
  { first, request, reading: { context: { clock }, call: { signal }, sink } }: {
    readonly first: readonly KeyValue[];
    readonly request: RangeRequest;
    readonly reading: Reading;
  },
): Promise<boolean> {
  const limit = limitOf(request);
  const yieldToOthers = yieldOf({ clock, signal });
  const sorted = new SortedRuns({ order: orderOf(request), limit, yieldToOthers });
  let found = 0;
  for (let page = first;; page = await pages.next(PAGE_ENTRIES)) {
    const entries = page.filter((entry) => passes(request, entry));
    found += entries.length;
    await sorted.add(entries);
    if (pages.isAtEnd) break;
  }
  const taken = await sorted.finish();
  for (let position = 0; position < taken.length; position += PAGE_ENTRIES) {
    await sink.add(taken.slice(position, position + PAGE_ENTRIES));
    await yieldToOthers();
  }
  return found > limit;
}

function limitOf({ limit }: RangeRequest): number {
  return limit > 0 ? limit : Infinity;
}
