/** AuditLog: lines of bounded number, with a count of those left out; keys in words. */
import { assertEquals } from "@std/assert";
import { prefixEnd } from "../../../../lib/kv/mod.ts";
import {
  AuditLog,
  MAX_ALLOWED_LINES_A_SECOND,
  MAX_REFUSED_LINES_A_MINUTE,
} from "../../../../lib/server/auth/audit_log.ts";
import {
  describeKeys,
  keysOfRequirement,
  MAX_SHOWN_KEY_BYTES,
} from "../../../../lib/server/auth/describe_keys.ts";
import { RecordingAudit } from "../../../support/fakes/auth.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const REQUEST = { user: "alice", remote: "10.0.0.1:5000", request: "get", keys: "all keys" };

Deno.test("AuditLog: a line says who asked, from where, for what, about which keys, and with what result", () => {
  const audit = new RecordingAudit();
  const log = new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: true });
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
  const log = new AuditLog(audit, { clock, recordsAllowed: false });
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
  const log = new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: true });
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
  const log = new AuditLog(audit, { clock: new ManualClock(), recordsAllowed: false });
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
  const log = new AuditLog(audit, { clock, recordsAllowed: false });
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
