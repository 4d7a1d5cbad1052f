/**
 * Checks of applied entries: all nodes apply the same, each write once, snapshots give the same state as replay, and every
 * node's history has the states of past revisions.
 */
import {
  type BranchingTransaction,
  type Command,
  type CommandResult,
  EMPTY_CHANGE_LEVEL,
  FIRST_FEATURE_LEVEL,
  HISTORY_LEVEL,
  MAX_SESSION_WINDOW,
  type StateMachine,
  type Transaction,
} from "../../../lib/kv/mod.ts";
import { bytesOfText } from "../../../lib/loadgen/mod.ts";
import { execute, type StateChange, type StoreState } from "../../../lib/lincheck/mod.ts";
import { contradictionOf } from "../../../lib/lincheck/transactions/program.ts";
import { encodeResult } from "../../../lib/protocol/command.ts";
import type { Coverage } from "../coverage.ts";
import { hashBytes, hashNumbers } from "../../support/hashes.ts";
import { AppliedHistory } from "./applied_history.ts";
import type { WatchTruth } from "./checked_watch.ts";
import { branchesOf, branchesResultOf } from "./history_forms.ts";
import { PastStates } from "./past_states.ts";
import type { Replay } from "./replay.ts";

/** Entries between two checks of the structure of a state machine's store, which visit every key. */
const ENTRIES_PER_STRUCTURE_CHECK = 64;
/** Entries between two checks of a node's history, and between two that are made where an entry compacted it. */
const ENTRIES_PER_HISTORY_CHECK = 32;
const ENTRIES_PER_COMPACTION_CHECK = 4;

/** Dependencies of the checks. */
export interface AppliedOptions {
  readonly replay: Replay;
  readonly coverage: Coverage;
  readonly check: (holds: boolean, message: string) => void;
}

/** Watches all state machines. */
export class Applied implements WatchTruth {
  readonly #options: AppliedOptions;
  /** Hashes of the results, by index. */
  readonly #results: number[] = [];
  readonly history = new AppliedHistory();
  readonly #applications = new Map<string, number>();
  readonly states = new PastStates();
  /** Reads are possible as of this revision and later ones; a transaction does not change it. */
  #compactedRevision = 0;
  #featureLevel = FIRST_FEATURE_LEVEL;

  constructor(options: AppliedOptions) {
    this.#options = options;
  }

