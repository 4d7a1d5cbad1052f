/**
 * The state machine written as simply as possible: arrays, sorting and scans. Property tests compare the real one with
 * it.
 */
import type {
  Check,
  Command,
  CommandResult,
  KeyValue,
  KeyVersion,
  ListPage,
  ListQuery,
  MutationOutcome,
  RefusalReason,
  SessionStamp,
  Transaction,
} from "../../../lib/kv/command.ts";
import {
  LIST_PAGE_BYTES,
  MAX_ELAPSED_MS,
  MAX_LIST_ENTRIES,
  MAX_SESSION_WINDOW,
} from "../../../lib/kv/command.ts";
import type { BranchingTransaction, OperationOutcome } from "../../../lib/kv/branching_command.ts";
import type { StateRecord, TransactionResult } from "../../../lib/kv/record.ts";
import { executeNaively } from "./naive_branches.ts";
import { compareBytes } from "./naive_bytes.ts";

interface NaiveSession {
  readonly sessionId: number;
  readonly openedAt: number;
  readonly openedIndex: number;
  lastActiveIndex: number;
  lastActiveMs: number;
  acknowledgedBelow: number;
  answers: { readonly sequence: number; readonly answer: TransactionResult }[];
}

/** A put or an effective delete. */
interface NaiveChange {
  readonly key: Uint8Array;
  /** Null for a deletion. */
  readonly value: Uint8Array | null;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Changes of its revision before it. */
  readonly order: number;
}

