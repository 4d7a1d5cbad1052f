/** Users, roles and tokens in memory. */
import { AuthChangeRefusedError } from "../../../../lib/client/errors.ts";
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
} from "../../../../lib/client/auth/types.ts";
import { toGrant } from "../../../../lib/client/auth/input.ts";
import type { StoreClient } from "../../../../lib/cli/command.ts";
import type { CallOptions } from "../../../../lib/client/types.ts";
import type { Grant, Right } from "../../../../lib/kv/auth/auth_command.ts";

/** The users. */
export class FakeAuth implements Omit<StoreClient["auth"], never> {
  /** By name. */
  readonly all = new Map<string, UserInfo>();
  readonly allRoles = new Map<string, RoleInfo>();
  readonly passwords = new Map<string, string | null>();
  enabled = false;
  /** The user of the client, and how it signed in. */
  signedIn: Pick<AuthStatus, "user" | "via"> = { user: null, via: null };
  /** Whether a grant is covered by others. */
  isCovered = false;
  readonly #onCall: (name: string, options: CallOptions) => Promise<void>;
  #revision = 0;

  /** `onCall` is awaited by each call. */
  constructor(onCall: (name: string, options: CallOptions) => Promise<void>) {
    this.#onCall = onCall;
  }

  async status(options: CallOptions = {}): Promise<AuthStatus> {
    await this.#onCall("authStatus", options);
    const { user } = this.signedIn;
    const roles = user === null ? [] : this.all.get(user)?.roles ?? [];
    return {
      enabled: this.enabled,
      authRevision: this.#revision,
      ...this.signedIn,
      roles,
      grants: roles.flatMap((role) => this.allRoles.get(role)?.grants ?? []),
      hasMoreGrants: false,
    };
  }

  async enable(options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("enable", options);
    if (![...this.all.values()].some(({ roles }) => roles.includes("root"))) {
      throw new AuthChangeRefusedError("Cannot enable authentication: no root.", { reason: "noRoot" });
    }
    this.enabled = true;
    return this.#changed();
  }

  async disable(options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("disable", options);
    this.enabled = false;
    return this.#changed();
  }

  async users(options: CallOptions = {}): Promise<readonly UserInfo[]> {
    await this.#onCall("users", options);
    return [...this.all.values()];
  }

  async user(name: string, options: CallOptions = {}): Promise<UserInfo | null> {
    await this.#onCall("user", options);
    return this.all.get(name) ?? null;
  }

  async addUser(
    name: string,
    { password = null, ...options }: AddUserOptions = {},
  ): Promise<AuthChangeResult> {
    await this.#onCall("addUser", options);
    this.passwords.set(name, password);
    this.all.set(name, { name, hasPassword: password !== null, roles: [], tokens: [] });
    return this.#changed();
  }

  async setPassword(
    user: string,
    password: string | null,
    options: CallOptions = {},
  ): Promise<AuthChangeResult> {
    await this.#onCall("setPassword", options);
    this.passwords.set(user, password);
    return this.#changed();
  }

  async removeUser(user: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("removeUser", options);
    this.all.delete(user);
    return this.#changed();
  }

  async grantRole(user: string, role: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("grantRole", options);
    this.#edit(user, ({ roles, ...rest }) => ({ ...rest, roles: [...roles, role] }));
    return this.#changed();
  }

  async revokeRole(user: string, role: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("revokeRole", options);
    this.#edit(user, ({ roles, ...rest }) => ({ ...rest, roles: roles.filter((one) => one !== role) }));
    return this.#changed();
  }

  async createToken(user: string, { name, expiresInMs, ...options }: TokenRequest): Promise<CreatedToken> {
    await this.#onCall("createToken", options);
    const expiresAtMs = expiresInMs === undefined ? null : 1_900_000_000_000 + expiresInMs;
    this.#edit(user, ({ tokens, ...rest }) => ({ ...rest, tokens: [...tokens, { name, expiresAtMs }] }));
    return { token: "kvt_secret", name, expiresAtMs, ...this.#changed() };
  }

  async revokeToken(user: string, name: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("revokeToken", options);
    this.#edit(
      user,
      ({ tokens, ...rest }) => ({ ...rest, tokens: tokens.filter((one) => one.name !== name) }),
    );
    return this.#changed();
  }

  async roles(options: CallOptions = {}): Promise<readonly RoleInfo[]> {
    await this.#onCall("roles", options);
    return [...this.allRoles.values()];
  }

  async role(name: string, options: CallOptions = {}): Promise<RoleInfo | null> {
    await this.#onCall("role", options);
    return this.allRoles.get(name) ?? null;
  }

  async addRole(name: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("addRole", options);
    this.allRoles.set(name, { name, grants: [] });
    return this.#changed();
  }

  async removeRole(name: string, options: CallOptions = {}): Promise<AuthChangeResult> {
    await this.#onCall("removeRole", options);
    this.allRoles.delete(name);
    return this.#changed();
  }

  async grant(role: string, right: Right, keys: GrantKeys, options: CallOptions = {}): Promise<GrantResult> {
    await this.#onCall("grant", options);
    this.#editGrants(role, (grants) => [...grants, toGrant(right, keys)]);
    return { ...this.#changed(), wasCovered: this.isCovered };
  }

  async revoke(
    role: string,
    right: Right,
    keys: GrantKeys,
    options: CallOptions = {},
  ): Promise<AuthChangeResult> {
    await this.#onCall("revoke", options);
    const taken = JSON.stringify(toGrant(right, keys));
    this.#editGrants(role, (grants) => grants.filter((grant) => JSON.stringify(grant) !== taken));
    return this.#changed();
  }

  #edit(name: string, change: (user: UserInfo) => UserInfo): void {
    const user = this.all.get(name);
    if (user !== undefined) this.all.set(name, change(user));
  }

  #editGrants(name: string, change: (grants: readonly Grant[]) => readonly Grant[]): void {
    const role = this.allRoles.get(name);
    if (role !== undefined) this.allRoles.set(name, { name, grants: change(role.grants) });
  }

  #changed(): AuthChangeResult {
    return { authRevision: ++this.#revision };
  }
}
