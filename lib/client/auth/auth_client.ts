/** Users, roles and tokens: {@link AuthClient}. */
import type { AuthChange, PasswordHash, Right } from "../../kv/auth/auth_command.ts";
import { UserRights } from "../../kv/auth/user_rights.ts";
import type { ResultOf } from "../../protocol/client_frames.ts";
import { checkInteger, checkObject } from "../argument_checks.ts";
import type { CallContext } from "../call_context.ts";
import type { Answered } from "../calls.ts";
import type { ClientCore } from "../core.ts";
import type { CallOptions } from "../types.ts";
import { changeAuth } from "./changes.ts";
import { checkName, checkPassword, checkUserName, toGrant } from "./input.ts";
import { hashPassword, newToken } from "./secrets.ts";
import type {
  AddUserOptions,
  AuthChangeResult,
  AuthStatus,
  CreatedToken,
  GrantKeys,
  GrantResult,
  RoleInfo,
  TokenRequest,
  UserInfo,
} from "./types.ts";

/** Calls the private constructor of {@link AuthClient}, for this library's own modules. */
export let authOn: (core: ClientCore) => AuthClient;

/** A page of users and roles. */
type Page = ResultOf<"readAuth">;

/**
 * The users of a cluster, their roles, passwords and tokens. A {@link KvClient} has one as `auth`.
 *
 * A user has roles, and a role has grants: a right over a key, over all keys with a prefix, or over all keys. `read` and
 * `write` are independent of each other; `admin` includes both, and over all keys it also allows operating the cluster. The
 * role `root` has every right and alone may change users and roles; every user may change its own password and tokens.
 *
 * Hashes are made in this client: neither a password nor a token is ever in the cluster's log.
 */
export class AuthClient {
  readonly #core: ClientCore;

  static {
    authOn = (core) => new AuthClient(core);
  }

  private constructor(core: ClientCore) {
    this.#core = core;
  }

  /**
   * Returns whether authentication is enabled, and the user of this client with its rights. Needs no right.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function whoAmI(client: KvClient): Promise<string> {
   *   const { enabled, user } = await client.auth.status();
   *   return enabled ? user ?? "not signed in" : "any client";
   * }
   * ```
   */
  async status(options: CallOptions = {}): Promise<AuthStatus> {
    const notes = { kind: "read", action: "read the status of authentication" } as const;
    const context = this.#core.context(options);
    const { message } = await this.#core.call({ kind: "authStatus" }, { ...notes, context });
    const { enabled, authRevision, user, via, roles, grants, more } = message;
    return { enabled, authRevision, user, via, roles, grants, hasMoreGrants: more };
  }

  /**
   * Enables authentication: from then on every request needs a user that has the right to it.
   *
   * @throws {AuthChangeRefusedError} "noRoot" when no user has the role root and a password or a token that never expires
   * @throws {KvraftError} one of its classes; `outcome` says whether it may have been enabled
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function secure(client: KvClient, password: string): Promise<void> {
   *   await client.auth.addUser("ada", { password });
   *   await client.auth.grantRole("ada", "root");
   *   await client.auth.enable();
   * }
   * ```
   */
  async enable(options: CallOptions = {}): Promise<AuthChangeResult> {
    return await this.#change({ kind: "setEnabled", enabled: true }, "enable authentication", options);
  }

  /**
   * Disables authentication: every client may do everything from then on. Users and roles are kept.
   *
   * @throws {KvraftError} one of its classes; `outcome` says whether it may have been disabled
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function open(client: KvClient): Promise<void> {
   *   await client.auth.disable();
   * }
   * ```
   */
  async disable(options: CallOptions = {}): Promise<AuthChangeResult> {
    return await this.#change({ kind: "setEnabled", enabled: false }, "disable authentication", options);
  }

