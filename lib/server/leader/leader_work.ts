/**
 * The work that a leader does by itself: it counts the log's time, bounds the history and deletes expired keys. Every node
 * has it, and acts while it leads.
 */
import type { Clock } from "../../platform/clock.ts";
import type { Raft } from "../../raft/mod.ts";
import type { LiveSettings } from "../config/config.ts";
import type { Driver } from "../driver.ts";
import type { Replica } from "../replica.ts";
import { ExpiredKeys } from "./expired_keys.ts";
import { HistoryBound } from "./history_bound.ts";
import { leaderProposals } from "./leader_proposals.ts";
import { LogClock } from "./log_clock.ts";

/** The parts of a node that a leader's work needs. */
export interface LeaderWorkOptions {
  readonly raft: Raft;
  readonly driver: Driver;
  readonly replica: Replica;
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  /** The bounds of the history. */
  readonly live: Pick<LiveSettings, "historyBytes" | "historySeconds">;
}

/** The work of a leader. */
export class LeaderWork {
  readonly logClock: LogClock;
  readonly #historyBound: HistoryBound;
  readonly #expiredKeys: ExpiredKeys;

  constructor(options: LeaderWorkOptions) {
    const { replica, clock, wallClock, live } = options;
    const proposals = leaderProposals(options);
    const countIndex = (): number => replica.countIndex;
    this.logClock = new LogClock({ clock, applied: () => replica.stateMachine, countIndex, ...proposals });
    this.#historyBound = new HistoryBound({ clock, replica, live, ...proposals });
    this.#expiredKeys = new ExpiredKeys({ clock, wallClock, replica, ...proposals });
  }

  /** Begins. */
  start(): void {
    this.logClock.start();
    this.#historyBound.start();
    this.#expiredKeys.start();
  }

  /** Ends. */
  stop(): void {
    this.logClock.stop();
    this.#historyBound.stop();
    this.#expiredKeys.stop();
  }

  /** Notes that entries or a snapshot were applied. O(1) unless an entry is to be proposed. */
  noteApplied(): void {
    this.logClock.noteApplied();
    this.#historyBound.noteApplied();
    this.#expiredKeys.noteApplied();
  }
}
