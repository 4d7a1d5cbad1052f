/** The keys and events that a request for a watch asks for, in the terms of the store. */
import { isReserved } from "../../kv/databases/reserved_keys.ts";
import type { KeySet } from "../../kv/branching_command.ts";
import { MAX_KEY_BYTES } from "../../kv/command.ts";
import { compareKeys, keyText } from "../../kv/keys.ts";
import { FILTER, type WatchCreateRequest } from "../messages/watch.ts";
import { storeRevision } from "../revisions.ts";

/** The smallest key; an empty one in a request means it. */
const FIRST_KEY = Uint8Array.of(0);

/** The keys and the events of a watch. Watches of the same plan get the same messages. */
export interface WatchPlan {
  readonly keys: KeySet;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly previous: boolean;
  /** A name of all of these, for maps. */
  readonly name: string;
}

/** A plan, or the reason why etcd refuses the request. */
export type Planned = { readonly kind: "plan"; readonly plan: WatchPlan } | {
  readonly kind: "refused";
  readonly reason: string;
};

/** Returns the plan of a request. Reads no revision. */
export function planOf({ key: givenKey, rangeEnd, filters, prevKv: previous }: WatchCreateRequest): Planned {
  const key = givenKey.length === 0 ? FIRST_KEY : givenKey;
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  if (rangeEnd.length > 0 && !isOpen && compareKeys(key, rangeEnd) >= 0) {
    return { kind: "refused", reason: "mvcc: watcher range is empty" };
  }
  if (key.length > MAX_KEY_BYTES || rangeEnd.length > MAX_KEY_BYTES) {
    return { kind: "refused", reason: `kvraft: a key has at most ${MAX_KEY_BYTES} bytes` };
  }
  const keys: KeySet = rangeEnd.length === 0
    ? { kind: "key", key: key.slice() }
    : { kind: "range", start: key.slice(), end: isOpen ? null : rangeEnd.slice() };
  // Reserved keys do not exist for clients of etcd: a watch of these alone never has an event.
  const isVisible = !isReserved(key);
  const puts = isVisible && !filters.includes(FILTER.noPut);
  const deletes = isVisible && !filters.includes(FILTER.noDelete);
  const flags = `${puts ? 1 : 0}${deletes ? 1 : 0}${previous ? 1 : 0}`;
  const ends = keys.kind === "key" ? "" : `-${keys.end === null ? "" : keyText(keys.end)}`;
  const name = `${flags} ${key.length} ${keyText(key)}${ends}`;
  return { kind: "plan", plan: { keys, puts, deletes, previous, name } };
}

/** Returns the first revision of the store that a client names, 0 for that before any; null for that after the present one. */
export function firstRevisionOf({ startRevision }: WatchCreateRequest): number | null {
  return startRevision === 0 ? null : storeRevision(startRevision);
}

/** Returns the memory of a plan's keys. */
export function keyBytesOf({ keys, name }: WatchPlan): number {
  const bytes = keys.kind === "key" ? keys.key.length : keys.start.length + (keys.end?.length ?? 0);
  return bytes + name.length;
}
