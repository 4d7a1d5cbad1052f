/** The applied transactions in order, and the states that they made, as histories write keys and values. */
import type { Command } from "../../../lib/kv/mod.ts";
import type { Entry, KeyState, StateChange, StoreState } from "../../../lib/lincheck/mod.ts";

/** An applied transaction or end of keys, under the revision that it made. */
export interface AppliedTransaction {
  readonly index: number;
  readonly revision: number;
  readonly command: Command;
  /** Its changes, in order. */
  readonly changes: readonly StateChange[];
}

/** One state of one key. */
interface StateOfKey {
  /** First revision with this state. */
  readonly from: number;
  readonly entry: KeyState | null;
}

/** A range of revisions, both ends included. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** The applied transactions, by revision. */
export class AppliedHistory {
  readonly #transactions: AppliedTransaction[] = [];
  readonly #keys = new Map<string, StateOfKey[]>();
  #sortedKeys: readonly string[] = [];

  /** Adds the transaction of the next revision. */
  add(transaction: AppliedTransaction): void {
    this.#transactions.push(transaction);
    for (const { key, state } of transaction.changes) {
      const states = this.#keys.get(key);
      if (states === undefined) {
        this.#keys.set(key, [{ from: 0, entry: null }, { from: transaction.revision, entry: state }]);
        this.#sortedKeys = [...this.#keys.keys()].sort();
      } else {
        if (states.at(-1)?.from === transaction.revision) states.pop();
        states.push({ from: transaction.revision, entry: state });
      }
    }
  }

  /** The newest revision. */
  get lastRevision(): number {
    return this.#transactions.length;
  }

  /** The transaction that made a revision. */
  at(revision: number): AppliedTransaction | null {
    return this.#transactions[revision - 1] ?? null;
  }

  /** Returns a key at a revision. */
  entryAt(key: string, revision: number): KeyState | null {
    return this.#keys.get(key)?.findLast(({ from }) => from <= revision)?.entry ?? null;
  }

  /** Returns all keys at a revision; past revisions can be read from `compactedRevision` on. */
  stateAt(revision: number, compactedRevision = 0): StoreState {
    return {
      keys: this.#sortedKeys,
      get: (key) => this.entryAt(key, revision),
      at: (past) =>
        past < compactedRevision ? "compacted" : past > revision ? "futureRevision" : this.stateAt(past),
    };
  }

  /** The keys, sorted. */
  get keys(): readonly string[] {
    return this.#sortedKeys;
  }

  /** Returns when a key had this state. */
  stretchesOf(key: string, entry: Entry | null): Stretch[] {
    const states = this.#keys.get(key) ?? [{ from: 0, entry: null }];
    const stretches: Stretch[] = [];
    for (const [position, state] of states.entries()) {
      const to = (states[position + 1]?.from ?? this.lastRevision + 1) - 1;
      if (isSameEntry(state.entry, entry)) stretches.push({ from: state.from, to });
    }
    return stretches;
  }

  /** Whether some transaction put this value under this key. */
  wasPut(key: string, value: string): boolean {
    return this.#transactions.some(({ changes }) =>
      changes.some((change) => change.key === key && change.state?.value === value)
    );
  }
}

/** Whether two entries are the same in every number. */
export function isSameEntry(a: Entry | null, b: Entry | null): boolean {
  if (a === null || b === null) return a === b;
  return a.value === b.value && a.createRevision === b.createRevision && a.modRevision === b.modRevision &&
    a.version === b.version;
}
