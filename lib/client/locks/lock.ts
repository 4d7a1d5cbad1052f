/** Locks: the holder is the first contender of a queue. */
import type { ClientCore } from "../core.ts";
import type { Keyspace } from "../keyspace.ts";
import type { CallOptions } from "../types.ts";
import { ContenderQueue, type Place } from "./queue.ts";
import type { Held, HeldCheck, Lock, LockOptions } from "./types.ts";

/** Takes a lock. Rejects with a KvraftError. */
export async function takeLock(
  core: ClientCore,
  keyspace: Keyspace,
  name: string,
  options: LockOptions,
): Promise<Lock> {
  const queue = new ContenderQueue(core, keyspace, name);
  return new HeldLock(
    name,
    await queue.enter({ value: new Uint8Array(0), options, action: `take the lock ${name}` }),
  );
}

/** A place at the head of a queue. */
export class HeldPlace implements Held {
  readonly name: string;
  readonly #place: Place;

  /** Made when the place is at the head. */
  constructor(name: string, place: Place) {
    this.name = name;
    this.#place = place;
  }

  get key(): string {
    return this.#place.key;
  }

  get leaseId(): number {
    return this.#place.lease.leaseId;
  }

  get fencingToken(): number {
    return this.#place.createRevision;
  }

  get lost(): AbortSignal {
    return this.#place.lease.lost;
  }

  get check(): HeldCheck {
    return { key: this.key, createRevision: this.fencingToken };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#place.lease[Symbol.asyncDispose]();
  }

  /** Leaves the queue: ends the lease, and with it the key. */
  protected async leave(options: CallOptions): Promise<void> {
    await this.#place.lease.revoke(options);
  }
}

class HeldLock extends HeldPlace implements Lock {
  async release(options: CallOptions = {}): Promise<void> {
    await this.leave(options);
  }
}
