/** Range: the entries of a key or of a range, all as of one revision. */
import { isReserved } from "../../../kv/databases/reserved_keys.ts";
import { type EtcdContext, headerOf } from "../../context.ts";
import type { RangeRequest, RangeResponseGiven } from "../../messages/kv.ts";
import type { Call } from "../../rpc/method.ts";
import { EtcdError } from "../../rpc/status.ts";
import { checkRange } from "../checks.ts";
import { answeredEntries } from "../entries.ts";
import { hasFilters, passes } from "./selection.ts";

const READ = "read a key";

/** Reads a key or a range. Rejects with EtcdError or KvraftError. */
export function range(context: EtcdContext, request: RangeRequest, call: Call): Promise<RangeResponseGiven> {
  checkRange(request);
  const { key, rangeEnd, revision } = request;
  if (rangeEnd.length === 0 && revision <= 0 && !isReserved(key)) return readKey(context, request, call);
  throw new EtcdError("unimplemented", "kvraft: ranges come later");
}

/** Reads one key as it is now: the most frequent read. */
async function readKey(
  context: EtcdContext,
  request: RangeRequest,
  { core, timeoutMs, signal }: Call,
): Promise<RangeResponseGiven> {
  const { key, serializable, countOnly } = request;
  const consistency = serializable ? "stale" : "linearizable";
  const { message } = await core.call({ kind: "get", key, consistency }, {
    kind: "read",
    action: READ,
    context: core.context({ timeoutMs, signal }),
  });
  const { entry, revision } = message;
  const header = headerOf(context, revision);
  if (entry === null) return { header };
  const isAnswered = !countOnly && (!hasFilters(request) || passes(request, entry));
  return { header, count: 1, kvs: isAnswered ? answeredEntries([entry], request) : [] };
}
