/** The registry of databases: its changes, and its value. */
import { assertEquals } from "@std/assert";
import {
  type CommandResult,
  MAX_ACCESS_TOKENS,
  MAX_DATABASES,
  validateCommand,
} from "../../../../lib/kv/mod.ts";
import { decodeRegistry } from "../../../../lib/kv/databases/read_registry.ts";
import { changedRegistry, encodeRegistry } from "../../../../lib/kv/databases/registry.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";
import { bytes, stamp } from "../support.ts";
import { DatabaseReplica, del, set, v8Value, write } from "./support.ts";

function reasonOf(result: CommandResult): unknown {
  return "reason" in result ? result.reason : result.kind;
}

Deno.test("changeDatabases: a database is created once, and removed only when it is empty; no id is given twice", () => {
  const replica = new DatabaseReplica();
  assertEquals(replica.create("app"), { kind: "databasesChanged", revision: 1, databaseId: 1, tokenId: 0 });
  assertEquals(reasonOf(replica.create("app")), "databaseExists");
  assertEquals(reasonOf(replica.create("default")), "defaultDatabase");
  const uuid = replica.machine.registry.databases[0]?.uuid ?? "";
  const sameUuid = { kind: "create", name: "other", uuid, signingKey: new Uint8Array(32) } as const;
  assertEquals(reasonOf(replica.change(sameUuid)), "databaseExists");
  replica.apply(write([set("k", v8Value(1))], { databaseId: 1 }));
  assertEquals(reasonOf(replica.change({ kind: "remove", name: "app" })), "databaseNotEmpty");
  replica.apply(write([del("k")], { databaseId: 1 }));
  // Keys of another database do not count.
  replica.apply(write([set("k", v8Value(1))]));
  assertEquals(reasonOf(replica.change({ kind: "remove", name: "app" })), "databasesChanged");
  assertEquals(reasonOf(replica.change({ kind: "remove", name: "app" })), "databaseNotFound");
  assertEquals(reasonOf(replica.change({ kind: "remove", name: "default" })), "defaultDatabase");
  const again = replica.create("app");
  assertEquals(again.kind === "databasesChanged" && again.databaseId, 2);
});

Deno.test("changeDatabases: tokens are added and removed; the default database gets its record with the first one", () => {
  const replica = new DatabaseReplica();
  assertEquals(
    reasonOf(replica.change({ kind: "removeToken", name: "default", tokenId: 1 })),
    "tokenNotFound",
  );
  assertEquals(reasonOf(replica.addToken("unknown", 1)), "databaseNotFound");
  assertEquals(
    reasonOf(replica.change({ kind: "removeToken", name: "unknown", tokenId: 1 })),
    "databaseNotFound",
  );
  const added = replica.addToken("default", 1);
  assertEquals(added, { kind: "databasesChanged", revision: 1, databaseId: 0, tokenId: 1 });
  assertEquals(reasonOf(replica.addToken("default", 1)), "tokenExists");
  replica.addToken("default", 2);
  const removed = replica.change({ kind: "removeToken", name: "default", tokenId: 1 });
  assertEquals(removed, { kind: "databasesChanged", revision: 3, databaseId: 0, tokenId: 1 });
  assertEquals(replica.machine.registry.databases, [{
    id: 0,
    name: "default",
    uuid: null,
    signingKey: new Uint8Array(32).fill(9),
    nextTokenId: 3,
    tokens: [{ id: 2, label: "t2", hash: new Uint8Array(32).fill(2), createdAtMs: 5 }],
  }]);
  // A removed token's id is not given again.
  replica.change({ kind: "removeToken", name: "default", tokenId: 2 });
  const third = replica.addToken("default", 1);
  assertEquals(third.kind === "databasesChanged" && third.tokenId, 3);
});

Deno.test("changedRegistry: no more databases and tokens than the limits", () => {
  const database = { uuid: null, signingKey: new Uint8Array(32), nextTokenId: 1, tokens: [] };
  const databases = Array.from(
    { length: MAX_DATABASES },
    (_, id) => ({ ...database, id: id + 1, name: `db-${id}` }),
  );
  const registry = { nextId: MAX_DATABASES + 1, databases };
  const create = { kind: "create", name: "one-more", uuid: "u", signingKey: new Uint8Array(32) } as const;
  assertEquals(changedRegistry(registry, create, () => false), "tooMany");
  const token = { label: "t", createdAtMs: 0 };
  const tokens = Array.from({ length: MAX_ACCESS_TOKENS }, (_, id) => {
    return { ...token, id: id + 1, hash: Uint8Array.of(id) };
  });
  const full = { nextId: 2, databases: [{ ...database, id: 1, name: "app", tokens }] };
  const add = {
    ...token,
    kind: "addToken",
    name: "app",
    hash: Uint8Array.of(200),
    signingKey: new Uint8Array(32),
  } as const;
  assertEquals(changedRegistry(full, add, () => false), "tooMany");
  // 1,000 databases with 100 tokens each would be 10 MiB.
  assertEquals(encodeRegistry({ nextId: 1, databases: databases.map((one) => ({ ...one, tokens })) }), null);
});

Deno.test("changeDatabases: a retry gets the first answer, and names and hashes of other forms are refused", () => {
  const replica = new DatabaseReplica();
  const change = {
    kind: "addToken",
    name: "default",
    label: "t",
    hash: new Uint8Array(32),
    createdAtMs: 0,
    signingKey: new Uint8Array(32),
  } as const;
  const command = { kind: "changeDatabases", session: stamp(), change } as const;
  const first = replica.apply(command);
  assertEquals(replica.apply(command), first);
  assertEquals(replica.machine.revision, 1);
  const refused = [
    { ...change, name: "Upper" },
    { ...change, name: "" },
    { ...change, name: "-a" },
    { ...change, name: "a".repeat(64) },
    { ...change, label: "a\u202eb" },
    { ...change, hash: new Uint8Array(31) },
    { ...change, signingKey: new Uint8Array(33) },
    { ...change, createdAtMs: -1 },
    { kind: "removeToken", name: "a", tokenId: 0 },
    {
      kind: "create",
      name: "a",
      uuid: "00000000-0000-4000-8000-00000000000A",
      signingKey: new Uint8Array(32),
    },
  ] as const;
  for (const one of refused) {
    const problem = validateCommand({ ...command, change: one }, { maxValueBytes: 1 });
    assertEquals(problem?.kind, "invalidRequest", JSON.stringify(one));
  }
  assertEquals(validateCommand(command, { maxValueBytes: 1 }), null);
});

Deno.test("registry: a restored state has it, and its value reads back; other bytes are none", () => {
  const replica = new DatabaseReplica();
  replica.create("app");
  replica.addToken("app", 7);
  replica.addToken("default", 8);
  const { registry } = replica.machine;
  assertEquals(StateMachine.restore(replica.records()).registry, registry);
  const value = encodeRegistry(registry) ?? new Uint8Array();
  assertEquals(decodeRegistry(value), registry);
  const text = new TextDecoder().decode(value);
  const others = [
    text.slice(1),
    "{}",
    "[]",
    "[0,[]]",
    "[1]",
    "[1,[],0]",
    text.replace('"app"', "1"),
    text.replace("0909", "090"),
    text.replace("[1,", "[0,"),
    text.replace("null", "5"),
    text.replace("0808", "zz08"),
  ];
  for (const other of others) assertEquals(decodeRegistry(bytes(other)), null, other);
  assertEquals(decodeRegistry(Uint8Array.of(0xff)), null);
});
