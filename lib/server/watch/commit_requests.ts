/**
 * Has followers with watches learn soon what is committed.
 *
 * A leader tells followers its commitIndex with the next entries, or else with the next heartbeat, so the watches of a
 * follower would get the last of several writes a heartbeat interval later than those of the leader. A leader that has
 * watches itself, as clients spread over all nodes, sends a round of heartbeats at once when everything is committed. To
 * another leader, a follower that has had an entry for a while and does not know whether it is committed sends a request
 * for a read index: the answer is such a round. Without watches, and while writes follow each other closely, nothing is sent.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { RaftStatus } from "../../raft/mod.ts";
import type { Driver } from "../driver.ts";
import type { WatchHub } from "./watch_hub.ts";

/** Time for the commit of an entry, and for the entries that follow it to report the commit: a few syncs of a disk. */
const COMMIT_WAIT_MS = 5;

/** The dependencies of the requests. */
export interface CommitRequestsOptions {
  readonly clock: Clock;
  readonly hub: Pick<WatchHub, "size">;
  readonly raft: { status(): Pick<RaftStatus, "lastIndex" | "commitIndex"> };
  readonly driver: Pick<Driver, "isLeader" | "readIndex">;
}

/** The requests of one node. */
export class CommitRequests {
  readonly #options: CommitRequestsOptions;
  #timer: Timer | null = null;
  /** The commitIndex that this node has reported last as the leader. */
  #reportedIndex = 0;

  constructor(options: CommitRequestsOptions) {
    this.#options = options;
  }

  /** Requests the commitIndex in a while, if it is needed then; called after each batch of the driver. */
  settled(): void {
    const { clock, hub, raft, driver } = this.#options;
    if (this.#timer !== null || hub.size === 0) return;
    const { lastIndex, commitIndex } = raft.status();
    if (driver.isLeader) return this.#report(lastIndex, commitIndex);
    if (lastIndex === commitIndex) return;
    this.#timer = clock.after(COMMIT_WAIT_MS, () => {
      this.#timer = null;
      // A refusal is no loss: the next heartbeat reports the commit.
      if (raft.status().commitIndex < lastIndex && hub.size > 0) driver.readIndex();
    });
  }

  /** Has the leader send a round of heartbeats if no entry follows that would report the commit. */
  #report(lastIndex: number, commitIndex: number): void {
    if (commitIndex < lastIndex || commitIndex <= this.#reportedIndex) return;
    this.#reportedIndex = commitIndex;
    this.#options.driver.readIndex();
  }

  /** Requests nothing more. */
  stop(): void {
    this.#timer?.cancel();
  }
}
