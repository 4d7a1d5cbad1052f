/** AuditLog: lines of bounded number, with a count of those left out; keys in words. */
import { assert, assertEquals } from "@std/assert";
import { type AuthChange, type AuthState, prefixEnd, StateMachine } from "../../../../lib/kv/mod.ts";
import { Access } from "../../../../lib/server/auth/access.ts";
import { MAX_REFUSED_LINES_A_MINUTE } from "../../../../lib/platform/bounded_lines.ts";
import { AuditLog, MAX_ALLOWED_LINES_A_SECOND } from "../../../../lib/server/auth/audit_log.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import {
  describeKeys,
  keysOfRequirement,
  MAX_SHOWN_KEY_BYTES,
} from "../../../../lib/server/auth/describe_keys.ts";
import { passwordHash, RecordingAudit } from "../../../support/fakes/auth.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

/** Returns the identity of a connection on which a user has signed in. */
function signedIn(auth: AuthState, name: string): ConnectionIdentity {
  const user = auth.user(name);
  assert(user !== null);
  const identity = new ConnectionIdentity({ remote: REQUEST.remote, certificate: null }, {
    wallClock: () => 0,
  });
  identity.signIn({
    userId: user.id,
    credential: user.passwordRevision,
    via: "password",
    expiresAtMs: null,
  });
  return identity;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const REQUEST = { user: "alice", remote: "10.0.0.1:5000", request: "get", keys: "all keys" };

Deno.test("AuditLog: a line says who asked, from where, for what, about which keys, and with what result", () => {
  const audit = new RecordingAudit();
  const log = new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: () => true });
  log.refused(REQUEST, "permissionDenied");
  log.allowed(REQUEST);
  log.signIn({ user: "alice", remote: "10.0.0.1:5000", via: "password" }, "failed");
  log.close();
  assertEquals(audit.lines, [
    { message: "audit: request refused", fields: { ...REQUEST, code: "permissionDenied" } },
    { message: "audit: request allowed", fields: REQUEST },
    {
      message: "audit: sign-in",
      fields: { user: "alice", remote: "10.0.0.1:5000", via: "password", result: "failed" },
    },
  ]);
});

Deno.test("AuditLog: a minute has a bounded number of refusals, and a line says how many were left out", () => {
  const audit = new RecordingAudit();
  const clock = new ManualClock();
  const log = new AuditLog(audit, { clock, recordsAllowed: () => false });
  for (let number = 0; number < MAX_REFUSED_LINES_A_MINUTE + 30; number++) {
    log.refused(REQUEST, "unauthenticated");
  }
  assertEquals(audit.lines.length, MAX_REFUSED_LINES_A_MINUTE);
  clock.advance(60_000);
  assertEquals(audit.lines.slice(MAX_REFUSED_LINES_A_MINUTE), [
    { message: "audit: lines left out", fields: { about: "refused requests of users", lines: 30 } },
  ]);
  log.refused(REQUEST, "unauthenticated");
  log.close();
  const after = MAX_REFUSED_LINES_A_MINUTE + 2;
  assertEquals(audit.lines.length, after, "nothing was left out in the last minute");
});

Deno.test("AuditLog: refusals do not keep allowed requests out, which have a bound of their own", () => {
  const audit = new RecordingAudit();
  const log = new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: () => true });
  for (let number = 0; number <= MAX_REFUSED_LINES_A_MINUTE; number++) {
    log.refused(REQUEST, "unauthenticated");
  }
  for (let number = 0; number < MAX_ALLOWED_LINES_A_SECOND + 5; number++) log.allowed(REQUEST);
  const allowed = audit.lines.filter(({ message }) => message === "audit: request allowed");
  assertEquals(allowed.length, MAX_ALLOWED_LINES_A_SECOND);
  log.close();
  const leftOut = audit.lines.filter(({ message }) => message === "audit: lines left out");
  assertEquals(leftOut.map(({ fields }) => fields["lines"]), [1, 5]);
});

Deno.test("AuditLog: lines that clients without a user cause do not keep out those about users and successful sign-ins", () => {
  const audit = new RecordingAudit();
  const log = new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: () => false });
  const attempt = { user: "alice", remote: "10.0.0.1:5000", via: "password" };
  const written = (write: () => void): number => {
    const before = audit.lines.length;
    write();
    return audit.lines.length - before;
  };
  for (let number = 0; number < MAX_REFUSED_LINES_A_MINUTE + 7; number++) {
    log.refused({ ...REQUEST, user: null }, "unauthenticated");
  }
  for (let number = 0; number < MAX_REFUSED_LINES_A_MINUTE; number++) log.signIn(attempt, "failed");
  assertEquals(written(() => log.signIn(attempt, "busy")), 0, "a failed one");
  assertEquals(written(() => log.signIn(attempt, "ok")), 1, "a successful one");
  assertEquals(written(() => log.refused(REQUEST, "permissionDenied")), 1, "a refusal of a user");
  log.close();
  const leftOut = audit.lines.filter(({ message }) => message === "audit: lines left out");
  assertEquals(leftOut.map(({ fields }) => fields), [
    { about: "refused requests without a user", lines: 7 },
    { about: "failed sign-ins", lines: 1 },
  ]);
});

