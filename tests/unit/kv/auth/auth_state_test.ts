/** Tests of single changes of users, roles and tokens: lockout, limits, credentials. */
import { assertEquals } from "@std/assert";
import {
  type AuthChange,
  type AuthFailure,
  MAX_ROLE_GRANTS,
  MAX_ROLE_KEY_BYTES,
  MAX_ROLES,
  MAX_USER_ROLES,
  MAX_USER_TOKENS,
  MAX_USERS,
} from "../../../../lib/kv/mod.ts";
import { AuthState } from "../../../../lib/kv/auth/auth_state.ts";
import { bytes } from "../support.ts";
import { onPrefix, PASSWORD, tokenHash } from "./support.ts";

function changed(authRevision: number): unknown {
  return { kind: "authChanged", authRevision };
}

function failed(reason: AuthFailure): unknown {
  return { kind: "authFailed", reason };
}

/** A state after these changes, each of which is made. */
function stateAfter(...changes: readonly AuthChange[]): AuthState {
  const auth = new AuthState();
  for (const [position, change] of changes.entries()) {
    assertEquals(auth.change(change), changed(position + 1));
  }
  return auth;
}

const ADD_ROOT: AuthChange = { kind: "addUser", user: "root", password: PASSWORD };
const ADD_CERTIFICATE_ROOT: AuthChange = { kind: "addUser", user: "root", password: null };
const GRANT_ROOT: AuthChange = { kind: "grantRole", user: "root", role: "root" };
const ENABLE: AuthChange = { kind: "setEnabled", enabled: true };
const DISABLE: AuthChange = { kind: "setEnabled", enabled: false };
const REMOVE_PASSWORD: AuthChange = { kind: "setPassword", user: "root", password: null };

function token(name: string, number: number, expiresAtMs: number | null = null): AuthChange {
  return { kind: "addToken", user: "root", token: name, hash: tokenHash(number), expiresAtMs };
}

Deno.test("AuthState: enabling needs a user with the role root and a password or a token that never expires", () => {
  assertEquals(stateAfter(ADD_ROOT).change(ENABLE), failed("noRoot"));
  assertEquals(stateAfter(ADD_ROOT, GRANT_ROOT).change(ENABLE), changed(3));
  const certificate = [ADD_CERTIFICATE_ROOT, GRANT_ROOT];
  assertEquals(stateAfter(...certificate).change(ENABLE), failed("noRoot"));
  assertEquals(stateAfter(...certificate, token("short", 1, 9)).change(ENABLE), failed("noRoot"));
  assertEquals(stateAfter(...certificate, token("lasting", 1)).change(ENABLE), changed(4));
});

Deno.test("AuthState: while enabled, the last user with the role root keeps it and stays", () => {
  const auth = stateAfter(ADD_ROOT, GRANT_ROOT, ENABLE);
  assertEquals(auth.change({ kind: "removeUser", user: "root" }), failed("lastRoot"));
  assertEquals(auth.change({ kind: "revokeRole", user: "root", role: "root" }), failed("lastRoot"));
  assertEquals(auth.change({ kind: "addUser", user: "ann", password: PASSWORD }), changed(4));
  assertEquals(auth.change({ kind: "grantRole", user: "ann", role: "root" }), changed(5));
  assertEquals(auth.change({ kind: "removeUser", user: "root" }), changed(6));
  assertEquals(auth.change({ kind: "removeUser", user: "ann" }), failed("lastRoot"));
  assertEquals(auth.change(DISABLE), changed(7));
  assertEquals(auth.change({ kind: "removeUser", user: "ann" }), changed(8));
});

Deno.test("AuthState: while enabled, the last password or lasting token of a root user is not removed", () => {
  const auth = stateAfter(ADD_ROOT, GRANT_ROOT, ENABLE);
  assertEquals(auth.change(REMOVE_PASSWORD), failed("lastRoot"));
  assertEquals(auth.change(token("short", 1, 9)), changed(4));
  assertEquals(auth.change(REMOVE_PASSWORD), failed("lastRoot"), "the token will expire");
  assertEquals(auth.change(token("lasting", 2)), changed(5));
  assertEquals(auth.change(REMOVE_PASSWORD), changed(6));
  assertEquals(auth.change({ kind: "revokeToken", user: "root", token: "lasting" }), failed("lastRoot"));
  assertEquals(auth.change({ kind: "setPassword", user: "root", password: PASSWORD }), changed(7));
  assertEquals(auth.change({ kind: "revokeToken", user: "root", token: "lasting" }), changed(8));
});

Deno.test("AuthState: a refused change of the last root user leaves its tokens as they were", () => {
  const auth = stateAfter(ADD_CERTIFICATE_ROOT, GRANT_ROOT, token("only", 1), ENABLE);
  assertEquals(auth.change({ kind: "revokeToken", user: "root", token: "only" }), failed("lastRoot"));
  assertEquals(auth.change({ kind: "removeUser", user: "root" }), failed("lastRoot"));
  assertEquals(auth.tokenByHash(tokenHash(1))?.name, "only");
  assertEquals(auth.revision, 4);
});

Deno.test("AuthState: the role root is neither added, removed nor given keys", () => {
  const auth = new AuthState();
  assertEquals(auth.change({ kind: "addRole", role: "root" }), failed("roleExists"));
  assertEquals(auth.change({ kind: "removeRole", role: "root" }), failed("rootRole"));
  const grant = onPrefix("read", "");
  assertEquals(auth.change({ kind: "addGrant", role: "root", grant }), failed("rootRole"));
  assertEquals(auth.change({ kind: "removeGrant", role: "root", grant }), failed("rootRole"));
});

