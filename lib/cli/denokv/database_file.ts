/**
 * The file of a Deno KV database: of `Deno.openKv("./x.sqlite")` in a program of Deno, and of denokv, which are the same.
 * It is opened read-only and as of one moment, also while a program uses it. Its content may be anything.
 *
 * Nothing interrupts a statement that runs, Ctrl-C neither. So none may take longer than the size of the file explains: a view
 * can have rows without end, and so can a tree whose pages refer to one page many times. Only tables are read, in the order of
 * their keys, and each key must be above the one before.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { concat } from "@std/bytes";
import { compareKeys } from "../../kv/mod.ts";
import { errorMessage } from "../../platform/errors.ts";
import { fileErrorReason } from "../../platform/private_file.ts";
import { UsageError } from "../errors.ts";

/** A row of the file: a key with its value as a cluster stores it, or a row that means nothing. */
export type FileRow =
  | {
    readonly kind: "entry";
    readonly key: Uint8Array;
    /** A byte for the encoding, and the data. */
    readonly value: Uint8Array;
    readonly expiresAtMs: number | null;
  }
  | { readonly kind: "unreadable"; readonly key: Uint8Array | null; readonly reason: string };

/** The table of keys, as it was before keys could expire, and as it is. */
const REQUIRED_COLUMNS = ["k", "v", "v_encoding"];
const EXPIRY_COLUMN = "expiration_ms";
/** Tables of queued messages: those that wait, and those in delivery. */
const QUEUES = ["queue", "queue_running"];
/** Queued messages that are counted. */
const MAX_COUNTED = 1_000_000;
/** The limits of keys and values in every cluster, as in Deno KV; the byte for the encoding is not counted. */
const MAX_KEY_BYTES = 2_048;
const MAX_VALUE_BYTES = 65_536;
const ALLOWED_KEY = `1 to ${MAX_KEY_BYTES} are allowed`;
/** Rows whose keys are no bytes, or too long, above which a file is taken for a damaged one. */
const MAX_WITHOUT_KEY = 10_000;
/** The encodings of values: V8, KvU64, bytes. */
const MAX_ENCODING = 3;
/** Beyond this no `Date` can be, so that the key never expires in effect. */
const MAX_TIME_MS = 8_640_000_000_000_000;

/** An open file. */
export class DatabaseFile implements Disposable {
  /** Number of queued messages, which a cluster does not take; at most {@link MAX_COUNTED}. */
  readonly queuedCount: number;
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #hasExpiry: boolean;

  private constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
    // What follows reads the file as of this statement.
    database.exec("begin");
    const columns = namesOf(database.prepare("select name from pragma_table_info('kv')"));
    // A view and a virtual table have no page of their own.
    const tables = namesOf(
      database.prepare("select name from sqlite_master where type = 'table' and rootpage > 0"),
    );
    if (!tables.includes("kv") || !REQUIRED_COLUMNS.every((name) => columns.includes(name))) {
      throw new UsageError(`${path} is a SQLite file, but none of Deno KV: it has no table of keys.`);
    }
    this.#hasExpiry = columns.includes(EXPIRY_COLUMN);
    this.queuedCount = QUEUES.filter((name) => tables.includes(name))
      .reduce((sum, name) => sum + this.#countOf(name), 0);
  }

  /** Opens a file. Throws {@link UsageError} for one that cannot be read, or is not of Deno KV. */
  static open(path: string): DatabaseFile {
    requireFile(path);
    let database: DatabaseSync | null = null;
    try {
      database = new DatabaseSync(path, { readOnly: true });
      return new DatabaseFile(database, path);
    } catch (error) {
      database?.close();
      throw error instanceof UsageError ? error : unreadable(path, error);
    }
  }

