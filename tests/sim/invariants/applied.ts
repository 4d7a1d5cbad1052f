/**
 * Checks of applied entries: all nodes apply the same, each write once, snapshots give the same state as replay, and every
 * node's history has the states of past revisions.
 */
import {
  type BranchingTransaction,
  type Command,
  type CommandResult,
  type DatabaseWrite,
  EMPTY_CHANGE_LEVEL,
  FIRST_FEATURE_LEVEL,
  HISTORY_LEVEL,
  MAX_SESSION_WINDOW,
  type PlainCommand,
  type SessionStamp,
  type StateMachine,
  type Transaction,
  unwrapped,
} from "../../../lib/kv/mod.ts";
import { bytesOfText } from "../../../lib/loadgen/mod.ts";
import { execute, type StateChange, type StoreState } from "../../../lib/lincheck/mod.ts";
import { contradictionOf } from "../../../lib/lincheck/transactions/program.ts";
import { encodeResult } from "../../../lib/protocol/command.ts";
import type { Coverage } from "../coverage.ts";
import { hashBytes, hashNumbers } from "../../support/hashes.ts";
import { AppliedHistory } from "./applied_history.ts";
import type { WatchTruth } from "./checked_watch.ts";
import { DatabaseEffects } from "./database_effects.ts";
import { branchesOf, branchesResultOf } from "./history_forms.ts";
import { PastStates } from "./past_states.ts";
import { AppliedUsers } from "../users/applied_users.ts";
import type { Process } from "../environment/process.ts";
import { attachingsOf, type LeaseEffect, leaseIdsOf, LeaseModel } from "./lease_model.ts";
import type { LeaseTimes } from "./lease_times.ts";
import type { Replay } from "./replay.ts";

/** Entries between two checks of the structure of a state machine's store, which visit every key. */
const ENTRIES_PER_STRUCTURE_CHECK = 64;
/** Entries between two checks of a node's history, and between two that are made where an entry compacted it. */
const ENTRIES_PER_HISTORY_CHECK = 32;
const ENTRIES_PER_COMPACTION_CHECK = 4;
/** Entries between two comparisons of all leases, besides those at entries that change them. */
const ENTRIES_PER_LEASE_CHECK = 16;

/** Dependencies of the checks. */
export interface AppliedOptions {
  readonly replay: Replay;
  readonly coverage: Coverage;
  readonly leaseTimes: LeaseTimes;
  /** Returns the time of the node's wall clock that is ahead of all others. */
  readonly latestWallMs: () => number;
  /** Returns the process whose code runs. */
  readonly current: () => Process | null;
  readonly check: (holds: boolean, message: string) => void;
}

/** Watches all state machines. */
export class Applied implements WatchTruth {
  readonly #options: AppliedOptions;
  /** Hashes of the results, by index. */
  readonly #results: number[] = [];
  readonly history = new AppliedHistory();
  readonly #applications = new Map<string, number>();
  readonly #leases: LeaseModel;
  readonly states = new PastStates();
  readonly #databases = new DatabaseEffects();
  readonly users: AppliedUsers;
  /** Reads are possible as of this revision and later ones; a transaction does not change it. */
  #compactedRevision = 0;
  #featureLevel = FIRST_FEATURE_LEVEL;

  constructor(options: AppliedOptions) {
    this.#options = options;
    this.#leases = new LeaseModel(options.replay.leaseLimits);
    this.users = new AppliedUsers(options);
  }

