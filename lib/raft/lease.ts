/**
 * Reads under a lease (thesis §6.4.1), disabled unless configured.
 *
 * With its response to a heartbeat a voter grants the leader a lease: for some time it votes for no other node. While the
 * leases of a majority last, no other node can lead, and the leader answers reads without a round of heartbeats. Only here
 * does safety rest upon clocks: they advance while a process is suspended, and no clock is so much faster than another
 * that it makes up for {@link TRUSTED_SHARE}. Everywhere else time only decides when something is tried.
 *
 * A voter's lease runs from the arrival of the heartbeat, the leader counts from its sending and only a share of it, so the
 * leader stops first. A restarted voter may have granted a lease that it does not remember, so it votes for no node for as
 * long. A leadership transfer asks voters to ignore leases, so the old leader has none for the rest of its term.
 */
import { assert } from "../platform/assert.ts";
import { hasQuorum } from "./quorum.ts";
import type { ConfState, NodeId } from "./types.ts";

/** The share of a granted lease that the leader relies on: clocks may differ in speed by a tenth. */
const TRUSTED_SHARE = 0.9;

/** Configuration of leases. */
export interface LeaseConfig {
  /** Milliseconds for which this node grants a lease; a leader relies on no longer one. */
  readonly durationMs: number;
  /** Monotonic time in milliseconds, which advances while this process is suspended. */
  readonly now: () => number;
}

/** The lease that a voter has granted. */
export class VoterLease {
  readonly #config: LeaseConfig;
  #untilMs: number;

  /** `mayHaveGranted`: whether an earlier process of this node may have granted a lease. */
  constructor(config: LeaseConfig, { mayHaveGranted }: { readonly mayHaveGranted: boolean }) {
    this.#config = config;
    this.#untilMs = mayHaveGranted ? config.now() + config.durationMs : Number.NEGATIVE_INFINITY;
  }

  /** Whether this node votes for no node, itself included. */
  get isInForce(): boolean {
    return this.#config.now() < this.#untilMs;
  }

  /** Grants the lease from now on; returns its duration in milliseconds. */
  renew(): number {
    this.#untilMs = this.#config.now() + this.#config.durationMs;
    return this.#config.durationMs;
  }
}

/**
 * The leases granted to a leader.
 *
 * Invariants: rounds are consecutive; a voter's lease counts from the time at which the round that it responds to began.
 */
export class Lease {
  readonly #config: LeaseConfig;
  /** Rounds of heartbeats to which a response can still extend a lease, oldest first. */
  readonly #begun: { readonly round: number; readonly atMs: number }[] = [];
  /** End of each voter's lease. */
  readonly #untilMs = new Map<NodeId, number>();
  #isRevoked = false;

  constructor(config: LeaseConfig) {
    this.#config = config;
  }

  /** Records the start of a round of heartbeats. */
  beginRound(round: number): void {
    const { now, durationMs } = this.#config;
    const atMs = now();
    assert(round === (this.#begun.at(-1)?.round ?? round - 1) + 1, "rounds are consecutive");
    const kept = this.#begun.findIndex((begun) => begun.atMs + durationMs > atMs);
    this.#begun.splice(0, kept === -1 ? this.#begun.length : kept);
    this.#begun.push({ round, atMs });
  }

  /** Extends the lease of a voter that has responded to a round. */
  renew(
    node: NodeId,
    { round, promisedMs }: { readonly round: number; readonly promisedMs: number },
  ): void {
    const oldest = this.#begun[0];
    const begun = oldest === undefined ? undefined : this.#begun[round - oldest.round];
    if (begun === undefined) return;
    const untilMs = begun.atMs + TRUSTED_SHARE * Math.min(promisedMs, this.#config.durationMs);
    this.#untilMs.set(node, Math.max(untilMs, this.#untilMs.get(node) ?? untilMs));
  }

  /** Revokes all leases for the rest of the term, before another node is asked to campaign at once. */
  revoke(): void {
    this.#isRevoked = true;
  }

  /** Whether no other node can lead at this moment. */
  isHeld(confState: ConfState, leader: NodeId): boolean {
    if (this.#isRevoked) return false;
    const nowMs = this.#config.now();
    return hasQuorum(
      confState,
      (node) => node === leader || nowMs < (this.#untilMs.get(node) ?? Number.NEGATIVE_INFINITY),
    );
  }
}
