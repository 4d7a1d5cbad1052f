/** Users, roles and tokens as records of the state; without any change so far there are none. */
import { assert, assertNever } from "../../platform/assert.ts";
import { expectLoaded } from "../pages/store_loader.ts";
import { type Grant, type PasswordHash, ROOT_ROLE } from "./auth_command.ts";
import type { AuthState, AuthView, Role, Token, User } from "./auth_state.ts";

/** The numbers of the users and roles; it precedes their records. */
export type AuthHeaderRecord = readonly [kind: "auth", enabled: boolean, revision: number];

/** One role besides the role root, followed by its grants. */
export type RoleRecord = readonly [kind: "role", name: string];

/** One grant of the role whose record precedes it. */
export type GrantRecord = readonly [kind: "grant", grant: Grant];

/** One user, followed by its tokens. */
export type UserRecord = readonly [
  kind: "user",
  id: number,
  name: string,
  password: PasswordHash | null,
  passwordRevision: number,
  roles: readonly string[],
];

/** One token of the user with this id, whose record precedes it. */
export type TokenRecord = readonly [
  kind: "token",
  userId: number,
  name: string,
  credential: number,
  hash: Uint8Array,
  expiresAtMs: number | null,
];

/** A record of users, roles and tokens: their header, the roles by name, the users by id. */
export type AuthRecord = AuthHeaderRecord | RoleRecord | GrantRecord | UserRecord | TokenRecord;

/** Yields the records of users, roles and tokens in canonical order. */
export function* authRecords({ enabled, revision, roles, users }: AuthView): Iterable<AuthRecord> {
  if (revision === 0) return;
  yield ["auth", enabled, revision];
  for (const { name, grants } of roles) {
    yield ["role", name];
    for (const grant of grants) yield ["grant", grant];
  }
  for (const { id, name, password, passwordRevision, roles: names, tokens } of users) {
    yield ["user", id, name, password, passwordRevision, names];
    for (const { name: token, credential, hash, expiresAtMs } of tokens) {
      yield ["token", id, token, credential, hash, expiresAtMs];
    }
  }
}

/** Restores users, roles and tokens record by record, in the order of a view. Their bytes are kept, not copied. */
export class AuthRestorer {
  #enabled = false;
  #revision = 0;
  readonly #roles: (Role & { readonly grants: Grant[] })[] = [];
  readonly #users: (User & { readonly tokens: Token[] })[] = [];

  /** Adds the next record, which the caller has checked against those before it. */
  add(record: AuthRecord): void {
    switch (record[0]) {
      case "auth":
        [, this.#enabled, this.#revision] = record;
        break;
      case "role":
        this.#roles.push({ name: record[1], grants: [] });
        break;
      case "grant": {
        const role = this.#roles.at(-1);
        assert(role !== undefined, "a grant's record follows its role's");
        role.grants.push(record[1]);
        break;
      }
      case "user": {
        const [, id, name, password, passwordRevision, roles] = record;
        this.#users.push({ id, name, password, passwordRevision, roles, tokens: [] });
        break;
      }
      case "token": {
        const [, userId, name, credential, hash, expiresAtMs] = record;
        const user = this.#users.at(-1);
        assert(user?.id === userId, "a token's record follows its user's");
        user.tokens.push({ userId, name, credential, hash, expiresAtMs });
        break;
      }
      default:
        assertNever(record);
    }
  }

  /** Restores them into a state, which is empty. Throws StoreLoadError where authentication locks out every user. */
  finish(state: AuthState): void {
    const isUsable = !this.#enabled || this.#users.some(({ roles }) => roles.includes(ROOT_ROLE));
    expectLoaded(isUsable, "a user with the role root exists while authentication is enabled");
    state.restore({
      enabled: this.#enabled,
      revision: this.#revision,
      roles: this.#roles,
      users: this.#users,
    });
  }
}
