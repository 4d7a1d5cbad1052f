/**
 * The keys that requests of etcd name: one key, or a range from `key` on. A range ends before `range_end`; the byte 0 as
 * `range_end` stands for the end of all keys.
 *
 * Reserved keys, which belong to databases, do not exist for etcd's clients.
 */
import type { KeySet } from "../../kv/branching_command.ts";
import { MAX_KEY_BYTES } from "../../kv/command.ts";
import { belowReserved, isReserved } from "../../kv/databases/reserved_keys.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";

/** The keys of a request. */
export interface RequestKeys {
  readonly key: Uint8Array;
  /** Empty for the one key. */
  readonly rangeEnd: Uint8Array;
}

/** A range that has no key. */
const NO_KEYS: KeySet = { kind: "range", start: Uint8Array.of(0), end: Uint8Array.of(0) };

/** Returns the store's keys for those of a request that names a key. Throws EtcdError for keys that the store cannot have. */
export function keySetOf({ key, rangeEnd }: RequestKeys): KeySet {
  if (key.length > MAX_KEY_BYTES || rangeEnd.length > MAX_KEY_BYTES) throw etcdError("requestTooLarge");
  if (key[0] === 0xff && isReserved(key)) return NO_KEYS;
  if (rangeEnd.length === 0) return { kind: "key", key };
  return { kind: "range", start: key, end: belowReserved(key, isLastEnd(rangeEnd) ? null : rangeEnd) };
}

/** Throws EtcdError for a key that clients of etcd cannot write. */
export function checkWritable(key: Uint8Array): void {
  if (key[0] !== 0xff || !isReserved(key)) return;
  throw new EtcdError(
    "invalidArgument",
    "kvraft: keys that begin with eight bytes 0xff are reserved for databases",
  );
}

/** Whether the end of a range stands for that of all keys. */
export function isLastEnd(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}
