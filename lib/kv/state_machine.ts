/**
 * The deterministic state machine that applies committed commands, with the same results on every node.
 *
 * Only the log determines its state: no clock, randomness, configuration or hash map order. Applying never throws because
 * of a command's content: every node refuses an invalid command alike.
 */
import { AuthState } from "./auth/auth_state.ts";
import { admittedUser, NO_USER } from "./auth/authorize.ts";
import type { Branches } from "./branching_command.ts";
import type {
  Command,
  CommandResult,
  HistoryPage,
  HistoryQuery,
  KeyValue,
  ListPage,
  ListQuery,
  Mutation,
  Past,
  PlainCommand,
  RefusalReason,
  SessionStamp,
  SessionWrite,
} from "./command.ts";
import { unwrapped } from "./command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { DatabaseWrite } from "./databases/database_command.ts";
import type { Registry } from "./databases/registry.ts";
import { changesReservedKeys } from "./databases/reserved_keys.ts";
import { executeBranches, executeTransaction, type TransactedState } from "./execute_transactions.ts";
import {
  DATABASE_LEVEL,
  FEATURE_LEVEL,
  FIRST_FEATURE_LEVEL,
  HISTORY_LEVEL,
  isOfLevel,
  NewerFeatureLevelError,
} from "./feature_level.ts";
import {
  checkLeasedKeys,
  endDueLeases,
  executeLeaseEntry,
  executeLeaseWrite,
  type LeasedState,
  leasePage,
  leaseState,
} from "./leases/execute_leases.ts";
import type { LeaseKeysPage, LeaseKeysQuery, LeasePage, LeaseState } from "./leases/lease_command.ts";
import { Leases } from "./leases/leases.ts";
import type { StateRecord, WriteResult } from "./record.ts";
import { SESSION_LIMITS, SessionTable } from "./sessions/session_table.ts";
import type { EventReader } from "./pages/event_reader.ts";
import type { StoreView } from "./pages/paged_store.ts";
import type { ScanPage, ScanQuery } from "./scan.ts";
import type { StructureFigures } from "./pages/check_store.ts";
import {
  type Restoring,
  resultOf,
  type StateMachineOptions,
  StateRestorer,
  type StateView,
  viewOf,
} from "./state_records.ts";
import { type Readability, Store } from "./store.ts";

/**
 * The keys, leases and sessions after applying the log up to `appliedIndex`.
 *
 * Invariants: entries are applied one by one in the order of the log; `revision` is incremented by each transaction whose
 * checks hold (from feature level 2 on: and that changes something), by each write of a database whose checks hold, each
 * change of the registry, each end of leases and each expiry that deletes keys, and by nothing else, so it never exceeds `appliedIndex`, but for
 * what {@link advanceRevision} has added; `featureLevel` never falls; a key is attached to a lease
 * that exists.
 *
 * The store keeps the bytes of large values, so a command must not be changed afterwards (log entries are immutable), and
 * results may contain them: callers must not change them.
 *
 * @example
 * ```ts
 * import { StateMachine } from "./state_machine.ts";
 * const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
 * const machine = new StateMachine();
 * machine.applyNoop(1);
 * machine.apply(2, {
 *   kind: "transaction",
 *   session: null,
 *   checks: [{ kind: "exists", key: bytes("greeting"), exists: false }],
 *   mutations: [{ kind: "put", key: bytes("greeting"), value: bytes("hello") }],
 * }); // { kind: "applied", revision: 1, outcomes: [{ kind: "put", createRevision: 1, version: 1 }] }
 * ```
 */
export class StateMachine {
  #store = new Store();
  readonly #sessions: SessionTable;
  readonly #leases: Leases;
  readonly #auth = new AuthState();
  #appliedIndex = 0;
  #revision = 0;
  #featureLevel = FIRST_FEATURE_LEVEL;

