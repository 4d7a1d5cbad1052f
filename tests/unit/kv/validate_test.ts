/** Validation of requests: what may be sent, and the message about the rest. */
import { assertEquals } from "@std/assert";
import {
  type Command,
  type ListQuery,
  MAX_KEY_BYTES,
  MAX_LIST_ENTRIES,
  MAX_SESSION_WINDOW,
  MAX_TRANSACTION_OPERATIONS,
  MAX_VALUE_BYTES,
  type Mutation,
} from "../../../lib/kv/command.ts";
import type { GrantLease } from "../../../lib/kv/leases/lease_command.ts";
import {
  type CommandProblem,
  validateCommand,
  validateKey,
  validateListQuery,
} from "../../../lib/kv/validate.ts";
import { bytes, put, query, remove, stamp, transaction } from "./support.ts";

const limits = { maxValueBytes: 1_000 };
const longestKey = new Uint8Array(MAX_KEY_BYTES);
const tooLongKey = new Uint8Array(MAX_KEY_BYTES + 1);
const puts = (count: number): readonly Mutation[] => Array.from({ length: count }, (_, i) => put(`${i}`, ""));

const allowed: Readonly<Record<string, Command>> = {
  "a longest key with a longest value": transaction([
    { kind: "put", key: longestKey, value: new Uint8Array(limits.maxValueBytes) },
  ]),
  "an empty value": transaction([put("k", "")]),
  "as many operations as may be": transaction(puts(MAX_TRANSACTION_OPERATIONS - 1), {
    checks: [{ kind: "exists", key: bytes("0"), exists: true }],
  }),
  "a comparison with a value that may no longer be put": transaction([put("k", "")], {
    checks: [{ kind: "value", key: bytes("k"), value: new Uint8Array(MAX_VALUE_BYTES) }],
  }),
  "several checks of the key that is changed": transaction([put("k", "")], {
    checks: [
      { kind: "exists", key: bytes("k"), exists: true },
      { kind: "modRevision", key: bytes("k"), modRevision: 3 },
    ],
  }),
  "the newest write of a full window": transaction([put("k", "")], {
    session: stamp({ sequence: MAX_SESSION_WINDOW }),
  }),
  "a registration": { kind: "registerSession", sessionId: 2 ** 53 - 1, openedAt: 0 },
  "a lease with the longest time and the largest id": grant({
    leaseId: 2 ** 53 - 1,
    ttlMs: 9_000_000_000_000,
  }),
  "as many keep-alives as may be": {
    kind: "keepLeasesAlive",
    leaseIds: Array.from({ length: 10_000 }, (_, position) => position + 1),
  },
  "a put with a lease and a time": transaction([
    {
      kind: "expiringPut",
      key: bytes("k"),
      value: bytes("v"),
      leaseId: 2 ** 53 - 1,
      expiresAtMs: 2 ** 53 - 1,
    },
  ]),
};

for (const [name, command] of Object.entries(allowed)) {
  Deno.test(`validateCommand: it accepts ${name}`, () => {
    assertEquals(validateCommand(command, limits), null);
  });
}

function invalid(message: string): CommandProblem {
  return { kind: "invalidRequest", message };
}

const emptyKey = invalid("Cannot use an empty key: give at least one byte.");
const longKey: CommandProblem = {
  kind: "keyTooLarge",
  message: "Cannot use a key of 4097 bytes: at most 4096 are allowed.",
};

