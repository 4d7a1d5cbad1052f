/**
 * The commands of databases, their results, and their limits. They exist from feature level 2 on.
 *
 * A database is a key space of its own in the reserved part of the store (reserved_keys.ts), with the semantics of Deno KV.
 * {@link DatabaseWrite} is its atomic operation; {@link ChangeDatabases} changes the registry, which lists the databases
 * and their access tokens (registry.ts).
 */
import type { SessionStamp } from "../command.ts";

/** Bytes of a key within a database that is written, without a versionstamp that is appended; and of one that is checked. */
export const MAX_DATABASE_KEY_BYTES = 2_048;
export const MAX_CHECKED_KEY_BYTES = 2_049;
/** Bytes of a value, without the byte for its encoding. */
export const MAX_DATABASE_VALUE_BYTES = 65_536;
/** Checks of one write. */
export const MAX_DATABASE_CHECKS = 100;
/** Mutations of one write. */
export const MAX_DATABASE_MUTATIONS = 1_000;
/** Bytes of the keys and values of all mutations of one write, and of their keys alone. */
export const MAX_DATABASE_WRITE_BYTES = 819_200;
export const MAX_DATABASE_WRITE_KEY_BYTES = 81_920;
/** The ids of databases and of access tokens are below this. */
export const DATABASE_ID_LIMIT = 2 ** 32;
/** Databases of a cluster. */
export const MAX_DATABASES = 1_000;
/** Access tokens of one database. */
export const MAX_ACCESS_TOKENS = 100;
/** Bytes of the registry. */
export const MAX_REGISTRY_BYTES = 524_288;
/** Bytes of the key with which nodes sign the tokens of a database, and of the SHA-256 of an access token. */
export const SIGNING_KEY_BYTES = 32;
export const ACCESS_TOKEN_HASH_BYTES = 32;
/** The database that every cluster has. It has no record in the registry until it has had an access token. */
export const DEFAULT_DATABASE_ID = 0;
export const DEFAULT_DATABASE_NAME = "default";
/** `credentialId` of a write that came by no access token. */
export const NO_CREDENTIAL = 0;

/** The first byte of a stored value, which says how the bytes behind it are encoded. */
export const VALUE_ENCODING = {
  /** V8's serialization format. */
  v8: 1,
  /** An unsigned 64-bit integer, little-endian: `Deno.KvU64`. */
  le64: 2,
  /** Plain bytes. */
  bytes: 3,
} as const;

/** A condition of a write: the key was last changed at this revision, or (null) does not exist. */
export interface DatabaseCheck {
  /** Within the database: 1 … MAX_CHECKED_KEY_BYTES bytes. */
  readonly key: Uint8Array;
  /** `revisionOf` a versionstamp. */
  readonly revision: number | null;
}

/** A change of one key within a database. */
export type DatabaseMutation =
  | {
    readonly kind: "set";
    readonly key: Uint8Array;
    /** The byte of VALUE_ENCODING, then the data. */
    readonly value: Uint8Array;
    /** As in Attachment; null: the key does not expire. */
    readonly expiresAtMs: number | null;
    /** Whether the versionstamp of the write is appended to the key, as a string element of 20 hexadecimal digits. */
    readonly versionstampedKey: boolean;
  }
  | { readonly kind: "delete"; readonly key: Uint8Array }
  /**
   * Adds two integers modulo 2^64 (`le64`), or two numbers or bigints (`v8`). An absent key is set to the operand, even
   * if that is beyond the bounds. The key does not expire any more.
   */
  | {
    readonly kind: "sum";
    readonly key: Uint8Array;
    /** The operand: the byte of VALUE_ENCODING, then the data. */
    readonly value: Uint8Array;
    /** Bounds of the sum of two numbers or bigints, in V8's format; null: none. Those of integers are ignored. */
    readonly minimum: Uint8Array | null;
    readonly maximum: Uint8Array | null;
    /** Whether a sum beyond a bound becomes the bound; otherwise the write fails. */
    readonly clamp: boolean;
  }
  /** Sets the smaller or the larger of two 64-bit integers (`le64`); of an absent key, the operand. */
  | { readonly kind: "min" | "max"; readonly key: Uint8Array; readonly value: Uint8Array };

/** The mutations that depend on the value before. */
export type NumberMutation = Exclude<DatabaseMutation, { readonly kind: "set" | "delete" }>;