  /** Reads are possible as of this revision and later ones, on a node that has applied every entry. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  get hasHistory(): boolean {
    return this.#featureLevel >= HISTORY_LEVEL;
  }

  /** Called when a state was read from a snapshot. */
  restored(machine: StateMachine): void {
    machine.checkStructure();
    this.#options.check(
      this.#options.replay.isSame(machine),
      `the state of a snapshot up to ${machine.appliedIndex} is not what replay gives`,
    );
    if (machine.historyBytes > 0) this.#options.coverage.count("historiesRestored");
    this.#checkHistory(machine);
  }

  /** Called when a state machine applied an entry. */
  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void {
    if (this.#options.replay.isOwn(machine)) return;
    if (index % ENTRIES_PER_STRUCTURE_CHECK === 0) machine.checkStructure();
    const { revision, keyCount, sessionCount, compactedRevision, historyBytes } = machine;
    let hash = hashNumbers([revision, keyCount, sessionCount, compactedRevision, historyBytes]);
    if (what !== null) hash = hashBytes(encodeResult(what.result), hash);
    const known = this.#results[index - 1];
    if (known !== undefined) {
      this.#options.check(known === hash, `the state after entry ${index} is not the same on all nodes`);
      this.#checkHistorySometimes(machine, { index, result: what?.result ?? null });
      return;
    }
    this.#options.check(
      this.#results.length === index - 1,
      `entry ${index} is applied before entry ${this.#results.length + 1}`,
    );
    this.#results.push(hash);
    this.#options.replay.apply(index, what?.command);
    this.#compactedRevision = compactedRevision;
    this.#featureLevel = machine.featureLevel;
    if (what !== null) this.#noteApplication(index, what.command, what.result);
    if (sessionCount >= this.#options.replay.maxSessions) this.#options.coverage.count("crowdedSessions");
    this.#checkHistorySometimes(machine, { index, result: what?.result ?? null });
  }

  /** Checks a node's history after some entries; more often after compactions. */
  #checkHistorySometimes(
    machine: StateMachine,
    { index, result }: { readonly index: number; readonly result: CommandResult | null },
  ): void {
    const interval = result?.kind === "compacted" ? ENTRIES_PER_COMPACTION_CHECK : ENTRIES_PER_HISTORY_CHECK;
    if (index % interval === 0) this.#checkHistory(machine);
  }

  #checkHistory(machine: StateMachine): void {
    using view = machine.viewKeys();
    if (view.compactedRevision < view.revision) this.#options.coverage.count("pastReads");
    const difference = this.states.difference(view);
    this.#options.check(
      difference === null,
      `the history after entry ${machine.appliedIndex} is wrong: ${difference}`,
    );
  }

  #noteApplication(index: number, command: Command | null, result: CommandResult): void {
    if (result.kind === "compacted") this.#options.coverage.count("compactions");
    if (result.kind === "sessionsExpired") this.#options.coverage.count("sessionsExpired", result.expired);
    if (result.kind === "refused" && result.reason === "sessionExpired") {
      this.#options.coverage.count("sessionsExpired");
    }
    if (command?.kind !== "transaction" && command?.kind !== "branchingTransaction") return;
    if (result.kind === "refused" || result.kind === "checksFailed") return;
    if ("revision" in result) this.#noteTransaction(index, command, result);
  }

  #noteTransaction(
    index: number,
    command: Transaction | BranchingTransaction,
    result: Extract<CommandResult, { revision: number }>,
  ): void {
    const { check, coverage } = this.#options;
    const { session } = command;
    if (session !== null && session.sequence - session.acknowledgedBelow === MAX_SESSION_WINDOW - 1) {
      coverage.count("fullWindows");
    }
    const key = session === null ? null : `${session.sessionId}/${session.sequence}`;
    const before = key === null ? undefined : this.#applications.get(key);
    if (before !== undefined) {
      check(
        before === result.revision,
        `the write ${key} was applied twice: revisions ${before} and ${result.revision}`,
      );
      coverage.count("duplicatesAbsorbed");
      return;
    }
    if (key !== null) this.#applications.set(key, result.revision);
    const { lastRevision } = this.history;
    const changes = this.#changesOf(command, result);
    if (
      changes.length === 0 && (result.revision === lastRevision || this.#featureLevel >= EMPTY_CHANGE_LEVEL)
    ) {
      check(result.revision === lastRevision, `revision ${result.revision} was made by no change`);
      return;
    }
    check(result.revision === lastRevision + 1, `revision ${result.revision} follows ${lastRevision}`);
    this.history.add({ index, revision: result.revision, command, changes });
    this.states.note(
      result.revision,
      changes.map(({ key, state }) => ({
        key: bytesOfText(key),
        value: state === null ? null : bytesOfText(state.value),
      })),
    );
  }

  /** Returns a state that counts reads of past ones. */
  #counting(state: StoreState): StoreState {
    const { coverage } = this.#options;
    return {
      ...state,
      at: (revision) => {
        const past = state.at?.(revision) ?? "compacted";
        if (past === "compacted") coverage.count("branchesCompacted");
        else if (past === "futureRevision") coverage.count("branchesFuture");
        else coverage.count("branchesPast");
        return past;
      },
    };
  }

  /** Executes a transaction on the noted state, checks its result, and returns what it changed. */
  #changesOf(command: Transaction | BranchingTransaction, result: CommandResult): readonly StateChange[] {
    const { lastRevision } = this.history;
    const state = this.history.stateAt(lastRevision, this.#compactedRevision);
    const execution = execute(branchesOf(command), this.#counting(state), lastRevision + 1);
    if (command.kind === "branchingTransaction") {
      const answered = branchesResultOf(result);
      const why = answered === null ? null : contradictionOf({ result: answered }, execution);
      this.#options.check(why === null, `a transaction had a wrong result: ${why}`);
    }
    return execution.kind === "failed" ? [] : execution.changes;
  }
}