const refused: Readonly<Record<string, readonly [Command, CommandProblem]>> = {
  "an empty key": [transaction([put("", "v")]), emptyKey],
  "an empty key in a check": [
    transaction([put("k", "v")], { checks: [{ kind: "exists", key: bytes(""), exists: true }] }),
    emptyKey,
  ],
  "an over-long key": [transaction([{ kind: "delete", key: tooLongKey }]), longKey],
  "an over-large value": [
    transaction([put("k", "x".repeat(1_001))]),
    { kind: "valueTooLarge", message: "Cannot use a value of 1001 bytes: at most 1000 are allowed." },
  ],
  "a comparison with a value that can't be": [
    transaction([put("k", "")], {
      checks: [{ kind: "value", key: bytes("k"), value: new Uint8Array(MAX_VALUE_BYTES + 1) }],
    }),
    { kind: "valueTooLarge", message: "Cannot use a value of 1048577 bytes: at most 1048576 are allowed." },
  ],
  "a revision that can't be": [
    transaction([put("k", "")], { checks: [{ kind: "modRevision", key: bytes("k"), modRevision: -1 }] }),
    invalid("Cannot compare with revision -1: revisions are integers from 0 up."),
  ],
  "no mutation": [
    transaction([]),
    invalid("Cannot apply a transaction without a mutation: add a put or a delete."),
  ],
  "a key twice": [
    transaction([put("k", "v"), remove("k")]),
    invalid("Cannot change a key twice in one transaction: keep one of the mutations."),
  ],
  "too many operations": [
    transaction(puts(MAX_TRANSACTION_OPERATIONS), {
      checks: [{ kind: "exists", key: bytes("0"), exists: true }],
    }),
    invalid("Cannot apply a transaction of 129 operations: at most 128 checks and mutations are allowed."),
  ],
  "more bytes than a command may have": [
    transaction(puts(8), {
      checks: Array.from({ length: 8 }, (_, i) => ({
        kind: "value",
        key: bytes(`${i}`),
        value: new Uint8Array(MAX_VALUE_BYTES),
      })),
    }),
    invalid(
      "Cannot apply a transaction of about 8389200 bytes: at most 8388608 are allowed. Split it into smaller ones.",
    ),
  ],
  "a stamp without a sequence number": [
    transaction([put("k", "")], { session: stamp({ sequence: 0 }) }),
    invalid(
      "Cannot apply a write with this session stamp: the sequence number must be an integer from 1 up.",
    ),
  ],
  "a stamp ahead of its window": [
    transaction([put("k", "")], { session: stamp({ sequence: MAX_SESSION_WINDOW + 1 }) }),
    invalid(
      "Cannot apply a write with this session stamp: " +
        "a write may be at most 4096 numbers ahead of the oldest answer not yet acknowledged.",
    ),
  ],
  "a registration without a number": [
    { kind: "registerSession", sessionId: 0, openedAt: 0 },
    invalid("Cannot register a session: the session's id must be an integer from 1 to 2^53 - 1."),
  ],
  "a client's expiry of sessions": [
    { kind: "expireSessions", elapsedMs: 1 },
    invalid("Cannot expire sessions: only the leader advances the store's clock."),
  ],
  "a client's deletion of expired keys": [
    { kind: "deleteExpired", untilMs: 1 },
    invalid("Cannot delete expired keys: only the leader does."),
  ],
  "a lease of less than a second": [grant({ ttlMs: 999 }), invalid(ttlProblem(999))],
  "a lease without a time to live": [grant({ ttlMs: 0 }), invalid(ttlProblem(0))],
  "a lease with a negative time to live": [grant({ ttlMs: -1 }), invalid(ttlProblem(-1))],
  "a lease of part of a millisecond": [grant({ ttlMs: 1_000.5 }), invalid(ttlProblem(1_000.5))],
  "a lease longer than etcd's": [grant({ ttlMs: 9_000_000_000_001 }), invalid(ttlProblem(9_000_000_000_001))],
  "a lease without an id": [grant({ leaseId: 0 }), invalid(leaseIdProblem(0))],
  "a grant with an invalid stamp": [
    grant({ session: stamp({ sequence: 0 }) }),
    invalid(
      "Cannot apply a write with this session stamp: the sequence number must be an integer from 1 up.",
    ),
  ],
  "a revocation of an impossible id": [
    { kind: "revokeLease", session: null, leaseId: 2 ** 53 },
    invalid(leaseIdProblem(2 ** 53)),
  ],
  "keeping no lease alive": [
    { kind: "keepLeasesAlive", leaseIds: [] },
    invalid("Cannot keep 0 leases alive at once: name from 1 to 10000."),
  ],
  "keeping too many leases alive": [
    { kind: "keepLeasesAlive", leaseIds: Array.from({ length: 10_001 }, () => 1) },
    invalid("Cannot keep 10001 leases alive at once: name from 1 to 10000."),
  ],
  "keeping an impossible lease alive": [
    { kind: "keepLeasesAlive", leaseIds: [1, -1] },
    invalid(leaseIdProblem(-1)),
  ],
  "an expiring put that nothing ends": [
    transaction([{
      kind: "expiringPut",
      key: bytes("k"),
      value: bytes("v"),
      leaseId: null,
      expiresAtMs: null,
    }]),
    invalid("Cannot use an expiring put without a lease and a time: use a put."),
  ],
  "a put with an impossible lease": [
    transaction([{
      kind: "expiringPut",
      key: bytes("k"),
      value: bytes("v"),
      leaseId: 0.5,
      expiresAtMs: null,
    }]),
    invalid(leaseIdProblem(0.5)),
  ],
  "a put that expires before time began": [
    transaction([{ kind: "expiringPut", key: bytes("k"), value: bytes("v"), leaseId: 1, expiresAtMs: 0 }]),
    invalid(
      "Cannot have a key expire at 0: times are milliseconds since 1970, integers from 1 to 2^53 - 1.",
    ),
  ],
  "two leases for one key in one transaction": [
    transaction([
      { kind: "expiringPut", key: bytes("k"), value: bytes("v"), leaseId: 1, expiresAtMs: null },
      { kind: "expiringPut", key: bytes("k"), value: bytes("v"), leaseId: 2, expiresAtMs: null },
    ]),
    invalid("Cannot change a key twice in one transaction: keep one of the mutations."),
  ],
};

