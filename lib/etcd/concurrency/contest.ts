/** Contests of locks and elections: from a client's request to the first place in the queue. */
import type { ClientCore } from "../../client/core.ts";
import { HeldLease } from "../../client/leases/held_lease.ts";
import { keepLeasesAlive } from "../../client/leases/lease_client.ts";
import { compareKeys } from "../../kv/keys.ts";
import { linkedSignal } from "../../platform/promise.ts";
import { chosenLeaseId } from "../lease/methods.ts";
import { existingLeaseId } from "../revisions.ts";
import { MAX_CALL_MS } from "../rpc/method.ts";
import { EtcdError } from "../rpc/status.ts";
import { type Place, Queue } from "./queue.ts";
import { proclaim } from "./transactions.ts";
import type { Waiting } from "./waiting_calls.ts";

/** Time to live of a lease that the server makes for a client that names none. */
const OWN_LEASE_TTL_MS = 60_000;
const NO_BYTES = new Uint8Array(0);

/** A client's request. */
export interface Contest {
  readonly name: Uint8Array;
  /** 0: the server makes a lease. */
  readonly lease: bigint;
  /** The value of the key; null for a lock, whose key has none. */
  readonly value: Uint8Array | null;
  /** The text of the failure of a client whose key has ended while it waited. */
  readonly expired: string;
}

/** The first place of a queue. */
export interface Won extends Place {
  readonly leaseId: number;
  /** The revision as of which it is the first. */
  readonly revision: number;
  readonly hasWaited: boolean;
}

/** A contest at its queue. */
interface Entry {
  readonly core: ClientCore;
  readonly contest: Contest;
  readonly waiting: Waiting;
}

/** Joins a queue, and waits for the first place. Rejects with EtcdError or KvraftError. */
export async function contend(core: ClientCore, contest: Contest, waiting: Waiting): Promise<Won> {
  const queue = new Queue(core, contest.name);
  const entry = { core, contest, waiting };
  return contest.lease === 0n
    ? await enterWithOwnLease(queue, entry)
    : await enter(queue, existingLeaseId(contest.lease), entry);
}

/**
 * Contends with a new lease, which is kept alive while the client waits, and lasts its time to live once the client has won.
 * Nothing else knows the lease, so it is revoked if the client does not win.
 */
async function enterWithOwnLease(queue: Queue, { core, contest, waiting }: Entry): Promise<Won> {
  const lease = await core.repeat(
    () => HeldLease.grant(core, { ttlMs: OWN_LEASE_TTL_MS, leaseId: chosenLeaseId(core) }),
    waiting.signal,
  );
  const { lost } = lease;
  const { signal, release } = linkedSignal([waiting.signal, lost]);
  try {
    const won = await enter(queue, lease.leaseId, { core, contest, waiting: { ...waiting, signal } });
    if (won.hasWaited) {
      // If this fails, two thirds of the time are left at least.
      await keepLeasesAlive(core, [lease.leaseId], core.context({ timeoutMs: MAX_CALL_MS })).catch(() => {});
    }
    lease.abandon();
    return won;
  } catch (error) {
    await lease[Symbol.asyncDispose]();
    throw lost.aborted ? new EtcdError("unknown", contest.expired) : error;
  } finally {
    release();
  }
}

async function enter(
  queue: Queue,
  leaseId: number,
  { core, contest: { value, expired }, waiting: { signal, isStopping, noteWaiting } }: Entry,
): Promise<Won> {
  const { place, found, isAlone, revision } = await queue.join({ leaseId, value: value ?? NO_BYTES }, signal);
  /** Whether the key is that of this request: a key that was there may be a lock that the client holds. */
  let isOwn = found === null;
  let hasWaited = false;
  try {
    if (found !== null && value !== null && compareKeys(found.value, value) !== 0) {
      await proclaim(core, place, { value, leaseId, timeoutMs: MAX_CALL_MS });
    }
    signal.throwIfAborted();
    if (isAlone) return { ...place, leaseId, revision, hasWaited };
    const first = await queue.untilFirst(place, signal, () => {
      isOwn = hasWaited = true;
      noteWaiting();
    });
    signal.throwIfAborted();
    if (first === null) throw new EtcdError("unknown", expired);
    return { ...place, leaseId, revision: first, hasWaited };
  } catch (error) {
    // At the stop of a node its clients turn to others: with the same lease they find their key, and keep their place.
    if (isOwn && !isStopping()) await queue.leave(place);
    throw error;
  }
}
