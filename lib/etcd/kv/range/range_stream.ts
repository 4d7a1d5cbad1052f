/**
 * RangeStream: the entries of a range in several messages, all as of one revision and in the order of the keys. The header,
 * the count and `more` are in the last message alone.
 */
import { concat } from "@std/bytes";
import { type KeyValue, MAX_LIST_ENTRIES } from "../../../kv/command.ts";
import { type EtcdContext, headerOf } from "../../context.ts";
import {
  RANGE_REQUEST,
  RANGE_RESPONSE,
  type RangeRequest,
  SORT_ORDER,
  SORT_TARGET,
} from "../../messages/kv.ts";
import type { ByteMessages, Call, StreamMethod } from "../../rpc/method.ts";
import { EtcdError } from "../../rpc/status.ts";
import { checkRange } from "../checks.ts";
import { fieldsOf } from "./answer.ts";
import { encodeEntries } from "./entry_output.ts";
import { RangePages } from "./pages.ts";
import { hasFilters } from "./selection.ts";

/** Entries of the first message. Each has twice as many as the one before it while that is below {@link SMALL_BYTES}. */
const FIRST_ENTRIES = 10;
const SMALL_BYTES = 786_432;
/** A message behind one of so many bytes has half as many entries. */
const LARGE_BYTES = 3_145_728;
/** The tag of the one field of a RangeStreamResponse. */
const RESPONSE_TAG = 0x0a;
const CONTINUED = 0x80;

/** Returns the method. */
export function rangeStreamMethod(context: EtcdContext): StreamMethod {
  return {
    kind: "stream",
    path: "/etcdserverpb.KV/RangeStream",
    http: [],
    run: async (bodies, format, call) => {
      const body = await bodies.read();
      if (body === null) throw new EtcdError("internal", "grpc: a request was expected");
      const request = format.decode(RANGE_REQUEST, body);
      checkRange(request);
      checkOrder(request);
      await stream(context, request, { call, bodies });
    },
  };
}

/** Throws EtcdError for what etcd's RangeStream does not do. A sort target without an order is ignored. */
function checkOrder(request: RangeRequest): void {
  const { sortOrder, sortTarget } = request;
  const isDefault = sortOrder === SORT_ORDER.none ||
    (sortOrder === SORT_ORDER.ascend && sortTarget === SORT_TARGET.key);
  if (!isDefault) {
    throw new EtcdError("unimplemented", "RangeStream does not support custom sort orders");
  }
  if (hasFilters(request)) {
    throw new EtcdError("unimplemented", "RangeStream does not support revision filters");
  }
}

async function stream(
  context: EtcdContext,
  request: RangeRequest,
  { call: { core, signal }, bodies }: {
    readonly call: Call;
    readonly bodies: ByteMessages;
  },
): Promise<void> {
  // Each page has a time limit of its own, and not the stream: a client may read as slowly as it likes.
  const pages = new RangePages(request, { core, context: () => core.context({ signal }) });
  const fields = fieldsOf(request);
  let left = request.countOnly ? 0 : request.limit > 0 ? request.limit : Infinity;
  let limit = FIRST_ENTRIES;
  let taken = 0;
  const next = (): Promise<readonly KeyValue[]> => pages.next(Math.min(limit, left, MAX_LIST_ENTRIES));
  let entries = left === 0 ? [] : await next();
  for (;;) {
    left -= entries.length;
    taken += entries.length;
    const kvs = encodeEntries(entries, fields);
    if (left === 0 || pages.isAtEnd) {
      const count = await pages.count();
      const more = !request.countOnly && count > taken;
      const last = RANGE_RESPONSE.encode({ header: headerOf(context, pages.present), more, count });
      bodies.writeParts(headOf(kvs.length + last.length), concat([kvs, last]));
      return;
    }
    if (kvs.length < SMALL_BYTES) limit *= 2;
    else if (kvs.length > LARGE_BYTES) limit = Math.max(1, Math.floor(limit / 2));
    // A page may end without an entry: it has looked at many versions.
    const isBehind = entries.length > 0 && !bodies.writeParts(headOf(kvs.length), kvs);
    [entries] = await Promise.all([next(), isBehind ? bodies.whenWritable() : null]);
  }
}

/** Returns the bytes of a RangeStreamResponse before so many of its RangeResponse. */
function headOf(size: number): Uint8Array {
  const head: number[] = [RESPONSE_TAG];
  let rest = size;
  for (; rest >= CONTINUED; rest >>>= 7) head.push(rest % CONTINUED | CONTINUED);
  head.push(rest);
  return Uint8Array.from(head);
}
