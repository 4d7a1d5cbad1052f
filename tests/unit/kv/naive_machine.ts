/**
 * The state machine written as simply as possible: arrays, sorting and scans. Property tests compare the real one with
 * it.
 */
import {
  type Attachment,
  attachmentOf,
  type Check,
  type Command,
  type CommandResult,
  type KeyValue,
  type KeyVersion,
  LIST_PAGE_BYTES,
  type ListPage,
  type ListQuery,
  MAX_ELAPSED_MS,
  MAX_LIST_ENTRIES,
  MAX_SESSION_WINDOW,
  type Mutation,
  type MutationOutcome,
  type RefusalReason,
  type SessionStamp,
  type Transaction,
} from "../../../lib/kv/command.ts";
import type { BranchingTransaction, OperationOutcome } from "../../../lib/kv/branching_command.ts";
import { assert } from "@std/assert";
import {
  type LeaseCommand,
  type LeaseResult,
  type LeaseState,
  MAX_EXPIRED_KEYS,
} from "../../../lib/kv/leases/lease_command.ts";
import type { LeaseLimits } from "../../../lib/kv/leases/leases.ts";
import type { StateRecord, TransactionResult, WriteResult } from "../../../lib/kv/record.ts";
import { attachFailure, executeNaively, type PlainChange } from "./naive_branches.ts";
import { compareBytes } from "./naive_bytes.ts";
import { type NaiveChange, naiveRecords, type NaiveSession } from "./naive_records.ts";

/** Limits of the sessions, all named. */
export interface NaiveLimits {
  readonly sessionTtlMs: number;
  readonly maxSessions: number;
  readonly maxAnswersBytes: number;
  readonly leaseLimits: LeaseLimits;
}

/** A lease without the number of its keys. */
type NaiveLease = Omit<LeaseState, "keyCount">;
type SessionWrite = Extract<Command, { readonly session: SessionStamp | null }>;

/** All keys of a query's range, in its direction, and a page of them. */
export function naiveList(sorted: readonly KeyValue[], query: ListQuery, revision: number): ListPage {
  const { prefix, start, end, after, reverse } = query;
  const found = (reverse ? sorted.toReversed() : sorted).filter(({ key }) =>
    compareBytes(key.subarray(0, prefix.length), prefix) === 0 &&
    (start === null || compareBytes(key, start) >= 0) &&
    (end === null || compareBytes(key, end) < 0) &&
    (after === null || (reverse ? compareBytes(key, after) < 0 : compareBytes(key, after) > 0))
  );
  let bytes = 0;
  const entries: KeyValue[] = [];
  for (const entry of found) {
    if (entries.length >= Math.min(query.limit, MAX_LIST_ENTRIES) || bytes >= LIST_PAGE_BYTES) break;
    entries.push(entry);
    bytes += entry.key.length + entry.value.length;
  }
  return { entries, more: entries.length < found.length, revision, after: null };
}

/** Same interface as the real state machine. */
export class NaiveMachine {
  readonly #limits: NaiveLimits;
  #keys: KeyValue[] = [];
  #leases: readonly NaiveLease[] = [];
  #sessions: NaiveSession[] = [];
  #index = 0;
  #revision = 0;
  #timeMs = 0;
  #forgottenIndex = 0;
  #featureLevel = 1;
  #compactedRevision = 0;
  /** Every change of every key, from the first. */
  readonly #changes: NaiveChange[] = [];

  constructor(limits: NaiveLimits) {
    this.#limits = limits;
  }

