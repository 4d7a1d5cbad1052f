/**
 * The registry: the databases of a cluster with their access tokens, the value of one key of the store. As a value it is in
 * the history, snapshots and state hashes, and can be watched, like any other.
 *
 * The value is JSON with arrays of fixed lengths, bytes in hexadecimal: readable in a debugging session, and this module
 * needs no other encoding for it.
 *
 *     [nextId, [[id, name, uuid | null, signingKey, nextTokenId, [[tokenId, label, hash, createdAtMs], …]], …]]
 */
import { assertNever } from "../../platform/assert.ts";
import { keyText } from "../keys.ts";
import {
  DATABASE_ID_LIMIT,
  type DatabasesChange,
  type DatabasesFailure,
  DEFAULT_DATABASE_ID,
  DEFAULT_DATABASE_NAME,
  MAX_ACCESS_TOKENS,
  MAX_DATABASES,
  MAX_REGISTRY_BYTES,
} from "./database_command.ts";

/** An access token of a database. */
export interface AccessToken {
  /** 1 … 2^32 − 1; never given to another token of the database. */
  readonly id: number;
  readonly label: string;
  /** SHA-256 of the token. */
  readonly hash: Uint8Array;
  /** Wall-clock time of the client that added it, in milliseconds since 1970. */
  readonly createdAtMs: number;
}

/** A database. */
export interface Database {
  /** Never given to another database. */
  readonly id: number;
  readonly name: string;
  /** Null for the default database: it is derived from the id of the cluster. */
  readonly uuid: string | null;
  /** The key with which nodes sign the tokens that they give to the database's clients. */
  readonly signingKey: Uint8Array;
  /** The id of the next token; see {@link isOpen}. */
  readonly nextTokenId: number;
  /** By id. */
  readonly tokens: readonly AccessToken[];
}

/**
 * Whether a database takes clients without an access token while authentication is disabled: it never had one. A database
 * whose last token was removed does not open by that.
 */
export function isOpen(database: Database | null): boolean {
  return database === null || database.nextTokenId === 1;
}

/** All databases that have a record. */
export interface Registry {
  /** The id of the next database. */
  readonly nextId: number;
  /** By id. */
  readonly databases: readonly Database[];
}

/** The registry of a cluster in which nothing was changed yet. */
export const EMPTY_REGISTRY: Registry = { nextId: DEFAULT_DATABASE_ID + 1, databases: [] };

/** A registry after a change, and the ids that it was about (0 for no token); or the reason why it is not changed. */
type Changed = {
  readonly registry: Registry;
  readonly databaseId: number;
  readonly tokenId: number;
} | DatabasesFailure;

/** Returns the database with an id, or null where it has no record. */
export function databaseOf(registry: Registry, databaseId: number): Database | null {
  return registry.databases.find(({ id }) => id === databaseId) ?? null;
}

/** Makes a valid change. `hasKeys`: whether a database has keys. */
export function changedRegistry(
  registry: Registry,
  change: DatabasesChange,
  hasKeys: (databaseId: number) => boolean,
): Changed {
  const { name } = change;
  const known = registry.databases.find((database) => database.name === name) ?? null;
  switch (change.kind) {
    case "create":
      return created(registry, change, known);
    case "remove": {
      if (name === DEFAULT_DATABASE_NAME) return "defaultDatabase";
      if (known === null) return "databaseNotFound";
      if (hasKeys(known.id)) return "databaseNotEmpty";
      const databases = registry.databases.filter((database) => database !== known);
      return { registry: { ...registry, databases }, databaseId: known.id, tokenId: 0 };
    }
    case "addToken": {
      if (known !== null) return withToken(registry, known, change);
      if (name !== DEFAULT_DATABASE_NAME) return "databaseNotFound";
      const signingKey = change.signingKey.slice();
      const database = { id: DEFAULT_DATABASE_ID, name, uuid: null, signingKey, nextTokenId: 1, tokens: [] };
      return withToken(registry, database, change);
    }
    case "removeToken": {
      if (known === null) return name === DEFAULT_DATABASE_NAME ? "tokenNotFound" : "databaseNotFound";
      const { tokenId } = change;
      const tokens = known.tokens.filter(({ id }) => id !== tokenId);
      if (tokens.length === known.tokens.length) return "tokenNotFound";
      return { registry: withDatabase(registry, { ...known, tokens }), databaseId: known.id, tokenId };
    }
    default:
      return assertNever(change);
  }
}

/** Returns the value of the registry's key; null if it would be too long. */
export function encodeRegistry({ nextId, databases }: Registry): Uint8Array | null {
  const rows = databases.map(({ id, name, uuid, signingKey, nextTokenId, tokens }) => {
    const tokenRows = tokens.map(({ id, label, hash, createdAtMs }) => [id, label, hex(hash), createdAtMs]);
    return [id, name, uuid, hex(signingKey), nextTokenId, tokenRows];
  });
  const value = new TextEncoder().encode(JSON.stringify([nextId, rows]));
  return value.length <= MAX_REGISTRY_BYTES ? value : null;
}

function created(
  registry: Registry,
  { name, uuid, signingKey }: Extract<DatabasesChange, { readonly kind: "create" }>,
  known: Database | null,
): Changed {
  if (name === DEFAULT_DATABASE_NAME) return "defaultDatabase";
  if (known !== null || registry.databases.some((database) => database.uuid === uuid)) {
    return "databaseExists";
  }
  const { nextId, databases } = registry;
  if (databases.length >= MAX_DATABASES || nextId >= DATABASE_ID_LIMIT) return "tooMany";
  const database = { id: nextId, name, uuid, signingKey: signingKey.slice(), nextTokenId: 1, tokens: [] };
  return {
    registry: withDatabase({ ...registry, nextId: nextId + 1 }, database),
    databaseId: nextId,
    tokenId: 0,
  };
}

function withToken(
  registry: Registry,
  database: Database,
  { label, hash, createdAtMs }: Extract<DatabasesChange, { readonly kind: "addToken" }>,
): Changed {
  const { id: databaseId, nextTokenId: id, tokens } = database;
  if (tokens.some((token) => keyText(token.hash) === keyText(hash))) return "tokenExists";
  if (tokens.length >= MAX_ACCESS_TOKENS || id >= DATABASE_ID_LIMIT) return "tooMany";
  const added = [...tokens, { id, label, hash: hash.slice(), createdAtMs }];
  const changed = { ...database, nextTokenId: id + 1, tokens: added };
  return { registry: withDatabase(registry, changed), databaseId, tokenId: id };
}

/** Returns a registry with one database added or replaced. */
function withDatabase(registry: Registry, database: Database): Registry {
  const others = registry.databases.filter(({ id }) => id !== database.id);
  return { ...registry, databases: [...others, database].sort((a, b) => a.id - b.id) };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