  /** Makes an empty state, before the first entry. */
  constructor(options: StateMachineOptions = {}) {
    this.#sessions = new SessionTable({
      ttlMs: options.sessionTtlMs ?? SESSION_LIMITS.ttlMs,
      maxSessions: options.maxSessions ?? SESSION_LIMITS.maxSessions,
      maxAnswersBytes: options.maxAnswersBytes ?? SESSION_LIMITS.maxAnswersBytes,
    });
    this.#leases = new Leases(options.leaseLimits);
  }

  /** Returns the state of a view's records; see {@link StateMachine.restoring}. */
  static restore(records: Iterable<StateRecord>, options: StateMachineOptions = {}): StateMachine {
    const restoring = StateMachine.restoring(options);
    for (const record of records) restoring.add(record);
    return resultOf(restoring.finishing());
  }

  /**
   * Restores a state record by record, so that a caller that reads them from a disk or a connection may pause in between.
   * The caller has validated them. Long values and answers are kept, not copied.
   */
  static restoring(options: StateMachineOptions = {}): Restoring {
    const machine = new StateMachine(options);
    const restorer = new StateRestorer({
      sessions: machine.#sessions,
      leases: machine.#leases,
      auth: machine.#auth,
    });
    return {
      add: (record) => restorer.add(record),
      finishing: function* (): Generator<void, StateMachine> {
        const { appliedIndex, revision, featureLevel, store } = yield* restorer.finishing();
        machine.#appliedIndex = appliedIndex;
        machine.#revision = revision;
        machine.#featureLevel = featureLevel;
        machine.#store = store;
        return machine;
      },
    };
  }

  /** Index of the last applied entry; 0 before the first. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Number of transactions applied so far; from feature level 2 on only those that changed something count. */
  get revision(): number {
    return this.#revision;
  }

  /** Which meaning commands have; see feature_level.ts. */
  get featureLevel(): number {
    return this.#featureLevel;
  }

  /** The history is there above this revision; at feature level 1 there is none. */
  get compactedRevision(): number {
    return this.#featureLevel < HISTORY_LEVEL ? this.#revision : this.#store.compactedRevision;
  }

  /** Bytes that the history takes; the same on every node. */
  get historyBytes(): number {
    return this.#store.historyBytes;
  }

  /** Returns the revision to compact at so that the history takes about `bytes` at most. */
  revisionToKeep(bytes: number): number {
    return this.#store.revisionToKeep(bytes);
  }

  /** Continues at a higher revision, up to which there is no history: the state is that of a backup, see {@link restore}. */
  advanceRevision(step: number): void {
    this.#revision += step;
    this.#store.beginHistory(this.#revision);
  }

  /** The users, roles and tokens; another object after a restore. */
  get auth(): AuthState {
    return this.#auth;
  }

  /** The databases and their access tokens, from feature level 2 on. */
  get registry(): Registry {
    return this.#store.databases.registry;
  }

  /** The events of the history, at feature level 2; another object after a restore. */
  get events(): EventReader {
    return this.#store.events;
  }

  /** Number of keys. */
  get keyCount(): number {
    return this.#store.size;
  }

  /** Total bytes of all keys and values. */
  get stateBytes(): number {
    return this.#store.bytes;
  }

  /** Returns the change of {@link stateBytes} if these mutations were applied now. */
  growth(mutations: readonly Mutation[]): number {
    return this.#store.growth(mutations);
  }

  /** Returns the change of {@link stateBytes} if a transaction was executed now. Costs as much as executing it. */
  growthOfBranches(branches: Branches): number {
    const plan = this.#store.plan(branches, this.#revision + 1, this.#leases);
    return plan.kind === "failed" ? 0 : this.#store.growth(plan.changes);
  }

  /** Returns the change of {@link stateBytes} if a write of a database was applied now. */
  growthOfDatabase(write: DatabaseWrite): number {
    return this.#store.databases.growth(write);
  }

  /** Returns how many keys the ranges of a transaction have now, at most: a measure of the time to execute it. */
  rangeKeys(branches: Branches): number {
    return this.#store.rangeKeys(branches);
  }

  /** Whether a write with this stamp was applied, so that a retry would be answered without applying it. */
  isAnswered(stamp: SessionStamp): boolean {
    return this.#sessions.isAnswered(stamp);
  }

  /** The store's clock: the sum of all {@link ExpireSessions}. */
  get logTimeMs(): number {
    return this.#sessions.logTimeMs;
  }

  /** Number of sessions. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Number of leases. */
  get leaseCount(): number {
    return this.#leases.size;
  }

  /** Returns the earliest deadline of a lease below a log time, or null. Entries of later deadlines cost nothing. */
  leaseDeadlineBefore(logTimeMs: number): number | null {
    return this.#leases.deadlineBefore(logTimeMs);
  }

  /** The lowest time of the wall clock at which a key expires; null without one. O(log n). */
  get nextExpiresAtMs(): number | null {
    return this.#store.leased.nextExpiresAtMs;
  }

  /**
   * Applies the command of the next entry; null for bytes that are not a command. O(operations × log n).
   *
   * @throws {NewerFeatureLevelError} for a feature level that this version does not know: the node cannot continue
   */
  apply(index: number, command: Command | null): CommandResult {
    this.#advance(index);
    const revisionBefore = this.#revision;
    const isKnown = command !== null && isOfLevel(command, this.#featureLevel) &&
      !(this.#featureLevel >= DATABASE_LEVEL && changesReservedKeys(unwrapped(command)));
    const result = isKnown ? this.#execute(command) : refused("invalidCommand");
    assert(
      this.#revision === revisionBefore || this.#revision === revisionBefore + 1,
      "an entry increments the revision at most once",
    );
    return result;
  }

  /** Applies an entry without a command. */
  applyNoop(index: number): void {
    this.#advance(index);
  }

  /**
   * Returns the current state of a key, or null. The result's `key` is the array passed in; its value may be a view of the
   * state's own bytes, which is valid until the next entry is applied. O(log n).
   */
  get(key: Uint8Array): KeyValue | null {
    return this.#store.getInPlace(key);
  }

  /** Returns one page of a range as of the current revision; its bytes are valid as long. O(log n + page). */
  list(query: ListQuery): ListPage {
    return this.#store.list(query, this.#revision);
  }

  /** Returns a lease, or null. O(log n). */
  lease(leaseId: number): LeaseState | null {
    return leaseState(leaseId, this.#leased);
  }

  /** Returns one page of the keys that are attached to a lease, in order. O(log n + page). */
  leaseKeys(leaseId: number, query: LeaseKeysQuery): LeaseKeysPage {
    return this.#store.leased.page(leaseId, query);
  }

  /** Returns the first key that is attached to a lease and not below `from`, or null; the caller owns it. O(log n). */
  leasedKeyFrom(leaseId: number, from: Uint8Array): Uint8Array | null {
    return this.#store.leased.firstFrom(leaseId, from);
  }

  /** Returns one page of the leases by id, after an id (0: from the first). O(page × log n). */
  leases(query: { readonly after: number; readonly limit: number }): LeasePage {
    return leasePage(query, this.#leased);
  }

  /** Returns whether the state as of a revision can be read: by {@link getAt} and others, by {@link history} before the next. */
  readability(revision: number): Readability {
    if (this.#featureLevel < HISTORY_LEVEL) return "noHistory";
    if (revision > this.#revision) return "futureRevision";
    return revision < this.#store.compactedRevision ? "compacted" : "readable";
  }

  /** Returns the state of a key as of a readable revision, or null. The result's `key` is the array passed in. */
  getAt(key: Uint8Array, revision: number): Past<KeyValue | null> {
    return this.#store.getAt(key, revision);
  }

  /** Returns one page of a range as of a readable revision. */
  listAt(query: ListQuery, revision: number): Past<ListPage> {
    return this.#store.listAt(query, revision);
  }

  /** Returns one page of a range as of a readable revision, or (null) of the present; its bytes are as of {@link list}. */
  scan(query: ScanQuery, revision: number | null): Past<ScanPage> {
    return this.#store.scan(query, { revision, present: this.#revision });
  }

  /** Returns one page of the history of a key. */
  history(query: HistoryQuery): Past<HistoryPage> {
    return this.#store.history(query);
  }

  /** Returns a view of the current state; later changes are copy-on-write. The caller releases it. O(1) in the keys. */
  snapshot(): StateView {
    return viewOf({
      appliedIndex: this.#appliedIndex,
      revision: this.#revision,
      featureLevel: this.#featureLevel,
      auth: this.#auth,
      store: this.#store,
      leases: this.#leases,
      sessions: this.#sessions,
    });
  }

  /** Returns a view of the keys with their history, for simulations and tests. The caller releases it. O(1). */
  viewKeys(): StoreView {
    return this.#store.view();
  }

  /** Throws InvariantError unless the store's whole structure is sound; returns its size. O(keys). */
  checkStructure(): StructureFigures {
    checkLeasedKeys(this.#leased);
    return this.#store.check();
  }

  /** The state that transactions change. */
  get #transacted(): TransactedState {
    return {
      store: this.#store,
      leases: this.#leases,
      featureLevel: this.#featureLevel,
      revision: this.#revision,
    };
  }

  /** The state that lease commands change. */
  get #leased(): LeasedState {
    return {
      leases: this.#leases,
      store: this.#store,
      logTimeMs: this.#sessions.logTimeMs,
      revision: this.#revision,
    };
  }

  #advance(index: number): void {
    assert(index === this.#appliedIndex + 1, "entries are applied in the order of the log, each once");
    this.#appliedIndex = index;
    this.#store.tidy();
  }

  #execute(command: Command): CommandResult {
    const user = admittedUser(command, this);
    return typeof user === "string" ? refused(user) : this.#executeFor(user, unwrapped(command));
  }

  #executeFor(userId: number, command: PlainCommand): CommandResult {
    switch (command.kind) {
      case "transaction":
      case "branchingTransaction":
      case "grantLease":
      case "revokeLease":
      case "changeAuth":
      case "changeDatabases":
        return this.#executeOnce(userId, command);
      case "databaseWrite": {
        const writer = { isUser: userId !== NO_USER, isAuthEnabled: this.#auth.enabled };
        const reason = this.#store.databases.refusalOf(command, writer);
        return reason === null ? this.#executeOnce(userId, command) : refused(reason);
      }
      case "registerSession": {
        const reason = this.#sessions.register(command, this.#appliedIndex, userId);
        return reason === null ? { kind: "sessionRegistered" } : refused(reason);
      }
      case "expireSessions": {
        const expired = this.#sessions.expire(command.elapsedMs);
        if (expired === null) return refused("invalidCommand");
        const { ended, revision } = endDueLeases(this.#leased);
        this.#revision = revision;
        return { kind: "sessionsExpired", expired, endedLeases: ended };
      }
      case "raiseFeatureLevel":
        return this.#raiseFeatureLevel(command.level);
      case "compact":
        return this.#compact(command.revision);
      case "keepLeasesAlive":
      case "deleteExpired": {
        const result = executeLeaseEntry(command, this.#leased);
        if (result.kind === "expiredDeleted") this.#revision = result.revision;
        return result;
      }
      default:
        return assertNever(command);
    }
  }

  #raiseFeatureLevel(level: number): CommandResult {
    if (!Number.isSafeInteger(level) || level < FIRST_FEATURE_LEVEL) return refused("invalidCommand");
    if (level > FEATURE_LEVEL) throw new NewerFeatureLevelError(`entry ${this.#appliedIndex}`, level);
    if (this.#featureLevel < HISTORY_LEVEL && level >= HISTORY_LEVEL) {
      this.#store.beginHistory(this.#revision);
    }
    this.#featureLevel = Math.max(this.#featureLevel, level);
    return { kind: "featureLevelRaised", level: this.#featureLevel };
  }

  #compact(revision: number): CommandResult {
    if (!Number.isSafeInteger(revision) || revision < 0) return refused("invalidCommand");
    if (revision > this.#revision) return refused("futureRevision");
    const before = this.#store.compactedRevision;
    this.#store.compact(revision);
    return { kind: "compacted", revision: this.#store.compactedRevision, before, present: this.#revision };
  }

  #executeOnce(userId: number, write: SessionWrite): CommandResult {
    const stamp = write.session;
    if (stamp === null) return this.#executeNow(userId, write);
    const admission = this.#sessions.admit(stamp, this.#appliedIndex, userId);
    switch (admission.kind) {
      case "refused":
        return admission;
      case "answered":
        return admission.answer;
      case "execute": {
        const result = this.#executeNow(userId, write);
        this.#sessions.remember(admission.session, stamp.sequence, result);
        return result;
      }
      default:
        return assertNever(admission);
    }
  }

  #executeNow(userId: number, write: SessionWrite): WriteResult {
    switch (write.kind) {
      case "transaction":
        return this.#changed(executeTransaction(write, this.#transacted));
      case "branchingTransaction":
        return this.#changed(executeBranches(write, this.#transacted));
      case "databaseWrite":
        return this.#changed(this.#store.databases.write(write, this.#revision));
      case "grantLease":
      case "revokeLease":
        return this.#changed(executeLeaseWrite(write, { ...this.#leased, userId }));
      case "changeAuth":
        return this.#auth.change(write.change);
      case "changeDatabases":
        return this.#changed(this.#store.databases.change(write, this.#revision));
      default:
        return assertNever(write);
    }
  }

  /** Takes the revision of a result, which is that of the store after the command. */
  #changed<R extends { readonly revision: number }>(result: R): R {
    this.#revision = result.revision;
    return result;
  }
}

function refused(reason: RefusalReason): CommandResult {
  return { kind: "refused", reason };
}
