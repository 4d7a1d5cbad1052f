/** The calls of a front end on the databases of the store. The client library's DatabaseClient makes them. */
import type { KeyValue } from "../kv/command.ts";
import type { DatabaseCheck, DatabaseMutation, DatabaseResult } from "../kv/databases/database_command.ts";

/** A range of keys within a database, of which at most `limit` are read. */
export interface StoreRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly limit: number;
  readonly reverse: boolean;
}

/** Limits on the time of a call. */
export interface StoreCallOptions {
  /** Time for the call, retries included. */
  readonly timeoutMs: number;
  /** Time after which a call that has certainly changed nothing is not tried again. Default: `timeoutMs`. */
  readonly patienceMs?: number;
}

/** The end of a write. */
export type WriteResult = Extract<
  DatabaseResult,
  { readonly kind: "databaseWritten" | "databaseChecksFailed" | "databaseWriteFailed" }
>;

/** A database with the secrets that a front end needs. */
export interface ServedDatabase {
  readonly id: number;
  readonly name: string;
  /** In lower case, with hyphens. */
  readonly uuid: string;
  /** The key with which data tokens are signed. */
  readonly signingKey: Uint8Array;
  /** Whether it takes clients without an access token while authentication is disabled: it never had one. */
  readonly isOpen: boolean;
  readonly tokens: readonly {
    readonly id: number;
    /** SHA-256 of the token. */
    readonly hash: Uint8Array;
  }[];
}

/** All databases of a cluster, as of one revision. */
export interface ServedDatabases {
  readonly revision: number;
  /** Whether clients of the cluster have to sign in. */
  readonly authenticationEnabled: boolean;
  readonly databases: readonly ServedDatabase[];
}

/** The databases of a cluster. All calls reject with KvraftError. */
export interface DatabaseStore {
  /** Reads ranges of a database at one revision. A range has fewer entries than its limit only if it has no more keys. */
  read(
    databaseId: number,
    ranges: readonly StoreRange[],
    options: StoreCallOptions & {
      readonly consistency: "linearizable" | "stale";
      readonly signal?: AbortSignal;
      /** Called once by a read that needs more than one answer, before the further ones. */
      readonly beforeMore?: () => Promise<void>;
    },
  ): Promise<{ readonly revision: number; readonly ranges: readonly (readonly KeyValue[])[] }>;
  /** Makes a write, once, by the access token of a client; 0 for none. */
  write(
    databaseId: number,
    credentialId: number,
    write: { readonly checks: readonly DatabaseCheck[]; readonly mutations: readonly DatabaseMutation[] },
    options: StoreCallOptions,
  ): Promise<WriteResult>;
  /** Yields once it has begun, and whenever one of the keys has changed. */
  watch(
    databaseId: number,
    keys: readonly Uint8Array[],
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<{ readonly revision: number }>;
  /** Returns all databases. */
  databases(
    options: StoreCallOptions & { readonly consistency: "linearizable" | "stale" },
  ): Promise<ServedDatabases>;
  /** Yields once it has begun, and whenever a database or an access token has changed. */
  watchDatabases(options: { readonly signal: AbortSignal }): AsyncIterable<unknown>;
}
