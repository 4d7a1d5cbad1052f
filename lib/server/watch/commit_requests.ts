/**
 * Has a follower with watches learn soon what is committed.
 *
 * A leader tells followers its commitIndex with the next entries, or else with the next heartbeat, so the watches of a
 * follower would get the last of several writes a heartbeat interval later than those of the leader. When the follower has
 * had an entry for a while and does not know whether it is committed, it requests a read index: the leader's answer is a
 * round of heartbeats, which carry its commitIndex. Without watches, and while writes follow each other closely, nothing
 * is requested.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Raft } from "../../raft/mod.ts";
import type { Driver } from "../driver.ts";
import type { WatchHub } from "./watch_hub.ts";

/** Time for the commit of an entry, and for the entries that follow it to report the commit: a few syncs of a disk. */
const COMMIT_WAIT_MS = 5;

/** The dependencies of the requests. */
export interface CommitRequestsOptions {
  readonly clock: Clock;
  readonly hub: Pick<WatchHub, "size">;
  readonly raft: Pick<Raft, "status">;
  readonly driver: Pick<Driver, "isLeader" | "readIndex">;
}

/** The requests of one node. */
export class CommitRequests {
  readonly #options: CommitRequestsOptions;
  #timer: Timer | null = null;

  constructor(options: CommitRequestsOptions) {
    this.#options = options;
  }

  /** Requests the commitIndex in a while, if it is needed then; called after each batch of the driver. */
  settled(): void {
    const { clock, hub, raft, driver } = this.#options;
    if (this.#timer !== null || hub.size === 0 || driver.isLeader) return;
    const { lastIndex, commitIndex } = raft.status();
    if (lastIndex === commitIndex) return;
    this.#timer = clock.after(COMMIT_WAIT_MS, () => {
      this.#timer = null;
      // A refusal is no loss: the next heartbeat reports the commit.
      if (raft.status().commitIndex < lastIndex && hub.size > 0) driver.readIndex();
    });
  }

  /** Requests nothing more. */
  stop(): void {
    this.#timer?.cancel();
  }
}
