/** The bytes of users, roles and tokens: in commands that change them, in requests, and in answers. */
import {
  AUTH_HASH_BYTES,
  type Identity,
  MAX_AUTH_NAME_CHARACTERS,
  MAX_SALT_BYTES,
  MAX_SCRYPT_COST,
  MAX_SECRET_CHARACTERS,
  NODE_IDENTITY,
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

/** The number of an authorized command, and its elements: the number, the three of the identity, the command of the user. */
export const AUTHORIZED_NUMBER = 12;
export const AUTHORIZED_ELEMENTS = 5;
const FIXED_ARRAY = 0x90;
const UINT_8 = 0xcc;
const UINT_16 = 0xcd;
const UINT_32 = 0xce;
/** The array, its number, and three integers of five bytes. */
const MAX_HEAD_BYTES = 17;

/**
 * Reads the identities in front of commands without the general reader: every node reads one for each write of a user, and
 * with the general reader the decoding of a put took 1.4 times as long as without an identity.
 */
export class IdentityReader {
  /** The identity that was read last. Most commands that follow each other are of one user, and share the object. */
  identity: Identity = NODE_IDENTITY;
  #position = 0;

  /**
   * Reads the identity at the start of a command, and returns the position of the user's command behind it. Returns 0 for a
   * command without one, and for one that is written in another manner than usual: the general reader decides about these.
   */
  read(bytes: Uint8Array): number {
    if (bytes[0] !== (FIXED_ARRAY | AUTHORIZED_ELEMENTS) || bytes[1] !== AUTHORIZED_NUMBER) return 0;
    if (bytes.length < MAX_HEAD_BYTES) return 0;
    this.#position = 2;
    const userId = this.#integer(bytes);
    const credential = this.#integer(bytes);
    const authRevision = this.#integer(bytes);
    if (userId < 0 || credential < 0 || authRevision < 0) return 0;
    const last = this.identity;
    if (
      last.userId !== userId || last.credential !== credential || last.authRevision !== authRevision
    ) {
      this.identity = { userId, credential, authRevision };
    }
    return this.#position;
  }

  /** Returns the next integer, below 0 for one that is not written as an unsigned integer of at most 32 bits. */
  #integer(bytes: Uint8Array): number {
    const type = this.#next(bytes);
    if (type < 0x80) return type;
    if (type === UINT_8) return this.#next(bytes);
    if (type === UINT_16) return this.#next(bytes) * 256 + this.#next(bytes);
    if (type !== UINT_32) return -1;
    const high = this.#next(bytes) * 256 + this.#next(bytes);
    return high * 65_536 + this.#next(bytes) * 256 + this.#next(bytes);
  }

  #next(bytes: Uint8Array): number {
    return bytes[this.#position++] ?? 0;
  }
}
