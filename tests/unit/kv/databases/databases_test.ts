/** Writes of databases: checks, mutations in order, revisions, access tokens, sessions, limits. */
import { assertEquals } from "@std/assert";
import {
  type CommandResult,
  databaseKey,
  type DatabaseWrite,
  NO_REVISION,
  NODE_IDENTITY,
  validateCommand,
} from "../../../../lib/kv/mod.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";
import { bytes, put, query, Replica, stamp, transaction } from "../support.ts";
import { DatabaseReplica, del, set, shown, sum, u64, v8Value, write } from "./support.ts";

const LIMITS = { maxValueBytes: 1_048_576 };
const ONE = v8Value(1);

function refusedFor(result: CommandResult): unknown {
  return result.kind === "refused" ? result.reason : result.kind;
}

Deno.test("databaseWrite: mutations apply in order, each sees the ones before it, in one revision", () => {
  const replica = new DatabaseReplica();
  const result = replica.apply(write([
    set("t", ONE),
    sum("t", ONE),
    del("t"),
    set("t", v8Value(7)),
    sum("t", ONE),
    sum("new", u64(2n)),
    sum("new", u64(3n)),
    set("gone", ONE),
    del("gone"),
  ]));
  assertEquals(result, { kind: "databaseWritten", revision: 1 });
  assertEquals([replica.stored("t"), replica.stored("new"), replica.stored("gone")].map(shown), [
    8,
    "u64 5",
    null,
  ]);
  const entry = replica.machine.get(databaseKey(0, bytes("t")));
  assertEquals([entry?.createRevision, entry?.modRevision], [1, 1]);
  replica.machine.checkStructure();
});

Deno.test("databaseWrite: it always has a revision of its own, also where it changes nothing; failures have none", () => {
  const replica = new DatabaseReplica();
  const outcomes = [
    replica.apply(write([del("absent")])),
    replica.apply(write([del("absent")], { checks: [{ key: bytes("k"), revision: 1 }] })),
    replica.apply(write([set("s", v8Value("text"))])),
    replica.apply(write([sum("s", ONE)])),
    replica.apply(write([del("absent")])),
    replica.apply(transaction([put("a", "v")])),
  ];
  assertEquals(outcomes.map((outcome) => "revision" in outcome && outcome.revision), [1, 1, 2, 2, 3, 4]);
  assertEquals(outcomes.map(({ kind }) => kind), [
    "databaseWritten",
    "databaseChecksFailed",
    "databaseWritten",
    "databaseWriteFailed",
    "databaseWritten",
    "applied",
  ]);
  const last = new DatabaseReplica();
  last.apply(write([del("absent")]));
  // The history can be compacted up to it at once.
  assertEquals(last.apply({ kind: "compact", revision: 1 }), {
    kind: "compacted",
    revision: 1,
    before: 0,
    present: 1,
  });
  // A revision without a change can be read and compacted like any other.
  assertEquals(replica.machine.readability(3), "readable");
  assertEquals(replica.apply({ kind: "compact", revision: 3 }), {
    kind: "compacted",
    revision: 3,
    before: 0,
    present: 4,
  });
  assertEquals(replica.machine.listAt(query(), 3).result.entries, []);
  assertEquals(StateMachine.restore(replica.records()).revision, 4);
});

Deno.test("databaseWrite: one mutation that fails leaves nothing of the write", () => {
  // Unlike Deno's own local KV (2.9.6), which keeps what came before the mutation that fails.
  const replica = new DatabaseReplica();
  replica.apply(write([set("s", v8Value("text"))]));
  const result = replica.apply(write([set("p", ONE), sum("q", ONE), sum("s", ONE), set("r", ONE)]));
  assertEquals(result, { kind: "databaseWriteFailed", revision: 1, reason: "notANumber", position: 2 });
  assertEquals([replica.stored("p"), replica.stored("q"), replica.stored("r")], [null, null, null]);
});

