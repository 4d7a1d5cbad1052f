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
};

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