/** Limits of the sessions, all named. */
export interface NaiveLimits {
  readonly sessionTtlMs: number;
  readonly maxSessions: number;
  readonly maxAnswersBytes: number;
}

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
        return this.#once(command);
      case "branchingTransaction":
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
        this.#compactedRevision = Math.max(this.#compactedRevision, revision);
        return { kind: "compacted", revision: this.#compactedRevision };
      }
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
      .flatMap(({ key, value, createRevision, modRevision, version }) =>
        value === null ? [] : [{ key, value, createRevision, modRevision, version }]
      )
      .sort((a, b) => compareBytes(a.key, b.key));
  }

  /** The versions of a key in the history, the newest first. */
  versions(key: Uint8Array): readonly KeyVersion[] {
    const changes = this.#changes.filter((change) => compareBytes(change.key, key) === 0);
    const base = changes.findLastIndex(({ modRevision }) => modRevision <= this.#compactedRevision);
    const kept = changes.slice(base < 0 || changes[base]?.value === null ? base + 1 : base);
    return kept.toReversed().map(({ createRevision, modRevision, version, value }) => ({
      createRevision,
      modRevision,
      version,
      value,
    }));
  }

  /** The whole state. */
  records(): readonly StateRecord[] {
    return [
      this.#header(),
      ...this.#keys.map((entry) => this.#keyRecord(entry)),
      ...this.#history(),
      ...this.#sessions.toSorted((a, b) => a.sessionId - b.sessionId).flatMap((s): readonly StateRecord[] => [
        [
          "session",
          s.sessionId,
          s.openedAt,
          s.openedIndex,
          s.lastActiveIndex,
          s.lastActiveMs,
          s.acknowledgedBelow,
        ],
        ...s.answers.toSorted((a, b) => a.sequence - b.sequence).map((a): StateRecord => [
          "answer",
          s.sessionId,
          a.sequence,
          a.answer,
        ]),
      ]),
    ];
  }

  #header(): StateRecord {
    const header = ["header", this.#index, this.#revision, this.#timeMs, this.#forgottenIndex] as const;
    return this.#featureLevel === 1 ? header : [...header, this.#featureLevel, this.#compactedRevision];
  }

  /** The position of a change in its revision, where the history has it. */
  #order(change: NaiveChange): number {
    return this.#featureLevel > 1 && change.modRevision > this.#compactedRevision ? change.order : 0;
  }

  #keyRecord({ key, value, createRevision, modRevision, version }: KeyValue): StateRecord {
    const change = this.#changes.findLast((other) => compareBytes(other.key, key) === 0);
    const order = change === undefined ? 0 : this.#order(change);
    const record = ["key", key, value, createRevision, modRevision, version] as const;
    return order === 0 ? record : [...record, order];
  }

  /** The last deletions of absent keys, then what was superseded in the order of what superseded it. */
  #history(): readonly StateRecord[] {
    if (this.#featureLevel === 1) return [];
    const isKept = ({ modRevision }: NaiveChange): boolean => modRevision > this.#compactedRevision;
    const nextOf = (change: NaiveChange, position: number): NaiveChange | undefined =>
      this.#changes.slice(position + 1).find(({ key }) => compareBytes(key, change.key) === 0);
    const tombstones = this.#changes
      .filter((change, position) =>
        change.value === null && isKept(change) && nextOf(change, position) === undefined
      )
      .toSorted((a, b) => compareBytes(a.key, b.key))
      .map((change): StateRecord => ["tombstone", change.key, change.modRevision, change.order]);
    const superseded = this.#changes.flatMap((change, position) => {
      const next = nextOf(change, position);
      const isThere = next !== undefined && isKept(next) && (change.value !== null || isKept(change));
      return isThere ? [{ change, next }] : [];
    }).toSorted((a, b) => this.#changes.indexOf(a.next) - this.#changes.indexOf(b.next));
    return [
      ...tombstones,
      ...superseded.map(({ change, next }): StateRecord => [
        "version",
        change.key,
        change.value,
        change.createRevision,
        change.modRevision,
        change.version,
        this.#order(change),
        next.modRevision,
        next.order,
      ]),
    ];
  }

  #once(command: Transaction | BranchingTransaction): CommandResult {
    const execute = (): TransactionResult =>
      command.kind === "transaction" ? this.#execute(command) : this.#executeBranches(command);
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
    return { kind: "sessionsExpired", expired: idle.length };
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
    const isNoop = mutations.every(({ kind, key }) => kind === "delete" && this.#find(key) === null);
    if (this.#featureLevel === 1 || !isNoop) this.#revision++;
    const revision = this.#revision;
    const outcomes = mutations.map((mutation): MutationOutcome => {
      const existed = this.#find(mutation.key) !== null;
      const after = this.#change(mutation.key, mutation.kind === "put" ? mutation.value : null, revision);
      if (after === null) return { kind: "delete", deleted: existed };
      return { kind: "put", createRevision: after.createRevision, version: after.version };
    });
    return { kind: "applied", revision, outcomes };
  }

  #executeBranches(command: BranchingTransaction): TransactionResult {
    const execution = executeNaively(command, {
      keys: this.#keys,
      revision: this.#revision,
      compactedRevision: this.#compactedRevision,
      at: (revision) => this.#keysAt(revision),
    });
    if ("reason" in execution) {
      return { kind: "transactionFailed", revision: this.#revision, ...execution };
    }
    const { succeeded, outcomes, changes } = execution;
    if (changes.length > 0) this.#revision++;
    for (const { key, value } of changes) this.#change(key, value, this.#revision);
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
  #change(key: Uint8Array, value: Uint8Array | null, revision: number): KeyValue | null {
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
    const after = { key, value, createRevision, modRevision: revision, version };
    this.#keys.push(after);
    this.#changes.push({ ...after, order });
    this.#keys.sort((a, b) => compareBytes(a.key, b.key));
    return after;
  }
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
function remembered(answer: TransactionResult): TransactionResult {
  if (answer.kind === "checksFailed") return { ...answer, current: "omitted" };
  if (answer.kind !== "executed" || answer.outcomes === "omitted") return answer;
  return entryBytes(answer.outcomes) > 4_096 ? { ...answer, outcomes: "omitted" } : answer;
}

function answerBytes(answer: TransactionResult): number {
  switch (answer.kind) {
    case "applied":
      return 64 + 32 * answer.outcomes.length;
    case "checksFailed":
      return 64 + 32 * answer.failedChecks.length;
    case "executed":
      return answer.outcomes === "omitted"
        ? 64
        : 64 + 32 * partsOf(answer.outcomes).outcomes + entryBytes(answer.outcomes);
    case "transactionFailed":
      return 64 + 32 * answer.position.length;
  }
}
