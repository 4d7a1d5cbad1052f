/** LeadershipTransfers: transfers because of a full disk, and transfers that are refused. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { settle } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { KvraftError } from "../../../lib/mod.ts";

const VALUE = "v".repeat(1_000);

/** Leaves a node's disk no more than it uses. */
function fill(cluster: MemoryCluster, id: number): void {
  const disk = cluster.disk(id);
  disk.capacityBytes -= disk.freeBytes === Number.POSITIVE_INFINITY ? 0 : disk.freeBytes;
}

Deno.test("LeadershipTransfers: a leader with a full disk transfers leadership at once, and no write is refused", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", VALUE));
  // The leader has received the state of the others' disks.
  await cluster.pass(1_000);
  const before = await cluster.run(client.cluster.status());
  const full = before.leader;
  assert(full !== null);
  const disk = cluster.disk(full);
  disk.capacityBytes = 200_000;
  fill(cluster, full);
  // More than the rest of the segment that is in use: the next can't be prepared.
  for (let number = 0; number < 150; number++) await cluster.run(client.put(`key ${number}`, VALUE));
  await cluster.pass(1_000);
  const status = await cluster.run(client.cluster.status());
  assert(status.leader !== null && status.leader !== full, "another node leads");
  assertEquals(cluster.logger.messages.filter((message) => message.startsWith("disk nearly full")), [
    "disk nearly full: leadership is transferred to a node that has space",
  ]);
  const views = status.nodes.map((node) => node.reachable ? `${node.id} ${node.disk}` : `${node.id} down`);
  assert(["nearlyFull", "full"].includes(views[full - 1]?.split(" ")[1] ?? ""), views.join());
  const leader = status.nodes.find(({ id }) => id === status.leader);
  assert(leader?.reachable === true);
  assertEquals(
    leader.peers.map(({ id, hasDiskSpace }) => [id, hasDiskSpace]),
    [1, 2, 3].filter((id) => id !== leader.id).map((id) => [id, id !== full]),
  );
});

Deno.test("LeadershipTransfers: without a node that has space the leader stays, and writes that add data are refused", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.run(client.put("key", VALUE));
  cluster.disk(1).capacityBytes = 200_000;
  fill(cluster, 1);
  const answers = new Set<string>();
  for (let number = 0; number < 150; number++) {
    answers.add(
      await cluster.run(client.put(`key ${number}`, VALUE).then(() => "written", (error) => error.code)),
    );
  }
  assertEquals([...answers], ["written", "storageFull"]);
  await settle();
  const { turnEnds } = cluster.clock;
  await settle();
  assertEquals(cluster.clock.turnEnds, turnEnds, "no turn begins without the passing of time");
  assertEquals(cluster.logger.messages.filter((message) => message.startsWith("disk nearly full")), [
    "disk nearly full, and no other node with space can lead: writes that add data are refused",
  ]);
});

Deno.test("LeadershipTransfers: the refusal of a target that is no voter has the reason", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.cluster.transferLeadership(1));
  await cluster.run(client.cluster.changeMembership({ kind: "demote", id: 3 }));
  const table: readonly (readonly [number, string])[] = [
    [9, "node 9 is no member. Members: 1, 2, 3."],
    [3, "node 3 is a learner. Promote it first."],
  ];
  for (const [target, reason] of table) {
    const error = await assertRejects(
      () => cluster.run(client.cluster.transferLeadership(target)),
      KvraftError,
    );
    assertEquals([error.code, error.message], [
      "invalidRequest",
      `Cannot transfer leadership: node 1 answered: ${reason} Nothing was changed.`,
    ]);
  }
});
