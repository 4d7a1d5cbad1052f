/**
 * Revisions and lease ids as etcd's clients see them.
 *
 * A new store of etcd is at revision 1, one of kvraft at 0, and clients rely on both a revision that is not 0 and a watch from
 * the next one that misses nothing. So etcd's revision is kvraft's plus one, everywhere; 0 stays "none".
 */
import type { KeyValue } from "../kv/command.ts";
import type { EtcdKeyValueGiven } from "./messages/common.ts";
import { etcdError } from "./rpc/status.ts";

/** Returns the store's revision as etcd's clients see it. */
export function etcdRevision(revision: number): number {
  return revision + 1;
}

/** Returns the revision of a key as etcd's clients see it: 0 where there is no key. */
export function etcdKeyRevision(revision: number): number {
  return revision === 0 ? 0 : revision + 1;
}

/** Returns kvraft's revision for a positive one of a client of etcd. */
export function storeRevision(revision: number): number {
  return revision - 1;
}

/** Returns an entry as etcd's clients see it; without its value for `keysOnly`. */
export function etcdKeyValue(entry: KeyValue, { keysOnly = false } = {}): EtcdKeyValueGiven {
  const { key, value, createRevision, modRevision, version, leaseId } = entry;
  return {
    key,
    createRevision: etcdKeyRevision(createRevision),
    modRevision: etcdKeyRevision(modRevision),
    version,
    value: keysOnly ? undefined : value,
    lease: leaseId === undefined ? undefined : BigInt(leaseId),
  };
}

/** Returns kvraft's id of a lease; null for one that no lease of kvraft can have: kvraft's are from 1 to 2^53 − 1. */
export function storeLeaseId(id: bigint): number | null {
  return id >= 1n && id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : null;
}

/** Returns kvraft's id of a lease that must exist; throws EtcdError for one that cannot. */
export function existingLeaseId(id: bigint): number {
  const leaseId = storeLeaseId(id);
  if (leaseId === null) throw etcdError("leaseNotFound");
  return leaseId;
}
