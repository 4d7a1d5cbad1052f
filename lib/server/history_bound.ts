/**
 * Bounds the history: the leader proposes to compact it when it takes more than its bound. Compaction is an entry of the
 * log, so that all nodes have the same history.
 */
import type { StateMachine } from "../kv/mod.ts";
import { encodeCommand } from "../protocol/command.ts";
import type { LeaderProposals } from "./leader_proposals.ts";

/** Part of the bound that is kept when the history is compacted, so that compactions are rare. */
const KEPT_PART = 7 / 8;

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