function grant(differences: Partial<GrantLease>): GrantLease {
  return { kind: "grantLease", session: null, leaseId: 7, ttlMs: 1_000, ...differences };
}

function ttlProblem(ttlMs: number): string {
  return `Cannot grant a lease of ${ttlMs} ms: the time to live is an integer from 1000 ms (a second) ` +
    "to 9000000000000 ms.";
}

function leaseIdProblem(leaseId: number): string {
  return `Cannot use ${leaseId} as the id of a lease: ids are integers from 1 to 2^53 - 1.`;
}

for (const [name, [command, problem]] of Object.entries(refused)) {
  Deno.test(`validateCommand: it refuses ${name}`, () => {
    assertEquals(validateCommand(command, limits), problem);
  });
}

Deno.test("validateKey: a key has one byte to as many as a key may have", () => {
  const keys = [new Uint8Array(), bytes("k"), longestKey, tooLongKey];
  assertEquals(keys.map(validateKey), [emptyKey, null, null, longKey]);
});

Deno.test("validateListQuery: a listing's limit and bounds are checked", () => {
  const limit = (given: number): CommandProblem =>
    invalid(`Cannot list ${given} entries a page: the limit is an integer from 1 to 10000.`);
  const cases: readonly (readonly [Partial<ListQuery>, CommandProblem | null])[] = [
    [{}, null],
    [
      { limit: MAX_LIST_ENTRIES, prefix: longestKey, start: longestKey, end: longestKey, after: longestKey },
      null,
    ],
    [{ start: bytes("") }, null],
    [{ limit: 0 }, limit(0)],
    [{ limit: 1.5 }, limit(1.5)],
    [{ limit: MAX_LIST_ENTRIES + 1 }, limit(10_001)],
    [{ prefix: tooLongKey }, longKey],
    [{ start: tooLongKey }, longKey],
    [{ end: tooLongKey }, longKey],
    [{ after: tooLongKey }, longKey],
  ];
  assertEquals(cases.map(([given]) => validateListQuery(query(given))), cases.map(([_, problem]) => problem));
});
