/** Range: the entries of a key or of a range, all as of one revision. */
import type { CallContext } from "../../../client/call_context.ts";
import { MAX_KEY_BYTES } from "../../../kv/command.ts";
import { isReserved } from "../../../kv/databases/reserved_keys.ts";
import { type EtcdContext, headerOf } from "../../context.ts";
import {
  RANGE_REQUEST,
  RANGE_RESPONSE,
  type RangeRequest,
  type RangeResponseGiven,
} from "../../messages/kv.ts";
import type { Call, MessageParts, UnaryMethod } from "../../rpc/method.ts";
import { yieldOf } from "../../rpc/long_lists.ts";
import { checkRange } from "../checks.ts";
import { answeredEntries } from "../entries.ts";
import { EncodedEntries, PlainEntries } from "./answer.ts";
import { readRange } from "./read.ts";
import { hasFilters, passes } from "./selection.ts";
import { MAX_LARGE_ANSWERS, MAX_LARGE_SORTS, Turns } from "./turns.ts";

const READ = "read a key";
/** Time for which a client that receives slowly keeps the turn of a large answer: clients that read nothing keep no other out. */
const MAX_SENDING_MS = 5_000;

/** A call, and the turns of all calls. */
interface Reading {
  readonly call: Call;
  readonly turns: { readonly answers: Turns; readonly plain: Turns; readonly sorts: Turns };
}

/** Returns the method. */
export function rangeMethod(context: EtcdContext): UnaryMethod {
  const turns = {
    answers: new Turns(MAX_LARGE_ANSWERS),
    plain: new Turns(MAX_LARGE_ANSWERS),
    sorts: new Turns(MAX_LARGE_SORTS),
  };
  return {
    kind: "unary",
    path: "/etcdserverpb.KV/Range",
    http: ["/v3/kv/range"],
    run: async (body, format, call) => {
      const request = format.decode(RANGE_REQUEST, body);
      checkRange(request);
      const encode = (answer: RangeResponseGiven): Promise<Uint8Array> =>
        format.encodeInSteps(RANGE_RESPONSE, answer, yieldOf({ ...context, ...call }));
      if (isPresentKey(request)) return await encode(await readKey(context, request, call));
      return await plainRange(context, request, { call, turns }, encode);
    },
    runInParts: async (body, call) => {
      const request = RANGE_REQUEST.decode(body);
      checkRange(request);
      if (!isPresentKey(request)) return await rangeInParts(context, request, { call, turns });
      const answer = await readKey(context, request, call);
      return { parts: [RANGE_RESPONSE.encode(answer)], sent: () => {} };
    },
  };
}

/** Reads a range into one message, and encodes that in the turn of a large one. */
async function plainRange(
  context: EtcdContext,
  request: RangeRequest,
  { call, turns }: Reading,
  encode: (answer: RangeResponseGiven) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const sink = new PlainEntries(request, { turns: turns.plain, context: contextOf(call) });
  try {
    const { present, more, count } = await readRange(context, request, { call, sink, sorts: turns.sorts });
    return await encode({ header: headerOf(context, present), kvs: sink.entries, more, count });
  } finally {
    sink.release();
  }
}

function contextOf({ core, timeoutMs, signal }: Call): CallContext {
  return core.context({ timeoutMs, signal });
}

/** Reads a range into the parts of a message: parts of a message that follow each other are one message. */
async function rangeInParts(
  context: EtcdContext,
  request: RangeRequest,
  { call, turns }: Reading,
): Promise<MessageParts> {
  const sink = new EncodedEntries(request, { turns: turns.answers, context: contextOf(call) });
  try {
    const { present, more, count } = await readRange(context, request, { call, sink, sorts: turns.sorts });
    const last = RANGE_RESPONSE.encode({ header: headerOf(context, present), more, count });
    const timer = context.clock.after(MAX_SENDING_MS, sink.release);
    const sent = (): void => {
      timer.cancel();
      sink.release();
    };
    return { parts: [...sink.parts, last], sent };
  } catch (error) {
    sink.release();
    throw error;
  }
}

/** Whether a request is for one key as it is now. */
function isPresentKey({ key, rangeEnd, revision }: RangeRequest): boolean {
  return rangeEnd.length === 0 && revision <= 0 && key.length <= MAX_KEY_BYTES && !isReserved(key);
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
