/**
 * Has followers with watches learn soon what is committed.
 *
 * A leader tells followers its commitIndex with the next entries, or else with the next heartbeat, so the watches of a
 * follower would get the last of several writes a heartbeat interval later than those of the leader. A leader that has
 * watches itself, as clients spread over all nodes, tells each follower at once when everything is committed and the
 * follower has it: those that were not needed for the majority have it later. To another leader, a follower that has had an
 * entry for a while and does not know whether it is committed sends a request for a read index: the answer is a round of
 * heartbeats. Without watches, and while writes follow each other closely, nothing is sent.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { NodeId, PeerView, RaftStatus } from "../../raft/mod.ts";
import type { Driver } from "../driver.ts";
import type { WatchHub } from "./watch_hub.ts";

/** Time for the commit of an entry, and for the entries that follow it to report the commit: a few syncs of a disk. */
const COMMIT_WAIT_MS = 5;
/**
 * A request that comes too early costs the leader a round of heartbeats and brings nothing: the next one waits twice as long,
 * up to this time, after which a heartbeat of the leader reports the commit by itself.
 */
const MAX_COMMIT_WAIT_MS = 80;

/** The part of a node's status that says who has which entries. */
interface CommitStatus extends Pick<RaftStatus, "lastIndex" | "commitIndex"> {
  readonly peers: readonly Pick<PeerView, "id" | "matchIndex">[];
}

/** The dependencies of the requests. */
export interface CommitRequestsOptions {
  readonly clock: Clock;
  readonly hub: Pick<WatchHub, "size">;
  readonly raft: { status(): CommitStatus };
  readonly driver: Pick<Driver, "isLeader" | "readIndex" | "announceCommit">;
}

/** The requests of one node. */
export class CommitRequests {
  readonly #options: CommitRequestsOptions;
  #timer: Timer | null = null;
  /** The time that the next request waits. */
  #waitMs = COMMIT_WAIT_MS;
  /** The commitIndex that this node, as the leader, has announced last to each peer. */
  readonly #announced = new Map<NodeId, number>();

  constructor(options: CommitRequestsOptions) {
    this.#options = options;
  }

  /** Requests the commitIndex in a while, if it is needed then; called after each batch of the driver. */
  settled(): void {
    const { clock, hub, raft, driver } = this.#options;
    if (this.#timer !== null || hub.size === 0) return;
    const status = raft.status();
    if (driver.isLeader) return this.#announce(status);
    const { lastIndex, commitIndex } = status;
    if (lastIndex === commitIndex) {
      this.#waitMs = COMMIT_WAIT_MS;
      return;
    }
    this.#timer = clock.after(this.#waitMs, () => {
      this.#timer = null;
      if (raft.status().commitIndex >= lastIndex || hub.size === 0) {
        this.#waitMs = COMMIT_WAIT_MS;
        return;
      }
      this.#waitMs = Math.min(2 * this.#waitMs, MAX_COMMIT_WAIT_MS);
      // A refusal is no loss: the next heartbeat reports the commit.
      driver.readIndex();
    });
  }

  /** Tells the followers that have all entries what is committed, if no entry follows that would. */
  #announce({ lastIndex, commitIndex, peers }: CommitStatus): void {
    if (commitIndex < lastIndex) return;
    for (const { id, matchIndex } of peers) {
      if (matchIndex < commitIndex || commitIndex <= (this.#announced.get(id) ?? 0)) continue;
      this.#announced.set(id, commitIndex);
      this.#options.driver.announceCommit(id);
    }
  }

  /** Requests nothing more. */
  stop(): void {
    this.#timer?.cancel();
  }
}
