/**
 * Bounds the history: the leader proposes to compact it when it takes more than its bytes, or when it is older than its
 * seconds. Compaction is an entry of the log, so that all nodes have the same history.
 *
 * The log has no time at which a revision was made. The leader notes its revision on its own monotonic clock from time to
 * time, and compacts at the newest revision that it noted long enough ago. A new leader counts from the beginning: after
 * an election versions are kept for longer, and never for less time.
 */
import type { LiveSettings } from "../config/config.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { NODE_IDENTITY, type StateMachine } from "../../kv/mod.ts";
import { encodeCommand } from "../../protocol/command.ts";
import type { LeaderProposals } from "./leader_proposals.ts";

/** Part of the bytes that is kept when the history is compacted, so that compactions are rare. */
const KEPT_PART = 7 / 8;
/** Notes within the bound of time: versions are kept longer than that by a part of it. */
const NOTES_PER_BOUND = 16;
/** Minimum interval between two notes. */
const MIN_NOTE_MS = 1_000;

/** The dependencies of the bound. */
export interface HistoryBoundOptions extends LeaderProposals {
  readonly clock: Clock;
  readonly replica: { readonly stateMachine: StateMachine };
  /** The bytes that the history may take, and the seconds for which versions are kept; null for no bound of time. */
  readonly live: Pick<LiveSettings, "historyBytes" | "historySeconds">;
}

/** Proposes compactions while this node leads. */
export class HistoryBound {
  readonly #options: HistoryBoundOptions;
  /** The compaction that was proposed last; one of an earlier term is applied or lost. */
  #proposed: { readonly term: number; readonly revision: number } | null = null;
  /** Revisions that this leader noted in its term, with the time; ascending in both. */
  #notes: { readonly atMs: number; readonly revision: number }[] = [];
  #notedTerm: number | null = null;
  #timer: Timer | null = null;

  constructor(options: HistoryBoundOptions) {
    this.#options = options;
  }

  /** Begins to note revisions, if the history has a bound of time. */
  start(): void {
    const { clock, live: { historySeconds: seconds } } = this.#options;
    if (seconds === null) return;
    const boundMs = seconds * 1_000;
    const intervalMs = Math.max(MIN_NOTE_MS, boundMs / NOTES_PER_BOUND);
    this.#timer = clock.after(intervalMs, () => {
      this.start();
      this.#note(boundMs);
    });
  }

  /** Ends noting. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** Proposes a compaction if the history takes too many bytes, after entries or a snapshot were applied. Else O(1). */
  noteApplied(): void {
    const { replica: { stateMachine: machine }, live: { historyBytes: bytes } } = this.#options;
    if (machine.historyBytes <= bytes) return;
    this.#compact(machine, () => machine.revisionToKeep(Math.floor(bytes * KEPT_PART)));
  }

  /** Notes the present revision, and proposes a compaction at the newest one noted at least `boundMs` ago. */
  #note(boundMs: number): void {
    const { clock, leadingTerm, replica: { stateMachine: machine } } = this.#options;
    const term = leadingTerm();
    if (term !== this.#notedTerm) this.#notes = [];
    this.#notedTerm = term;
    if (term === null) return;
    const now = clock.now();
    this.#notes.push({ atMs: now, revision: machine.revision });
    const due = this.#notes.findLastIndex(({ atMs }) => atMs <= now - boundMs);
    if (due < 0) return;
    // What remains are the due note and those within the bound, about NOTES_PER_BOUND.
    this.#notes.splice(0, due);
    const revision = this.#notes[0]?.revision ?? 0;
    if (revision > machine.compactedRevision) this.#compact(machine, () => revision);
  }

  /** Proposes a compaction while this node leads, unless one is under way. */
  #compact(machine: StateMachine, revisionOf: () => number): void {
    const { leadingTerm, propose } = this.#options;
    const term = leadingTerm();
    if (term === null) return;
    const isUnderWay = this.#proposed?.term === term && machine.compactedRevision < this.#proposed.revision;
    if (isUnderWay) return;
    const revision = revisionOf();
    const command = encodeCommand({
      kind: "authorized",
      identity: NODE_IDENTITY,
      command: { kind: "compact", revision },
    });
    if (propose(command) !== null) this.#proposed = { term, revision };
  }
}
