/** Whole servers: which connections are accepted, how removed nodes end, and stops during a start. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { NodeRefusedError, type RunningServer } from "../../../lib/server/mod.ts";
import { JoinError } from "../../../lib/server/startup/identity.ts";
import { SNAPSHOT_LIMITS } from "../../../lib/server/snapshot/snapshots.ts";
import { CHANGE } from "../../../lib/protocol/members.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { RawConnection } from "../../support/fakes/accepting_node.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";

/** Returns the members as text: `1 voter, 2 voter`. */
async function members(
  cluster: MemoryCluster,
  client: Awaited<ReturnType<MemoryCluster["client"]>>,
): Promise<string> {
  const all = await cluster.run(client.cluster.members());
  return all.map(({ id, role }) => `${id} ${role}`).join(", ");
}

/** Advances the clock until the leader has recorded the data directory of each node. */
async function knowEachOther(cluster: MemoryCluster): Promise<void> {
  await cluster.pass(5_000);
}

Deno.test("Server: a stopped server leaves neither timers nor open files nor a listener", async () => {
  const cluster = new MemoryCluster();
  await cluster.found(1);
  await cluster.pass(1_000);
  await cluster.stop(1);
  assertEquals([cluster.clock.timerCount, cluster.disk(1).openFiles], [0, 0]);
  await cluster.start(1);
  await cluster.stop(1);
  assertEquals([cluster.clock.timerCount, cluster.disk(1).openFiles], [0, 0]);
});

Deno.test("Server: a data directory that others can read is logged as a warning, with the command that fixes it", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  await cluster.stop(1);
  const warnings = (): unknown[] =>
    cluster.logger.lines.filter(({ message }) => message.startsWith("other users of this machine"))
      .map(({ fields }) => fields);
  assertEquals(warnings(), []);
  cluster.disk(1).exposed.add("/data");
  await cluster.start(1);
  assertEquals(warnings(), [{ path: "/data", remedy: "chmod -R go= /data" }]);
});

Deno.test("Server: a node joins by any node's address, is added, catches up and votes", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  await cluster.start(4, { join: [9, 2] });
  assertEquals(await members(cluster, client), "1 voter, 2 voter, 3 voter");
  await cluster.run(
    client.cluster.changeMembership({ kind: "add", id: 4, address: "n4:7001", learner: false }),
  );
  await cluster.until(async () => (await client.cluster.members()).every(({ role }) => role === "voter"));
  assertEquals(await members(cluster, client), "1 voter, 2 voter, 3 voter, 4 voter");
  const direct = await cluster.client(4);
  await cluster.until(async () => (await direct.get("key", { consistency: "stale" })) !== null);
});

Deno.test("Server: a stop during joining ends the start at once, and leaves nothing open", async () => {
  const cluster = new MemoryCluster();
  const stop = new AbortController();
  const starting = cluster.begin(4, { join: [1], signal: stop.signal });
  await settle();
  assertEquals(cluster.clock.timerCount, 1, "it pauses before it asks again");
  stop.abort();
  assertEquals(await starting.catch((error: unknown) => error), stop.signal.reason);
  cluster.network.isSilent = true;
  const other = new AbortController();
  const silent = cluster.begin(4, { join: [1], signal: other.signal });
  await settle();
  other.abort();
  assertEquals(await silent.catch((error: unknown) => error), other.signal.reason);
  assertEquals([cluster.clock.timerCount, cluster.disk(4).openFiles], [0, 0]);
  assertEquals(cluster.disk(4).lock("/data/LOCK") === null, false, "the folder is free");
});

Deno.test("Server: a node that reaches no node to join fails with the addresses that it tried", async () => {
  const cluster = new MemoryCluster();
  const error = await assertRejects(() => cluster.start(4, { join: [1, 2] }), JoinError);
  assertMatch(error.message, /^Cannot join: no node at n1:7001, n2:7001 says which cluster it is\./);
  assertEquals([cluster.clock.timerCount, cluster.logger.messages.length], [0, 1]);
});

Deno.test("Server: an empty directory does not join under the id of a member", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  await cluster.stop(3);
  cluster.loseDisk(3);
  const error = await assertRejects(() => cluster.start(3, { join: [1] }), JoinError);
  assertMatch(
    error.message,
    /the cluster has a member of that id, at n3:7001, and this data directory, \/data, is empty/,
  );
});

