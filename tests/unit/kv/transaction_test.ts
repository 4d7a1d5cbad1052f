/** One transaction at a time: checks, mutations, revisions, versions. */
import { assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { type Check, MAX_KEY_BYTES, type Mutation } from "../../../lib/kv/command.ts";
import { bytes, put, query, remove, Replica, transaction } from "./support.ts";

Deno.test("StateMachine: a put creates a key at version 1, and every later put counts up", () => {
  const replica = new Replica();
  assertEquals(replica.apply(transaction([put("k", "one")])), {
    kind: "applied",
    revision: 1,
    outcomes: [{ kind: "put", createRevision: 1, version: 1 }],
  });
  assertEquals(replica.apply(transaction([put("k", "two")])), {
    kind: "applied",
    revision: 2,
    outcomes: [{ kind: "put", createRevision: 1, version: 2 }],
  });
  assertEquals(replica.machine.get(bytes("k")), {
    key: bytes("k"),
    value: bytes("two"),
    createRevision: 1,
    modRevision: 2,
    version: 2,
  });
});

Deno.test("StateMachine: a key that was deleted begins at version 1 again", () => {
  const replica = new Replica();
  replica.apply(transaction([put("k", "one")]));
  replica.apply(transaction([put("k", "two")]));
  assertEquals(replica.apply(transaction([remove("k")])), {
    kind: "applied",
    revision: 3,
    outcomes: [{ kind: "delete", deleted: true }],
  });
  assertEquals(replica.machine.get(bytes("k")), null);
  assertEquals(replica.apply(transaction([put("k", "three")])), {
    kind: "applied",
    revision: 4,
    outcomes: [{ kind: "put", createRevision: 4, version: 1 }],
  });
});

Deno.test("StateMachine: deleting a key that does not exist is an applied write", () => {
  const replica = new Replica();
  assertEquals(replica.apply(transaction([remove("k")])), {
    kind: "applied",
    revision: 1,
    outcomes: [{ kind: "delete", deleted: false }],
  });
});

Deno.test("StateMachine: all mutations of a transaction have one revision", () => {
  const replica = new Replica();
  replica.apply(transaction([put("old", "")]));
  replica.apply(transaction([put("a", "1"), put("b", "2"), remove("old")]));
  assertEquals(replica.records(), [
    ["header", 2, 2, 0, 0],
    ["key", bytes("a"), bytes("1"), 2, 2, 1],
    ["key", bytes("b"), bytes("2"), 2, 2, 1],
  ]);
});

const checksOfK: readonly { readonly name: string; readonly holding: Check; readonly failing: Check }[] = [
  {
    name: "revision",
    holding: { kind: "modRevision", key: bytes("k"), modRevision: 1 },
    failing: { kind: "modRevision", key: bytes("k"), modRevision: 0 },
  },
  {
    name: "existence",
    holding: { kind: "exists", key: bytes("k"), exists: true },
    failing: { kind: "exists", key: bytes("k"), exists: false },
  },
  {
    name: "value",
    holding: { kind: "value", key: bytes("k"), value: bytes("v") },
    failing: { kind: "value", key: bytes("k"), value: bytes("w") },
  },
  {
    name: "absence",
    holding: { kind: "modRevision", key: bytes("none"), modRevision: 0 },
    failing: { kind: "value", key: bytes("none"), value: bytes("") },
  },
];

for (const { name, holding, failing } of checksOfK) {
  Deno.test(`StateMachine: a check of a key's ${name} applies the mutations only when it holds`, () => {
    const replica = new Replica();
    replica.apply(transaction([put("k", "v")]));
    const mutations: readonly Mutation[] = [put("x", "y")];
    assertEquals(replica.apply(transaction(mutations, { checks: [failing] })).kind, "checksFailed");
    assertEquals(replica.machine.get(bytes("x")), null);
    assertEquals(replica.apply(transaction(mutations, { checks: [holding] })), {
      kind: "applied",
      revision: 2,
      outcomes: [{ kind: "put", createRevision: 2, version: 1 }],
    });
  });
}

Deno.test("StateMachine: a failed check changes nothing, and the result names it and the state of its key", () => {
  const replica = new Replica();
  replica.apply(transaction([put("k", "v")]));
  const checks: readonly Check[] = [
    { kind: "exists", key: bytes("k"), exists: true },
    { kind: "value", key: bytes("k"), value: bytes("other") },
    { kind: "exists", key: bytes("none"), exists: true },
  ];
  const asked = { ...transaction([put("k", "w"), put("x", "y")], { checks }), returnCurrent: true } as const;
  assertEquals(replica.apply(asked), {
    kind: "checksFailed",
    revision: 1,
    failedChecks: [1, 2],
    current: { key: bytes("k"), value: bytes("v"), createRevision: 1, modRevision: 1, version: 1 },
  });
  assertEquals(replica.records(), [["header", 2, 1, 0, 0], ["key", bytes("k"), bytes("v"), 1, 1, 1]]);
  const notAsked = replica.apply(transaction([put("k", "w")], { checks }));
  assertEquals(notAsked, { kind: "checksFailed", revision: 1, failedChecks: [1, 2], current: "omitted" });
});

Deno.test("StateMachine: __proto__ and similar names are ordinary keys", () => {
  const replica = new Replica();
  const names = ["__proto__", "constructor", "toString"];
  for (const name of names) {
    assertEquals(replica.machine.get(bytes(name)), null);
    replica.apply(transaction([put(name, name)]));
  }
  assertEquals(replica.machine.list(query()).entries.map(({ key }) => key), names.map(bytes));
});

Deno.test("StateMachine: keys are in unsigned byte order, a prefix before the keys that begin with it", () => {
  const replica = new Replica();
  const ordered = [[0], [0, 0], [1], [97], [97, 0], [97, 255], [98], [127], [128], [255], [255, 255]];
  for (const key of ordered.toReversed()) {
    replica.apply(transaction([{ kind: "put", key: Uint8Array.from(key), value: bytes("") }]));
  }
  assertEquals(replica.machine.list(query()).entries.map(({ key }) => [...key]), ordered);
});

Deno.test("StateMachine: a small value does not retain the large buffer that it arrived in", () => {
  const replica = new Replica();
  const command = new Uint8Array(10_000).fill(7);
  replica.apply(
    transaction([{ kind: "put", key: command.subarray(0, 1), value: command.subarray(100, 116) }]),
  );
  const stored = replica.machine.get(Uint8Array.of(7));
  assertEquals(stored?.value, new Uint8Array(16).fill(7));
  assertEquals(stored?.value.buffer === command.buffer, false);
});

Deno.test("StateMachine: no-ops and bytes that are no command advance the index and nothing else", () => {
  const replica = new Replica();
  assertEquals(replica.apply(null), { kind: "refused", reason: "invalidCommand" });
  replica.skipTo(3);
  assertEquals(replica.records(), [["header", 3, 0, 0, 0]]);
});

Deno.test("StateMachine: an entry that is not the next one stops the machine", () => {
  const { machine } = new Replica();
  assertThrows(() => machine.applyNoop(2), InvariantError, "in the order of the log");
  machine.applyNoop(1);
  assertThrows(() => machine.apply(1, null), InvariantError, "in the order of the log");
});

Deno.test("StateMachine: a transaction that the server refuses is applied alike on every node, and never throws", () => {
  const replica = new Replica();
  const longest = new Uint8Array(MAX_KEY_BYTES);
  assertEquals(
    replica.apply(
      transaction([put("k", "1"), put("k", "2"), remove(""), {
        kind: "put",
        key: longest,
        value: new Uint8Array(300_000),
      }]),
    ),
    {
      kind: "applied",
      revision: 1,
      outcomes: [
        { kind: "put", createRevision: 1, version: 1 },
        { kind: "put", createRevision: 1, version: 2 },
        { kind: "delete", deleted: false },
        { kind: "put", createRevision: 1, version: 1 },
      ],
    },
  );
  assertEquals(replica.apply(transaction([])), { kind: "applied", revision: 2, outcomes: [] });
});
