/** The whole state as records: those of a view, and a state that is restored from them. */
import { assert, assertNever } from "../platform/assert.ts";
import { authRecords, AuthRestorer } from "./auth/auth_records.ts";
import type { AuthState, AuthView } from "./auth/auth_state.ts";
import { FIRST_FEATURE_LEVEL, HISTORY_LEVEL } from "./feature_level.ts";
import type { LeaseLimits, Leases } from "./leases/leases.ts";
import { type LeaseTimes, NO_OWNER } from "./leases/lease_table.ts";
import { expectLoaded, StoreLoader } from "./pages/store_loader.ts";
import type { StoreView } from "./pages/paged_store.ts";
import type { StateMachine } from "./state_machine.ts";
import type { AnswerRecord, HeaderRecord, SessionRecord, StateRecord } from "./record.ts";
import type { Session } from "./sessions/session.ts";
import type { SessionTable } from "./sessions/session_table.ts";
import { Store } from "./store.ts";

/** Limits that tests may lower. All nodes of a cluster must have the same; servers use the defaults. */
export interface StateMachineOptions {
  /** Log time after which an idle session is forgotten, in milliseconds. Default one hour. */
  readonly sessionTtlMs?: number;
  /** Maximum number of sessions. Default 10,000. */
  readonly maxSessions?: number;
  /** Bytes that the remembered answers of all sessions may count for. Default 64 MiB. */
  readonly maxAnswersBytes?: number;
  /** Limits of leases. Default {@link LEASE_LIMITS}. */
  readonly leaseLimits?: LeaseLimits;
}

/** An immutable view of the whole state as of one applied index. What it shares with the state is kept until its release. */
export interface StateView extends Disposable {
  /** Index of the last applied entry. */
  readonly appliedIndex: number;
  /** The store's revision. */
  readonly revision: number;
  /** The feature level. */
  readonly featureLevel: number;
  /**
   * Returns the state in canonical order: equal logs give equal records. May be iterated repeatedly and in slices. The bytes
   * in records are the store's own: they are good until the release, and must not be changed.
   */
  records(): Iterable<StateRecord>;
  /** Returns the same, with a null where some work was done without a record, so that the caller can pause. */
  steps(): Iterable<StateRecord | null>;
  /** Ends the view, whose records must not be read any more. */
  release(): void;
}

/** The parts of a state that do not change any more. */
interface ViewedState {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly featureLevel: number;
  readonly logTimeMs: number;
  readonly forgottenIndex: number;
  readonly auth: AuthView;
  readonly keys: StoreView;
  /** By id, here and below. */
  readonly leases: Iterable<LeaseTimes>;
  readonly sessions: readonly Session[];
}

/** The collections of a state that is viewed, and its numbers. */
interface LiveState {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly featureLevel: number;
  readonly auth: AuthState;
  readonly store: Store;
  readonly leases: Leases;
  readonly sessions: SessionTable;
}

/** Returns a view of a state as of now. */
export function viewOf({ auth, store, leases, sessions, ...numbers }: LiveState): StateView {
  const { appliedIndex, revision, featureLevel } = numbers;
  const keys = store.view();
  const state: ViewedState = {
    ...numbers,
    logTimeMs: sessions.logTimeMs,
    forgottenIndex: sessions.forgottenIndex,
    auth: auth.view(),
    keys,
    leases: leases.view(),
    sessions: sessions.view(),
  };
  const release = (): void => keys.release();
  const steps = (): Iterable<StateRecord | null> => stepsOf(state);
  const records = (): Iterable<StateRecord> => recordsOf(steps());
  return { appliedIndex, revision, featureLevel, records, steps, release, [Symbol.dispose]: release };
}

function* recordsOf(steps: Iterable<StateRecord | null>): Iterable<StateRecord> {
  for (const record of steps) if (record !== null) yield record;
}

/** Yields the records of a state in canonical order, and null where the caller can pause. */
function* stepsOf(state: ViewedState): Iterable<StateRecord | null> {
  const { featureLevel, keys } = state;
  const header = [
    "header",
    state.appliedIndex,
    state.revision,
    state.logTimeMs,
    state.forgottenIndex,
  ] as const;
  yield featureLevel === FIRST_FEATURE_LEVEL ? header : [...header, featureLevel, keys.compactedRevision];
  yield* authRecords(state.auth);
  for (const { leaseId, ttlMs, deadlineMs, ownerId } of state.leases) {
    const record = ["lease", leaseId, ttlMs, deadlineMs] as const;
    yield ownerId === NO_OWNER ? record : [...record, ownerId];
  }
  const cursor = keys.scan({ lower: null, upper: null, reverse: false });
  for (let address = cursor.next(); address !== 0; address = cursor.next()) {
    const entry = keys.keyValue(address);
    const { key, value, createRevision, modRevision, version, leaseId = 0, expiresAtMs = 0 } = entry;
    const order = keys.order(address);
    const record = ["key", key, value, createRevision, modRevision, version] as const;
    if (leaseId + expiresAtMs === 0) yield order === 0 ? record : [...record, order];
    else yield expiresAtMs === 0 ? [...record, order, leaseId] : [...record, order, leaseId, expiresAtMs];
  }
  if (featureLevel >= HISTORY_LEVEL) yield* historyRecords(keys);
  for (const session of state.sessions) yield* session.records();
}

