/** The bytes of users, roles and tokens: in commands that change them, in requests, and in answers. */
import {
  AUTH_HASH_BYTES,
  MAX_AUTH_NAME_CHARACTERS,
  MAX_SALT_BYTES,
  MAX_SCRYPT_COST,
  MAX_SECRET_CHARACTERS,
  type Right,
  SCRYPT_BLOCK_SIZE,
  SCRYPT_PARALLELISM,
} from "../kv/auth/auth_command.ts";
import { KEY_SET } from "./branching_command.ts";
import { boolean, bytes, integer, list, nullable, numbered, text } from "./field.ts";
import { frame, record, variants } from "./schema.ts";

/** The name of a user, role or token. */
export const AUTH_NAME = text(MAX_AUTH_NAME_CHARACTERS);

const HASH = bytes(AUTH_HASH_BYTES);

/** A right over keys. */
export const GRANT = record("grant", {
  right: numbered<Right>({ read: 1, write: 2, admin: 3 }),
  keys: KEY_SET,
});

/** The hash of a password. */
export const PASSWORD = record("password", {
  algorithm: numbered({ scrypt: 1 }),
  cost: integer(1, MAX_SCRYPT_COST),
  blockSize: integer(SCRYPT_BLOCK_SIZE, SCRYPT_BLOCK_SIZE),
  parallelism: integer(SCRYPT_PARALLELISM, SCRYPT_PARALLELISM),
  salt: bytes(MAX_SALT_BYTES),
  hash: HASH,
});

/** One change of users, roles and tokens. */
export const AUTH_CHANGE = variants("change", {
  setEnabled: frame(1, { enabled: boolean() }),
  addUser: frame(2, { user: AUTH_NAME, password: nullable(PASSWORD) }),
  setPassword: frame(3, { user: AUTH_NAME, password: nullable(PASSWORD) }),
  removeUser: frame(4, { user: AUTH_NAME }),
  grantRole: frame(5, { user: AUTH_NAME, role: AUTH_NAME }),
  revokeRole: frame(6, { user: AUTH_NAME, role: AUTH_NAME }),
  addToken: frame(7, {
    user: AUTH_NAME,
    token: AUTH_NAME,
    hash: HASH,
    expiresAtMs: nullable(integer(1)),
  }),
  revokeToken: frame(8, { user: AUTH_NAME, token: AUTH_NAME }),
  addRole: frame(9, { role: AUTH_NAME }),
  removeRole: frame(10, { role: AUTH_NAME }),
  addGrant: frame(11, { role: AUTH_NAME, grant: GRANT }),
  removeGrant: frame(12, { role: AUTH_NAME, grant: GRANT }),
});

/** The credential with which a client signs in. */
export const SIGN_IN = variants("method", {
  password: frame(1, { user: AUTH_NAME, password: text(MAX_SECRET_CHARACTERS) }),
  token: frame(2, { token: text(MAX_SECRET_CHARACTERS) }),
  /** As no user, also where the connection has shown a certificate: a gateway must not lend its own user to its clients. */
  none: frame(3, {}),
});

/** Where a list of users and roles continues: after this role or user, users after roles. */
export const AUTH_POSITION = record("position", {
  kind: numbered({ role: 1, user: 2 }),
  name: AUTH_NAME,
});

/** A user as others may see it: no hash. */
export const USER = record("user", {
  name: text(),
  hasPassword: boolean(),
  roles: list(text()),
  tokens: list(record("token", { name: text(), expiresAtMs: nullable(integer(1)) })),
});
