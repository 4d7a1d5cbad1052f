/** A slow model of users, roles and tokens: one list of each, and no caches. */
import type { AuthChange, AuthFailure, AuthResult, Grant, KeySet, Right } from "../../../../lib/kv/mod.ts";

interface NaiveToken {
  readonly name: string;
  readonly credential: number;
  readonly hash: string;
  readonly expires: boolean;
}

interface NaiveUser {
  readonly id: number;
  readonly name: string;
  hasPassword: boolean;
  passwordRevision: number;
  roles: readonly string[];
  tokens: readonly NaiveToken[];
}

/** The model. */
export class NaiveAuth {
  enabled = false;
  revision = 0;
  #users: readonly NaiveUser[] = [];
  #roles: readonly { readonly name: string; readonly grants: readonly Grant[] }[] = [];

  /** Makes a change. */
  change(change: AuthChange): AuthResult {
    const before = structuredClone({ users: this.#users, roles: this.#roles, enabled: this.enabled });
    const result = this.#attempt(change);
    const isLockedOut = this.enabled && !hasLastingRoot(this.#users);
    const reason = typeof result === "string" ? result : isLockedOut ? "lastRoot" : null;
    if (reason === null) {
      if (result) this.revision += 1;
      return { kind: "authChanged", authRevision: this.revision };
    }
    this.#users = before.users;
    this.#roles = before.roles;
    this.enabled = before.enabled;
    return { kind: "authFailed", reason };
  }

  /** Whether a credential is still there. */
  holds({ userId, credential }: { readonly userId: number; readonly credential: number }): boolean {
    const user = this.#users.find(({ id }) => id === userId);
    if (user === undefined || credential === 0) return user !== undefined;
    return user.hasPassword && user.passwordRevision === credential ||
      user.tokens.some((token) => token.credential === credential);
  }

  /** Whether a user may do something with a key. */
  allows(userId: number, right: Right, key: Uint8Array): boolean {
    const user = this.#users.find(({ id }) => id === userId);
    if (user === undefined) return false;
    if (user.roles.includes("root")) return true;
    const grants = this.#roles.filter(({ name }) => user.roles.includes(name)).flatMap((role) => role.grants);
    return grants.some((grant) =>
      (grant.right === right || grant.right === "admin") && hasKey(grant.keys, key)
    );
  }

  /** Whether a user may do something with at least one key. */
  allowsAny(userId: number, right: Right): boolean {
    const user = this.#users.find(({ id }) => id === userId);
    if (user === undefined) return false;
    const grants = this.#roles.filter(({ name }) => user.roles.includes(name)).flatMap((role) => role.grants);
    return user.roles.includes("root") ||
      grants.some((grant) => grant.right === right || grant.right === "admin");
  }

  /** All of it, in a form that is compared as a whole. */
  contents(): unknown {
    const users = this.#users.map(({ roles, ...user }) => ({ ...user, roles: [...roles].sort() }));
    const roles = this.#roles.map(({ name, grants }) => ({ name, grants: grants.map(textOf).sort() }));
    return {
      enabled: this.enabled,
      revision: this.revision,
      users,
      roles: roles.sort((a, b) => a.name < b.name ? -1 : 1),
    };
  }

  /** Returns why a change fails, and otherwise whether it changed anything. */
  #attempt(change: AuthChange): AuthFailure | boolean {
    const next = this.revision + 1;
    const user = "user" in change ? this.#users.find(({ name }) => name === change.user) : undefined;
    const role = "role" in change ? this.#roles.find(({ name }) => name === change.role) : undefined;
    switch (change.kind) {
      case "setEnabled": {
        if (change.enabled && !hasLastingRoot(this.#users)) return "noRoot";
        const isChanged = this.enabled !== change.enabled;
        this.enabled = change.enabled;
        return isChanged;
      }
      case "addUser": {
        if (user !== undefined) return "userExists";
        const hasPassword = change.password !== null;
        const added = {
          id: next,
          name: change.user,
          hasPassword,
          passwordRevision: next,
          roles: [],
          tokens: [],
        };
        this.#users = [...this.#users, added];
        return true;
      }
      case "addRole":
        if (change.role === "root" || role !== undefined) return "roleExists";
        this.#roles = [...this.#roles, { name: change.role, grants: [] }];
        return true;
      case "removeRole":
        if (change.role === "root") return "rootRole";
        if (role === undefined) return "roleNotFound";
        this.#roles = this.#roles.filter((other) => other !== role);
        for (const one of this.#users) one.roles = one.roles.filter((name) => name !== change.role);
        return true;
      case "addGrant":
      case "removeGrant": {
        if (change.role === "root") return "rootRole";
        if (role === undefined) return "roleNotFound";
        const others = role.grants.filter((grant) => textOf(grant) !== textOf(change.grant));
        const had = others.length < role.grants.length;
        if (change.kind === "removeGrant" && !had) return "grantNotFound";
        const grants = change.kind === "addGrant" ? [...others, change.grant] : others;
        this.#roles = this.#roles.map((other) => other === role ? { ...role, grants } : other);
        return change.kind === "removeGrant" || !had;
      }
      default:
        return user === undefined ? "userNotFound" : this.#attemptOn(user, change);
    }
  }

  #attemptOn(user: NaiveUser, change: AuthChange): AuthFailure | boolean {
    const next = this.revision + 1;
    switch (change.kind) {
      case "setPassword":
        if (change.password === null && !user.hasPassword) return false;
        user.hasPassword = change.password !== null;
        user.passwordRevision = next;
        return true;
      case "removeUser":
        this.#users = this.#users.filter((other) => other !== user);
        return true;
      case "grantRole":
        if (change.role !== "root" && !this.#roles.some(({ name }) => name === change.role)) {
          return "roleNotFound";
        }
        if (user.roles.includes(change.role)) return false;
        user.roles = [...user.roles, change.role];
        return true;
      case "revokeRole":
        if (!user.roles.includes(change.role)) return "roleNotFound";
        user.roles = user.roles.filter((name) => name !== change.role);
        return true;
      case "addToken": {
        const hash = change.hash.toHex();
        const isTaken = this.#users.some(({ tokens }) => tokens.some((token) => token.hash === hash));
        if (isTaken || user.tokens.some(({ name }) => name === change.token)) return "tokenExists";
        const token = { name: change.token, credential: next, hash, expires: change.expiresAtMs !== null };
        user.tokens = [...user.tokens, token];
        return true;
      }
      case "revokeToken": {
        const tokens = user.tokens.filter(({ name }) => name !== change.token);
        if (tokens.length === user.tokens.length) return "tokenNotFound";
        user.tokens = tokens;
        return true;
      }
      default:
        throw new Error(`${change.kind} is no change of a user`);
    }
  }
}

/** Whether a set has a key. */
export function hasKey(keys: KeySet, key: Uint8Array): boolean {
  const text = key.toHex();
  if (keys.kind === "key") return keys.key.toHex() === text;
  return keys.start.toHex() <= text && (keys.end === null || text < keys.end.toHex());
}

function textOf({ right, keys }: Grant): string {
  if (keys.kind === "key") return `${right} ${keys.key.toHex()}`;
  return `${right} ${keys.start.toHex()}-${keys.end?.toHex() ?? "end"}`;
}

/** Whether a user with the role root has a password or a token that never expires. */
function hasLastingRoot(users: readonly NaiveUser[]): boolean {
  return users.some(({ roles, hasPassword, tokens }) =>
    roles.includes("root") && (hasPassword || tokens.some(({ expires }) => !expires))
  );
}