  /**
   * Returns all users, by name.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function roots(client: KvClient): Promise<string[]> {
   *   const users = await client.auth.users();
   *   return users.filter(({ roles }) => roles.includes("root")).map(({ name }) => name);
   * }
   * ```
   */
  async users(options: CallOptions = {}): Promise<readonly UserInfo[]> {
    return (await this.#pages("list users", options)).flatMap(({ users }) => users);
  }

  /**
   * Returns one user; null when there is none of this name. Every user may read itself.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function tokensOf(client: KvClient, user: string): Promise<string[]> {
   *   return (await client.auth.user(user))?.tokens.map(({ name }) => name) ?? [];
   * }
   * ```
   */
  async user(name: string, options: CallOptions = {}): Promise<UserInfo | null> {
    const notes = { action: `read the user ${checkUserName(name)}`, context: this.#core.context(options) };
    return (await this.#read({ user: name, role: null, after: null }, notes)).users[0] ?? null;
  }

  /**
   * Adds a user, without roles. It is no failure to repeat a call of which the outcome is unknown: a retry of this library
   * adds the user once.
   *
   * @throws {AuthChangeRefusedError} "userExists", "tooMany"
   * @throws {KvraftError} one of its classes; `outcome` says whether the user may have been added
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function addReader(client: KvClient, name: string, password: string): Promise<void> {
   *   await client.auth.addUser(name, { password });
   *   await client.auth.grantRole(name, "reader");
   * }
   * ```
   */
  async addUser(name: string, options: AddUserOptions = {}): Promise<AuthChangeResult> {
    const { password = null, ...others } = checkObject(options, "the options of a user");
    const action = `add the user ${checkUserName(name)}`;
    const hash = await this.#hash(password);
    return await this.#change({ kind: "addUser", user: name, password: hash }, action, others);
  }

  /**
   * Changes the password of a user, or removes it when null. Every user may change its own. Connections that signed in by
   * the password before have to sign in again; this client does so by itself if the password was its own.
   *
   * @throws {AuthChangeRefusedError} "userNotFound", "lastRoot"
   * @throws {KvraftError} one of its classes; `outcome` says whether the password may have been changed
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function renew(client: KvClient, password: string): Promise<void> {
   *   const { user } = await client.auth.status();
   *   if (user !== null) await client.auth.setPassword(user, password);
   * }
   * ```
   */
  async setPassword(
    user: string,
    password: string | null,
    options: CallOptions = {},
  ): Promise<AuthChangeResult> {
    const action = `change the password of ${checkUserName(user)}`;
    const hash = await this.#hash(password);
    const result = await this.#change({ kind: "setPassword", user, password: hash }, action, options);
    if (password !== null) this.#core.signIns?.passwordChanged(user, password);
    return result;
  }

  /**
   * Removes a user with its tokens. What its connections request from then on is refused.
   *
   * @throws {AuthChangeRefusedError} "userNotFound", "lastRoot"
   * @throws {KvraftError} one of its classes; `outcome` says whether the user may have been removed
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function cutOff(client: KvClient, user: string): Promise<void> {
   *   await client.auth.removeUser(user);
   * }
   * ```
   */
  async removeUser(user: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    return await this.#change(
      { kind: "removeUser", user },
      `remove the user ${checkUserName(user)}`,
      options,
    );
  }

  /**
   * Adds a role to a user. Does nothing if the user has it.
   *
   * @throws {AuthChangeRefusedError} "userNotFound", "roleNotFound", "tooMany"
   * @throws {KvraftError} one of its classes; `outcome` says whether the role may have been given
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function promote(client: KvClient, user: string): Promise<void> {
   *   await client.auth.grantRole(user, "root");
   * }
   * ```
   */
  async grantRole(user: string, role: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    checkName("role", role);
    const action = `give the role ${role} to ${checkUserName(user)}`;
    return await this.#change({ kind: "grantRole", user, role }, action, options);
  }

  /**
   * Takes a role from a user.
   *
   * @throws {AuthChangeRefusedError} "userNotFound", "roleNotFound", "lastRoot"
   * @throws {KvraftError} one of its classes; `outcome` says whether the role may have been taken
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function demote(client: KvClient, user: string): Promise<void> {
   *   await client.auth.revokeRole(user, "root");
   * }
   * ```
   */
  async revokeRole(user: string, role: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    checkName("role", role);
    const action = `take the role ${role} from ${checkUserName(user)}`;
    return await this.#change({ kind: "revokeRole", user, role }, action, options);
  }

  /**
   * Makes a token of 256 random bits by which a user signs in. The cluster has only its hash, so it can be read here and
   * never again. Every user may make its own.
   *
   * @throws {AuthChangeRefusedError} "userNotFound", "tokenExists", "tooMany"
   * @throws {KvraftError} one of its classes; `outcome` says whether the token may have been added
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function tokenFor(client: KvClient, user: string): Promise<string> {
   *   const { token } = await client.auth.createToken(user, { name: "deploy", expiresInMs: 30 * 86_400_000 });
   *   return token; // kvt_…
   * }
   * ```
   */
  async createToken(user: string, request: TokenRequest): Promise<CreatedToken> {
    const { name, expiresInMs, ...options } = checkObject(request, "a token");
    const action = `make the token ${checkName("token", name)} of ${checkUserName(user)}`;
    const expiresAtMs = expiresInMs === undefined
      ? null
      : Date.now() + checkInteger(expiresInMs, { what: "expiresInMs", min: 1 });
    const { token, hash } = newToken();
    const change = { kind: "addToken", user, token: name, hash, expiresAtMs } as const;
    const { authRevision } = await this.#change(change, action, options);
    return { token, name, expiresAtMs, authRevision };
  }

  /**
   * Revokes a token of a user. What connections request that signed in by it is refused from then on.
   *
   * @throws {AuthChangeRefusedError} "userNotFound", "tokenNotFound", "lastRoot"
   * @throws {KvraftError} one of its classes; `outcome` says whether the token may have been revoked
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function revokeAll(client: KvClient, user: string): Promise<void> {
   *   const tokens = (await client.auth.user(user))?.tokens ?? [];
   *   for (const { name } of tokens) await client.auth.revokeToken(user, name);
   * }
   * ```
   */
  async revokeToken(user: string, name: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    const action = `revoke the token ${checkName("token", name)} of ${checkUserName(user)}`;
    return await this.#change({ kind: "revokeToken", user, token: name }, action, options);
  }

  /**
   * Returns all roles, by name, without the role root.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function names(client: KvClient): Promise<string[]> {
   *   return (await client.auth.roles()).map(({ name }) => name);
   * }
   * ```
   */
  async roles(options: CallOptions = {}): Promise<readonly RoleInfo[]> {
    return (await this.#pages("list roles", options)).flatMap(({ roles }) => roles);
  }

  /**
   * Returns one role; null when there is none of this name.
   *
   * @throws {KvraftError} one of its classes; a read changes nothing
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function grantsOf(client: KvClient, role: string): Promise<number> {
   *   return (await client.auth.role(role))?.grants.length ?? 0;
   * }
   * ```
   */
  async role(name: string, options: CallOptions = {}): Promise<RoleInfo | null> {
    const notes = {
      action: `read the role ${checkName("role", name)}`,
      context: this.#core.context(options),
    };
    return (await this.#read({ user: null, role: name, after: null }, notes)).roles[0] ?? null;
  }

  /**
   * Adds a role, without grants.
   *
   * @throws {AuthChangeRefusedError} "roleExists", "tooMany"
   * @throws {KvraftError} one of its classes; `outcome` says whether the role may have been added
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function addReader(client: KvClient): Promise<void> {
   *   await client.auth.addRole("reader");
   *   await client.auth.grant("reader", "read", { prefix: "app/" });
   * }
   * ```
   */
  async addRole(name: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    return await this.#change(
      { kind: "addRole", role: name },
      `add the role ${checkName("role", name)}`,
      options,
    );
  }

  /**
   * Removes a role, from all users as well.
   *
   * @throws {AuthChangeRefusedError} "roleNotFound", "rootRole"
   * @throws {KvraftError} one of its classes; `outcome` says whether the role may have been removed
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function remove(client: KvClient): Promise<void> {
   *   await client.auth.removeRole("reader");
   * }
   * ```
   */
  async removeRole(name: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    const action = `remove the role ${checkName("role", name)}`;
    return await this.#change({ kind: "removeRole", role: name }, action, options);
  }

  /**
   * Adds a right over keys to a role. Does nothing if the role has it.
   *
   * @throws {AuthChangeRefusedError} "roleNotFound", "rootRole", "tooMany"
   * @throws {KvraftError} one of its classes; `outcome` says whether the right may have been given
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function operators(client: KvClient): Promise<void> {
   *   await client.auth.grant("operator", "admin", {}); // all keys
   *   await client.auth.grant("app", "write", { key: "app/version" });
   * }
   * ```
   */
  async grant(
    role: string,
    right: Right,
    keys: GrantKeys,
    options: CallOptions = {},
  ): Promise<GrantResult> {
    const grant = toGrant(right, keys);
    const before = await this.role(role, options);
    const action = `give a right to the role ${role}`;
    const { authRevision } = await this.#change({ kind: "addGrant", role, grant }, action, options);
    const rights = new UserRights(before?.grants ?? [], { isRoot: false });
    const wasCovered = grant.keys.kind === "key"
      ? rights.allows(right, grant.keys.key)
      : rights.allowsRange(right, grant.keys.start, grant.keys.end);
    return { authRevision, wasCovered };
  }

  /**
   * Takes a right over keys from a role: exactly one that was given, with the same keys.
   *
   * @throws {AuthChangeRefusedError} "roleNotFound", "grantNotFound", "rootRole"
   * @throws {KvraftError} one of its classes; `outcome` says whether the right may have been taken
   *
   * @example
   * ```ts
   * import type { KvClient } from "@kvraft/kvraft";
   *
   * export async function readOnly(client: KvClient): Promise<void> {
   *   await client.auth.revoke("app", "write", { prefix: "app/" });
   * }
   * ```
   */
  async revoke(
    role: string,
    right: Right,
    keys: GrantKeys,
    options: CallOptions = {},
  ): Promise<AuthChangeResult> {
    const grant = toGrant(right, keys);
    const action = `take a right from the role ${checkName("role", role)}`;
    return await this.#change({ kind: "removeGrant", role, grant }, action, options);
  }

  #change(change: AuthChange, action: string, options: CallOptions): Promise<AuthChangeResult> {
    return changeAuth(this.#core, change, { action, options });
  }

  async #hash(password: string | null): Promise<PasswordHash | null> {
    return password === null ? null : await hashPassword(checkPassword(password, "a password"));
  }

  /** Returns all pages of users and roles. */
  async #pages(action: string, options: CallOptions): Promise<readonly Page[]> {
    const notes = { action, context: this.#core.context(options) };
    const pages: Page[] = [];
    let after: Page["after"] = null;
    do {
      const page: Page = await this.#read({ user: null, role: null, after }, notes);
      pages.push(page);
      after = page.after;
    } while (after !== null);
    return pages;
  }

  async #read(
    chosen: { readonly user: string | null; readonly role: string | null; readonly after: Page["after"] },
    notes: { readonly action: string; readonly context: CallContext },
  ): Promise<Page> {
    const request = { kind: "readAuth", ...chosen, consistency: "linearizable" } as const;
    const { message }: Answered<"readAuth"> = await this.#core.call(request, { kind: "read", ...notes });
    return message;
  }
}