/** Checks and mutations of one database: when every check holds, all mutations are made, in order, in one new revision. */
export interface DatabaseWrite {
  /** Discriminates the command. */
  readonly kind: "databaseWrite";
  /** Null for a write that is sent at most once and never retried. */
  readonly session: SessionStamp | null;
  /** DEFAULT_DATABASE_ID or an id of the registry. */
  readonly databaseId: number;
  /** The access token of the database by which the write came, or {@link NO_CREDENTIAL}. */
  readonly credentialId: number;
  /** At most MAX_DATABASE_CHECKS. */
  readonly checks: readonly DatabaseCheck[];
  /** 1 … MAX_DATABASE_MUTATIONS. Each sees what earlier ones did; a key may occur several times. */
  readonly mutations: readonly DatabaseMutation[];
}

/** One change of the registry. */
export type DatabasesChange =
  | {
    readonly kind: "create";
    /** `[a-z0-9][a-z0-9-]{0,62}`, and not that of another database. */
    readonly name: string;
    /** In lower case, with hyphens. */
    readonly uuid: string;
    /** SIGNING_KEY_BYTES bytes, random. */
    readonly signingKey: Uint8Array;
  }
  /** Only of a database without keys. Its id is never given to another one. */
  | { readonly kind: "remove"; readonly name: string }
  | {
    readonly kind: "addToken";
    readonly name: string;
    /** Shown in lists: a name like that of a token of a user. */
    readonly label: string;
    /** SHA-256 of the token, which no other token of the database has. */
    readonly hash: Uint8Array;
    /** Wall-clock time of the client, in milliseconds since 1970: shown in lists. */
    readonly createdAtMs: number;
    /** Random: the signing key of the default database, if this is the first change of it. */
    readonly signingKey: Uint8Array;
  }
  /** From this entry on the writes that name the token are refused. */
  | { readonly kind: "removeToken"; readonly name: string; readonly tokenId: number };

/** Changes the registry; each change once per session, like a write. */
export interface ChangeDatabases {
  /** Discriminates the command. */
  readonly kind: "changeDatabases";
  /** As in {@link DatabaseWrite}. */
  readonly session: SessionStamp | null;
  readonly change: DatabasesChange;
}

/** The commands of databases. */
export type DatabaseCommand = DatabaseWrite | ChangeDatabases;

/** Reason for which a write fails: nothing changed. The words of Deno KV for it are in {@link describeWriteFailure}. */
export type DatabaseWriteFailure =
  /** The operand is a 64-bit integer, and the stored value is none. */
  | "notU64"
  /** The stored value is no number, no bigint and no 64-bit integer. */
  | "notANumber"
  /** The stored value is of another kind of number than the operand. */
  | "storedBigInt"
  | "storedNumber"
  | "storedU64"
  /** The sum is beyond a bound. */
  | "numberOutOfRange"
  /** The sum is a bigint of more than MAX_BIGINT_BYTES bytes. */
  | "numberTooLarge";

/** Reason for which a change of the registry is not made. */
export type DatabasesFailure =
  | "databaseExists"
  | "databaseNotFound"
  /** The database to remove has keys. */
  | "databaseNotEmpty"
  /** The default database cannot be created or removed. */
  | "defaultDatabase"
  | "tokenExists"
  | "tokenNotFound"
  /** One of the limits above. */
  | "tooMany";

/** The results of the commands of databases, which their sessions remember. */
export type DatabaseResult =
  /** The checks held, and the mutations are in the store at `revision`, which is the write's own even if they changed nothing. */
  | { readonly kind: "databaseWritten"; readonly revision: number }
  /** Nothing changed. `failedChecks` are positions; `revision` is that of the last change of the store, here and below. */
  | {
    readonly kind: "databaseChecksFailed";
    readonly revision: number;
    readonly failedChecks: readonly number[];
  }
  /** Nothing changed. `position`: that of the mutation. */
  | {
    readonly kind: "databaseWriteFailed";
    readonly revision: number;
    readonly reason: DatabaseWriteFailure;
    readonly position: number;
  }
  /** `tokenId`: of the token that was added or removed, else 0. */
  | {
    readonly kind: "databasesChanged";
    readonly revision: number;
    readonly databaseId: number;
    readonly tokenId: number;
  }
  | { readonly kind: "databasesFailed"; readonly revision: number; readonly reason: DatabasesFailure };
