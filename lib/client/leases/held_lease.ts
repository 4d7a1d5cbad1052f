/** A lease that this client has granted and keeps alive. */
import type { ClientCore } from "../core.ts";
import { KvraftError, LeaseNotFoundError } from "../errors.ts";
import type { CallOptions } from "../types.ts";
import type { KeptAlive } from "./keeper.ts";
import { grantLease, revokeLease } from "./lease_client.ts";
import type { Lease, LeaseRequest } from "./types.ts";

/** The longest that the end of a lease waits for a cluster that does not answer. */
export const RELEASE_TIMEOUT_MS = 2_000;

/** A lease that is kept alive. */
export class HeldLease implements Lease {
  readonly leaseId: number;
  readonly #core: ClientCore;
  readonly #kept: KeptAlive;
  #isReleased = false;

  private constructor(core: ClientCore, kept: KeptAlive) {
    this.#core = core;
    this.#kept = kept;
    this.leaseId = kept.leaseId;
  }

  /** Grants a lease, and keeps it alive from then on. Rejects with a KvraftError. */
  static async grant(core: ClientCore, request: LeaseRequest & CallOptions): Promise<HeldLease> {
    const sentAt = core.clock.now();
    const granted = await grantLease(core, request);
    return new HeldLease(core, core.leaseKeeper.keep(granted, sentAt));
  }

  get ttlMs(): number {
    return this.#kept.ttlMs;
  }

  get lost(): AbortSignal {
    this.#core.leaseKeeper.check(this.#kept);
    return this.#kept.controller.signal;
  }

  async revoke(options: CallOptions = {}): Promise<void> {
    const isOver = this.#isReleased || this.lost.aborted;
    this.#core.leaseKeeper.release(this.#kept);
    if (isOver) return;
    try {
      await revokeLease(this.#core, this.leaseId, options);
    } catch (error) {
      if (!(error instanceof LeaseNotFoundError)) throw error;
    }
    this.#isReleased = true;
  }

  /** Keeps it alive no more, and does not end it: another holder may keep it alive. */
  abandon(): void {
    this.#isReleased = true;
    this.#core.leaseKeeper.release(this.#kept);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const timeoutMs = Math.min(RELEASE_TIMEOUT_MS, this.#core.timeoutMs);
    try {
      await this.revoke({ timeoutMs });
    } catch (error) {
      // The cluster is away or refuses: the lease ends by itself, since nothing keeps it alive.
      if (!(error instanceof KvraftError)) throw error;
    }
  }
}