Deno.test("AuditLog: lines after the end of the log start no timer, and are no more than of one window", () => {
  const audit = new RecordingAudit();
  const clock = new ManualClock();
  const log = new AuditLog(audit, { clock, recordsAllowed: () => false });
  log.close();
  for (let number = 0; number < MAX_REFUSED_LINES_A_MINUTE + 30; number++) {
    log.refused(REQUEST, "unauthenticated");
  }
  assertEquals([audit.lines.length, clock.timerCount], [MAX_REFUSED_LINES_A_MINUTE, 0]);
});

Deno.test("describeKeys: a key, a prefix, a range and all keys are in words, and long keys are cut", () => {
  const range = (start: string, end: Uint8Array | null): string =>
    describeKeys({ kind: "range", start: bytes(start), end });
  assertEquals(describeKeys({ kind: "key", key: bytes('a"b\n') }), 'the key "a\\"b\\n"');
  assertEquals(range("", null), "all keys");
  assertEquals(range("app/", prefixEnd(bytes("app/"))), 'the keys that begin with "app/"');
  assertEquals(range("a", bytes("c")), 'the keys from "a" to "c"');
  assertEquals(range("a", null), 'the keys from "a" on');
  const long = bytes("x".repeat(MAX_SHOWN_KEY_BYTES + 1));
  assertEquals(describeKeys({ kind: "key", key: long }), `the key "${"x".repeat(MAX_SHOWN_KEY_BYTES)}"…`);
});

Deno.test("keysOfRequirement: several keys are named by what they have in common", () => {
  const keysOf = (...keys: readonly string[]): string | null => {
    const grants = keys.map((key) => ({ right: "write", keys: { kind: "key", key: bytes(key) } } as const));
    const found = keysOfRequirement({ kind: "keys", grants, leases: [] });
    return found === null ? null : describeKeys(found);
  };
  assertEquals(keysOf(), null);
  assertEquals(keysOf("app/one"), 'the key "app/one"');
  assertEquals(keysOf("app/one", "app/other", "app/o"), 'the keys that begin with "app/o"');
  assertEquals(keysOf("app/one", "zoo"), "all keys");
  assertEquals(keysOfRequirement({ kind: "signedIn" }), null);
  assertEquals(
    describeKeys(keysOfRequirement({ kind: "admin" }) ?? { kind: "key", key: bytes("") }),
    "all keys",
  );
});

Deno.test("Access: the line about a change of users names the change and its target, and has no hash", () => {
  const changes: readonly (readonly [AuthChange, string])[] = [
    [{ kind: "setEnabled", enabled: false }, "setEnabled false"],
    [{ kind: "addUser", user: "bob", password: passwordHash("secret") }, 'addUser "bob"'],
    [{ kind: "setPassword", user: "bob", password: null }, 'setPassword "bob" without a password'],
    [{ kind: "removeUser", user: "bob" }, 'removeUser "bob"'],
    [{ kind: "grantRole", user: "bob", role: "root" }, 'grantRole "root" of user "bob"'],
    [{ kind: "revokeRole", user: "bob", role: "root" }, 'revokeRole "root" of user "bob"'],
    [
      { kind: "addToken", user: "bob", token: "ci", hash: new Uint8Array(32).fill(7), expiresAtMs: null },
      'addToken "ci" of user "bob"',
    ],
    [{ kind: "revokeToken", user: "bob", token: "ci" }, 'revokeToken "ci" of user "bob"'],
    [{ kind: "addRole", role: "app" }, 'addRole "app"'],
    [{ kind: "removeRole", role: "app" }, 'removeRole "app"'],
    [
      { kind: "addGrant", role: "app", grant: { right: "read", keys: { kind: "key", key: bytes("one") } } },
      'addGrant of role "app": read over the key "one"',
    ],
    [
      {
        kind: "removeGrant",
        role: "app",
        grant: { right: "admin", keys: { kind: "range", start: bytes(""), end: null } },
      },
      'removeGrant of role "app": admin over all keys',
    ],
  ];
  const audit = new RecordingAudit();
  const stateMachine = new StateMachine();
  const { auth } = stateMachine;
  auth.change({ kind: "addUser", user: "alice", password: passwordHash("right") });
  const access = new Access({
    stateMachine: () => stateMachine,
    audit: new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: () => true }),
  });
  const client = signedIn(auth, "alice");
  const ask = (change: AuthChange): string | null => {
    const user = client.user(auth);
    assert(user !== null);
    access.refusalOfCommand({ kind: "changeAuth", session: null, change }, client, user);
    const [line] = audit.lines.splice(0);
    assertEquals(line?.fields["request"], "changeAuth");
    return `${line?.message}: ${line?.fields["change"]}`;
  };
  for (const [change, words] of changes) assertEquals(ask(change), `audit: request refused: ${words}`);
  auth.change({ kind: "grantRole", user: "alice", role: "root" });
  for (const [change, words] of changes) assertEquals(ask(change), `audit: request allowed: ${words}`);
});
