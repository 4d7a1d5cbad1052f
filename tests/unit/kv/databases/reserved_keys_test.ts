/** The reserved part of the key space: no ordinary command changes it, and no range that begins below it reaches it. */
import { assertEquals } from "@std/assert";
import {
  type Branches,
  databaseKey,
  databaseRange,
  keepsStoreLimits,
  type KeySet,
  type Operation,
  type PlainCommand,
  REGISTRY_KEY,
  RESERVED_START,
  UserRights,
  validateCommand,
} from "../../../../lib/kv/mod.ts";
import { bytes, put, query, Replica, transaction } from "../support.ts";
import { DatabaseReplica, set, v8Value, write } from "./support.ts";

const LIMITS = { maxValueBytes: 1_000 };
const KEY = databaseKey(3, bytes("k"));
/** The last key below the reserved part. */
const LAST = Uint8Array.of(...RESERVED_START.subarray(1), 0xfe, 0xff);
const ALL: KeySet = { kind: "range", start: bytes(""), end: null };

function branches(...then: readonly Operation[]): PlainCommand & Branches {
  return { kind: "branchingTransaction", session: null, conditions: [], then, else: [] };
}

/** Commands that change a reserved key. */
function changes(key: Uint8Array): readonly PlainCommand[] {
  const value = bytes("v");
  const kept = { returnPrevious: false, leaseId: null, expiresAtMs: null } as const;
  const operations: readonly Operation[] = [
    { kind: "put", key, value, ...kept },
    { kind: "delete", keys: { kind: "key", key }, returnPrevious: false },
    { kind: "delete", keys: { kind: "range", start: key, end: null }, returnPrevious: false },
    { kind: "sum", key, operand: new Uint8Array(8) },
    { kind: "min", key, operand: new Uint8Array(8) },
  ];
  return [
    transaction([{ kind: "put", key, value }]),
    transaction([put("a", "v"), { kind: "delete", key }]),
    transaction([{ kind: "expiringPut", key, value, leaseId: null, expiresAtMs: 5 }]),
    ...operations.map((operation) => branches(operation)),
    ...operations.map((operation) => branches({ ...branches(operation), kind: "transaction" })),
    { ...branches(), else: operations } as PlainCommand,
  ];
}

Deno.test("reserved keys: a command that changes one is refused by nodes, and again when it is applied", () => {
  for (const key of [RESERVED_START, REGISTRY_KEY, KEY]) {
    for (const command of changes(key)) {
      assertEquals(validateCommand(command, LIMITS)?.kind, "invalidRequest", JSON.stringify(command));
      const replica = new DatabaseReplica();
      assertEquals(replica.apply(command), { kind: "refused", reason: "invalidCommand" });
      assertEquals(replica.machine.keyCount, 0);
    }
  }
});

Deno.test("reserved keys: at feature level 1 a put of one is applied, as version 0.1.0 does it", () => {
  const replica = new Replica();
  const command = transaction([{ kind: "put", key: REGISTRY_KEY, value: bytes("x") }]);
  assertEquals(keepsStoreLimits(command), true);
  assertEquals(replica.apply(command).kind, "applied");
  replica.apply({ kind: "raiseFeatureLevel", level: 2 });
  assertEquals(replica.machine.get(REGISTRY_KEY)?.value, bytes("x"));
  // It is no registry, so there is none yet.
  assertEquals(replica.machine.registry, { nextId: 1, databases: [] });
});

Deno.test("reserved keys: a range that begins below them ends there, in every read and command", () => {
  const replica = new DatabaseReplica();
  replica.apply(transaction([put("a", "v"), { kind: "put", key: LAST, value: bytes("v") }]));
  replica.apply(write([set("k", v8Value(1))]));
  const keys = [bytes("a"), LAST];
  const { machine } = replica;
  const listed = [query(), query({ reverse: true }), query({ start: bytes("a") }), query({ end: KEY })];
  for (const one of listed) {
    const expected = one.reverse ? keys.toReversed() : keys;
    assertEquals(machine.list(one).entries.map(({ key }) => key), expected);
    assertEquals(machine.listAt(one, machine.revision).result.entries.map(({ key }) => key), expected);
  }
  const prefix = query({ prefix: new Uint8Array(3).fill(0xff) });
  assertEquals(machine.list(prefix).entries.map(({ key }) => key), [LAST]);
  assertEquals(machine.list(query({ after: LAST })).entries, []);
  const get: Operation = { kind: "get", keys: ALL, limit: 10, reverse: false, revision: null };
  const result = replica.apply(branches(get, { ...get, revision: machine.revision }, {
    kind: "delete",
    keys: ALL,
    returnPrevious: true,
  }));
  assertEquals(
    result.kind === "executed" && result.outcomes !== "omitted" &&
      result.outcomes.map((outcome) =>
        outcome.kind === "get" ? outcome.entries.length : outcome.kind === "delete" ? outcome.deleted : -1
      ),
    [2, 2, 2],
  );
  assertEquals(machine.keyCount, 1);
});

Deno.test("reserved keys: a range or get that begins among them reads them as they are", () => {
  const replica = new DatabaseReplica();
  replica.apply(write([set("k", v8Value(1))]));
  const { start, end } = databaseRange(0);
  const { machine } = replica;
  assertEquals(machine.list(query({ start, end })).entries.length, 1);
  assertEquals(machine.list(query({ prefix: RESERVED_START })).entries.length, 1);
  assertEquals(machine.get(databaseKey(0, bytes("k")))?.value, v8Value(1));
  const keys = { kind: "key", key: databaseKey(0, bytes("k")) } as const;
  const result = replica.apply(branches({ kind: "get", keys, limit: 1, reverse: false, revision: null }));
  assertEquals(
    result.kind === "executed" && result.outcomes !== "omitted" && result.outcomes[0]?.kind,
    "get",
  );
});

Deno.test("databaseRange: the ranges of two databases are disjoint, also of the last ids", () => {
  for (const id of [0, 1, 255, 256, 2 ** 31, 2 ** 32 - 2]) {
    assertEquals(databaseRange(id).end, databaseRange(id + 1).start);
  }
  assertEquals(databaseRange(2 ** 32 - 1).end, Uint8Array.of(...RESERVED_START, 2));
  assertEquals(databaseKey(0x01020304, bytes("k")).slice(8), Uint8Array.of(1, 1, 2, 3, 4, 107));
});

Deno.test("UserRights: the registry, which has secrets, is for root alone; a database is as granted", () => {
  const grant = (right: "read" | "write" | "admin"): UserRights =>
    new UserRights([{ right, keys: ALL }], { isRoot: false });
  const root = new UserRights([], { isRoot: true });
  const { start, end } = databaseRange(0);
  for (const right of ["read", "write", "admin"] as const) {
    const rights = grant(right);
    const seen = [
      rights.allows(right, REGISTRY_KEY),
      rights.allows(right, RESERVED_START),
      rights.allowsRange(right, RESERVED_START, null),
      rights.allowsRange(right, REGISTRY_KEY, start),
    ];
    assertEquals(seen, [false, false, false, false]);
    assertEquals([rights.allows(right, KEY), rights.allowsRange(right, start, end)], [true, true]);
    // It ends where the reserved part begins.
    assertEquals(rights.allowsRange(right, bytes(""), null), true);
    assertEquals([root.allows(right, REGISTRY_KEY), root.allowsRange(right, bytes(""), null)], [true, true]);
  }
});
