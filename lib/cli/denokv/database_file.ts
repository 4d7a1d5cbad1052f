/**
 * The file of a Deno KV database: of `Deno.openKv("./x.sqlite")` in a program of Deno, and of denokv, which are the same.
 * It is opened read-only and as of one moment, also while a program uses it. Its content may be anything.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { concat } from "@std/bytes";
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
/** The encodings of values: V8, KvU64, bytes. */
const MAX_ENCODING = 3;
/** Beyond this no `Date` can be, so that the key never expires in effect. */
const MAX_TIME_MS = 8_640_000_000_000_000;

/** An open file. */
export class DatabaseFile implements Disposable {
  /** Number of keys. */
  readonly keyCount: number;
  /** Number of queued messages, which a cluster does not take. */
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
    if (!REQUIRED_COLUMNS.every((name) => columns.includes(name))) {
      throw new UsageError(`${path} is a SQLite file, but none of Deno KV: it has no table of keys.`);
    }
    this.#hasExpiry = columns.includes(EXPIRY_COLUMN);
    const tables = namesOf(database.prepare("select name from sqlite_master where type = 'table'"));
    this.keyCount = this.#countOf("kv");
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
    const statement = this.#database.prepare(
      `select k, v, v_encoding as encoding, ${expiry} as expiry from kv where ?1 is null or k > ?1 order by k`,
    );
    statement.setReadBigInts(true);
    try {
      for (const row of statement.iterate(after)) yield rowOf(row);
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /** `table`: one of the names above. */
  #countOf(table: string): number {
    return Number(this.#database.prepare(`select count(*) as count from ${table}`).get()?.["count"]);
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
  if (!(key instanceof Uint8Array)) return { kind: "unreadable", key: null, reason: "its key has no bytes" };
  if (!(data instanceof Uint8Array)) return { kind: "unreadable", key, reason: "its value has no bytes" };
  if (typeof encoding !== "bigint" || encoding < 1n || encoding > MAX_ENCODING) {
    return { kind: "unreadable", key, reason: `its encoding ${encoding} is unknown` };
  }
  const expiresAtMs = typeof expiry !== "bigint" || expiry < 0n
    ? null
    : Math.min(Number(expiry), MAX_TIME_MS);
  return { kind: "entry", key, value: concat([Uint8Array.of(Number(encoding)), data]), expiresAtMs };
}