Deno.test("databaseWrite: every failed check is named, and none is made that fails", () => {
  const replica = new DatabaseReplica();
  replica.apply(write([set("a", ONE)]));
  replica.apply(write([set("b", ONE)]));
  const checked = (...checks: readonly (readonly [string, number | null])[]): CommandResult =>
    replica.apply(write([set("c", ONE)], {
      checks: checks.map(([key, revision]) => ({ key: bytes(key), revision })),
    }));
  const failed = checked(["a", 1], ["b", 1], ["c", null], ["a", null], ["c", 1], ["a", NO_REVISION]);
  assertEquals(failed, { kind: "databaseChecksFailed", revision: 2, failedChecks: [1, 3, 4, 5] });
  assertEquals(replica.stored("c"), null);
  assertEquals(checked(["a", 1], ["b", 2], ["c", null]), { kind: "databaseWritten", revision: 3 });
  // A key of another database is not looked at.
  replica.create("app");
  const other = write([del("x")], { databaseId: 1, checks: [{ key: bytes("a"), revision: null }] });
  assertEquals(replica.apply(other).kind, "databaseWritten");
});

Deno.test("databaseWrite: a versionstamped key ends with the versionstamp of the write", () => {
  const replica = new DatabaseReplica();
  replica.apply(write([set("x", ONE)]));
  const versionstamped = { versionstampedKey: true };
  replica.apply(write([set("cv", ONE, versionstamped), set("cv", v8Value(2), versionstamped)]));
  assertEquals(shown(replica.stored("cv\x0200000000000000020000\x00")), 2);
  assertEquals(replica.machine.keyCount, 2);
});

Deno.test("databaseWrite: a key expires as set, and no longer after a sum or another set", () => {
  const replica = new DatabaseReplica();
  const expiring = { expiresAtMs: 1_000 };
  replica.apply(write([set("a", ONE, expiring), set("b", ONE, expiring), set("c", ONE, expiring)]));
  assertEquals(replica.machine.nextExpiresAtMs, 1_000);
  replica.apply(write([sum("b", ONE), set("c", ONE)]));
  replica.apply({ kind: "deleteExpired", untilMs: 2_000 });
  assertEquals([replica.stored("a"), replica.stored("b"), replica.stored("c")].map(shown), [null, 2, 1]);
});

Deno.test("databaseWrite: the same bytes in another database, and beside all of them, are other keys", () => {
  const replica = new DatabaseReplica();
  replica.create("one");
  replica.create("two");
  replica.apply(write([set("k", v8Value(1))], { databaseId: 1 }));
  replica.apply(write([set("k", v8Value(2))], { databaseId: 2 }));
  replica.apply(write([set("k", v8Value(0))]));
  replica.apply(transaction([put("k", "plain")]));
  assertEquals([0, 1, 2].map((id) => shown(replica.stored("k", id))), [0, 1, 2]);
  replica.apply(write([del("k")], { databaseId: 1 }));
  assertEquals([0, 1, 2].map((id) => shown(replica.stored("k", id))), [0, null, 2]);
});

Deno.test("databaseWrite: the token that it names must exist in its database when it is applied", () => {
  const replica = new DatabaseReplica();
  replica.create("app");
  const outcome = (differences: Partial<DatabaseWrite>): unknown =>
    refusedFor(replica.apply(write([set("k", ONE)], differences)));
  const app = { databaseId: 1 };
  assertEquals(outcome({ databaseId: 5 }), "databaseNotFound");
  // Without tokens and without authentication a database is open.
  assertEquals([outcome(app), outcome({})], ["databaseWritten", "databaseWritten"]);
  assertEquals([outcome({ ...app, credentialId: 1 }), outcome({ credentialId: 1 })], [
    "unauthenticated",
    "unauthenticated",
  ]);
  replica.addToken("app", 1);
  assertEquals([outcome(app), outcome({})], ["unauthenticated", "databaseWritten"]);
  assertEquals(outcome({ ...app, credentialId: 1 }), "databaseWritten");
  assertEquals(outcome({ credentialId: 1 }), "unauthenticated");
  const retried = { ...app, credentialId: 1, session: stamp() };
  assertEquals(outcome(retried), "databaseWritten");
  replica.change({ kind: "removeToken", name: "app", tokenId: 1 });
  assertEquals([outcome({ ...app, credentialId: 1 }), outcome(retried)], [
    "unauthenticated",
    "unauthenticated",
  ]);
  // A database whose last token was removed does not open by that.
  assertEquals(outcome(app), "unauthenticated");
  replica.change({ kind: "remove", name: "app" });
});

