/** The effects of entries on leases and on keys that end by themselves. */
import { assert, assertNever } from "../../platform/assert.ts";
import type { Store } from "../store.ts";
import {
  type DeleteExpired,
  type GrantLease,
  type KeepLeasesAlive,
  type LeasePage,
  type LeaseResult,
  type LeaseState,
  type LeaseWriteResult,
  MAX_EXPIRED_KEYS,
  type RevokeLease,
} from "./lease_command.ts";
import type { Leases } from "./leases.ts";

/** The state that lease commands change. */
export interface LeasedState {
  readonly leases: Leases;
  readonly store: Store;
  /** The store's clock. */
  readonly logTimeMs: number;
  /** The revision of the last change. All changes of an entry are made in the next one. */
  readonly revision: number;
}

/** Executes a valid command that has a session, of a user ({@link NO_OWNER} for none). */
export function executeLeaseWrite(
  command: GrantLease | RevokeLease,
  { userId, ...state }: LeasedState & { readonly userId: number },
): LeaseWriteResult {
  const { leases, revision } = state;
  switch (command.kind) {
    case "grantLease": {
      const reason = leases.grant({ ...command, ownerId: userId }, state.logTimeMs);
      if (reason !== null) return { kind: "leaseFailed", revision, reason };
      return { kind: "leaseGranted", revision, ttlMs: command.ttlMs };
    }
    case "revokeLease": {
      const { leaseId } = command;
      if (!leases.has(leaseId)) return { kind: "leaseFailed", revision, reason: "leaseNotFound" };
      const keys = state.store.leased.all(leaseId);
      endLease(leaseId, keys, state);
      return { kind: "leaseRevoked", revision: revisionAfter(keys.length, state), deleted: keys.length };
    }
    default:
      return assertNever(command);
  }
}

/** Executes a valid command that has no session. */
export function executeLeaseEntry(command: KeepLeasesAlive | DeleteExpired, state: LeasedState): LeaseResult {
  switch (command.kind) {
    case "keepLeasesAlive": {
      const ttlsMs = command.leaseIds.map((leaseId) => state.leases.keepAlive(leaseId, state.logTimeMs));
      return { kind: "leasesKeptAlive", ttlsMs };
    }
    case "deleteExpired": {
      const options = { limit: MAX_EXPIRED_KEYS, revision: state.revision + 1 };
      const deleted = state.store.leased.deleteExpired(command.untilMs, options);
      return { kind: "expiredDeleted", revision: revisionAfter(deleted, state), deleted };
    }
    default:
      return assertNever(command);
  }
}

/**
 * Ends the leases that are over, in the order of their deadlines: the first one, and more until `maxEndedKeys`, of which a
 * lease counts as its keys and one more, so that leases without keys have a bound too. Returns their number, and the
 * revision afterwards.
 */
export function endDueLeases(state: LeasedState): { readonly ended: number; readonly revision: number } {
  const { leases, store, logTimeMs } = state;
  let [ended, deleted] = [0, 0];
  for (let leaseId = leases.nextDue(logTimeMs); leaseId !== null; leaseId = leases.nextDue(logTimeMs)) {
    const keys = store.leased.all(leaseId);
    if (ended > 0 && ended + deleted + keys.length >= leases.limits.maxEndedKeys) break;
    endLease(leaseId, keys, state);
    ended++;
    deleted += keys.length;
  }
  return { ended, revision: revisionAfter(deleted, state) };
}

/** Returns a lease, or null. O(log n). */
export function leaseState(leaseId: number, { leases, store }: LeasedState): LeaseState | null {
  const lease = leases.get(leaseId);
  return lease === null ? null : { ...lease, keyCount: store.leased.count(leaseId) };
}

/** Returns one page of the leases after an id. O(page × log n). */
export function leasePage(
  { after, limit }: { readonly after: number; readonly limit: number },
  state: LeasedState,
): LeasePage {
  const page: LeaseState[] = [];
  for (const lease of state.leases.after(after)) {
    if (page.length >= limit) return { leases: page, more: true };
    page.push({ ...lease, keyCount: state.store.leased.count(lease.leaseId) });
  }
  return { leases: page, more: false };
}

/** Throws InvariantError unless every key that is attached to a lease is attached to one that exists. O(leases × log n). */
export function checkLeasedKeys({ leases, store }: LeasedState): void {
  let keys = 0;
  for (const { leaseId } of leases.after(0)) keys += store.leased.count(leaseId);
  assert(keys === store.leased.total, "a key is attached to a lease that exists");
}

/** Ends a lease, and deletes its keys. */
function endLease(
  leaseId: number,
  keys: readonly Uint8Array[],
  { leases, store, revision }: LeasedState,
): void {
  leases.remove(leaseId);
  store.leased.delete(keys, revision + 1);
}

function revisionAfter(deleted: number, { revision }: LeasedState): number {
  return deleted === 0 ? revision : revision + 1;
}
