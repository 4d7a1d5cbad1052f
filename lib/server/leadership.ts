/**
 * What follows from a change of leader: writes that can't be told to commit are given up, clients are told, whoever
 * waits for a transfer learns of it, and the log says so once.
 */
import type { Logger } from "../platform/logger.ts";
import type { NodeId, Raft } from "../raft/mod.ts";

/** Who leads which term, as one node sees it. */
export interface Leadership {
  readonly leader: NodeId | null;
  readonly term: number;
}

/** Called with the new leadership after it has changed. */
export type LeadershipListener = (leadership: Leadership) => void;

/** Notices changes of leader and term. */
export class LeadershipWatch {
  readonly #raft: Raft;
  readonly #logger: Logger;
  readonly #listeners = new Set<LeadershipListener>();
  #current: Leadership;

  constructor(raft: Raft, logger: Logger) {
    this.#raft = raft;
    this.#logger = logger;
    this.#current = { leader: raft.leader, term: raft.term };
  }

  /** Who leads now. */
  get current(): Leadership {
    return this.#current;
  }

  /** Calls `listener` after every change until the returned function is called. */
  onChange(listener: LeadershipListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks whether anything changed since the last look. */
  check(): void {
    const { leader, term } = this.#raft;
    const before = this.#current;
    if (leader === before.leader && term === before.term) return;
    this.#current = { leader, term };
    if (leader !== null) this.#logger.info("leader known", { leader, term });
    else if (before.leader !== null) this.#logger.warn("leader lost", { leader: before.leader, term });
    for (const listener of [...this.#listeners]) listener(this.#current);
  }
}