Deno.test("databaseWrite: while authentication is enabled, it needs a user with the right or a token", () => {
  const replica = new DatabaseReplica();
  replica.addToken("default", 1);
  replica.create("open");
  const auth = (change: Parameters<typeof replica.apply>[0]): CommandResult => replica.apply(change);
  auth({
    kind: "changeAuth",
    session: null,
    change: {
      kind: "addUser",
      user: "root",
      password: {
        algorithm: "scrypt",
        cost: 2 ** 15,
        blockSize: 8,
        parallelism: 1,
        salt: new Uint8Array(16),
        hash: new Uint8Array(32),
      },
    },
  });
  auth({ kind: "changeAuth", session: null, change: { kind: "grantRole", user: "root", role: "root" } });
  auth({ kind: "changeAuth", session: null, change: { kind: "setEnabled", enabled: true } });
  const { auth: state } = replica.machine;
  const user = state.user("root");
  const identity = { userId: user?.id ?? 0, credential: user?.passwordRevision ?? 0, authRevision: 0 };
  const outcome = (differences: Partial<DatabaseWrite>): unknown =>
    refusedFor(replica.apply(write([set("k", ONE)], differences)));
  const asRoot = (differences: Partial<DatabaseWrite>): unknown => {
    const command = write([set("k", ONE)], differences);
    return refusedFor(replica.apply({ kind: "authorized", identity, command }));
  };
  const byNode = (differences: Partial<DatabaseWrite>): unknown => {
    const command = write([set("k", ONE)], differences);
    return refusedFor(replica.apply({ kind: "authorized", identity: NODE_IDENTITY, command }));
  };
  // Any client can name a token; that a node's front end has checked it, the identity of the node shows.
  assertEquals(outcome({ credentialId: 1 }), "unauthenticated");
  assertEquals(byNode({ credentialId: 1 }), "databaseWritten");
  assertEquals([byNode({}), byNode({ credentialId: 2 }), byNode({ databaseId: 1, credentialId: 1 })], [
    "unauthenticated",
    "unauthenticated",
    "unauthenticated",
  ]);
  assertEquals([outcome({}), outcome({ databaseId: 1 }), outcome({ databaseId: 1, credentialId: 1 })], [
    "unauthenticated",
    "unauthenticated",
    "unauthenticated",
  ]);
  assertEquals([
    asRoot({}),
    asRoot({ databaseId: 1 }),
    asRoot({ credentialId: 1 }),
    asRoot({ credentialId: 2 }),
  ], [
    "databaseWritten",
    "databaseWritten",
    "databaseWritten",
    "unauthenticated",
  ]);
});

Deno.test("databaseWrite: a retry gets the first answer, and its sum counts once, after a restore as well", () => {
  const replica = new DatabaseReplica();
  const counted = write([sum("n", u64(1n))], { session: stamp() });
  const failing = write([sum("s", ONE)], { session: stamp({ sequence: 2 }) });
  const unchecked = write([del("n")], {
    session: stamp({ sequence: 3 }),
    checks: [{ key: bytes("n"), revision: null }],
  });
  replica.apply(write([set("s", v8Value("x"))]));
  const commands = [counted, failing, unchecked];
  const first = commands.map((command) => replica.apply(command));
  assertEquals(commands.map((command) => replica.apply(command)), first);
  const restored = StateMachine.restore(replica.records());
  assertEquals(commands.map((command) => restored.apply(restored.appliedIndex + 1, command)), first);
  assertEquals(shown(restored.get(databaseKey(0, bytes("n")))?.value ?? null), "u64 1");
});

Deno.test("databaseWrite: at feature level 1 it is no command", () => {
  const replica = new Replica();
  assertEquals(replica.apply(write([set("k", ONE)])), { kind: "refused", reason: "invalidCommand" });
});

