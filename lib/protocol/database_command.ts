/** The bytes of the commands of databases, of their results, and of lists of databases. */
import {
  ACCESS_TOKEN_HASH_BYTES,
  DATABASE_ID_LIMIT,
  type DatabaseCheck,
  type DatabasesFailure,
  type DatabaseWriteFailure,
  MAX_DATABASE_CHECKS,
  MAX_DATABASE_MUTATIONS,
  SIGNING_KEY_BYTES,
} from "../kv/databases/database_command.ts";
import { AUTH_NAME } from "./auth_command.ts";
import { boolean, bytes, type Field, fixedBytes, integer, list, nullable, oneOf, text } from "./field.ts";
import { byHand, frame, record, recordByHand, variants } from "./schema.ts";

/** Characters of the name of a database: longer ones are refused before their form is looked at. */
const NAME = text(63);
const UUID = text(36);
const ID = integer(0, DATABASE_ID_LIMIT - 1);

/** A check of a database's write. */
const DATABASE_CHECK: Field<DatabaseCheck> = recordByHand("check", {
  key: bytes(),
  revision: nullable(integer(1)),
}, {
  write: (out, { key, revision }) => {
    out.binary(key);
    if (revision === null) out.nil();
    else out.integer(revision);
  },
  read: (input) => ({
    key: input.binary("check key"),
    revision: input.nil() ? null : input.integer("check revision", 1),
  }),
});

const NUMBER_FIELDS = { key: bytes(), value: bytes() };

/** A mutation of a database's write. */
const DATABASE_MUTATION = variants("mutation", {
  set: byHand(
    frame(1, {
      key: bytes(),
      value: bytes(),
      expiresAtMs: nullable(integer(1)),
      versionstampedKey: boolean(),
    }),
    {
      write: (out, { key, value, expiresAtMs, versionstampedKey }) => {
        out.binary(key);
        out.binary(value);
        if (expiresAtMs === null) out.nil();
        else out.integer(expiresAtMs);
        out.boolean(versionstampedKey);
      },
      read: (input) => ({
        kind: "set",
        key: input.binary("mutation key"),
        value: input.binary("mutation value"),
        expiresAtMs: input.nil() ? null : input.integer("mutation expiresAtMs", 1),
        versionstampedKey: input.boolean("mutation versionstampedKey"),
      }),
    },
  ),
  delete: frame(2, { key: bytes() }),
  sum: frame(3, {
    ...NUMBER_FIELDS,
    minimum: nullable(bytes()),
    maximum: nullable(bytes()),
    clamp: boolean(),
  }),
  min: frame(4, NUMBER_FIELDS),
  max: frame(5, NUMBER_FIELDS),
});

/** The fields of a database's write, behind its session. */
export const DATABASE_WRITE = {
  databaseId: ID,
  credentialId: ID,
  checks: list(DATABASE_CHECK, MAX_DATABASE_CHECKS),
  mutations: list(DATABASE_MUTATION, MAX_DATABASE_MUTATIONS),
};

/** One change of the registry of databases. */
export const DATABASES_CHANGE = variants("change", {
  create: frame(1, { name: NAME, uuid: UUID, signingKey: fixedBytes(SIGNING_KEY_BYTES) }),
  remove: frame(2, { name: NAME }),
  addToken: frame(3, {
    name: NAME,
    label: AUTH_NAME,
    hash: fixedBytes(ACCESS_TOKEN_HASH_BYTES),
    createdAtMs: integer(),
    signingKey: fixedBytes(SIGNING_KEY_BYTES),
  }),
  removeToken: frame(4, { name: NAME, tokenId: ID }),
});

/**
 * A database as nodes list it: the default one always has a UUID. `isOpen`: it never had an access token, and takes clients
 * without one while authentication is disabled.
 */
export const DATABASE = record("database", {
  id: ID,
  name: text(),
  uuid: text(),
  signingKey: bytes(SIGNING_KEY_BYTES),
  isOpen: boolean(),
  tokens: list(
    record("token", { id: ID, label: text(), hash: bytes(ACCESS_TOKEN_HASH_BYTES), createdAtMs: integer() }),
  ),
});

/** The results of the commands of databases. */
export const DATABASE_RESULTS = {
  databaseWritten: byHand(frame(17, { revision: integer() }), {
    read: (input) => ({ kind: "databaseWritten", revision: input.integer("revision") }),
  }),
  databaseChecksFailed: frame(18, {
    revision: integer(),
    failedChecks: list(integer(), MAX_DATABASE_CHECKS),
  }),
  databaseWriteFailed: frame(19, {
    revision: integer(),
    reason: oneOf<DatabaseWriteFailure>({
      notU64: true,
      notANumber: true,
      storedBigInt: true,
      storedNumber: true,
      storedU64: true,
      numberOutOfRange: true,
      numberTooLarge: true,
    }),
    position: integer(),
  }),
  databasesChanged: frame(20, { revision: integer(), databaseId: ID, tokenId: ID }),
  databasesFailed: frame(21, {
    revision: integer(),
    reason: oneOf<DatabasesFailure>({
      databaseExists: true,
      databaseNotFound: true,
      databaseNotEmpty: true,
      defaultDatabase: true,
      tokenExists: true,
      tokenNotFound: true,
      tooMany: true,
    }),
  }),
};