  /** Returns the rows in the order of their keys, from behind a key on. Throws {@link UsageError} for a damaged file. */
  *rows(after: Uint8Array | null): Generator<FileRow> {
    const expiry = this.#hasExpiry ? EXPIRY_COLUMN : "-1";
    // A key or value that is too long is not read.
    const query = `select iif(length(k) > ${MAX_KEY_BYTES}, length(k), k) as k,
      iif(length(v) > ${MAX_VALUE_BYTES}, length(v), v) as v,
      v_encoding as encoding, ${expiry} as expiry from kv ${
      after === null ? "" : "where k > ?"
    } order by kv.k`;
    const values = after === null ? [] : [after];
    try {
      this.#requireOrder(query, values);
      const statement = this.#database.prepare(query);
      statement.setReadBigInts(true);
      let [last, count, withoutKey] = [after, 0, 0];
      for (const row of statement.iterate(...values)) {
        const read = rowOf(row);
        yield read;
        count += 1;
        if (read.key === null) {
          if (++withoutKey > MAX_WITHOUT_KEY) throw new Error("too many of its keys are none");
          continue;
        }
        if (last !== null && compareKeys(read.key, last) <= 0) throw new Error("its keys are not in order");
        last = read.key;
      }
      this.#requireEnd(query, values, count);
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  /** Refuses a table that has no index of its keys: SQLite would read all of it before the first row. */
  #requireOrder(query: string, values: readonly Uint8Array[]): void {
    const plan = this.#database.prepare(`explain query plan ${query}`).all(...values);
    if (plan.some(({ detail }) => String(detail).includes("TEMP B-TREE"))) {
      throw new Error("its table of keys has no index of them");
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /**
   * Refuses a file of which `count` rows could be read, and which has more. For a damaged page, `iterate` of Deno 2.9.6 ends as
   * for the last row; other calls throw.
   */
  #requireEnd(query: string, values: readonly Uint8Array[], count: number): void {
    const counted = this.#database.prepare(`select count(*) as count from (${query} limit ${count + 1})`);
    if (counted.get(...values)?.["count"] !== count) throw new Error("a page of it is damaged");
  }

  /** `table`: one of the names above. */
  #countOf(table: string): number {
    const counted = `select 1 from ${table} limit ${MAX_COUNTED}`;
    return Number(this.#database.prepare(`select count(*) as count from (${counted})`).get()?.["count"]);
  }
}

function namesOf(statement: StatementSync): readonly string[] {
  return statement.all().map((row) => String(row["name"]));
}

/** SQLite has one message for a missing file, a directory, and a file that this process may not read. */
function requireFile(path: string): void {
  let isFile: boolean;
  try {
    using file = Deno.openSync(path);
    isFile = file.statSync().isFile;
  } catch (error) {
    throw unreadable(path, fileErrorReason(error));
  }
  if (!isFile) throw unreadable(path, "it is no file");
}

/** SQLite's words where it cannot create the files that it needs beside a database. */
const CANNOT_OPEN = "unable to open database file";

function unreadable(path: string, error: unknown): UsageError {
  const reason = errorMessage(error);
  const shown = reason.startsWith(CANNOT_OPEN)
    ? "SQLite must be able to create -shm and -wal beside it, or to read them; copy all three into another directory"
    : reason;
  return new UsageError(`Cannot read the database file ${path}: ${shown}.`, { cause: error });
}

function rowOf(row: Readonly<Record<string, unknown>>): FileRow {
  const { k: key, v: data, encoding, expiry } = row;
  if (typeof key === "bigint" && key > MAX_KEY_BYTES) {
    return { kind: "unreadable", key: null, reason: `its key has ${key} bytes; ${ALLOWED_KEY}` };
  }
  if (!(key instanceof Uint8Array)) return { kind: "unreadable", key: null, reason: "its key has no bytes" };
  if (key.length === 0) return { kind: "unreadable", key, reason: `its key has 0 bytes; ${ALLOWED_KEY}` };
  if (typeof data === "bigint" && data > MAX_VALUE_BYTES) {
    const reason = `its value has ${data} bytes; at most ${MAX_VALUE_BYTES} are allowed`;
    return { kind: "unreadable", key, reason };
  }
  if (!(data instanceof Uint8Array)) return { kind: "unreadable", key, reason: "its value has no bytes" };
  if (typeof encoding !== "bigint" || encoding < 1n || encoding > MAX_ENCODING) {
    return { kind: "unreadable", key, reason: `its encoding ${encoding} is unknown` };
  }
  const expiresAtMs = typeof expiry !== "bigint" || expiry < 0n
    ? null
    : Math.min(Number(expiry), MAX_TIME_MS);
  return { kind: "entry", key, value: concat([Uint8Array.of(Number(encoding)), data]), expiresAtMs };
}
