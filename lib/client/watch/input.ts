/** Checks the arguments of a watch, and converts them and its events between the caller and the store. */
import type { KeySet } from "../../kv/branching_command.ts";
import { prefixEnd } from "../../kv/keys.ts";
import { validateWatch } from "../../kv/validate_watch.ts";
import type { ServerFrame } from "../../protocol/client_frames.ts";
import {
  checkBoolean,
  checkChoice,
  checkFunction,
  checkObject,
  checkSignal,
  toBytes,
} from "../argument_checks.ts";
import { InvalidRequestError } from "../errors.ts";
import { throwProblem, toKey, toRevision } from "../input.ts";
import type { Keyspace } from "../keyspace.ts";
import type { WatchedKeys, WatchEvent, WatchRequest } from "./types.ts";

/** A watch as the store knows it. */
export interface WatchPlan {
  readonly keys: KeySet;
  /** The first revision to deliver; null for that after the present one. */
  readonly from: number | null;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly previous: boolean;
  readonly resync: boolean;
  readonly progress: boolean;
  readonly visibleOnly: boolean;
  readonly onInterruption: (reason: string) => void;
  readonly signal: AbortSignal | null;
}

const NO_BYTES = new Uint8Array(0);

/** Returns a watch with checked arguments that own their bytes. Throws KvraftError. */
export function toWatchPlan(request: WatchRequest, keyspace: Keyspace): WatchPlan {
  const {
    only,
    previous = false,
    resync = false,
    progress = false,
    visibleOnly = false,
    onInterruption = () => {},
    signal = null,
  } = checkObject(
    request,
    "a watch",
  );
  if (only !== undefined) checkChoice(only, ["puts", "deletes"], "the kind of events");
  const watched = {
    keys: toKeySet(request, keyspace),
    from: toRevision(request.from),
    puts: only !== "deletes",
    deletes: only !== "puts",
  };
  throwProblem(validateWatch(watched));
  return {
    ...watched,
    previous: checkBoolean(previous, "previous"),
    resync: checkBoolean(resync, "resync"),
    progress: checkBoolean(progress, "progress"),
    visibleOnly: checkBoolean(visibleOnly, "visibleOnly"),
    onInterruption: checkFunction(onInterruption, "onInterruption"),
    signal: checkSignal(signal),
  };
}

/** Returns the keys that a caller names: one, those with a prefix, a range, or all. Throws KvraftError. */
export function toKeySet(keys: WatchedKeys, keyspace: Keyspace): KeySet {
  const { key, prefix, start, end } = keys;
  const isRange = start !== undefined || end !== undefined;
  if ([key !== undefined, prefix !== undefined, isRange].filter((isGiven) => isGiven).length > 1) {
    throw new InvalidRequestError(
      "Cannot choose keys by several of these: name a key, a prefix, or the start and end of a range.",
    );
  }
  if (key !== undefined) return { kind: "key", key: toKey(keyspace.toStore(key)) };
  const range = keyspace.selection(
    isRange ? { start: start ?? NO_BYTES, end } : { prefix: prefix ?? NO_BYTES },
  );
  if (range.prefix !== undefined) {
    const first = toBytes(range.prefix, "prefix");
    return { kind: "range", start: first, end: prefixEnd(first) };
  }
  const first = toBytes(range.start ?? NO_BYTES, "start");
  return { kind: "range", start: first, end: range.end === undefined ? null : toBytes(range.end, "end") };
}

/** Returns the events of a frame as the caller knows them. */
export function toWatchEvents(
  { events, revision }: ServerFrame<"watchEvents">,
  keyspace: Keyspace,
): readonly WatchEvent[] {
  return events.map((event): WatchEvent => {
    const before = event.previous === undefined ? {} : { previous: keyspace.toCaller(event.previous) };
    return event.kind === "put"
      ? { kind: "put", entry: keyspace.toCaller(event.entry), ...before }
      : { kind: "delete", key: keyspace.keyToCaller(event.key), modRevision: revision, ...before };
  });
}
