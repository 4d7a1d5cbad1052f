/** Whole servers: watches on every node, from the present and from the past. */
import { assert, assertEquals } from "@std/assert";
import type { ServerFrame } from "../../../../lib/protocol/client_frames.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import {
  ALL_KEYS,
  prefixKeys,
  TestWatch,
  WatchClient,
  type WatchOptions,
} from "../../../support/frames/watch_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Connects to a node of a cluster. */
function connect({ network, clock }: MemoryCluster, id: number): Promise<WatchClient> {
  return WatchClient.open({ network, clock, address: MemoryCluster.addressOf(id).address });
}

/** Returns the refusal of a watch. */
async function refusal(
  cluster: MemoryCluster,
  client: WatchClient,
  options: WatchOptions,
): Promise<ServerFrame<"error">> {
  const answer = await cluster.run(client.watch(options));
  assert(answer !== null && !(answer instanceof TestWatch), "the watch is refused");
  return answer;
}

Deno.test("Server: watches on each of three nodes get every event of their keys, in order", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.untilHistory(client);
  await cluster.run(client.put("a/1", "before"));
  const connections = [await connect(cluster, 1), await connect(cluster, 2), await connect(cluster, 3)];
  const all: TestWatch[] = [];
  const deletes: TestWatch[] = [];
  const one: TestWatch[] = [];
  for (const connection of connections) {
    all.push(await cluster.run(connection.start({ keys: prefixKeys("a/"), previous: true })));
    deletes.push(await cluster.run(connection.start({ keys: ALL_KEYS, puts: false })));
    one.push(await cluster.run(connection.start({ keys: { kind: "key", key: bytes("b") }, from: 1 })));
  }
  await cluster.run(client.put("a/1", "x"));
  await cluster.run(client.put("b", "y"));
  await cluster.run(client.delete("a/1"));
  await cluster.run(client.put("a/2", "z"));
  for (const connection of connections) assertEquals(await cluster.run(connection.progress()), 5);
  for (const watch of all) {
    assertEquals(watch.text, [
      "2 put a/1=x (was before)",
      "4 delete a/1 (was x)",
      "5 put a/2=z (was absent)",
    ]);
  }
  for (const watch of deletes) assertEquals(watch.text, ["4 delete a/1"]);
  for (const watch of one) assertEquals(watch.text, ["3 put b=y"]);
  for (const connection of connections) connection.close();
});

Deno.test("Server: watches that cannot begin are refused by name", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  const connection = await connect(cluster, 1);
  await cluster.untilHistory(client);
  for (const value of ["1", "2", "3"]) await cluster.run(client.put("k", value));
  await cluster.run(client.compact(2));
  const key = { kind: "key", key: bytes("k") } as const;
  const cases: readonly [WatchOptions, string, string][] = [
    [{ keys: key, puts: false, deletes: false }, "invalidRequest", "Cannot watch neither puts nor deletes"],
    [{ keys: key, from: 0 }, "invalidRequest", "Cannot watch from revision 0"],
    [{ keys: key, from: 2 }, "compacted", "the history is kept from revision 2 on"],
    [{ keys: key, from: 5 }, "futureRevision", "revision 5 is above the present one, 3"],
    [{ keys: { kind: "key", key: bytes("") } }, "invalidRequest", "empty key"],
    [{ keys: { kind: "key", key: new Uint8Array(5_000) } }, "keyTooLarge", "a key of 5000 bytes"],
    [
      { keys: { kind: "range", start: bytes("b"), end: bytes("b") } },
      "invalidRequest",
      "not above its start",
    ],
    [
      { keys: { kind: "range", start: bytes("b"), end: bytes("a") } },
      "invalidRequest",
      "not above its start",
    ],
  ];
  for (const [options, code, message] of cases) {
    const answer = await refusal(cluster, connection, options);
    assertEquals([answer.code, answer.message.includes(message)], [code, true], answer.message);
    assertEquals(answer.compactedRevision, code === "compacted" ? 2 : undefined);
  }
  const last = await cluster.run(connection.start({ keys: key, from: 3 }));
  const next = await cluster.run(connection.start({ keys: key, from: 4 }));
  await cluster.run(connection.progress());
  assertEquals([last.text, next.text], [["3 put k=3"], []]);
  connection.close();
});
