/**
 * The bytes of the records of users, roles and tokens, and the checks of each against those before it: a snapshot may come
 * from another node or from a backup.
 *
 *     ["auth", enabled, revision]                                            before the others; at feature level 2 on
 *     ["role", name]                                                         by name
 *     ["grant", [right, keys]]                                               of the role before, sorted
 *     ["user", id, name, password | nil, passwordRevision, [role…]]          by id
 *     ["token", userId, name, credential, hash, expiresAtMs | nil]           of the user before, by credential
 */
import {
  AUTH_HASH_BYTES,
  type AuthRecord,
  compareGrants,
  compareNames,
  type Grant,
  grantedKeyBytes,
  MAX_ROLE_GRANTS,
  MAX_ROLE_KEY_BYTES,
  MAX_ROLES,
  MAX_USER_ROLES,
  MAX_USER_TOKENS,
  MAX_USERS,
  ownGrant,
  ownPassword,
  ROOT_ROLE,
  validateAuthName,
  validateGrant,
  validatePasswordHash,
} from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import { AUTH_NAME, GRANT, PASSWORD } from "../../protocol/auth_command.ts";
import { integer, list, nullable } from "../../protocol/field.ts";
import type { MessagePackReader } from "../../protocol/msgpack_reader.ts";
import type { MessagePackWriter } from "../../protocol/msgpack_writer.ts";

const OPTIONAL_PASSWORD = nullable(PASSWORD);
const ROLE_NAMES = list(AUTH_NAME, MAX_USER_ROLES);
const EXPIRY = nullable(integer(1));

/** The kinds of these records. */
const KINDS = { auth: true, role: true, grant: true, user: true, token: true } as const;

/** Whether a record of this kind is one of users, roles and tokens. */
export function isAuthKind(kind: string): kind is AuthRecord[0] {
  return Object.hasOwn(KINDS, kind);
}

/** Writes the elements of a record after its kind. */
export function writeAuthRecord(out: MessagePackWriter, record: AuthRecord): void {
  switch (record[0]) {
    case "auth":
      out.boolean(record[1]);
      out.integer(record[2]);
      break;
    case "role":
      out.string(record[1]);
      break;
    case "grant":
      GRANT.write(out, record[1]);
      break;
    case "user": {
      const [, id, name, password, passwordRevision, roles] = record;
      out.integer(id);
      out.string(name);
      OPTIONAL_PASSWORD.write(out, password);
      out.integer(passwordRevision);
      ROLE_NAMES.write(out, roles);
      break;
    }
    case "token": {
      const [, userId, name, credential, hash, expiresAtMs] = record;
      out.integer(userId);
      out.string(name);
      out.integer(credential);
      out.binary(hash);
      EXPIRY.write(out, expiresAtMs);
      break;
    }
    default:
      assertNever(record);
  }
}

/** The role whose grants are read. */
interface OpenRole {
  readonly name: string;
  grants: number;
  keyBytes: number;
  lastGrant: Grant | null;
}

/** The user whose tokens are read. */
interface OpenUser {
  readonly id: number;
  readonly passwordRevision: number;
  readonly tokens: Set<string>;
  lastCredential: number;
}

/** Reads these records of one state in their canonical order. */
export class AuthRecordReader {
  #revision = 0;
  readonly #roles = new Set<string>();
  readonly #users = new Set<string>();
  readonly #tokenHashes = new Set<string>();
  #role: OpenRole | null = null;
  #user: OpenUser | null = null;

  /** Number of changes of users, roles and tokens; 0 without their records. */
  get revision(): number {
    return this.#revision;
  }

