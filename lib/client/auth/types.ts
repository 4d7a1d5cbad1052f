/** Arguments and results of {@link AuthClient}. */
import type { Grant } from "../../kv/auth/auth_command.ts";
import type { Credential } from "../../protocol/messages.ts";
import type { WatchedKeys } from "../watch/types.ts";
import type { CallOptions } from "../types.ts";

export type { Right } from "../../kv/auth/auth_command.ts";

/** The keys of a grant: one key, all keys with a prefix, a range, or (without any field) all keys. */
export type GrantKeys = WatchedKeys;

/** The result of {@link AuthClient.status}. */
export interface AuthStatus {
  /** Whether authentication is enabled: without it every client may do everything. */
  readonly enabled: boolean;
  /** The number of changes of users, roles and tokens so far. */
  readonly authRevision: number;
  /** The user of this client; null for none. */
  readonly user: string | null;
  /** The means by which the user has signed in; null without a user. */
  readonly via: Credential | null;
  /** The roles of the user, by name. */
  readonly roles: readonly string[];
  /** The rights of all its roles, merged. */
  readonly grants: readonly Grant[];
  /** Whether the user has further grants, which did not fit. */
  readonly hasMoreGrants: boolean;
}

/** A token of a user. The token itself is not kept. */
export interface TokenInfo {
  /** Its name. */
  readonly name: string;
  /** The time of the wall clock at which it expires, in milliseconds since 1970; null for one that does not. */
  readonly expiresAtMs: number | null;
}

/** A user. */
export interface UserInfo {
  /** Its name. */
  readonly name: string;
  /** Whether it can sign in by a password. */
  readonly hasPassword: boolean;
  /** Its roles, by name. */
  readonly roles: readonly string[];
  /** Its tokens, expired ones included. */
  readonly tokens: readonly TokenInfo[];
}

/** A role. */
export interface RoleInfo {
  /** Its name. */
  readonly name: string;
  /** Its grants. */
  readonly grants: readonly Grant[];
}

/** The result of a change of users, roles or tokens. */
export interface AuthChangeResult {
  /** The number of changes so far. */
  readonly authRevision: number;
}

/** The result of {@link AuthClient.grant}. */
export interface GrantResult extends AuthChangeResult {
  /** Whether other grants of the role covered this one before, so that it allows nothing more. */
  readonly wasCovered: boolean;
}

/** Options of {@link AuthClient.addUser}. */
export interface AddUserOptions extends CallOptions {
  /**
   * Its password, of 1 to 1,024 characters.
   *
   * @default none: it signs in by a token or a certificate
   */
  readonly password?: string | null;
}

/** Arguments of {@link AuthClient.createToken}. */
export interface TokenRequest extends CallOptions {
  /** Its name, which no other token of the user has. */
  readonly name: string;
  /**
   * How long it can be used, in milliseconds, by the clock of this machine.
   *
   * @default until it is revoked
   */
  readonly expiresInMs?: number;
}

/** The result of {@link AuthClient.createToken}. */
export interface CreatedToken extends TokenInfo, AuthChangeResult {
  /** The token. It is not kept anywhere, so this is the only time that it can be read. */
  readonly token: string;
}
