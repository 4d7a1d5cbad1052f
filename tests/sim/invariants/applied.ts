/**
 * Checks of applied entries: all nodes apply the same, each write once, snapshots give the same state as replay, and every
 * node's history has the states of past revisions.
 */
import {
  type Command,
  type CommandResult,
  MAX_SESSION_WINDOW,
  type StateMachine,
  writtenValue,
} from "../../../lib/kv/mod.ts";
import { encodeResult } from "../../../lib/protocol/command.ts";
import type { Coverage } from "../coverage.ts";
import { hashBytes, hashNumbers } from "../../support/hashes.ts";
import { PastStates } from "./past_states.ts";
import type { Replay } from "./replay.ts";

/** Entries between two checks of the structure of a state machine's store, which visit every key. */
const ENTRIES_PER_STRUCTURE_CHECK = 64;
/** Entries between two checks of a node's history, and between two that are made where an entry compacted it. */
const ENTRIES_PER_HISTORY_CHECK = 32;
const ENTRIES_PER_COMPACTION_CHECK = 4;

/** An applied transaction, under the revision that it made. */
export interface AppliedTransaction {
  readonly index: number;
  readonly revision: number;
  readonly command: Extract<Command, { kind: "transaction" }>;
  readonly result: Extract<CommandResult, { kind: "applied" }>;
}

/** Dependencies of the checks. */
export interface AppliedOptions {
  readonly replay: Replay;
  readonly coverage: Coverage;
  readonly check: (holds: boolean, message: string) => void;
}

/** Watches all state machines. */
export class Applied {
  readonly #options: AppliedOptions;
  /** Hashes of the results, by index. */
  readonly #results: number[] = [];
  /** By revision, from 1. */
  readonly transactions: AppliedTransaction[] = [];
  readonly #applications = new Map<string, number>();
  readonly #pastStates = new PastStates();

  constructor(options: AppliedOptions) {
    this.#options = options;
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
    const difference = this.#pastStates.difference(view);
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
    if (command?.kind !== "transaction" || result.kind !== "applied") return;
    const { session } = command;
    if (session !== null && session.sequence - session.acknowledgedBelow === MAX_SESSION_WINDOW - 1) {
      this.#options.coverage.count("fullWindows");
    }
    const key = session === null ? null : `${session.sessionId}/${session.sequence}`;
    const before = key === null ? undefined : this.#applications.get(key);
    if (before !== undefined) {
      this.#options.check(
        before === result.revision,
        `the write ${key} was applied twice: revisions ${before} and ${result.revision}`,
      );
      this.#options.coverage.count("duplicatesAbsorbed");
      return;
    }
    if (key !== null) this.#applications.set(key, result.revision);
    const isEmpty = result.outcomes.every((outcome) => outcome.kind === "delete" && !outcome.deleted);
    if (isEmpty && result.revision === this.transactions.length) return;
    this.#options.check(
      result.revision === this.transactions.length + 1,
      `revision ${result.revision} follows ${this.transactions.length}`,
    );
    this.transactions.push({ index, revision: result.revision, command, result });
    const changes = command.mutations.map((mutation) => ({
      key: mutation.key,
      value: writtenValue(mutation),
    }));
    this.#pastStates.note(result.revision, changes);
  }
}
