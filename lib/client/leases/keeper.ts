/**
 * Keeps the leases of one client alive: all that are due in one request, so that many leases cost a client little more
 * than one.
 *
 * A lease counts as lost when its time to live has passed since the sending of the last request that was confirmed. The
 * cluster counts from a later time, when it applies the request; so a holder that stops at that signal stops before the
 * cluster passes its keys on, as long as its clock runs no slower than the leader's.
 */
import { MAX_KEEP_ALIVES } from "../../kv/leases/lease_command.ts";
import type { Timer } from "../../platform/clock.ts";
import { errorMessage } from "../../platform/errors.ts";
import { TIMER_TICK_MS } from "../call_context.ts";
import type { ClientCore } from "../core.ts";
import { LeaseLostError } from "../errors.ts";
import { backoffMs, reasonWithin } from "../retry.ts";
import { keepLeasesAlive } from "./lease_client.ts";

/** A lease is kept alive when this part of its time to live has passed. */
const RENEW_SHARE = 1 / 3;
/** Leases of which this part has passed are kept alive along with one that is due. */
const JOIN_SHARE = 1 / 6;
/** The longest pause after a failed request, as a part of the shortest time to live in it. */
const MAX_PAUSE_SHARE = 1 / 10;
/** The longest time of a request; a third of the longest time to live is more than a call may have. */
const MAX_REQUEST_MS = 3_600_000;

/** A lease that is kept alive. */
export class KeptAlive {
  readonly leaseId: number;
  ttlMs: number;
  /** When the last confirmed request was sent. */
  confirmedAt: number;
  readonly controller = new AbortController();
  /** Whether a request for it is in flight. */
  isAsked = false;

  /** A lease that was granted by a request sent at `confirmedAt`. */
  constructor(leaseId: number, ttlMs: number, confirmedAt: number) {
    this.leaseId = leaseId;
    this.ttlMs = ttlMs;
    this.confirmedAt = confirmedAt;
  }

  /** The time from which on it counts as lost. */
  get lostAt(): number {
    return this.confirmedAt + this.ttlMs;
  }

  /** The time at which a part of its time to live has passed. */
  passedAt(share: number): number {
    return this.confirmedAt + this.ttlMs * share;
  }
}

/** The leases of one client. */
export class LeaseKeeper {
  readonly #core: ClientCore;
  readonly #leases = new Map<number, KeptAlive>();
  #timer: Timer | null = null;
  #wakesAt = Infinity;
  /** No request is sent before this time: the last one failed. */
  #pausedUntil = 0;
  /** Failures since the last answer. */
  #round = 0;
  #lastFailure = "";

  /** Keeps nothing alive yet. */
  constructor(core: ClientCore) {
    this.#core = core;
  }

  /** Keeps a lease alive that was granted by a request sent at `sentAt`. */
  keep({ leaseId, ttlMs }: { readonly leaseId: number; readonly ttlMs: number }, sentAt: number): KeptAlive {
    const { closing } = this.#core.pool;
    const lease = new KeptAlive(leaseId, ttlMs, sentAt);
    if (closing.isClosed) {
      this.#lose(lease, "the client was closed");
      return lease;
    }
    const before = this.#leases.get(leaseId);
    if (before !== undefined) this.#lose(before, "it had ended, and its id was granted again");
    if (this.#leases.size === 0) closing.add(this.#onClosing);
    this.#leases.set(leaseId, lease);
    this.#wakeAt(lease.passedAt(RENEW_SHARE));
    return lease;
  }

  /** Does not keep a lease alive any more. */
  release(lease: KeptAlive): void {
    if (this.#leases.get(lease.leaseId) !== lease) return;
    this.#leases.delete(lease.leaseId);
    if (this.#leases.size > 0) return;
    this.#core.pool.closing.remove(this.#onClosing);
    this.#timer?.cancel();
    this.#timer = null;
    this.#wakesAt = Infinity;
  }

  /** Reports a lease as lost if it is by now; timers of a process that was suspended run late. */
  check(lease: KeptAlive): void {
    if (lease.lostAt - this.#core.clock.now() >= TIMER_TICK_MS) return;
    if (this.#leases.get(lease.leaseId) !== lease) return;
    this.#lose(lease, `no keep-alive was confirmed for ${lease.ttlMs} ms${this.#lastFailure}`);
  }

  readonly #onClosing = (): void => {
    for (const lease of [...this.#leases.values()]) this.#lose(lease, "the client was closed");
  };

  #lose(lease: KeptAlive, why: string): void {
    this.release(lease);
    lease.controller.abort(new LeaseLostError(`Cannot keep lease ${lease.leaseId}: ${why}.`));
  }

  #wakeAt(time: number): void {
    if (time >= this.#wakesAt) return;
    this.#timer?.cancel();
    this.#wakesAt = time;
    this.#timer = this.#core.clock.after(Math.max(0, time - this.#core.clock.now()), () => this.#wake());
  }

  /** Reports the leases that are lost, keeps those alive that are due, and sets the timer for the next of either. */
  #wake(): void {
    this.#timer = null;
    this.#wakesAt = Infinity;
    const now = this.#core.clock.now();
    if (this.#leases.size > 0 && this.#nextDueAt() - now < TIMER_TICK_MS) void this.#ask(now); // never rejects
    let next = this.#nextDueAt();
    for (const lease of [...this.#leases.values()]) {
      this.check(lease);
      next = Math.min(next, lease.controller.signal.aborted ? Infinity : lease.lostAt);
    }
    if (next < Infinity) this.#wakeAt(next);
  }

  /** Returns the time of the next request. */
  #nextDueAt(): number {
    let next = Infinity;
    for (const lease of this.#leases.values()) {
      if (!lease.isAsked) next = Math.min(next, lease.passedAt(RENEW_SHARE));
    }
    return Math.max(next, this.#pausedUntil);
  }

  /** Keeps the leases alive that are due, and those that soon will be. */
  async #ask(sentAt: number): Promise<void> {
    const due = [...this.#leases.values()]
      .filter((lease) => !lease.isAsked && lease.passedAt(JOIN_SHARE) <= sentAt)
      .slice(0, MAX_KEEP_ALIVES);
    const shortestMs = due.reduce((least, { ttlMs }) => Math.min(least, ttlMs), Infinity);
    for (const lease of due) lease.isAsked = true;
    try {
      const context = this.#core.context({ timeoutMs: Math.min(shortestMs * RENEW_SHARE, MAX_REQUEST_MS) });
      const ttlsMs = await keepLeasesAlive(this.#core, due.map(({ leaseId }) => leaseId), context);
      this.#round = 0;
      this.#pausedUntil = 0;
      this.#lastFailure = "";
      for (const [position, lease] of due.entries()) this.#confirm(lease, ttlsMs[position] ?? 0, sentAt);
    } catch (error) {
      const pauseMs = Math.min(backoffMs(this.#round++, this.#core.random), shortestMs * MAX_PAUSE_SHARE);
      this.#pausedUntil = this.#core.clock.now() + pauseMs;
      this.#lastFailure = ` (${reasonWithin(errorMessage(error))})`;
    }
    for (const lease of due) lease.isAsked = false;
    if (this.#leases.size > 0) this.#wakeAt(this.#nextDueAt());
  }

  #confirm(lease: KeptAlive, ttlMs: number, sentAt: number): void {
    if (this.#leases.get(lease.leaseId) !== lease) return;
    if (ttlMs === 0) return this.#lose(lease, "it has ended");
    lease.ttlMs = ttlMs;
    lease.confirmedAt = sentAt;
  }
}
