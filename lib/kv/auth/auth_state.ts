/**
 * The users, roles and tokens of a cluster, part of the replicated state: the same log makes the same on every node.
 *
 * Users and roles are immutable objects that a change replaces, so a view of them is a list.
 */
import { assert, assertNever } from "../../platform/assert.ts";
import {
  type AuthChange,
  type AuthFailure,
  type AuthResult,
  type Grant,
  type Identity,
  MAX_ROLE_GRANTS,
  MAX_ROLE_KEY_BYTES,
  MAX_ROLES,
  MAX_USER_ROLES,
  MAX_USER_TOKENS,
  MAX_USERS,
  type PasswordHash,
  ROOT_ROLE,
} from "./auth_command.ts";
import { compareGrants, compareNames, ownGrant, ownPassword, withElement } from "./auth_values.ts";
import { keyText } from "../keys.ts";
import { UserRights } from "./user_rights.ts";
import { grantedKeyBytes } from "./validate_auth.ts";

/** A token of a user. */
export interface Token {
  /** The user's id. */
  readonly userId: number;
  readonly name: string;
  /** The auth revision at which it was added. */
  readonly credential: number;
  /** SHA-256 of the token. */
  readonly hash: Uint8Array;
  /** Wall-clock time from which on nodes refuse it; null: never. */
  readonly expiresAtMs: number | null;
}

/** A user. */
export interface User {
  /** The auth revision at which it was added. */
  readonly id: number;
  readonly name: string;
  readonly password: PasswordHash | null;
  /** The auth revision at which the password was last set, to none as well. */
  readonly passwordRevision: number;
  /** In order of their names. */
  readonly roles: readonly string[];
  /** In the order in which they were added. */
  readonly tokens: readonly Token[];
}

/** A role besides the role root. */
export interface Role {
  readonly name: string;
  /** Sorted. */
  readonly grants: readonly Grant[];
}

/** All users and roles, as of one auth revision. */
export interface AuthView {
  readonly enabled: boolean;
  readonly revision: number;
  /** By name. */
  readonly roles: readonly Role[];
  /** By id. */
  readonly users: readonly User[];
}

/**
 * The users and roles.
 *
 * Invariants: `revision` is the number of changes made; every role of a user exists; no two tokens have the same hash; a
 * user with the role root has a password or a token that never expires while authentication is enabled.
 */
export class AuthState {
  #enabled = false;
  #revision = 0;
  readonly #roles = new Map<string, Role>();
  readonly #users = new Map<string, User>();
  readonly #usersById = new Map<number, User>();
  /** By the text of their hashes. */
  readonly #tokens = new Map<string, Token>();
  /** Rights by user id, made when they are first asked for at this revision. */
  readonly #rights = new Map<number, UserRights>();

  /** Whether commands and requests need a user. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Number of changes made. */
  get revision(): number {
    return this.#revision;
  }

  /** Number of users. */
  get userCount(): number {
    return this.#users.size;
  }

  /** Number of roles besides the role root. */
  get roleCount(): number {
    return this.#roles.size;
  }

  /** Number of tokens. */
  get tokenCount(): number {
    return this.#tokens.size;
  }

  /** Returns a user by name, or null. */
  user(name: string): User | null {
    return this.#users.get(name) ?? null;
  }

  /** Returns a user by id, or null. */
  userById(userId: number): User | null {
    return this.#usersById.get(userId) ?? null;
  }

  /** Returns a role, or null; the role root is none of these. */
  role(name: string): Role | null {
    return this.#roles.get(name) ?? null;
  }

  /** Returns the token with this SHA-256, or null. */
  tokenByHash(hash: Uint8Array): Token | null {
    return this.#tokens.get(keyText(hash)) ?? null;
  }

  /** Whether the user and the credential of an identity are still there; when a token expires is not looked at. */
  holds({ userId, credential }: Pick<Identity, "userId" | "credential">): boolean {
    const user = this.#usersById.get(userId);
    if (user === undefined) return false;
    if (credential === 0) return true;
    if (user.password !== null && user.passwordRevision === credential) return true;
    return user.tokens.some((token) => token.credential === credential);
  }

  /** Whether the credential of an identity is a token of its user. */
  isToken({ userId, credential }: Pick<Identity, "userId" | "credential">): boolean {
    const tokens = this.#usersById.get(userId)?.tokens ?? [];
    return tokens.some((token) => token.credential === credential);
  }