Deno.test("Server: a node that returns with another data directory is refused, and stops", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  await knowEachOther(cluster);
  await cluster.stop(3);
  cluster.loseDisk(3);
  const amnesiac = await cluster.start(3, { founders: [1, 2, 3] });
  const ended = await cluster.run(amnesiac.finished);
  assert(ended instanceof NodeRefusedError, String(ended));
  assertMatch(ended.message, /node 3 comes with another data directory/);
});

Deno.test("Server: a removed node stops by itself, also the leader, and the client gets its answer", async () => {
  await using cluster = new MemoryCluster();
  const servers = new Map<number, RunningServer>();
  for (const id of [1, 2, 3]) servers.set(id, await cluster.start(id, { founders: [1, 2, 3] }));
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  const { leader } = await cluster.run(client.cluster.status());
  assert(leader !== null);
  const left = await cluster.run(client.cluster.changeMembership({ kind: "remove", id: leader }));
  assertEquals(left.map(({ id }) => id), [1, 2, 3].filter((id) => id !== leader));
  const ended = await cluster.run(servers.get(leader)?.finished ?? Promise.resolve(null));
  assert(ended instanceof NodeRefusedError, String(ended));
  assertMatch(ended.message, new RegExp(`node ${leader} was removed from the cluster`));
  const again = await cluster.start(leader);
  assert(await cluster.run(again.finished) instanceof NodeRefusedError, "its folder does not bring it back");
});

Deno.test("Server: a leader that removes itself answers the request as done, not as unknown", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  const { leader } = await cluster.run(client.cluster.status());
  if (leader !== 1) await cluster.run(client.cluster.transferLeadership(1));
  const caller = await RawConnection.connect(cluster.network, 1);
  await caller.send([0, "kvraft", 1, 1, 2, null, null, null, null]);
  await caller.send([FRAME_KIND.changeMembership, 7, [CHANGE.numbers.remove, 1], false]);
  const kinds = (): unknown[] => caller.received.map((frame) => Array.isArray(frame) ? frame[0] : null);
  const ends: unknown[] = [FRAME_KIND.membershipChanged, FRAME_KIND.error];
  await cluster.until(() => kinds().some((kind) => ends.includes(kind)));
  assertEquals(kinds().filter((kind) => ends.includes(kind)), [FRAME_KIND.membershipChanged]);
});

Deno.test("Server: only a node that answers with the requested id is added", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.run(client.put("key", "value"));
  await cluster.start(9, { join: [1] });
  const error = await assertRejects(
    () =>
      cluster.run(
        client.cluster.changeMembership({ kind: "add", id: 4, address: "n9:7001", learner: false }),
      ),
    Error,
  );
  assertMatch(error.message, /node 9 answers at n9:7001/);
  assertEquals(await members(cluster, client), "1 voter");
});

Deno.test("Server: the error for a new member at whose address nothing listens has the address and a remedy", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.run(client.put("key", "value"));
  const change = { kind: "add", id: 4, address: "n4:7001", learner: false } as const;
  const { message } = await assertRejects(() => cluster.run(client.cluster.changeMembership(change)), Error);
  assertMatch(
    message,
    /: the leader cannot connect to n4:7001: nothing listens there\. Start the new node first: /,
  );
});

Deno.test("Server: a probe in flight ends with the stop of the leader", async () => {
  const cluster = new MemoryCluster();
  await cluster.found(1);
  const client = await cluster.client(1);
  await cluster.run(client.put("key", "value"));
  cluster.network.isSilent = true;
  const change = client.cluster.changeMembership({ kind: "add", id: 4, address: "n4:7001", learner: false })
    .catch((error: unknown) => error);
  await settle();
  await cluster.stop(1);
  await cluster.run(client.close());
  assert(await change instanceof Error);
  assertEquals([cluster.clock.timerCount, cluster.disk(1).openFiles], [0, 0]);
});

