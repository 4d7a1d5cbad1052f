/** Notices changes of leader and term, logs them once and notifies the parts of the node that depend on them. */
import type { Logger } from "../platform/logger.ts";
import type { NodeId, Raft } from "../raft/mod.ts";

/** The leader of a term, as one node knows it. */
export interface Leadership {
  readonly leader: NodeId | null;
  readonly term: number;
}

/** A function that is called with the new leadership after a change. */
export type LeadershipListener = (leadership: Leadership) => void;

/** The part of the core that a {@link LeadershipWatch} reads. */
export type ObservedCore = Pick<Raft, "leader" | "term"> & { status(): { readonly id: NodeId } };

/** The leadership that one node knows of, with those that listen to its changes. */
export class LeadershipWatch {
  /** This node. */
  readonly self: NodeId;
  readonly #raft: ObservedCore;
  readonly #logger: Logger;
  readonly #listeners = new Set<LeadershipListener>();
  #current: Leadership;

  constructor(raft: ObservedCore, logger: Logger) {
    this.self = raft.status().id;
    this.#raft = raft;
    this.#logger = logger;
    this.#current = { leader: raft.leader, term: raft.term };
  }

  /** The leadership at the last {@link check}. */
  get current(): Leadership {
    return this.#current;
  }

  /** Calls `listener` after every change until the returned function is called. */
  onChange(listener: LeadershipListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Notifies the listeners if leader or term changed since the last call. */
  check(): void {
    const { leader, term } = this.#raft;
    const before = this.#current;
    if (leader === before.leader && term === before.term) return;
    this.#current = { leader, term };
    this.#log(before);
    for (const listener of [...this.#listeners]) listener(this.#current);
  }

  #log(before: Leadership): void {
    const { leader, term } = this.#current;
    const isOver = before.leader !== null && before.leader !== leader;
    if (isOver && before.leader === this.self) {
      // The same term without a leader: the check of the quorum failed. A newer one was begun by another node.
      const reason = term === before.term
        ? "no majority of the voters answered for an election timeout"
        : "a newer term has begun: another node was elected, or asks for votes";
      this.#logger.warn("this node no longer leads", { event: "steppedDown", reason, term });
    } else if (isOver && leader === null) {
      this.#logger.warn("leader lost", { event: "leaderLost", leader: before.leader, term });
    }
    if (leader === this.self) this.#logger.info("this node leads", { event: "becameLeader", term });
    else if (leader !== null) this.#logger.info("leader known", { event: "leaderKnown", leader, term });
  }
}