  /** Reads are possible as of this revision and later ones, on a node that has applied every entry. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** The time of the wall clock at which the next key expires; Infinity without one. */
  get nextExpiresAtMs(): number {
    return this.#leases.nextExpiresAtMs;
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
    this.users.restored(machine);
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
    const { revision: authRevision } = machine.auth;
    let hash = hashNumbers([revision, keyCount, sessionCount, compactedRevision, historyBytes, authRevision]);
    if (what !== null) hash = hashBytes(encodeResult(what.result), hash);
    const known = this.#results[index - 1];
    if (known !== undefined) {
      this.#options.check(known === hash, `the state after entry ${index} is not the same on all nodes`);
      this.users.appliedOn(machine, index, what?.result ?? null);
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
    // Before the entry changes leases: which keys they have decides about rights.
    this.users.apply(index, what, (leaseId) => ({
      keys: this.#leases.keysOf(leaseId),
      ownerId: this.#leases.ownerOf(leaseId),
    }));
    this.users.appliedOn(machine, index, what?.result ?? null);
    const command = what === null || what.command === null ? null : unwrapped(what.command);
    if (what !== null) this.#noteApplication(index, command, what.result);
    if (command?.kind === "grantLease") {
      const isOfUser = what?.command?.kind === "authorized" && this.users.facts.enabled;
      this.#leases.noteOwner(command.leaseId, isOfUser ? what.command.identity.userId : 0);
    }
    const { lastRevision } = this.history;
    this.#options.check(
      revision === lastRevision,
      `entry ${index} leads to revision ${revision} in place of ${lastRevision}`,
    );
    if (index % ENTRIES_PER_LEASE_CHECK === 0 || isOfLeases(command)) this.#checkLeases(machine);
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

  #noteApplication(index: number, command: PlainCommand | null, result: CommandResult): void {
    if (result.kind === "compacted") this.#options.coverage.count("compactions");
    if (result.kind === "sessionsExpired") this.#options.coverage.count("sessionsExpired", result.expired);
    if (result.kind === "refused" && result.reason === "sessionExpired") {
      this.#options.coverage.count("sessionsExpired");
    }
    switch (command?.kind) {
      case "transaction":
      case "branchingTransaction":
        if (result.kind === "refused" || result.kind === "checksFailed") return;
        if ("revision" in result) this.#noteTransaction(index, command, result);
        return;
      case "databaseWrite":
        if (result.kind === "databaseWritten") this.#noteDatabaseWrite(index, command, result);
        return;
      case "grantLease":
      case "revokeLease":
        if (result.kind !== "refused" && "revision" in result && this.#isRepeated(command.session, result)) {
          return;
        }
        return this.#noteLeases({ index, command }, this.#leases.execute(command, result));
      case "deleteExpired":
        this.#options.check(
          command.untilMs <= this.#options.latestWallMs(),
          `entry ${index} deletes keys that expire up to ${command.untilMs}, which is later than every wall clock`,
        );
        return this.#noteLeases({ index, command }, this.#leases.execute(command, result));
      case "keepLeasesAlive":
        return this.#noteLeases({ index, command }, this.#leases.execute(command, result));
      case "expireSessions": {
        if (result.kind !== "sessionsExpired") return;
        const effect = this.#leases.advance(command.elapsedMs, result.endedLeases);
        return this.#noteLeases({ index, command }, effect);
      }
    }
  }

  /** Notes the write of a database: it has a revision of its own, in which no other key changes. */
  #noteDatabaseWrite(
    index: number,
    command: DatabaseWrite,
    { revision }: { readonly revision: number },
  ): void {
    if (this.#isRepeated(command.session, { revision })) return;
    const { lastRevision } = this.history;
    this.#options.check(revision === lastRevision + 1, `revision ${revision} follows ${lastRevision}`);
    this.history.add({ index, revision, command, changes: [] });
    this.states.note(revision, this.#databases.changesOf(command));
  }

  /** Notes what an entry does to leases, and the keys that it deletes in one revision. */
  #noteLeases(
    { index, command }: { readonly index: number; readonly command: Command },
    { problem, deleted, over, revoked, renewed }: LeaseEffect,
  ): void {
    const { check, coverage, leaseTimes } = this.#options;
    check(problem === null, `entry ${index}, ${command.kind}: ${problem}`);
    if (deleted.length > 0) {
      const revision = this.history.lastRevision + 1;
      this.history.add({ index, revision, command, changes: deleted.map((key) => ({ key, state: null })) });
      this.states.note(
        revision,
        deleted.map((key) => ({ key: bytesOfText(key), value: null, leaseId: 0, expiresAtMs: 0 })),
      );
    }
    for (const leaseId of over) leaseTimes.over(leaseId);
    for (const leaseId of revoked) leaseTimes.revoked(leaseId);
    for (const [leaseId, ttlMs] of renewed) leaseTimes.renewed(leaseId, ttlMs);
    if (over.length > 0 && this.#leases.isAnyDue) coverage.count("leaseEndsPostponed");
    if (command.kind === "deleteExpired") coverage.count("keysExpired", deleted.length);
    else if (revoked.length > 0) coverage.count("leasesRevoked");
    if (over.length > 0 && deleted.length > 0) coverage.count("leasesEndedWithKeys");
  }

  #checkLeases(machine: StateMachine): void {
    const difference = this.#leases.difference(machine);
    this.#options.check(
      difference === null,
      `after entry ${machine.appliedIndex} the leases are wrong: ${difference}`,
    );
  }

  /** Returns whether a write was executed before; notes it, and checks that its revision is the same as then. */
  #isRepeated(session: SessionStamp | null, { revision }: { readonly revision: number }): boolean {
    const { check, coverage } = this.#options;
    if (session === null) return false;
    const key = `${session.sessionId}/${session.sequence}`;
    const before = this.#applications.get(key);
    if (before === undefined) {
      this.#applications.set(key, revision);
      return false;
    }
    check(before === revision, `the write ${key} was applied twice: revisions ${before} and ${revision}`);
    coverage.count("duplicatesAbsorbed");
    return true;
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
    if (this.#isRepeated(session, result)) return;
    if (this.#hasLeaseFailure(command, result)) return;
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
    const attachings = attachingsOf(command, result)[Symbol.iterator]();
    this.states.note(
      result.revision,
      changes.map(({ key, state }) => {
        const attaching = state === null ? null : attachings.next().value ?? null;
        const before = this.#leases.attachmentOf(key).leaseId;
        const attached = this.#leases.attach(key, attaching);
        const { leaseId } = attached;
        if (before !== 0 && leaseId !== 0 && before !== leaseId) this.#options.coverage.count("leasesMoved");
        check(
          leaseId === 0 || this.#leases.has(leaseId),
          `a key is attached to lease ${leaseId}, which has ended`,
        );
        return {
          key: bytesOfText(key),
          value: state === null ? null : bytesOfText(state.value),
          ...attached,
        };
      }),
    );
  }

  /** Returns whether a transaction failed for its leases, which changes nothing; checks that the lease does not exist. */
  #hasLeaseFailure(command: Transaction | BranchingTransaction, result: CommandResult): boolean {
    if (result.kind !== "transactionFailed") return false;
    const { reason } = result;
    if (reason === "tooManyLeaseKeys") this.#options.coverage.count("leasesFull");
    if (reason !== "leaseNotFound") return reason === "tooManyLeaseKeys";
    const ids = leaseIdsOf(command);
    this.#options.check(
      ids.some((leaseId) => !this.#leases.has(leaseId)),
      `a transaction failed for want of a lease, and ${ids.join(", ")} exist`,
    );
    this.#options.coverage.count("putsWithoutLease");
    return true;
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

function isOfLeases(command: Command | null): boolean {
  return command?.kind === "grantLease" || command?.kind === "revokeLease" ||
    command?.kind === "expireSessions";
}
