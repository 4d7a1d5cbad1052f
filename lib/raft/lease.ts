/**
 * Reads under a lease (thesis §6.4.1), which a node takes part in only when it is told to.
 *
 * With its answer to a heartbeat a voter promises to help elect nobody else for some time. While a majority's promises
 * last, nobody else leads, and the leader answers reads without asking anybody. Here alone safety rests upon clocks:
 * they run on while a process stands still, and none is so much faster than another that it makes up for
 * {@link TRUSTED_SHARE}. Elsewhere time only decides when something is tried.
 *
 * A voter counts from when a heartbeat came in, the leader from when it was sent, and less of it: so the leader stops
 * first. What a voter promised it may have forgotten when it starts again, so it keeps still for as long. Who hands
 * leadership over asks for an election that heeds no promise, so it has no lease for the rest of its term.
 */
import { assert } from "../platform/assert.ts";
import { hasQuorum } from "./quorum.ts";
import type { ConfState, NodeId } from "./types.ts";

/** Of what a voter promised, a leader counts on so much: clocks may differ in speed by a tenth. */
const TRUSTED_SHARE = 0.9;

/** How a node takes part in leases. */
export interface LeaseConfig {
  /** Milliseconds for which this node promises to elect nobody else; a leader counts on no longer promise. */
  readonly durationMs: number;
  /** Monotonic time in milliseconds, which runs on while this process stands still. */
  readonly now: () => number;
}

/** What a voter has promised to leaders. */
export class VoterLease {
  readonly #config: LeaseConfig;
  #untilMs: number;

  /** `mayHavePromised`: whether an earlier process of this node may have answered a leader. */
  constructor(config: LeaseConfig, { mayHavePromised }: { readonly mayHavePromised: boolean }) {
    this.#config = config;
    this.#untilMs = mayHavePromised ? config.now() + config.durationMs : Number.NEGATIVE_INFINITY;
  }

  /** Whether this node helps nobody to be elected, itself included. */
  get isInForce(): boolean {
    return this.#config.now() < this.#untilMs;
  }

  /** Promises anew, from now on; for how many milliseconds. */
  renew(): number {
    this.#untilMs = this.#config.now() + this.#config.durationMs;
    return this.#config.durationMs;
  }
}

/**
 * What a leader knows of the promises made to it.
 *
 * Invariants: rounds are consecutive; a voter's promise counts from the time at which the round that it answers began.
 */
export class Lease {
  readonly #config: LeaseConfig;
  /** Rounds of heartbeats that an answer may still make something of, oldest first. */
  readonly #begun: { readonly round: number; readonly atMs: number }[] = [];
  /** Until when each voter's promise lasts. */
  readonly #untilMs = new Map<NodeId, number>();
  #isGivenUp = false;

  constructor(config: LeaseConfig) {
    this.#config = config;
  }

  /** A round of heartbeats leaves now. */
  roundBegins(round: number): void {
    const { now, durationMs } = this.#config;
    const atMs = now();
    assert(round === (this.#begun.at(-1)?.round ?? round - 1) + 1, "rounds are consecutive");
    const kept = this.#begun.findIndex((begun) => begun.atMs + durationMs > atMs);
    this.#begun.splice(0, kept === -1 ? this.#begun.length : kept);
    this.#begun.push({ round, atMs });
  }

  /** A voter has answered a round, and promised for so long. */
  promised(
    node: NodeId,
    { round, promisedMs }: { readonly round: number; readonly promisedMs: number },
  ): void {
    const oldest = this.#begun[0];
    const begun = oldest === undefined ? undefined : this.#begun[round - oldest.round];
    if (begun === undefined) return;
    const untilMs = begun.atMs + TRUSTED_SHARE * Math.min(promisedMs, this.#config.durationMs);
    this.#untilMs.set(node, Math.max(untilMs, this.#untilMs.get(node) ?? untilMs));
  }

  /** Somebody else is told to campaign at once: nothing that was promised holds any more. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /** Whether nobody else can lead at this moment. */
  isHeld(confState: ConfState, leader: NodeId): boolean {
    if (this.#isGivenUp) return false;
    const nowMs = this.#config.now();
    return hasQuorum(
      confState,
      (node) => node === leader || nowMs < (this.#untilMs.get(node) ?? Number.NEGATIVE_INFINITY),
    );
  }
}