Deno.test("Server: a removed node that is stopped before it ends leaves no timer", async () => {
  const cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  const { leader } = await cluster.run(client.cluster.status());
  const other = [1, 2, 3].find((id) => id !== leader) ?? 0;
  await cluster.run(client.cluster.changeMembership({ kind: "remove", id: other }));
  await cluster.stop(other);
  await cluster.run(client.close());
  for (const id of [1, 2, 3]) await cluster.stop(id);
  assertEquals(cluster.clock.timerCount, 0);
});

Deno.test("Server: a follower that needs compacted entries gets a snapshot, and its log continues behind it", async () => {
  const snapshots = { ...SNAPSHOT_LIMITS, logRatio: 0, tailEntries: 0, tailBytes: 0 };
  await using cluster = new MemoryCluster({ snapshots });
  const changes = { segmentBytes: 4_096 };
  for (const id of [1, 2, 3]) await cluster.start(id, { founders: [1, 2, 3], changes });
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("before", "value"));
  await cluster.stop(3);
  for (let round = 0; round < 3; round++) {
    for (let key = 0; key < 20; key++) await cluster.run(client.put(`${round} ${key}`, new Uint8Array(500)));
    await cluster.run(client.cluster.takeSnapshot());
  }
  await cluster.start(3, { changes });
  await cluster.until(() => cluster.logger.messages.includes("state restored from the leader's snapshot"));
  const hashes: string[] = [];
  await cluster.until(async () => {
    hashes.splice(0);
    for (const id of [1, 3]) hashes.push((await client.cluster.stateHash(`n${id}:7001`)).hash);
    return hashes[0] === hashes[1];
  });
  // The transfer has ended with that: a node that has all is sent no more requests, and its state is dropped.
  await cluster.pass(20_000);
  assertEquals(cluster.logger.messages.filter((line) => line.startsWith("cannot send a snapshot")), []);
  await cluster.stop(3);
  await cluster.start(3, { changes });
  await cluster.until(async () => (await client.cluster.stateHash("n3:7001")).hash === hashes[0]);
});

Deno.test("Server: under leases the followers keep their promise after the leader's process has stopped", async () => {
  await using cluster = new MemoryCluster();
  for (const id of [1, 2, 3]) {
    await cluster.start(id, { founders: [1, 2, 3], changes: { readMode: "lease" } });
  }
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "before"));
  const leader = (await cluster.run(client.cluster.status())).leader;
  assert(leader !== null);
  cluster.disk(leader).intercept = ({ kind }) => kind === "syncData" ? { code: "EIO" } : null;
  const begin = cluster.clock.now();
  await cluster.run(client.put("key", "after"));
  const elapsedMs = cluster.clock.now() - begin;
  assert(elapsedMs >= 150, `promised for 200 ms, at most 50 ms before the end: served after ${elapsedMs} ms`);
});

Deno.test("Server: a leader whose process has stopped is replaced within an election timeout", async () => {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.cluster.transferLeadership(1));
  await cluster.run(client.put("key", "before"));
  // Its log fails: it ends at once, without a transfer of leadership.
  cluster.disk(1).intercept = ({ kind }) => kind === "syncData" ? { code: "EIO" } : null;
  const begin = cluster.clock.now();
  await cluster.run(client.put("key", "after"));
  const elapsedMs = cluster.clock.now() - begin;
  assert(elapsedMs < 200, `served again after ${elapsedMs} ms, and an election timeout is 200 to 400`);
});

const ELECTION_TIMEOUT_MS = 10_000;

Deno.test("Server: a write whose entries were lost with their connection waits for the next connection, not for a timeout", async () => {
  await using cluster = new MemoryCluster();
  const changes = { electionTimeoutMs: ELECTION_TIMEOUT_MS };
  for (const id of [1, 2]) await cluster.start(id, { founders: [1, 2], changes });
  const between = cluster.network.connections.length;
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("key", "before"));
  const lanes = cluster.network.connections.slice(0, between);
  for (const lane of lanes) lane.stall();
  const write = client.put("key", "after");
  const begin = cluster.clock.now();
  await settle();
  for (const lane of lanes) lane.reset();
  await cluster.run(write);
  const elapsedMs = cluster.clock.now() - begin;
  assert(elapsedMs < ELECTION_TIMEOUT_MS / 2, `it took ${elapsedMs} ms`);
});
