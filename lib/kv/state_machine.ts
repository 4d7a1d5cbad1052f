/**
 * The state machine: committed commands in, answers out, the same on every node.
 *
 * Nothing but the log enters: no clock, no chance, no configuration, no order of a hash map. Applying never throws
 * because of what a command says: what can't be done is refused, on every node alike.
 */
import type {
  Command,
  CommandResult,
  KeyValue,
  ListPage,
  ListQuery,
  Mutation,
  RefusalReason,
  SessionStamp,
  Transaction,
} from "./command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import { keyBlocks } from "./keys.ts";
import type { AnswerRecord, HeaderRecord, SessionRecord, StateRecord, TransactionResult } from "./record.ts";
import { SESSION_LIMITS, SessionTable } from "./session_table.ts";
import { Store } from "./store.ts";

/** What tests may make small. Every node of a cluster must have the same; production takes the defaults. */
export interface StateMachineOptions {
  /** Log time after which an idle session is forgotten, in milliseconds. Default one hour. */
  readonly sessionTtlMs?: number;
  /** Sessions known at a time. Default 10,000. */
  readonly maxSessions?: number;
  /** What the remembered answers of all sessions may count for. Default 64 MiB. */
  readonly maxAnswersBytes?: number;
}

/** The whole state as of one applied index; what is applied later does not show in it. */
export interface StateView {
  /** Index of the last entry in it. */
  readonly appliedIndex: number;
  /** The store's revision. */
  readonly revision: number;
  /** The state in canonical order: same log, same records. May be iterated more than once, and in slices. */
  records(): Iterable<StateRecord>;
}

/** A state that is being brought back, record by record in the order of a view. */
export interface Restoring {
  /** Takes in the next record. */
  add(record: StateRecord): void;
  /** The state, once every record was added. */
  finish(): StateMachine;
}