  /** Applies the next entry. */
  apply(command: Command | null): CommandResult {
    this.#index++;
    if (command === null) return { kind: "refused", reason: "invalidCommand" };
    switch (command.kind) {
      case "transaction":
        return this.#featureLevel === 1 && command.mutations.some(({ kind }) => kind === "expiringPut")
          ? { kind: "refused", reason: "invalidCommand" }
          : this.#once(command);
      case "branchingTransaction":
      case "grantLease":
      case "revokeLease":
        return this.#featureLevel === 1 ? { kind: "refused", reason: "invalidCommand" } : this.#once(command);
      case "registerSession": {
        const session = this.#enter({ ...command, sequence: 1, acknowledgedBelow: 1 });
        return typeof session === "string"
          ? { kind: "refused", reason: session }
          : { kind: "sessionRegistered" };
      }
      case "expireSessions":
        return this.#expire(command.elapsedMs);
      case "raiseFeatureLevel":
        if (this.#featureLevel === 1 && command.level > 1) this.#compactedRevision = this.#revision;
        this.#featureLevel = Math.max(this.#featureLevel, command.level);
        return { kind: "featureLevelRaised", level: this.#featureLevel };
      case "compact": {
        const { revision } = command;
        const isValid = Number.isSafeInteger(revision) && revision >= 0;
        if (!isValid || this.#featureLevel === 1) return { kind: "refused", reason: "invalidCommand" };
        if (revision > this.#revision) return { kind: "refused", reason: "futureRevision" };
        const before = this.#compactedRevision;
        this.#compactedRevision = Math.max(before, revision);
        return { kind: "compacted", revision: this.#compactedRevision, before, present: this.#revision };
      }
      case "keepLeasesAlive":
      case "deleteExpired":
        return this.#featureLevel === 1
          ? { kind: "refused", reason: "invalidCommand" }
          : this.#executeLeaseCommand(command);
      case "databaseWrite":
      case "changeDatabases":
      case "changeAuth":
      case "authorized":
        throw new Error("random logs have no users and no databases");
    }
  }

  /** One page. */
  list(query: ListQuery): ListPage {
    return naiveList(this.#keys, query, this.#revision);
  }

  /** All keys as of a revision, in order. */
  keysAt(revision: number): readonly KeyValue[] {
    const newest = new Map<string, NaiveChange>();
    for (const change of this.#changes) {
      if (change.modRevision <= revision) newest.set(String(change.key), change);
    }
    return [...newest.values()]
      .flatMap(({ order: _order, value, ...change }) => value === null ? [] : [{ ...change, value }])
      .sort((a, b) => compareBytes(a.key, b.key));
  }

  /** The versions of a key in the history, the newest first. */
  versions(key: Uint8Array): readonly KeyVersion[] {
    const changes = this.#changes.filter((change) => compareBytes(change.key, key) === 0);
    const base = changes.findLastIndex(({ modRevision }) => modRevision <= this.#compactedRevision);
    const kept = changes.slice(base < 0 || changes[base]?.value === null ? base + 1 : base);
    return kept.toReversed().map(({ key: _key, order: _order, ...version }) => version);
  }

  /** All leases, by id. */
  leases(): readonly LeaseState[] {
    return this.#leases.toSorted((a, b) => a.leaseId - b.leaseId).map((lease) => ({
      ...lease,
      keyCount: this.leaseKeys(lease.leaseId).length,
    }));
  }

  /** The keys of a lease, in order. */
  leaseKeys(leaseId: number): readonly Uint8Array[] {
    return this.#keys.filter((entry) => entry.leaseId === leaseId).map(({ key }) => key);
  }

  /** The whole state. */
  records(): readonly StateRecord[] {
    return naiveRecords({
      numbers: [this.#index, this.#revision, this.#timeMs, this.#forgottenIndex],
      featureLevel: this.#featureLevel,
      compactedRevision: this.#compactedRevision,
      leases: this.leases(),
      keys: this.#keys,
      changes: this.#changes,
      sessions: this.#sessions,
    });
  }

  #once(command: SessionWrite): CommandResult {
    const execute = (): WriteResult => {
      if (command.kind === "transaction") return this.#execute(command);
      if (command.kind === "branchingTransaction") return this.#executeBranches(command);
      assert(command.kind === "grantLease" || command.kind === "revokeLease");
      const result = this.#executeLeaseCommand(command);
      assert(result.kind !== "leasesKeptAlive" && result.kind !== "expiredDeleted");
      return result;
    };
    if (command.session === null) return execute();
    const { sequence, acknowledgedBelow } = command.session;
    const session = this.#enter(command.session);
    if (typeof session === "string") return { kind: "refused", reason: session };
    session.acknowledgedBelow = Math.max(session.acknowledgedBelow, acknowledgedBelow);
    session.answers = session.answers.filter((kept) => kept.sequence >= session.acknowledgedBelow);
    if (sequence < session.acknowledgedBelow) return { kind: "refused", reason: "answerForgotten" };
    const known = session.answers.find((kept) => kept.sequence === sequence);
    if (known !== undefined) return known.answer;
    const answer = execute();
    session.answers.push({ sequence, answer: remembered(answer) });
    this.#forgetOverflow();
    return answer;
  }

  #enter(stamp: SessionStamp): NaiveSession | RefusalReason {
    const { sessionId, openedAt, sequence, acknowledgedBelow } = stamp;
    const numbersAreSafe = [sessionId, openedAt, sequence, acknowledgedBelow].every(Number.isSafeInteger);
    if (!numbersAreSafe || sessionId < 1 || openedAt < 0 || acknowledgedBelow < 1) return "invalidCommand";
    if (sequence < acknowledgedBelow || sequence >= acknowledgedBelow + MAX_SESSION_WINDOW) {
      return "invalidCommand";
    }
    let session = this.#sessions.find((s) => s.sessionId === sessionId);
    if (session !== undefined && session.openedAt !== openedAt) return "sessionExpired";
    if (session === undefined) {
      if (openedAt < this.#forgottenIndex || openedAt >= this.#index) return "sessionExpired";
      session = {
        sessionId,
        openedAt,
        openedIndex: this.#index,
        lastActiveIndex: this.#index,
        lastActiveMs: this.#timeMs,
        acknowledgedBelow: 1,
        answers: [],
      };
      this.#sessions.push(session);
    }
    session.lastActiveIndex = this.#index;
    session.lastActiveMs = this.#timeMs;
    this.#forgetOverflow();
    return session;
  }

  #expire(elapsedMs: number): CommandResult {
    if (!Number.isSafeInteger(elapsedMs) || elapsedMs < 0 || elapsedMs > MAX_ELAPSED_MS) {
      return { kind: "refused", reason: "invalidCommand" };
    }
    this.#timeMs += elapsedMs;
    const idle = this.#sessions.filter((s) => this.#timeMs - s.lastActiveMs >= this.#limits.sessionTtlMs);
    for (const session of idle) this.#forget(session);
    return { kind: "sessionsExpired", expired: idle.length, endedLeases: this.#endDueLeases() };
  }

  #executeLeaseCommand(command: LeaseCommand): LeaseResult {
    const revision = this.#revision;
    switch (command.kind) {
      case "grantLease": {
        const { leaseId, ttlMs } = command;
        if (this.#hasLease(leaseId)) return { kind: "leaseFailed", revision, reason: "leaseExists" };
        if (this.#leases.length === this.#limits.leaseLimits.maxLeases) {
          return { kind: "leaseFailed", revision, reason: "tooManyLeases" };
        }
        this.#leases = [...this.#leases, { leaseId, ttlMs, deadlineMs: this.#timeMs + ttlMs, ownerId: 0 }];
        return { kind: "leaseGranted", revision, ttlMs };
      }
      case "revokeLease": {
        if (!this.#hasLease(command.leaseId)) {
          return { kind: "leaseFailed", revision, reason: "leaseNotFound" };
        }
        const deleted = this.#endLeases([command.leaseId]);
        return { kind: "leaseRevoked", revision: this.#revision, deleted };
      }
      case "keepLeasesAlive": {
        const isKept = ({ leaseId }: NaiveLease): boolean => command.leaseIds.includes(leaseId);
        this.#leases = this.#leases.map((lease) =>
          isKept(lease) ? { ...lease, deadlineMs: this.#timeMs + lease.ttlMs } : lease
        );
        const ttlsMs = command.leaseIds.map((id) =>
          this.#leases.find(({ leaseId }) => leaseId === id)?.ttlMs ?? 0
        );
        return { kind: "leasesKeptAlive", ttlsMs };
      }
      case "deleteExpired": {
        const due = this.#keys.filter(({ expiresAtMs = Infinity }) => expiresAtMs <= command.untilMs)
          .toSorted((a, b) => (a.expiresAtMs ?? 0) - (b.expiresAtMs ?? 0))
          .slice(0, MAX_EXPIRED_KEYS);
        this.#deleteAll(due);
        return { kind: "expiredDeleted", revision: this.#revision, deleted: due.length };
      }
    }
  }

  #hasLease(id: number): boolean {
    return this.#leases.some(({ leaseId }) => leaseId === id);
  }

  #endDueLeases(): number {
    const due = this.#leases
      .filter(({ deadlineMs }) => deadlineMs < this.#timeMs)
      .toSorted((a, b) => a.deadlineMs - b.deadlineMs || a.leaseId - b.leaseId)
      .map(({ leaseId }) => leaseId);
    const costOfFirst = (count: number): number =>
      due.slice(0, count).reduce((sum, leaseId) => sum + 1 + this.leaseKeys(leaseId).length, 0);
    let count = Math.min(1, due.length);
    while (count < due.length && costOfFirst(count + 1) <= this.#limits.leaseLimits.maxEndedKeys) count++;
    this.#endLeases(due.slice(0, count));
    return count;
  }

  /** Returns how many keys were deleted. */
  #endLeases(leaseIds: readonly number[]): number {
    const keys = leaseIds.flatMap((id) => this.#keys.filter(({ leaseId }) => leaseId === id));
    this.#leases = this.#leases.filter(({ leaseId }) => !leaseIds.includes(leaseId));
    this.#deleteAll(keys);
    return keys.length;
  }

  #deleteAll(keys: readonly KeyValue[]): void {
    if (keys.length > 0) this.#revision++;
    for (const { key } of keys) this.#change({ key, value: null, attachment: {} }, this.#revision);
  }

  #forgetOverflow(): void {
    const bytes = ({ answers }: NaiveSession): number =>
      answers.reduce((sum, { answer }) => sum + answerBytes(answer), 0);
    const total = (): number => this.#sessions.reduce((sum, session) => sum + bytes(session), 0);
    while (this.#sessions.length > this.#limits.maxSessions) {
      this.#forget(this.#sessions.reduce((a, b) => a.lastActiveIndex < b.lastActiveIndex ? a : b));
    }
    while (total() > this.#limits.maxAnswersBytes) {
      const most = Math.max(...this.#sessions.map(bytes));
      const largest = this.#sessions.filter((session) => bytes(session) === most);
      this.#forget(largest.reduce((a, b) => a.sessionId < b.sessionId ? a : b));
    }
  }

  #forget(session: NaiveSession): void {
    this.#sessions = this.#sessions.filter((other) => other !== session);
    this.#forgottenIndex = Math.max(this.#forgottenIndex, session.openedIndex);
  }

  #find(key: Uint8Array): KeyValue | null {
    return this.#keys.find((entry) => compareBytes(entry.key, key) === 0) ?? null;
  }

  #holds(check: Check): boolean {
    const entry = this.#find(check.key);
    switch (check.kind) {
      case "modRevision":
        return check.modRevision === (entry === null ? 0 : entry.modRevision);
      case "exists":
        return check.exists === (entry !== null);
      case "value":
        return entry !== null && compareBytes(entry.value, check.value) === 0;
    }
  }

  #execute({ checks, mutations, returnCurrent }: Transaction): TransactionResult {
    const failedChecks = checks.flatMap((check, i) => this.#holds(check) ? [] : [i]);
    const failed = checks[failedChecks[0] ?? checks.length];
    if (failed !== undefined) {
      return {
        kind: "checksFailed",
        revision: this.#revision,
        failedChecks,
        current: returnCurrent === true ? this.#find(failed.key) : "omitted",
      };
    }
    const failure = this.#attachFailure(mutations);
    if (failure !== null) return failure;
    const isNoop = mutations.every(({ kind, key }) => kind === "delete" && this.#find(key) === null);
    if (this.#featureLevel === 1 || !isNoop) this.#revision++;
    const revision = this.#revision;
    const outcomes = mutations.map((mutation): MutationOutcome => {
      const existed = this.#find(mutation.key) !== null;
      const { key } = mutation;
      const value = mutation.kind === "delete" ? null : mutation.value;
      const after = this.#change({ key, value, attachment: attachmentBy(mutation) }, revision);
      if (after === null) return { kind: "delete", deleted: existed };
      return { kind: "put", createRevision: after.createRevision, version: after.version };
    });
    return { kind: "applied", revision, outcomes };
  }

  /** Attaches one mutation after the other, for there may be no room for the next one. */
  #attachFailure(mutations: readonly Mutation[]): TransactionResult | null {
    let keys: readonly KeyValue[] = this.#keys;
    for (const [position, mutation] of mutations.entries()) {
      const { key } = mutation;
      const attachment = attachmentBy(mutation);
      const reason = attachFailure(key, attachment.leaseId, { ...this.#leaseBounds(), keys });
      if (reason !== null) {
        return { kind: "transactionFailed", revision: this.#revision, reason, position: [position] };
      }
      const others = keys.filter((entry) => compareBytes(entry.key, key) !== 0);
      const after = { key, value: key, createRevision: 1, modRevision: 1, version: 1, ...attachment };
      keys = mutation.kind === "delete" ? others : [...others, after];
    }
    return null;
  }

  #leaseBounds(): { readonly leaseIds: readonly number[]; readonly maxLeaseKeys: number } {
    const leaseIds = this.#leases.map(({ leaseId }) => leaseId);
    return { leaseIds, maxLeaseKeys: this.#limits.leaseLimits.maxLeaseKeys };
  }

  #executeBranches(command: BranchingTransaction): TransactionResult {
    const execution = executeNaively(command, {
      keys: this.#keys,
      revision: this.#revision,
      compactedRevision: this.#compactedRevision,
      at: (revision) => this.#keysAt(revision),
      ...this.#leaseBounds(),
    });
    if ("reason" in execution) {
      return { kind: "transactionFailed", revision: this.#revision, ...execution };
    }
    const { succeeded, outcomes, changes } = execution;
    if (changes.length > 0) this.#revision++;
    for (const change of changes) this.#change(change, this.#revision);
    return { kind: "executed", revision: this.#revision, succeeded, outcomes };
  }

  #keysAt(revision: number): readonly KeyValue[] {
    const changes = this.#changes.filter(({ modRevision }) => modRevision <= revision);
    return changes.flatMap(({ order: _order, value, ...change }, position) => {
      const isLast = !changes.slice(position + 1).some(({ key }) => compareBytes(key, change.key) === 0);
      return isLast && value !== null ? [{ ...change, value }] : [];
    });
  }

  /** Puts a value or deletes a key (null), and returns its new state. */
  #change({ key, value, attachment }: PlainChange, revision: number): KeyValue | null {
    const before = this.#find(key);
    this.#keys = this.#keys.filter((entry) => entry !== before);
    const order = this.#changes.filter(({ modRevision }) => modRevision === revision).length;
    if (value === null) {
      const none = { value: null, createRevision: 0, version: 0 };
      if (before !== null) this.#changes.push({ ...none, key, modRevision: revision, order });
      return null;
    }
    const createRevision = before === null ? revision : before.createRevision;
    const version = before === null ? 1 : before.version + 1;
    const after = { key, value, createRevision, modRevision: revision, version, ...attachment };
    this.#keys.push(after);
    this.#changes.push({ ...after, order });
    this.#keys.sort((a, b) => compareBytes(a.key, b.key));
    return after;
  }
}

/** To what a mutation attaches its key. */
function attachmentBy(mutation: Mutation): Attachment {
  if (mutation.kind !== "expiringPut") return {};
  return attachmentOf(mutation.leaseId ?? 0, mutation.expiresAtMs ?? 0);
}

/** The outcomes and entries of all levels. */
function partsOf(outcomes: readonly OperationOutcome[]): { outcomes: number; entries: readonly KeyValue[] } {
  const nested = outcomes.map((outcome) => outcome.kind === "transaction" ? partsOf(outcome.outcomes) : null);
  const own = outcomes.flatMap((outcome): readonly KeyValue[] => {
    if (outcome.kind === "get") return outcome.entries;
    if (outcome.kind === "delete") return outcome.previous;
    const { previous } = outcome.kind === "put" ? outcome : { previous: null };
    return previous === null || previous === "omitted" ? [] : [previous];
  });
  return {
    outcomes: outcomes.length + nested.reduce((sum, parts) => sum + (parts?.outcomes ?? 0), 0),
    entries: [...own, ...nested.flatMap((parts) => parts?.entries ?? [])],
  };
}

function entryBytes(outcomes: readonly OperationOutcome[]): number {
  return partsOf(outcomes).entries.reduce((sum, { key, value }) => sum + 32 + key.length + value.length, 0);
}

/** An answer as a session keeps it. */
function remembered(answer: WriteResult): WriteResult {
  if (answer.kind === "checksFailed") return { ...answer, current: "omitted" };
  if (answer.kind !== "executed" || answer.outcomes === "omitted") return answer;
  return entryBytes(answer.outcomes) > 4_096 ? { ...answer, outcomes: "omitted" } : answer;
}

function answerBytes(answer: WriteResult): number {
  switch (answer.kind) {
    case "applied":
      return 64 + 32 * answer.outcomes.length;
    case "checksFailed":
    case "databaseChecksFailed":
      return 64 + 32 * answer.failedChecks.length;
    case "executed":
      return answer.outcomes === "omitted"
        ? 64
        : 64 + 32 * partsOf(answer.outcomes).outcomes + entryBytes(answer.outcomes);
    case "transactionFailed":
      return 64 + 32 * answer.position.length;
    case "databaseWritten":
      return 96;
    default:
      return 64;
  }
}