  /** Reads a record's elements after its kind. Throws DecodeError for one that cannot follow those before it. */
  read(input: MessagePackReader, kind: AuthRecord[0], appliedIndex: number): AuthRecord {
    if ((kind === "auth") !== (this.#revision === 0)) {
      throw input.error("a record's kind", "must be auth before users and roles, and only there");
    }
    switch (kind) {
      case "auth": {
        const enabled = input.boolean("enabled");
        this.#revision = within(input, "auth revision", { minimum: 1, maximum: appliedIndex });
        return ["auth", enabled, this.#revision];
      }
      case "role":
        return this.#readRole(input);
      case "grant":
        return this.#readGrant(input);
      case "user":
        return this.#readUser(input);
      case "token":
        return this.#readToken(input);
      default:
        return assertNever(kind);
    }
  }

  #readRole(input: MessagePackReader): AuthRecord {
    const name = readName(input, "role");
    const isNext = this.#users.size === 0 && (this.#role === null || compareNames(name, this.#role.name) > 0);
    if (!isNext || name === ROOT_ROLE) {
      throw input.error("role", "must be after the one before, and not root");
    }
    this.#roles.add(name);
    if (this.#roles.size > MAX_ROLES) throw input.error("role", `must not be one above ${MAX_ROLES}`);
    this.#role = { name, grants: 0, keyBytes: 0, lastGrant: null };
    return ["role", name];
  }

  #readGrant(input: MessagePackReader): AuthRecord {
    const role = this.#role;
    const grant = ownGrant(GRANT.read(input, "grant"));
    if (role === null || this.#users.size > 0) throw input.error("grant", "must follow a role");
    if (role.lastGrant !== null && compareGrants(grant, role.lastGrant) <= 0) {
      throw input.error("grant", "must be after the one before");
    }
    role.lastGrant = grant;
    role.grants += 1;
    role.keyBytes += grantedKeyBytes(grant.keys);
    const isWithin = role.grants <= MAX_ROLE_GRANTS && role.keyBytes <= MAX_ROLE_KEY_BYTES;
    if (!isWithin || validateGrant(grant) !== null) {
      throw input.error("grant", "must keep the limits of grants");
    }
    return ["grant", grant];
  }

  #readUser(input: MessagePackReader): AuthRecord {
    const id = within(input, "userId", { minimum: 1 + (this.#user?.id ?? 0), maximum: this.#revision });
    const name = readName(input, "user");
    if (this.#users.has(name)) throw input.error("user", "must not have the name of another one");
    this.#users.add(name);
    if (this.#users.size > MAX_USERS) throw input.error("user", `must not be one above ${MAX_USERS}`);
    const password = ownPassword(OPTIONAL_PASSWORD.read(input, "password"));
    if (password !== null && validatePasswordHash(password) !== null) {
      throw input.error("password", "must be a hash that this version makes");
    }
    const passwordRevision = within(input, "passwordRevision", { minimum: id, maximum: this.#revision });
    const roles = ROLE_NAMES.read(input, "roles");
    const isSorted = roles.every((role, position) => compareNames(roles[position - 1] ?? "", role) < 0);
    if (!isSorted || !roles.every((role) => role === ROOT_ROLE || this.#roles.has(role))) {
      throw input.error("roles", "must exist and be in order");
    }
    this.#user = { id, passwordRevision, tokens: new Set(), lastCredential: id };
    return ["user", id, name, password, passwordRevision, roles];
  }

  #readToken(input: MessagePackReader): AuthRecord {
    const user = this.#user;
    const userId = input.integer("userId", 1);
    if (user?.id !== userId) throw input.error("userId", "must be that of the user before");
    const name = readName(input, "token");
    if (user.tokens.has(name)) throw input.error("token", "must not have the name of another one");
    user.tokens.add(name);
    if (user.tokens.size > MAX_USER_TOKENS) {
      throw input.error("token", `must not be one above ${MAX_USER_TOKENS}`);
    }
    const range = { minimum: user.lastCredential + 1, maximum: this.#revision };
    const credential = within(input, "credential", range);
    if (credential === user.passwordRevision) {
      throw input.error("credential", "must not be that of the password");
    }
    user.lastCredential = credential;
    const hash = input.binary("hash").slice();
    const hashText = hash.toHex();
    if (hash.length !== AUTH_HASH_BYTES || this.#tokenHashes.has(hashText)) {
      throw input.error("hash", `must have ${AUTH_HASH_BYTES} bytes and not be that of another token`);
    }
    this.#tokenHashes.add(hashText);
    return ["token", userId, name, credential, hash, EXPIRY.read(input, "expiresAtMs")];
  }
}

function within(
  input: MessagePackReader,
  field: string,
  { minimum, maximum }: { readonly minimum: number; readonly maximum: number },
): number {
  const value = input.integer(field, minimum);
  if (value > maximum) throw input.error(field, `must not be above ${maximum}`);
  return value;
}

function readName(input: MessagePackReader, what: "user" | "role" | "token"): string {
  const name = input.string(what);
  if (validateAuthName(what, name) !== null) throw input.error(what, "must be a valid name");
  return name;
}
