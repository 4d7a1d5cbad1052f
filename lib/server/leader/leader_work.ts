/** The work that a leader does by itself: it counts the log's time, and bounds the history. Every node has it, and acts while it leads. */
import type { Clock } from "../../platform/clock.ts";
import type { Raft } from "../../raft/mod.ts";
import type { Driver } from "../driver.ts";
import type { Replica } from "../replica.ts";
import { HistoryBound } from "./history_bound.ts";
import { leaderProposals } from "./leader_proposals.ts";
import { LogClock } from "./log_clock.ts";

/** The parts of a node that a leader's work needs. */
export interface LeaderWorkOptions {
  readonly raft: Raft;
  readonly driver: Driver;
  readonly replica: Replica;
  readonly clock: Clock;
  /** Bytes that the history may take. */
  readonly historyBytes: number;
  /** Seconds for which earlier versions are kept; null for no bound of time. */
  readonly historySeconds: number | null;
}

/** The work of a leader. */
export class LeaderWork {
  readonly logClock: LogClock;
  readonly #historyBound: HistoryBound;

  constructor(
    { raft, driver, replica, clock, historyBytes: bytes, historySeconds: seconds }: LeaderWorkOptions,
  ) {
    const proposals = leaderProposals({ raft, driver, replica });
    this.logClock = new LogClock({
      clock,
      applied: () => {
        const { logTimeMs, sessionCount } = replica.stateMachine;
        return { logTimeMs, sessionCount, leaseCount: 0, nextLeaseDeadlineMs: null };
      },
      countIndex: () => replica.countIndex,
      ...proposals,
    });
    this.#historyBound = new HistoryBound({ clock, replica, bytes, seconds, ...proposals });
  }

  /** Begins. */
  start(): void {
    this.logClock.start();
    this.#historyBound.start();
  }

  /** Ends. */
  stop(): void {
    this.logClock.stop();
    this.#historyBound.stop();
  }

  /** Notes that entries or a snapshot were applied. O(1) unless an entry is to be proposed. */
  noteApplied(): void {
    this.logClock.noteApplied();
    this.#historyBound.noteApplied();
  }
}
