/** Reads of the past from one node, over a connection of its own: the client library would ask the leader. */
import { NodeConnection, type RequestOf } from "../../../lib/client/connection.ts";
import type { Address, Dialer } from "../../../lib/platform/network.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import { MAX_LIST_ENTRIES } from "../../../lib/kv/command.ts";

const TIMEOUT_MS = 10_000;
const NOTHING = new Uint8Array();
const EVERYTHING = { prefix: NOTHING, start: null, end: null, after: null, reverse: false };

/** A node, and what is read from it. */
export interface PastRead {
  readonly network: Dialer;
  readonly clock: Clock;
  readonly address: Address;
  readonly revisions: readonly number[];
  readonly key: string;
}

/**
 * Returns as text what the node answers to linearizable reads at each revision, of all keys and of one, and to one of the
 * versions of that key. An error is returned as its code with the compacted revision.
 */
export async function readPast({ network, clock, address, revisions, key }: PastRead): Promise<string> {
  const { signal } = new AbortController();
  const connection = await NodeConnection.open({ network, clock, address, clusterId: null, signal });
  const served = connection.serve(() => {});
  const answers: unknown[] = [];
  const ask = async (request: RequestOf<"getAt" | "listAt" | "keyHistory">): Promise<void> => {
    const end = await connection.request(request, { timeoutMs: TIMEOUT_MS, signal: null });
    if (end.kind === "refused") answers.push([end.error.code, end.error.compactedRevision]);
    else if (end.kind !== "answered") answers.push(end.kind);
    else if (end.message.kind === "keyHistoryResult") answers.push(end.message.page.versions);
    else answers.push({ ...end.message, requestId: 0 });
  };
  const consistency = "linearizable";
  const bytes = new TextEncoder().encode(key);
  for (const revision of revisions) {
    const query = { ...EVERYTHING, limit: MAX_LIST_ENTRIES };
    await ask({ kind: "listAt", query, consistency, revision, visibleOnly: false });
    await ask({ kind: "getAt", key: bytes, revision, consistency });
  }
  await ask({
    kind: "keyHistory",
    query: { key: bytes, limit: MAX_LIST_ENTRIES, before: null },
    consistency,
  });
  connection.close("done");
  await served;
  return JSON.stringify(answers, (_, value) => value instanceof Uint8Array ? value.toHex() : value);
}
