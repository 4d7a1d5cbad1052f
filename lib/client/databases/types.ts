/** Arguments and results of {@link DatabaseClient}. */
import type { KeyValue } from "../../kv/command.ts";
import type { DatabaseCheck, DatabaseMutation, DatabaseResult } from "../../kv/databases/database_command.ts";
import type { Consistency } from "../../protocol/messages.ts";
import type { CallOptions } from "../types.ts";

/** Limits of a call. */
export interface DatabaseCallOptions extends CallOptions {
  /**
   * Time after which a call that has certainly changed nothing is not tried again, in milliseconds.
   *
   * @default the `timeoutMs` of the call
   */
  readonly patienceMs?: number;
}

/** Options of a read. */
export interface DatabaseReadOptions extends DatabaseCallOptions {
  /**
   * As in ConsistencyOptions.
   *
   * @default "linearizable"
   */
  readonly consistency?: Consistency;
  /**
   * Called once by a read that needs more than one answer. What has arrived is dropped before, and read again once the promise
   * is resolved; if it rejects, so does the read.
   */
  readonly beforeMore?: () => Promise<void>;
}

/** A range of keys within a database, of which the first or last ones are read. */
export interface DatabaseRange {
  /** First key (included); empty: the first one of the database. */
  readonly start: Uint8Array;
  /** End (excluded); null: to the last key of the database. */
  readonly end: Uint8Array | null;
  /** 1 … MAX_RANGE_ENTRIES. */
  readonly limit: number;
  /** In descending order. */
  readonly reverse: boolean;
}

/** The entries of ranges at one revision, their keys without the prefix of the database. */
export interface DatabaseReadResult {
  readonly revision: number;
  /** A range has fewer entries than its limit only if it has no more keys. */
  readonly ranges: readonly (readonly KeyValue[])[];
}

/** Checks and mutations of one write. */
export interface DatabaseWriteRequest {
  readonly checks: readonly DatabaseCheck[];
  readonly mutations: readonly DatabaseMutation[];
}

/** The end of a write. */
export type DatabaseWriteResult = Extract<
  DatabaseResult,
  { readonly kind: "databaseWritten" | "databaseChecksFailed" | "databaseWriteFailed" }
>;

/** A database. */
export interface DatabaseInfo {
  readonly id: number;
  readonly name: string;
  /** In lower case, with hyphens. */
  readonly uuid: string;
  /** The key with which the tokens of the database's clients are signed; empty without secrets. */
  readonly signingKey: Uint8Array;
  /** Whether it takes clients without an access token while authentication is disabled: it never had one. */
  readonly isOpen: boolean;
  /** By id. */
  readonly tokens: readonly {
    readonly id: number;
    readonly label: string;
    /** SHA-256 of the access token; empty without secrets. */
    readonly hash: Uint8Array;
    /** Wall-clock time of the client that added it, in milliseconds since 1970. */
    readonly createdAtMs: number;
  }[];
}

/** All databases of a cluster, as of one revision. */
export interface DatabaseList {
  readonly revision: number;
  /** Whether clients of the cluster have to sign in. */
  readonly authenticationEnabled: boolean;
  /** By id; the default database is always there. */
  readonly databases: readonly DatabaseInfo[];
}

/** A change of the registry that was made. */
export interface DatabasesChangeResult {
  readonly revision: number;
  readonly databaseId: number;
  /** Of the token that was added or removed, else 0. */
  readonly tokenId: number;
}
