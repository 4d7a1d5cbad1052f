/** The data set that an append-only file describes, in memory. */
import { FormatError } from "../items.ts";
import type { RdbKey } from "./rdb.ts";

/** Most bytes of keys and values, with an estimate of what an entry takes beside them. */
export const MAX_STATE_BYTES = 536_870_912;
const ENTRY_BYTES = 128;

/** The value and the lifetime of a key, as far as they are known. */
export interface State {
  readonly keyBytes: number;
  /** As in {@link RdbKey}. */
  readonly type: string;
  readonly value: Uint8Array | null;
  readonly expiresAtMs: number | null;
}

/** Keys by database; a key is a string with a character for each byte. */
export class DataSet {
  /** The database of the next command. */
  selected = 0;
  readonly #databases = new Map<number, Map<string, State>>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number = MAX_STATE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Takes a key of an RDB file. */
  load({ database, key, ...state }: RdbKey): void {
    this.set(idOf(key), state, database);
  }

  get(id: string, database = this.selected): State | null {
    return this.#keysOf(database).get(id) ?? null;
  }

  /** Throws {@link FormatError} beyond the limit. */
  set(id: string, state: State, database = this.selected): void {
    this.delete(id, database);
    this.#keysOf(database).set(id, state);
    this.#bytes += bytesOf(id, state);
    if (this.#bytes <= this.#maxBytes) return;
    throw new FormatError(
      `it has more than ${this.#maxBytes} bytes of keys and values, which have to be held until its end; ` +
        "an RDB file (redis-cli --rdb dump.rdb) of any size can be imported",
    );
  }

  delete(id: string, database = this.selected): void {
    const keys = this.#keysOf(database);
    const old = keys.get(id);
    if (old === undefined) return;
    keys.delete(id);
    this.#bytes -= bytesOf(id, old);
  }

  /** Deletes all keys of a database. */
  clear(database: number): void {
    for (const id of [...this.#keysOf(database).keys()]) this.delete(id, database);
  }

  clearAll(): void {
    this.#databases.clear();
    this.#bytes = 0;
  }

  swap(a: number, b: number): void {
    const [keysOfA, keysOfB] = [this.#keysOf(a), this.#keysOf(b)];
    this.#databases.set(a, keysOfB).set(b, keysOfA);
  }

  /** Yields all keys, those of the first database first. */
  *keys(): Generator<RdbKey> {
    for (const [database, keys] of [...this.#databases].sort(([a], [b]) => a - b)) {
      for (const [id, state] of keys) yield { database, key: keyOf(id), ...state };
    }
  }

  #keysOf(database: number): Map<string, State> {
    const found = this.#databases.get(database);
    if (found !== undefined) return found;
    const created = new Map<string, State>();
    this.#databases.set(database, created);
    return created;
  }
}

/** Returns the string for a key. */
export function idOf(key: Uint8Array): string {
  let id = "";
  for (const byte of key) id += String.fromCharCode(byte);
  return id;
}

function keyOf(id: string): Uint8Array {
  return Uint8Array.from(id, (character) => character.charCodeAt(0));
}

function bytesOf(id: string, { value }: State): number {
  return ENTRY_BYTES + id.length + (value?.length ?? 0);
}
