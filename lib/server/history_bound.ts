/**
 * Bounds the history: the leader proposes to compact it when it takes more than its bound. Compaction is an entry of the
 * log, so that all nodes have the same history.
 */
import type { StateMachine } from "../kv/mod.ts";
import { encodeCommand } from "../protocol/command.ts";
import type { Raft } from "../raft/mod.ts";
import type { Driver } from "./driver.ts";
import type { Replica } from "./replica.ts";

/** Part of the bound that is kept when the history is compacted, so that compactions are rare. */
const KEPT_PART = 7 / 8;

/** How a leader proposes commands of its own. */
export interface LeaderProposals {
  /** Returns the term that this node leads, once it has applied an entry of it and so all earlier entries; else null. */
  readonly leadingTerm: () => number | null;
  /** Proposes an entry; returns whether it was accepted. */
  readonly propose: (command: Uint8Array) => boolean;
}

/** Returns the proposals of a node. */
export function leaderProposals(
  { raft, driver, replica }: {
    readonly raft: Raft;
    readonly driver: Driver;
    readonly replica: Replica;
  },
): LeaderProposals {
  return {
    leadingTerm: () => raft.isLeader && replica.applied.term === raft.term ? raft.term : null,
    propose: (command) => driver.ask((raft) => raft.propose(command)).kind === "accepted",
  };
}

/** The dependencies of the bound. */
export interface HistoryBoundOptions extends LeaderProposals {
  readonly stateMachine: () => StateMachine;
  /** Bytes that the history may take. */
  readonly bytes: number;
}

/** Proposes compactions while this node leads. */
export class HistoryBound {
  readonly #options: HistoryBoundOptions;
  /** The compaction that was proposed last; one of an earlier term is applied or lost. */
  #proposed: { readonly term: number; readonly revision: number } | null = null;

  constructor(options: HistoryBoundOptions) {
    this.#options = options;
  }

  /** Proposes a compaction if one is due, after entries or a snapshot were applied. O(1) while none is. */
  noteApplied(): void {
    const { stateMachine, bytes, leadingTerm, propose } = this.#options;
    const machine = stateMachine();
    if (machine.historyBytes <= bytes) return;
    const term = leadingTerm();
    if (term === null) return;
    const isUnderWay = this.#proposed?.term === term && machine.compactedRevision < this.#proposed.revision;
    if (isUnderWay) return;
    const revision = machine.revisionToKeep(Math.floor(bytes * KEPT_PART));
    if (propose(encodeCommand({ kind: "compact", revision }))) this.#proposed = { term, revision };
  }
}
