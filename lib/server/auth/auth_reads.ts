/** Answers the reads of users, roles and tokens, without their hashes. */
import {
  type AuthState,
  type Grant,
  LIST_PAGE_BYTES,
  RIGHTS,
  type Role,
  type User,
  type UserRights,
} from "../../kv/mod.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import type { Credential } from "../../protocol/messages.ts";

/** Bytes that a user, a role, a token or a grant counts for in addition to its names and keys. */
const ITEM_BYTES = 64;
const MAX_BYTES_PER_CHARACTER = 3;

/** The user whose requests those of a connection are. */
export interface SignedInUser {
  readonly user: User;
  readonly via: Credential;
}

/** Returns the answer to a question for the user of a connection (null: it has none). */
export function authStatus(
  requestId: number,
  auth: AuthState,
  signedIn: SignedInUser | null,
): ServerFrame<"authStatusResult"> {
  const { enabled, revision: authRevision } = auth;
  const head = { kind: "authStatusResult", requestId, enabled, authRevision } as const;
  if (signedIn === null) return { ...head, user: null, via: null, roles: [], grants: [], more: false };
  const { user: { id, name, roles }, via } = signedIn;
  const grants = grantsOf(auth.rightsOf(id));
  return { ...head, user: name, via, roles, ...grants };
}

/** Returns the answer to a read of users and roles. */
export function answerAuthRead(
  { requestId, user, role, after }: RequestFrame<"readAuth">,
  auth: AuthState,
): ServerFrame<"authResult"> {
  const head = { kind: "authResult", requestId, authRevision: auth.revision } as const;
  if (user === null && role === null) return { ...head, ...pageOf(auth, after) };
  const [foundUser, foundRole] = [auth.user(user ?? ""), auth.role(role ?? "")];
  return {
    ...head,
    users: foundUser === null ? [] : [shown(foundUser)],
    roles: foundRole === null ? [] : [foundRole],
    after: null,
  };
}

type AuthPage = Pick<ServerFrame<"authResult">, "users" | "roles" | "after">;

/** Returns one page of all roles, then all users, by name. O(users + roles). */
function pageOf(auth: AuthState, after: RequestFrame<"readAuth">["after"]): AuthPage {
  const { roles: allRoles, users: allUsers } = auth.view();
  const [roles, users]: [Role[], User[]] = [[], []];
  let bytes = 0;
  if (after?.kind !== "user") {
    for (const role of allRoles) {
      if (after !== null && role.name <= after.name) continue;
      bytes += roleBytes(role);
      if (bytes > LIST_PAGE_BYTES && roles.length > 0) {
        return { roles, users: [], after: lastOf(roles, "role") };
      }
      roles.push(role);
    }
  }
  const byName = allUsers.toSorted((a, b) => a.name < b.name ? -1 : 1);
  for (const user of byName) {
    if (after?.kind === "user" && user.name <= after.name) continue;
    bytes += userBytes(user);
    if (bytes > LIST_PAGE_BYTES && roles.length + users.length > 0) {
      const last = users.length === 0 ? lastOf(roles, "role") : lastOf(users, "user");
      return { roles, users: users.map(shown), after: last };
    }
    users.push(user);
  }
  return { roles, users: users.map(shown), after: null };
}

function lastOf(page: readonly { readonly name: string }[], kind: "role" | "user"): AuthPage["after"] {
  const last = page.at(-1);
  return last === undefined ? null : { kind, name: last.name };
}

function shown({ name, password, roles, tokens }: User): AuthPage["users"][number] {
  return {
    name,
    hasPassword: password !== null,
    roles,
    tokens: tokens.map(({ name, expiresAtMs }) => ({ name, expiresAtMs })),
  };
}

/** Returns merged rights as grants, as many as fit into a frame. */
function grantsOf(rights: UserRights): { readonly grants: readonly Grant[]; readonly more: boolean } {
  const grants: Grant[] = [];
  let bytes = 0;
  for (const right of RIGHTS) {
    for (const { start, end } of rights.ranges(right).ranges) {
      const grant: Grant = { right, keys: { kind: "range", start, end } };
      bytes += grantBytes(grant);
      if (bytes > LIST_PAGE_BYTES) return { grants, more: true };
      grants.push(grant);
    }
  }
  return { grants, more: false };
}

function roleBytes({ name, grants }: Role): number {
  return nameBytes(name) + grants.reduce((sum, grant) => sum + grantBytes(grant), 0);
}

function userBytes({ name, roles, tokens }: User): number {
  const names = [name, ...roles, ...tokens.map((token) => token.name)];
  return names.reduce((sum, one) => sum + nameBytes(one), 0);
}

function nameBytes(name: string): number {
  return ITEM_BYTES + name.length * MAX_BYTES_PER_CHARACTER;
}

function grantBytes({ keys }: Grant): number {
  return ITEM_BYTES + (keys.kind === "key" ? keys.key.length : keys.start.length + (keys.end?.length ?? 0));
}
