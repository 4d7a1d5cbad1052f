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

/** The leadership that one node knows of, with those that listen to its changes. */
export class LeadershipWatch {
  /** This node. */
  readonly self: NodeId;
  readonly #raft: Raft;
  readonly #logger: Logger;
  readonly #listeners = new Set<LeadershipListener>();
  #current: Leadership;

  constructor(raft: Raft, logger: Logger) {
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
    if (leader !== null) {
      const event = leader === this.self ? "becameLeader" : "leaderKnown";
      this.#logger.info("leader known", { event, leader, term });
    } else if (before.leader !== null) {
      const event = before.leader === this.self ? "steppedDown" : "leaderLost";
      this.#logger.warn("leader lost", { event, leader: before.leader, term });
    }
  }
}