Deno.test("AuthState: a user that is removed and added again is another one", () => {
  const auth = stateAfter(
    { kind: "addUser", user: "ann", password: PASSWORD },
    { kind: "addToken", user: "ann", token: "job", hash: tokenHash(1), expiresAtMs: null },
    { kind: "removeUser", user: "ann" },
    { kind: "addUser", user: "ann", password: PASSWORD },
  );
  assertEquals(auth.holds({ userId: 1, credential: 1 }), false);
  assertEquals(auth.holds({ userId: 1, credential: 0 }), false);
  assertEquals(auth.holds({ userId: 4, credential: 2 }), false);
  assertEquals(auth.holds({ userId: 4, credential: 4 }), true);
  assertEquals(auth.holds({ userId: 4, credential: 0 }), true);
  assertEquals(auth.tokenByHash(tokenHash(1)), null);
});

Deno.test("AuthState: a new password or a revoked token ends what was signed in with the old one", () => {
  const auth = stateAfter(
    { kind: "addUser", user: "ann", password: PASSWORD },
    { kind: "addToken", user: "ann", token: "job", hash: tokenHash(1), expiresAtMs: null },
    { kind: "setPassword", user: "ann", password: PASSWORD },
  );
  assertEquals(auth.holds({ userId: 1, credential: 1 }), false);
  assertEquals(auth.holds({ userId: 1, credential: 3 }), true);
  assertEquals(auth.holds({ userId: 1, credential: 2 }), true);
  auth.change({ kind: "revokeToken", user: "ann", token: "job" });
  assertEquals(auth.holds({ userId: 1, credential: 2 }), false);
  auth.change({ kind: "setPassword", user: "ann", password: null });
  assertEquals(auth.holds({ userId: 1, credential: auth.revision }), false, "no password is no credential");
});

Deno.test("AuthState: rights change with roles and grants, and end with the role", () => {
  const auth = stateAfter(
    { kind: "addUser", user: "ann", password: PASSWORD },
    { kind: "addRole", role: "reader" },
    { kind: "grantRole", user: "ann", role: "reader" },
  );
  const allows = (): boolean => auth.rightsOf(1).allows("read", bytes("a/1"));
  assertEquals(allows(), false);
  const grant = onPrefix("read", "a/");
  auth.change({ kind: "addGrant", role: "reader", grant });
  assertEquals(allows(), true);
  auth.change({ kind: "removeGrant", role: "reader", grant });
  assertEquals(allows(), false);
  auth.change({ kind: "addGrant", role: "reader", grant });
  auth.change({ kind: "removeRole", role: "reader" });
  assertEquals(allows(), false);
  auth.change({ kind: "addRole", role: "reader" });
  auth.change({ kind: "addGrant", role: "reader", grant });
  assertEquals(allows(), false, "a role of the same name that is added later is not the user's");
});

Deno.test("AuthState: a change that is in effect already takes no revision", () => {
  const auth = stateAfter(ADD_ROOT, GRANT_ROOT, { kind: "addRole", role: "a" }, {
    kind: "addGrant",
    role: "a",
    grant: onPrefix("read", "a"),
  });
  const again: readonly AuthChange[] = [
    GRANT_ROOT,
    { kind: "addGrant", role: "a", grant: onPrefix("read", "a") },
    DISABLE,
  ];
  for (const change of again) assertEquals(auth.change(change), changed(4), change.kind);
  assertEquals(auth.change(REMOVE_PASSWORD), changed(5));
  assertEquals(auth.change(REMOVE_PASSWORD), changed(5));
});

Deno.test("AuthState: users, roles, grants and tokens have limits", () => {
  const auth = stateAfter(ADD_ROOT);
  for (let number = 1; number < MAX_USERS; number++) {
    auth.change({ kind: "addUser", user: `user-${number}`, password: null });
  }
  assertEquals(auth.userCount, MAX_USERS);
  assertEquals(auth.change({ kind: "addUser", user: "more", password: null }), failed("tooMany"));
  for (let number = 0; number < MAX_ROLES; number++) auth.change({ kind: "addRole", role: `role-${number}` });
  assertEquals(auth.change({ kind: "addRole", role: "more" }), failed("tooMany"));
  for (let number = 0; number < MAX_USER_ROLES; number++) {
    auth.change({ kind: "grantRole", user: "root", role: `role-${number}` });
  }
  assertEquals(auth.change(GRANT_ROOT), failed("tooMany"));
  for (let number = 0; number < MAX_USER_TOKENS; number++) auth.change(token(`${number}`, number));
  assertEquals(auth.change(token("more", 200)), failed("tooMany"));
  for (let number = 0; number < MAX_ROLE_GRANTS; number++) {
    auth.change({ kind: "addGrant", role: "role-1", grant: onPrefix("read", `${number}`) });
  }
  const more: AuthChange = { kind: "addGrant", role: "role-1", grant: onPrefix("read", "more") };
  assertEquals(auth.change(more), failed("tooMany"));
  const longKeys = (number: number): AuthChange => {
    const start = new Uint8Array(4_096).fill(number);
    const end = new Uint8Array(4_096).fill(number + 1);
    return {
      kind: "addGrant",
      role: "role-2",
      grant: { right: "read", keys: { kind: "range", start, end } },
    };
  };
  const within = MAX_ROLE_KEY_BYTES / (2 * 4_096);
  for (let number = 0; number < within; number++) {
    assertEquals(auth.change(longKeys(number)), changed(auth.revision));
  }
  assertEquals(auth.change(longKeys(within)), failed("tooMany"));
});