/** Yields the history of a view: deleted keys, then superseded versions, and null where the caller can pause. */
function* historyRecords(keys: StoreView): Iterable<StateRecord | null> {
  const { records } = keys;
  for (const address of keys.tombstones()) {
    yield ["tombstone", records.key(address), records.modRevision(address), keys.order(address)];
  }
  for (const superseded of keys.superseded()) {
    if (superseded === null) {
      yield null;
      continue;
    }
    const { address, successor } = superseded;
    const [leaseId, expiresAtMs] = [records.leaseId(address), records.expiresAtMs(address)];
    const record = [
      "version",
      records.key(address),
      records.isPut(address) ? records.value(address) : null,
      records.createRevision(address),
      records.modRevision(address),
      records.version(address),
      keys.order(address),
      records.modRevision(successor),
      keys.order(successor),
    ] as const;
    if (leaseId + expiresAtMs === 0) yield record;
    else yield expiresAtMs === 0 ? [...record, leaseId] : [...record, leaseId, expiresAtMs];
  }
}

/** Runs steps to their end without a pause, and returns their result. */
export function resultOf<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** A state machine that is being restored, record by record in the order of a view. */
export interface Restoring {
  /** Adds the next record. */
  add(record: StateRecord): void;
  /** Returns the state machine once every record was added, and yields again and again, so that the caller can pause. */
  finishing(): Generator<void, StateMachine>;
}

/** The parts of a restored state; its sessions, leases and users are restored in place. */
export interface RestoredState {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly featureLevel: number;
  readonly store: Store;
}

/** The collections into which a state is restored. */
interface EmptyCollections {
  readonly sessions: SessionTable;
  readonly leases: Leases;
  readonly auth: AuthState;
}

/** Restores a state record by record, in the order of a view. */
export class StateRestorer {
  readonly #sessions: SessionTable;
  readonly #leases: Leases;
  readonly #auth: AuthState;
  readonly #authRestorer = new AuthRestorer();
  readonly #sessionRecords: (HeaderRecord | SessionRecord | AnswerRecord)[] = [];
  #header: HeaderRecord | null = null;
  #loader: StoreLoader | null = null;

  /** Makes a restorer that restores the sessions, leases and users into empty collections. */
  constructor({ sessions, leases, auth }: EmptyCollections) {
    this.#sessions = sessions;
    this.#leases = leases;
    this.#auth = auth;
  }

  /** Adds the next record. Long values and answers are kept, not copied. */
  add(record: StateRecord): void {
    switch (record[0]) {
      case "header": {
        const [, , revision] = record;
        this.#header = record;
        this.#loader = new StoreLoader({ revision, compactedRevision: record[6] ?? revision });
        this.#sessionRecords.push(record);
        break;
      }
      case "auth":
      case "role":
      case "grant":
      case "user":
      case "token":
        this.#authRestorer.add(record);
        break;
      case "lease": {
        const [, leaseId, ttlMs, deadlineMs, ownerId = NO_OWNER] = record;
        this.#leases.add({ leaseId, ttlMs, deadlineMs, ownerId });
        break;
      }
      case "key": {
        const [, key, value, createRevision, modRevision, version, order = 0, ...attached] = record;
        const [leaseId = 0, expiresAtMs = 0] = attached;
        expectLoaded(leaseId === 0 || this.#leases.has(leaseId), "a key is attached to a lease that exists");
        const numbers = { createRevision, modRevision, version, order, leaseId, expiresAtMs };
        this.#keys.addPresent(key, value, numbers);
        break;
      }
      case "tombstone": {
        const [, key, modRevision, order] = record;
        this.#keys.addTombstone(key, { modRevision, order });
        break;
      }
      case "version": {
        const [, key, value, createRevision, modRevision, version, order, ...others] = record;
        const [successorRevision, successorOrder, leaseId = 0, expiresAtMs = 0] = others;
        this.#keys.addSuperseded(key, value, {
          createRevision,
          modRevision,
          version,
          order,
          leaseId,
          expiresAtMs,
          successor: { modRevision: successorRevision, order: successorOrder },
        });
        break;
      }
      case "session":
      case "answer":
        this.#sessionRecords.push(record);
        break;
      default:
        assertNever(record);
    }
  }

  /**
   * Returns the state once every record was added, and yields again and again, so that the caller can pause. Throws
   * StoreLoadError for records that contradict each other.
   */
  *finishing(): Generator<void, RestoredState> {
    assert(this.#header !== null, "a state has a header");
    const [, appliedIndex, revision] = this.#header;
    const store = new Store(yield* this.#keys.finishing());
    for (const { leaseId } of this.#leases.after(0)) {
      yield;
      const isWithin = store.leased.count(leaseId) <= this.#leases.limits.maxLeaseKeys;
      expectLoaded(isWithin, "no lease has more keys than are allowed");
    }
    this.#authRestorer.finish(this.#auth);
    this.#sessions.restore(this.#sessionRecords);
    return { appliedIndex, revision, featureLevel: this.#header[5] ?? FIRST_FEATURE_LEVEL, store };
  }

  get #keys(): StoreLoader {
    assert(this.#loader !== null, "the header is the first record");
    return this.#loader;
  }
}