Deno.test("growthOfDatabase: it is what the state grows by, for sets and deletes of several keys", () => {
  const replica = new DatabaseReplica();
  replica.apply(write([set("a", v8Value("long value")), set("b", ONE)]));
  const writes = [
    write([set("a", ONE)]),
    write([set("c", ONE), set("c", v8Value("longer")), del("b")]),
    write([set("v", ONE, { versionstampedKey: true })]),
    write([sum("a", ONE)]),
  ];
  for (const one of writes.slice(0, 3)) {
    const { stateBytes } = replica.machine;
    const growth = replica.machine.growthOfDatabase(one);
    replica.apply(one);
    assertEquals(replica.machine.stateBytes - stateBytes, growth);
  }
});

Deno.test("validateCommand: the limits of a database's write, in the words of Deno KV", () => {
  const key = (length: number): string => "k".repeat(length);
  const value = (length: number): Uint8Array => new Uint8Array(length + 1).fill(3);
  const many = (count: number, one: ReturnType<typeof set>): readonly ReturnType<typeof set>[] =>
    Array(count).fill(one);
  const check = (length: number): DatabaseWrite["checks"][number] => ({
    key: bytes(key(length)),
    revision: null,
  });
  const valid = [
    write([set(key(2_048), value(65_536))]),
    write([del("k")], { checks: Array(100).fill(check(2_049)) }),
    write(many(1_000, set(key(81), value(0)))),
    write(many(12, set(key(1), value(65_536)))),
  ];
  for (const one of valid) assertEquals(validateCommand(one, LIMITS), null);
  const refused: readonly (readonly [DatabaseWrite, string])[] = [
    [write([]), "Cannot write to a database without a mutation: read instead."],
    [write([set(key(2_049), value(0))]), "Key too large for write (max 2048 bytes)"],
    [write([del("")]), "Key cannot be empty"],
    [write([set("k", value(65_537))]), "Value too large (max 65536 bytes)"],
    [write([del("k")], { checks: [check(2_050)] }), "Key too large for read (max 2049 bytes)"],
    [write([del("k")], { checks: Array(101).fill(check(1)) }), "Too many checks (max 100)"],
    [write(many(1_001, del("k"))), "Too many mutations (max 1000)"],
    [write(many(41, del(key(2_000)))), "Total key size too large (max 81920 bytes)"],
    [write(many(13, set("k", value(65_536)))), "Total mutation size too large (max 819200 bytes)"],
    [write([sum("k", v8Value("a"))]), "Some of the parameters are not valid V8 values"],
    [write([sum("k", value(8))]), "Some of the parameters are not valid V8 values"],
    [write([sum("k", ONE, { maximum: bytes("?") })]), "Some of the parameters are not valid V8 values"],
    [
      write([sum("k", ONE, { minimum: v8Value(1n).subarray(1) })]),
      "Min/max parameters have different types than the operand",
    ],
    [
      write([{ kind: "min", key: bytes("k"), value: ONE }]),
      "Failed to perform 'min' mutation on a non-U64 operand",
    ],
    [
      write([set("k", Uint8Array.of(4, 1))]),
      "Cannot write a value of this encoding: it is 1 (V8), 2 (64 bits) or 3 (bytes).",
    ],
    [
      write([set("k", Uint8Array.of(2, 1))]),
      "Cannot write a value of this encoding: it is 1 (V8), 2 (64 bits) or 3 (bytes).",
    ],
    [
      write([del("k")], { databaseId: 2 ** 32 }),
      "Cannot write to this database: ids of databases and access tokens are below 2^32.",
    ],
    [
      write([del("k")], { checks: [{ key: bytes("k"), revision: 0 }] }),
      "Cannot compare with revision 0: revisions are integers from 1 up.",
    ],
  ];
  for (const [one, message] of refused) assertEquals(validateCommand(one, LIMITS)?.message, message);
  assertEquals(
    validateCommand(write([set("k", value(101))]), { maxValueBytes: 100 })?.message,
    "Value too large (max 100 bytes)",
  );
});
