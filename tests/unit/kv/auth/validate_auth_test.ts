/** Tests of the limits of names, hashes and grants. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type AuthChange,
  type Grant,
  keepsStoreLimits,
  type PasswordHash,
  type PlainCommand,
  validateCommand,
} from "../../../../lib/kv/mod.ts";
import { bytes, stamp } from "../support.ts";
import { onPrefix, PASSWORD, tokenHash, wrapped } from "./support.ts";

function changeOf(change: AuthChange): PlainCommand {
  return { kind: "changeAuth", session: null, change };
}

/** Returns the message of the problem of a change; null for a valid one. Applying it must decide alike. */
function problemOf(change: AuthChange): string | null {
  const command = changeOf(change);
  const problem = validateCommand(command, { maxValueBytes: 1 });
  assertEquals(keepsStoreLimits(command), problem === null);
  const identity = { userId: 1, credential: 0, authRevision: 0 };
  assertEquals(keepsStoreLimits(wrapped(identity, command)), problem === null);
  assertEquals(validateCommand(wrapped(identity, command), { maxValueBytes: 1 }), problem);
  return problem?.message ?? null;
}

function withPassword(differences: Partial<PasswordHash>): AuthChange {
  return { kind: "setPassword", user: "ann", password: { ...PASSWORD, ...differences } };
}

function withToken(hash: Uint8Array, expiresAtMs: number | null): AuthChange {
  return { kind: "addToken", user: "ann", token: "job", hash, expiresAtMs };
}

function withGrant(keys: Grant["keys"]): AuthChange {
  return { kind: "addGrant", role: "reader", grant: { right: "read", keys } };
}

Deno.test("validateCommand: changes of users with valid names are valid", () => {
  const names = ["a", "ann@example.com", "CN with spaces", "名前", "x".repeat(128)];
  for (const user of names) assertEquals(problemOf({ kind: "removeUser", user }), null);
  const changes: readonly AuthChange[] = [
    { kind: "setEnabled", enabled: true },
    { kind: "addUser", user: "ann", password: PASSWORD },
    { kind: "setPassword", user: "ann", password: null },
    { kind: "grantRole", user: "ann", role: "root" },
    { kind: "revokeRole", user: "ann", role: "reader" },
    withToken(tokenHash(1), null),
    withToken(tokenHash(1), 2 ** 53 - 1),
    { kind: "revokeToken", user: "ann", token: "job" },
    { kind: "addRole", role: "reader" },
    { kind: "removeRole", role: "reader" },
    { kind: "addGrant", role: "reader", grant: onPrefix("admin", "") },
    { kind: "removeGrant", role: "reader", grant: onPrefix("admin", "a") },
  ];
  for (const change of changes) assertEquals(problemOf(change), null, change.kind);
});

Deno.test("validateCommand: a name that could forge a line of a log is refused, in every change", () => {
  const names = [
    "",
    "x".repeat(129),
    "a/b",
    "a\nb",
    "a\u007f",
    "a\u0085b",
    "a\u2028",
    "a\u202eb",
    "a\u2066",
    "\ud800",
    ...["\u00ad", "\u061c", "\u200b", "\u200f", "\u2060", "\u2064", "\ufeff"].map((invisible) =>
      `ada${invisible}`
    ),
  ];
  for (const name of names) {
    const changes: readonly AuthChange[] = [
      { kind: "addUser", user: name, password: null },
      { kind: "setPassword", user: name, password: null },
      { kind: "removeUser", user: name },
      { kind: "grantRole", user: name, role: "a" },
      { kind: "grantRole", user: "a", role: name },
      { kind: "revokeRole", user: name, role: "a" },
      { kind: "revokeRole", user: "a", role: name },
      { kind: "addToken", user: name, token: "a", hash: tokenHash(1), expiresAtMs: null },
      { kind: "addToken", user: "a", token: name, hash: tokenHash(1), expiresAtMs: null },
      { kind: "revokeToken", user: name, token: "a" },
      { kind: "revokeToken", user: "a", token: name },
      { kind: "addRole", role: name },
      { kind: "removeRole", role: name },
      { kind: "addGrant", role: name, grant: onPrefix("read", "") },
      { kind: "removeGrant", role: name, grant: onPrefix("read", "") },
    ];
    for (const change of changes) {
      assertMatch(problemOf(change) ?? "", /name/, `${change.kind} ${JSON.stringify(name)}`);
    }
  }
});

Deno.test("validateCommand: a hash that takes another time or memory is refused", () => {
  for (const cost of [2 ** 13, 2 ** 18, 2 ** 15 + 1, 0, Number.NaN]) {
    assertMatch(problemOf(withPassword({ cost })) ?? "", /cost of scrypt/);
  }
  assertEquals(problemOf(withPassword({ cost: 2 ** 14 })), null);
  assertEquals(problemOf(withPassword({ cost: 2 ** 17 })), null);
  assertMatch(problemOf(withPassword({ blockSize: 16 })) ?? "", /block size/);
  assertMatch(problemOf(withPassword({ parallelism: 2 })) ?? "", /parallelism/);
  assertMatch(problemOf(withPassword({ salt: new Uint8Array(15) })) ?? "", /salt/);
  assertMatch(problemOf(withPassword({ salt: new Uint8Array(65) })) ?? "", /salt/);
  assertMatch(problemOf(withPassword({ hash: new Uint8Array(31) })) ?? "", /hash of 31 bytes/);
  assertMatch(problemOf(withToken(new Uint8Array(33), null)) ?? "", /hash of 33 bytes/);
  assertMatch(problemOf(withToken(tokenHash(1), 0)) ?? "", /expire at 0/);
});

Deno.test("validateCommand: a grant without keys is refused, and so is a key that is too long", () => {
  const long = new Uint8Array(4_097);
  const refused: readonly Grant["keys"][] = [
    { kind: "key", key: bytes("") },
    { kind: "key", key: long },
    { kind: "range", start: long, end: null },
    { kind: "range", start: bytes(""), end: long },
    { kind: "range", start: bytes("b"), end: bytes("b") },
    { kind: "range", start: bytes("b"), end: bytes("a") },
    { kind: "range", start: bytes(""), end: bytes("") },
  ];
  for (const keys of refused) assert(problemOf(withGrant(keys)) !== null);
});

Deno.test("validateCommand: the session of a change of users is checked", () => {
  const change: AuthChange = { kind: "addRole", role: "a" };
  const command: PlainCommand = { kind: "changeAuth", session: stamp({ sequence: 0 }), change };
  assertMatch(validateCommand(command, { maxValueBytes: 1 })?.message ?? "", /session stamp/);
});