  /** Returns the rights of a user; of one that does not exist none. Cached until the next change. */
  rightsOf(userId: number): UserRights {
    const cached = this.#rights.get(userId);
    if (cached !== undefined) return cached;
    const user = this.#usersById.get(userId);
    if (user === undefined) return NO_RIGHTS;
    const grants = user.roles.flatMap((name) => this.#roles.get(name)?.grants ?? []);
    const rights = new UserRights(grants, { isRoot: user.roles.includes(ROOT_ROLE) });
    this.#rights.set(userId, rights);
    return rights;
  }

  /** Makes a valid change, or returns why it is not made. */
  change(change: AuthChange): AuthResult {
    const reason = this.#change(change);
    if (reason !== null) return { kind: "authFailed", reason };
    return { kind: "authChanged", authRevision: this.#revision };
  }

  /** Returns all users and roles as of now; later changes do not show. O(n log n). */
  view(): AuthView {
    return {
      enabled: this.#enabled,
      revision: this.#revision,
      roles: [...this.#roles.values()].sort((a, b) => compareNames(a.name, b.name)),
      users: [...this.#usersById.values()].sort((a, b) => a.id - b.id),
    };
  }

  /** Restores a view into this state, which is empty. The caller has checked that it keeps the invariants. */
  restore({ enabled, revision, roles, users }: AuthView): void {
    assert(this.#revision === 0, "users are restored into an empty state");
    this.#enabled = enabled;
    this.#revision = revision;
    for (const role of roles) this.#roles.set(role.name, role);
    for (const user of users) {
      this.#setUser(user);
      for (const token of user.tokens) this.#tokens.set(keyText(token.hash), token);
    }
  }

  #change(change: AuthChange): AuthFailure | null {
    switch (change.kind) {
      case "setEnabled":
        return this.#setEnabled(change.enabled);
      case "addUser":
        return this.#addUser(change.user, change.password);
      case "addRole":
        return this.#addRole(change.role);
      case "removeRole":
        return this.#removeRole(change.role);
      case "addGrant":
        return this.#addGrant(change.role, change.grant);
      case "removeGrant":
        return this.#removeGrant(change.role, change.grant);
      case "setPassword":
      case "removeUser":
      case "grantRole":
      case "revokeRole":
      case "addToken":
      case "revokeToken": {
        const user = this.#users.get(change.user);
        return user === undefined ? "userNotFound" : this.#changeUser(user, change);
      }
      default:
        return assertNever(change);
    }
  }

  #setEnabled(enabled: boolean): AuthFailure | null {
    if (enabled && !this.#hasLastingRoot()) return "noRoot";
    if (enabled === this.#enabled) return null;
    this.#changed();
    this.#enabled = enabled;
    return null;
  }

  #addUser(name: string, password: PasswordHash | null): AuthFailure | null {
    if (this.#users.has(name)) return "userExists";
    if (this.#users.size >= MAX_USERS) return "tooMany";
    const revision = this.#changed();
    this.#setUser({
      id: revision,
      name,
      password: ownPassword(password),
      passwordRevision: revision,
      roles: [],
      tokens: [],
    });
    return null;
  }

  #changeUser(user: User, change: UserChange): AuthFailure | null {
    switch (change.kind) {
      case "setPassword": {
        if (change.password === null && user.password === null) return null;
        const password = ownPassword(change.password);
        return this.#replaceUser(user, { ...user, password, passwordRevision: this.#revision + 1 });
      }
      case "removeUser":
        return this.#replaceUser(user, null);
      case "grantRole": {
        const { role } = change;
        if (role !== ROOT_ROLE && !this.#roles.has(role)) return "roleNotFound";
        if (user.roles.includes(role)) return null;
        if (user.roles.length >= MAX_USER_ROLES) return "tooMany";
        return this.#replaceUser(user, { ...user, roles: withElement(user.roles, role, compareNames) });
      }
      case "revokeRole": {
        if (!user.roles.includes(change.role)) return "roleNotFound";
        return this.#replaceUser(user, { ...user, roles: user.roles.filter((role) => role !== change.role) });
      }
      case "addToken":
        return this.#addToken(user, change);
      case "revokeToken": {
        const tokens = user.tokens.filter(({ name }) => name !== change.token);
        if (tokens.length === user.tokens.length) return "tokenNotFound";
        return this.#replaceUser(user, { ...user, tokens });
      }
      default:
        return assertNever(change);
    }
  }

  #addToken(user: User, change: Extract<AuthChange, { readonly kind: "addToken" }>): AuthFailure | null {
    const { token: name, expiresAtMs } = change;
    const hash = change.hash.slice();
    if (user.tokens.some((token) => token.name === name) || this.tokenByHash(hash) !== null) {
      return "tokenExists";
    }
    if (user.tokens.length >= MAX_USER_TOKENS) return "tooMany";
    const token = { userId: user.id, name, credential: this.#revision + 1, hash, expiresAtMs };
    return this.#replaceUser(user, { ...user, tokens: [...user.tokens, token] });
  }

  #addRole(name: string): AuthFailure | null {
    if (name === ROOT_ROLE || this.#roles.has(name)) return "roleExists";
    if (this.#roles.size >= MAX_ROLES) return "tooMany";
    this.#changed();
    this.#roles.set(name, { name, grants: [] });
    return null;
  }

  #removeRole(name: string): AuthFailure | null {
    if (name === ROOT_ROLE) return "rootRole";
    if (!this.#roles.has(name)) return "roleNotFound";
    this.#changed();
    this.#roles.delete(name);
    for (const user of [...this.#users.values()]) {
      if (!user.roles.includes(name)) continue;
      this.#setUser({ ...user, roles: user.roles.filter((role) => role !== name) });
    }
    return null;
  }

  #addGrant(name: string, grant: Grant): AuthFailure | null {
    if (name === ROOT_ROLE) return "rootRole";
    const role = this.#roles.get(name);
    if (role === undefined) return "roleNotFound";
    if (role.grants.some((granted) => compareGrants(granted, grant) === 0)) return null;
    if (role.grants.length >= MAX_ROLE_GRANTS) return "tooMany";
    const bytes = role.grants.reduce((sum, { keys }) => sum + grantedKeyBytes(keys), 0);
    if (bytes + grantedKeyBytes(grant.keys) > MAX_ROLE_KEY_BYTES) return "tooMany";
    this.#changed();
    this.#roles.set(name, { name, grants: withElement(role.grants, ownGrant(grant), compareGrants) });
    return null;
  }

  #removeGrant(name: string, grant: Grant): AuthFailure | null {
    if (name === ROOT_ROLE) return "rootRole";
    const role = this.#roles.get(name);
    if (role === undefined) return "roleNotFound";
    const grants = role.grants.filter((granted) => compareGrants(granted, grant) !== 0);
    if (grants.length === role.grants.length) return "grantNotFound";
    this.#changed();
    this.#roles.set(name, { name, grants });
    return null;
  }

  /** Replaces a user, or removes it (null), unless that would leave no lasting root user. */
  #replaceUser(user: User, replacement: User | null): AuthFailure | null {
    if (
      this.#enabled && user.roles.includes(ROOT_ROLE) &&
      !this.#hasLastingRoot(user, replacement)
    ) {
      return "lastRoot";
    }
    this.#changed();
    const kept = new Set(replacement?.tokens);
    for (const token of user.tokens) if (!kept.has(token)) this.#tokens.delete(keyText(token.hash));
    for (const token of kept) this.#tokens.set(keyText(token.hash), token);
    if (replacement !== null) {
      this.#setUser(replacement);
    } else {
      this.#users.delete(user.name);
      this.#usersById.delete(user.id);
    }
    return null;
  }

  /** Whether there is a lasting root user, after replacing one of the users unless that is null. */
  #hasLastingRoot(replaced: User | null = null, replacement: User | null = null): boolean {
    for (const user of this.#users.values()) {
      const current = user === replaced ? replacement : user;
      if (current !== null && isLastingRoot(current)) return true;
    }
    return false;
  }

  #setUser(user: User): void {
    this.#users.set(user.name, user);
    this.#usersById.set(user.id, user);
  }

  /** Counts a change; returns its revision. */
  #changed(): number {
    this.#rights.clear();
    return ++this.#revision;
  }
}

/** A change of a user that exists. */
type UserChange = Extract<AuthChange, { readonly user: string }> extends infer T
  ? T extends { readonly kind: "addUser" } ? never : T
  : never;

const NO_RIGHTS = new UserRights([], { isRoot: false });

/**
 * Whether a user has the role root and a password or a token that never expires. A certificate does not count: the state
 * does not know whether the nodes use TLS.
 */
function isLastingRoot({ roles, password, tokens }: User): boolean {
  if (!roles.includes(ROOT_ROLE)) return false;
  return password !== null || tokens.some(({ expiresAtMs }) => expiresAtMs === null);
}
