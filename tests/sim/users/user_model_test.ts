/** The model of users: what a wrong node would be compared with must itself be right. */
import { assertEquals } from "@std/assert";
import type { AuthChange } from "../../../lib/kv/mod.ts";
import { bytesOfText } from "../../../lib/loadgen/mod.ts";
import { changed, hasUsableRoot, mayDo, NO_USERS, oneKey, type UserFacts, userOf } from "./user_model.ts";

function after(...changes: readonly AuthChange[]): UserFacts {
  return changes.reduce(changed, NO_USERS);
}

const ADA: readonly AuthChange[] = [
  { kind: "addUser", user: "ada", password: null },
  { kind: "addRole", role: "reader" },
  { kind: "grantRole", user: "ada", role: "reader" },
  { kind: "addToken", user: "ada", token: "t", hash: new Uint8Array(32), expiresAtMs: null },
];
const IDENTITY = { userId: 1, credential: 4 };

function mayRead(facts: UserFacts, start: string, end: string | null): boolean | null {
  const found = userOf(facts, IDENTITY);
  return found === null ? null : mayDo(facts, found[1], { right: "read", keys: { start, end } });
}

Deno.test("mayDo: adjacent grants make one range, and a gap of one key divides it", () => {
  const range = (start: string, end: string): AuthChange => ({
    kind: "addGrant",
    role: "reader",
    grant: { right: "read", keys: { kind: "range", start: bytesOfText(start), end: bytesOfText(end) } },
  });
  const key: AuthChange = {
    kind: "addGrant",
    role: "reader",
    grant: { right: "admin", keys: { kind: "key", key: bytesOfText("c") } },
  };
  const facts = after(...ADA, range("a", "c"), key);
  const { start, end } = oneKey("c");
  assertEquals([mayRead(facts, "a", "c"), mayRead(facts, start, end), mayRead(facts, "a", "c\0")], [
    true,
    true,
    true,
  ]);
  assertEquals([mayRead(facts, "a", "d"), mayRead(facts, "a", null), mayRead(facts, "", "b")], [
    false,
    false,
    false,
  ]);
});

Deno.test("changed: what is in effect already makes no revision; a revoked token or a removed user ends an identity", () => {
  const facts = after(...ADA);
  assertEquals(changed(facts, { kind: "grantRole", user: "ada", role: "reader" }), facts);
  assertEquals(userOf(facts, IDENTITY)?.[0], "ada");
  assertEquals(userOf(changed(facts, { kind: "revokeToken", user: "ada", token: "t" }), IDENTITY), null);
  const again = [{ kind: "removeUser", user: "ada" }, ...ADA] as const;
  assertEquals(userOf(again.reduce<UserFacts>(changed, facts), IDENTITY), null);
});

Deno.test("hasUsableRoot: a user with the role root who has no secret cannot sign in", () => {
  const root: AuthChange = { kind: "grantRole", user: "ada", role: "root" };
  assertEquals([hasUsableRoot(after(...ADA)), hasUsableRoot(after(...ADA, root))], [false, true]);
  const without = after(...ADA, root, { kind: "revokeToken", user: "ada", token: "t" });
  assertEquals(hasUsableRoot(without), false);
});
