/** Reads of a range of keys: pages with or without values, and the number of keys. */
import type { KeyValue, ListPage, ListQuery } from "../../kv/command.ts";
import { listedRange } from "../../kv/keys.ts";
import type { ScanPage, ScanQuery } from "../../kv/scan.ts";
import type { RequestOf } from "../connection.ts";
import type { ClientCore } from "../core.ts";
import { type ListRequest, toConsistency } from "../input.ts";
import type { ConsistencyOptions, CountResult } from "../types.ts";
import { wrongAnswer } from "../writer.ts";

const NO_BYTES = new Uint8Array(0);

/** Returns one page of a listing; of the present state if the request has no revision. */
export async function readPage(
  core: ClientCore,
  { query, revision, visibleOnly, keysOnly }: ListRequest,
  options: ConsistencyOptions,
): Promise<ListPage> {
  const note = { kind: "read", action: "list keys", context: core.context(options) } as const;
  const consistency = toConsistency(options);
  let { after } = query;
  for (;;) {
    const part = { ...query, after };
    const page = keysOnly && !visibleOnly
      ? await scanPage(core, { query: scanOf(part, { keysOnly }), consistency, revision }, note)
      : await listPage(core, { query: part, consistency, visibleOnly, revision }, note);
    // A node ends a page when it has looked at many versions or keys, even without an entry.
    if (page.entries.length > 0 || page.after === null) {
      return keysOnly && visibleOnly ? { ...page, entries: page.entries.map(withoutValue) } : page;
    }
    after = page.after;
  }
}

type ListNote = Parameters<ClientCore["call"]>[1];

async function listPage(
  core: ClientCore,
  { revision, ...rest }: Omit<RequestOf<"list">, "kind"> & { readonly revision: number | null },
  note: ListNote,
): Promise<ListPage> {
  const { message } = revision === null
    ? await core.call({ kind: "list", ...rest }, note)
    : await core.call({ kind: "listAt", revision, ...rest }, note);
  return message.page;
}

async function scanPage(
  core: ClientCore,
  request: Omit<RequestOf<"scan">, "kind">,
  note: ListNote,
): Promise<ScanPage> {
  return (await core.call({ kind: "scan", ...request }, note)).message.page;
}

/** Returns the same query for a scan, which can leave out values. */
function scanOf(query: ListQuery, { keysOnly }: { readonly keysOnly: boolean }): ScanQuery {
  const { lower: start, upper: end, reverse } = listedRange(query);
  return { start, end, limit: query.limit, reverse, keysOnly, count: false };
}

function withoutValue(entry: KeyValue): KeyValue {
  return { ...entry, value: NO_BYTES };
}

/** Counts the keys of a listing, all of one revision, in as many requests as it takes. */
export async function countKeys(
  core: ClientCore,
  request: ListRequest,
  options: ConsistencyOptions,
): Promise<CountResult> {
  const note = { kind: "read", action: "count keys", context: core.context(options) } as const;
  const consistency = toConsistency(options);
  let { query, revision } = request;
  let count = 0;
  for (;;) {
    const scan = { ...scanOf(query, { keysOnly: true }), limit: 0, count: true };
    const page = await scanPage(core, { query: scan, consistency, revision }, note);
    if (page.count === null || (page.more && page.after === null)) throw wrongAnswer("count keys");
    count += page.count;
    if (!page.more) return { count, revision: page.revision };
    revision = page.revision;
    query = { ...query, after: page.after };
  }
}
