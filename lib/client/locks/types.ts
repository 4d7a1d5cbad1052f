/** Arguments and results of {@link KeyspaceClient.lock} and {@link KeyspaceClient.elect}. */
import type { Bytes, CallOptions } from "../types.ts";

/** Options of {@link KeyspaceClient.lock} and {@link KeyspaceClient.elect}. */
export interface LockOptions {
  /**
   * Time for which the lock lasts after its holder was last heard from, in milliseconds: 1,000 to 9 × 10^12.
   *
   * @default 10000
   */
  readonly ttlMs?: number;
  /**
   * Ends the wait. The place in the queue is given up, and the call rejects with AbortError.
   *
   * @default none
   */
  readonly signal?: AbortSignal;
}

/** A condition of a transaction which holds while a lock or leadership does. */
export interface HeldCheck {
  /** The key of the lock or leadership. */
  readonly key: string;
  /** The revision in which it was created. */
  readonly createRevision: number;
}

/** The parts that a lock and leadership share. */
export interface Held extends AsyncDisposable {
  /** The name that was given. */
  readonly name: string;
  /** The key that stands for it: the name, a slash, and the id of its lease in 14 hexadecimal digits. */
  readonly key: string;
  /** The lease that ends it when its holder does not reach the cluster any more. */
  readonly leaseId: number;
  /**
   * The revision in which the key was created. Each later holder has a greater one: a resource that remembers the greatest it
   * has seen, and refuses lesser ones, is safe from a holder that does not know yet that it is none any more.
   */
  readonly fencingToken: number;
  /**
   * Aborted when it has ended, or may have; see {@link Lease.lost}. Not aborted by its holder's own release, nor when another
   * program deletes the key by hand: only `check` notices that.
   */
  readonly lost: AbortSignal;
  /**
   * A check for transactions with branches: it holds exactly while this holder does, so that a write with it is never made by
   * a former holder.
   */
  readonly check: HeldCheck;
  /** Ends it as `release` or `resign` does; never rejects. If the cluster is away, it ends after its time to live. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A lock that this client holds: the result of {@link KeyspaceClient.lock}. */
export interface Lock extends Held {
  /**
   * Passes the lock on to the next in the queue. Without effect when it has ended. Even if the call rejects, the lock is no
   * longer kept, so that it ends after its time to live.
   *
   * @throws {KvraftError} one of its classes
   */
  release(options?: CallOptions): Promise<void>;
}

/** The leadership of this client in an election: the result of {@link KeyspaceClient.elect}. */
export interface Leadership extends Held {
  /**
   * Changes the value of the leader, which {@link KeyspaceClient.observe} delivers.
   *
   * @throws {LeaseLostError} when this client does not lead any more; nothing was changed
   * @throws {KvraftError} one of its classes; `outcome` says whether the value may have been changed
   */
  proclaim(value: Bytes, options?: CallOptions): Promise<void>;
  /**
   * Ends the leadership. Without effect when it has ended. Even if the call rejects, it is no longer kept, so that it ends
   * after its time to live.
   *
   * @throws {KvraftError} one of its classes
   */
  resign(options?: CallOptions): Promise<void>;
}

/** Options of {@link KeyspaceClient.observe}. */
export interface ObserveOptions {
  /**
   * Ends the observation: the iteration rejects with AbortError.
   *
   * @default none
   */
  readonly signal?: AbortSignal;
}
