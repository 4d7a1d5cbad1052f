/** The whole state as records: those of a view, and a state that is restored from them. */
import { assert, assertNever } from "../platform/assert.ts";
import { FIRST_FEATURE_LEVEL, HISTORY_LEVEL } from "./feature_level.ts";
import { StoreLoader } from "./pages/store_loader.ts";
import type { StoreView } from "./pages/paged_store.ts";
import type { AnswerRecord, HeaderRecord, SessionRecord, StateRecord } from "./record.ts";
import type { Session } from "./sessions/session.ts";
import type { SessionTable } from "./sessions/session_table.ts";
import { Store } from "./store.ts";

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
  /** Ends the view, whose records must not be read any more. */
  release(): void;
}

/** The parts of a state that do not change any more. */
export interface ViewedState {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly featureLevel: number;
  readonly logTimeMs: number;
  readonly forgottenIndex: number;
  readonly keys: StoreView;
  /** By id. */
  readonly sessions: readonly Session[];
}

/** Yields the records of a state in canonical order. */
export function* recordsOf(state: ViewedState): Iterable<StateRecord> {
  const { featureLevel, keys } = state;
  const header = [
    "header",
    state.appliedIndex,
    state.revision,
    state.logTimeMs,
    state.forgottenIndex,
  ] as const;
  yield featureLevel === FIRST_FEATURE_LEVEL ? header : [...header, featureLevel, keys.compactedRevision];
  const cursor = keys.scan({ lower: null, upper: null, reverse: false });
  for (let address = cursor.next(); address !== 0; address = cursor.next()) {
    const { key, value, createRevision, modRevision, version } = keys.keyValue(address);
    const order = keys.order(address);
    const record = ["key", key, value, createRevision, modRevision, version] as const;
    yield order === 0 ? record : [...record, order];
  }
  if (featureLevel >= HISTORY_LEVEL) yield* historyRecords(keys);
  for (const session of state.sessions) yield* session.records();
}

/** Returns the history of a view: deleted keys, then superseded versions. */
function* historyRecords(keys: StoreView): Iterable<StateRecord> {
  const { records } = keys;
  for (const address of keys.tombstones()) {
    yield ["tombstone", records.key(address), records.modRevision(address), keys.order(address)];
  }
  for (const { address, successor } of keys.superseded()) {
    yield [
      "version",
      records.key(address),
      records.isPut(address) ? records.value(address) : null,
      records.createRevision(address),
      records.modRevision(address),
      records.version(address),
      keys.order(address),
      records.modRevision(successor),
      keys.order(successor),
    ];
  }
}

/** The parts of a restored state; its sessions are restored in place. */
export interface RestoredState {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly featureLevel: number;
  readonly store: Store;
}

/** Restores a state record by record, in the order of a view. */
export class StateRestorer {
  readonly #sessions: SessionTable;
  readonly #sessionRecords: (HeaderRecord | SessionRecord | AnswerRecord)[] = [];
  #header: HeaderRecord | null = null;
  #loader: StoreLoader | null = null;

  /** Makes a restorer that restores the sessions into an empty table. */
  constructor(sessions: SessionTable) {
    this.#sessions = sessions;
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
      case "key": {
        const [, key, value, createRevision, modRevision, version, order = 0] = record;
        this.#keys.addPresent(key, value, { createRevision, modRevision, version, order });
        break;
      }
      case "tombstone": {
        const [, key, modRevision, order] = record;
        this.#keys.addTombstone(key, { modRevision, order });
        break;
      }
      case "version": {
        const [, key, value, createRevision, modRevision, version, order, ...successor] = record;
        this.#keys.addSuperseded(key, value, {
          createRevision,
          modRevision,
          version,
          order,
          successor: { modRevision: successor[0], order: successor[1] },
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

  /** Returns the state once every record was added. Throws StoreLoadError for records that contradict each other. */
  finish(): RestoredState {
    assert(this.#header !== null, "a state has a header");
    const [, appliedIndex, revision] = this.#header;
    const store = new Store(this.#keys.finish());
    this.#sessions.restore(this.#sessionRecords);
    return { appliedIndex, revision, featureLevel: this.#header[5] ?? FIRST_FEATURE_LEVEL, store };
  }

  get #keys(): StoreLoader {
    assert(this.#loader !== null, "the header is the first record");
    return this.#loader;
  }
}
