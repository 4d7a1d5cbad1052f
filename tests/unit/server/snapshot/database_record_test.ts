/** The databases of a snapshot: a state with their keys, registry and remembered answers is read unchanged. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { DecodeError } from "../../../../lib/protocol/errors.ts";
import { readState, writeState } from "../../../../lib/server/snapshot/state_codec.ts";
import { chunksOf, noYield } from "../../../support/server_state.ts";
import { bytes, stamp } from "../../kv/support.ts";
import { DatabaseReplica, del, set, sum, u64, v8Value, write } from "../../kv/databases/support.ts";

async function copyOf(machine: StateMachine): Promise<StateMachine> {
  const chunks = ReadableStream.from(await chunksOf(machine));
  return await readState(chunks, { restoring: StateMachine.restoring(), yieldToEventLoop: noYield });
}

/** A state with an answer of each kind in a session. */
function replicaWithAnswers(): DatabaseReplica {
  const replica = new DatabaseReplica();
  replica.create("app");
  const absent = [{ key: bytes("n"), revision: null }];
  const session = (sequence: number): ReturnType<typeof stamp> => stamp({ sequence });
  replica.apply(
    write([sum("n", u64(1n)), set("s", v8Value("x"), { expiresAtMs: 9 })], { session: session(1) }),
  );
  replica.apply(write([del("n")], { session: session(2), checks: absent }));
  replica.apply(write([sum("s", u64(1n))], { session: session(3) }));
  replica.apply(write([del("absent")], { session: session(4) }));
  const remove = { kind: "remove", name: "unknown" } as const;
  replica.apply({ kind: "changeDatabases", session: session(5), change: remove });
  replica.apply({ kind: "changeDatabases", session: session(6), change: { ...remove, name: "app" } });
  return replica;
}

Deno.test("readState: databases, the answers to their writes, and revisions without a change are read", async () => {
  const replica = replicaWithAnswers();
  const copy = await copyOf(replica.machine);
  assertEquals([...copy.snapshot().records()], [...replica.machine.snapshot().records()]);
  const answers = replica.records().flatMap((record) => record[0] === "answer" ? [record[3].kind] : []);
  assertEquals(answers, [
    "databaseWritten",
    "databaseChecksFailed",
    "databaseWriteFailed",
    "databaseWritten",
    "databasesFailed",
    "databasesChanged",
  ]);
  copy.checkStructure();
  const next = write([set("k", v8Value(1))]);
  assertEquals(copy.apply(copy.appliedIndex + 1, next), replica.apply(next));
});

Deno.test("readState: the state of a restored backup has a revision above its index, without history below it", async () => {
  const replica = replicaWithAnswers();
  const { machine } = replica;
  const before = machine.revision;
  machine.advanceRevision(1_000_000_000_000);
  const copy = await copyOf(machine);
  assertEquals([copy.revision, copy.compactedRevision], [before + 1e12, before + 1e12]);
  assertEquals(copy.readability(before), "compacted");
  const result = copy.apply(copy.appliedIndex + 1, write([del("n")]));
  assertEquals(result, { kind: "databaseWritten", revision: before + 1e12 + 1 });
  copy.checkStructure();
  assertEquals((await copyOf(copy)).revision, copy.revision);
});

Deno.test("readState: an answer to a database's write at feature level 1 is refused", async () => {
  const replica = new DatabaseReplica();
  replica.apply(write([set("k", v8Value(1))], { session: stamp() }));
  const [header, ...records] = replica.records();
  assert(header?.[0] === "header");
  const level1 = new StateMachine();
  const view = {
    ...level1.snapshot(),
    steps: () => [
      ["header", header[1], header[2], header[3], header[4]] as const,
      ...records.filter(([kind]) => kind !== "key"),
    ],
  };
  const chunks: Uint8Array[] = [];
  await writeState(view, { write: (chunk) => void chunks.push(chunk.slice()), yieldToEventLoop: noYield });
  const restoring = StateMachine.restoring();
  await assertRejects(
    () => readState(ReadableStream.from(chunks), { restoring, yieldToEventLoop: noYield }),
    DecodeError,
    "must be the result of a write",
  );
});