/**
 * The keys and sessions that the log up to `appliedIndex` gives.
 *
 * Invariants: entries are applied one by one in the order of the log; `revision` grows by one with each transaction
 * whose checks hold, by nothing else, and so never exceeds `appliedIndex`.
 *
 * The bytes of an applied command must never change afterwards (those of a log entry don't): the store keeps them.
 * What comes back is for reading: the store's own bytes are in it.
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
  readonly #store = new Store();
  readonly #sessions: SessionTable;
  #appliedIndex = 0;
  #revision = 0;

  /** An empty state, before the first entry. */
  constructor(options: StateMachineOptions = {}) {
    this.#sessions = new SessionTable({
      ttlMs: options.sessionTtlMs ?? SESSION_LIMITS.ttlMs,
      maxSessions: options.maxSessions ?? SESSION_LIMITS.maxSessions,
      maxAnswersBytes: options.maxAnswersBytes ?? SESSION_LIMITS.maxAnswersBytes,
    });
  }

  /** The state that a view's records tell of; see {@link StateMachine.restoring}. */
  static restore(records: Iterable<StateRecord>, options: StateMachineOptions = {}): StateMachine {
    const restoring = StateMachine.restoring(options);
    for (const record of records) restoring.add(record);
    return restoring.finish();
  }

  /**
   * Brings a state back record by record, so that whoever reads them from a disk or a wire may pause in between. They
   * are taken as they are: whoever read them has checked them. Long values and answers are kept, not copied.
   */
  static restoring(options: StateMachineOptions = {}): Restoring {
    const machine = new StateMachine(options);
    const sessionRecords: (HeaderRecord | SessionRecord | AnswerRecord)[] = [];
    return {
      add(record): void {
        switch (record[0]) {
          case "header":
            [, machine.#appliedIndex, machine.#revision] = record;
            sessionRecords.push(record);
            break;
          case "key": {
            const [, key, value, createRevision, modRevision, version] = record;
            machine.#store.place(key, value, { createRevision, modRevision, version });
            break;
          }
          case "session":
          case "answer":
            sessionRecords.push(record);
            break;
          default:
            assertNever(record);
        }
      },
      finish(): StateMachine {
        machine.#sessions.restore(sessionRecords);
        return machine;
      },
    };
  }

  /** Index of the last applied entry; 0 before the first. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Number of transactions applied so far. */
  get revision(): number {
    return this.#revision;
  }

  /** Number of keys. */
  get keyCount(): number {
    return this.#store.size;
  }

  /** Bytes of all keys and values together. */
  get stateBytes(): number {
    return this.#store.bytes;
  }

  /** By how many bytes {@link stateBytes} would change if these mutations were made now. */
  growth(mutations: readonly Mutation[]): number {
    return this.#store.growth(mutations);
  }

  /** Whether a write with this stamp was applied and would be answered again, not applied. */
  isAnswered(stamp: SessionStamp): boolean {
    return this.#sessions.isAnswered(stamp);
  }

  /** Sum of all time that the log says has passed, by which sessions grow old. */
  get logTimeMs(): number {
    return this.#sessions.logTimeMs;
  }

  /** Number of sessions. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Applies the command of the next entry; null stands for bytes that are no command. O(operations × log n). */
  apply(index: number, command: Command | null): CommandResult {
    this.#advance(index);
    const revisionBefore = this.#revision;
    const result = command === null ? refused("invalidCommand") : this.#execute(command);
    assert(
      this.#revision === revisionBefore || this.#revision === revisionBefore + 1,
      "an entry advances the revision by one at most",
    );
    return result;
  }

  /** Applies an entry that changes nothing. */
  applyNoop(index: number): void {
    this.#advance(index);
  }

  /** The key as it stands, or null. The answer's `key` is the very array that was asked with. O(log n). */
  get(key: Uint8Array): KeyValue | null {
    return this.#store.get(key);
  }

  /** One page of a range, as it stands at the current revision. O(log n + page). */
  list(query: ListQuery): ListPage {
    return this.#store.list(query, this.#revision);
  }

  /** The state as it stands, at the price of nothing: what changes later is copied first. O(1). */
  snapshot(): StateView {
    const appliedIndex = this.#appliedIndex;
    const revision = this.#revision;
    const { logTimeMs, forgottenIndex } = this.#sessions;
    const keys = this.#store.view();
    const sessions = this.#sessions.view();
    function* records(): Iterable<StateRecord> {
      yield ["header", appliedIndex, revision, logTimeMs, forgottenIndex];
      const toBytes = keyBlocks();
      for (const [text, { value, createRevision, modRevision, version }] of keys) {
        yield ["key", toBytes(text), value, createRevision, modRevision, version];
      }
      for (const session of sessions) yield* session.records();
    }
    return { appliedIndex, revision, records };
  }

  #advance(index: number): void {
    assert(index === this.#appliedIndex + 1, "entries are applied in the order of the log, each once");
    this.#appliedIndex = index;
  }

  #execute(command: Command): CommandResult {
    switch (command.kind) {
      case "transaction":
        return this.#executeOnce(command);
      case "registerSession": {
        const reason = this.#sessions.register(command, this.#appliedIndex);
        return reason === null ? { kind: "sessionRegistered" } : refused(reason);
      }
      case "expireSessions": {
        const expired = this.#sessions.expire(command.elapsedMs);
        return expired === null ? refused("invalidCommand") : { kind: "sessionsExpired", expired };
      }
      default:
        return assertNever(command);
    }
  }

  #executeOnce(transaction: Transaction): CommandResult {
    const stamp = transaction.session;
    if (stamp === null) return this.#executeTransaction(transaction);
    const admission = this.#sessions.admit(stamp, this.#appliedIndex);
    switch (admission.kind) {
      case "refused":
        return admission;
      case "answered":
        return admission.answer;
      case "execute": {
        const result = this.#executeTransaction(transaction);
        this.#sessions.remember(admission.session, stamp.sequence, result);
        return result;
      }
      default:
        return assertNever(admission);
    }
  }

  #executeTransaction({ checks, mutations, returnCurrent }: Transaction): TransactionResult {
    const failed = checks.flatMap((check, position) => this.#store.holds(check) ? [] : [{ check, position }]);
    const [first] = failed;
    if (first !== undefined) {
      const current = returnCurrent === true ? this.#store.get(first.check.key) : "omitted";
      const failedChecks = failed.map(({ position }) => position);
      return { kind: "checksFailed", revision: this.#revision, failedChecks, current };
    }
    this.#revision++;
    const outcomes = mutations.map((mutation) => {
      switch (mutation.kind) {
        case "put":
          return this.#store.put(mutation.key, mutation.value, this.#revision);
        case "delete":
          return this.#store.delete(mutation.key);
        default:
          return assertNever(mutation);
      }
    });
    return { kind: "applied", revision: this.#revision, outcomes };
  }
}

function refused(reason: RefusalReason): CommandResult {
  return { kind: "refused", reason };
}
