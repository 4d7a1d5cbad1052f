/**
 * Deletes keys whose time of the wall clock has passed: the leader proposes it. Nothing that is promised depends on the
 * wall clock, so a key is deleted soon after its time by the clock of the node that leads then.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import { encodeCommand } from "../../protocol/command.ts";
import type { LeaderProposals } from "./leader_proposals.ts";

/** Interval between checks whether keys have expired. */
const CHECK_MS = 1_000;

/** The dependencies of the deletion. */
export interface ExpiredKeysOptions extends LeaderProposals {
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly replica: {
    readonly appliedIndex: number;
    readonly stateMachine: { readonly nextExpiresAtMs: number | null };
  };
}

/** Proposes deletions of expired keys while this node leads. */
export class ExpiredKeys {
  readonly #options: ExpiredKeysOptions;
  /** The deletion that was proposed last and is not applied; one of an earlier term is applied or lost. */
  #proposed: { readonly term: number; readonly index: number } | null = null;
  #timer: Timer | null = null;

  constructor(options: ExpiredKeysOptions) {
    this.#options = options;
  }

  /** Begins to check. */
  start(): void {
    this.#timer = this.#options.clock.after(CHECK_MS, () => {
      this.start();
      this.#check();
    });
  }

  /** Ends checking. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** Proposes the next deletion at once if the last one is applied and did not delete everything. O(1) otherwise. */
  noteApplied(): void {
    if (this.#proposed === null || this.#options.replica.appliedIndex < this.#proposed.index) return;
    this.#proposed = null;
    this.#check();
  }

  #check(): void {
    const { leadingTerm, propose, wallClock, replica } = this.#options;
    const term = leadingTerm();
    if (term === null || this.#proposed?.term === term) return;
    const next = replica.stateMachine.nextExpiresAtMs;
    const untilMs = Math.floor(wallClock());
    if (next === null || next > untilMs) return;
    const index = propose(encodeCommand({ kind: "deleteExpired", untilMs }));
    if (index !== null) this.#proposed = { term, index };
  }
}
