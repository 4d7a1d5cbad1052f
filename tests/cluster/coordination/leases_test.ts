/** Real processes with leases: nodes are killed, suspended and restarted while a holder keeps its lease, or has ended. */
import { assert, assertEquals } from "@std/assert";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { atAnyNode, connectTo, LeaseHolder } from "../../support/processes/lease_holder.ts";

/** How far what is left of a lease may be from what is expected: a second, and the time that a loaded machine takes. */
const TOLERANCE_MS = 4_000;

/** Starts three nodes, and grants a lease once all know leases. */
async function startWithLease(leaseId: number, ttlMs: number): Promise<TestCluster> {
  const cluster = await TestCluster.start();
  await eventually("the cluster has leases", async () => {
    const { kind } = await atAnyNode(cluster, (client) => client.grant(leaseId, ttlMs));
    return kind === "leaseGranted" ? true : null;
  }, { explain: cluster.logs });
  return cluster;
}

/** Waits until a lease does not exist on a node. */
async function untilEnded(cluster: TestCluster, leaseId: number, node: number): Promise<void> {
  using client = await connectTo(cluster, node);
  await eventually(
    `lease ${leaseId} has ended on node ${node}`,
    async () => (await client.lease(leaseId, "stale")) === null ? true : null,
    { explain: cluster.logs },
  );
}

/** Returns what is left of a lease, as a node tells it that knows of a leader. */
async function remaining(cluster: TestCluster, leaseId: number): Promise<number> {
  const lease = await atAnyNode(cluster, (client) => client.lease(leaseId));
  assert(lease !== null, `lease ${leaseId} exists`);
  return lease.remainingMs;
}

Deno.test("leases: when a holder has ended its keys are deleted on all nodes, in one revision", async () => {
  const ttlMs = 3_000;
  await using cluster = await startWithLease(7, ttlMs);
  const keys = ["a", "b", "c"];
  const holder = new LeaseHolder(cluster, 7);
  for (const key of keys) await atAnyNode(cluster, (client) => client.put(key, 7));
  await holder.confirmed();
  await holder[Symbol.asyncDispose]();
  await untilEnded(cluster, 7, 1);
  const lastedMs = performance.now() - holder.confirmedSentAt;
  assert(lastedMs >= ttlMs, `the lease ended ${ttlMs - lastedMs} ms early`);
  for (const node of cluster.ids) await untilEnded(cluster, 7, node);
  await cluster.waitForEqualStates();
  await using client = await cluster.connect();
  const ends = await Promise.all(keys.map(async (key) => {
    const [last] = (await client.history(key)).versions;
    return [last?.value, last?.modRevision];
  }));
  const [, revision] = ends[0] ?? [];
  assertEquals(ends, keys.map(() => [null, revision]));
});

Deno.test("leases: a lease that is kept alive survives its leader's death and suspension, and a rolling restart", async () => {
  await using cluster = await startWithLease(7, 20_000);
  await atAnyNode(cluster, (client) => client.put("held", 7));
  await using holder = new LeaseHolder(cluster, 7);
  await holder.confirmed();

  const killed = await cluster.waitForLeader();
  await cluster.kill(killed);
  await holder.confirmed();
  await cluster.startNode(killed);

  const suspended = await cluster.waitForLeader();
  cluster.pause(suspended);
  const others = cluster.ids.filter((id) => id !== suspended);
  await cluster.waitForLeader(others);
  await holder.confirmed();
  cluster.resume(suspended);
  await holder.confirmed();

  for (const id of cluster.ids) {
    await cluster.stop(id);
    await holder.confirmed();
    await cluster.startNode(id);
    await cluster.waitForLeader();
  }
  await holder.confirmed();
  assertEquals(holder.isLost, false);
  await using client = await cluster.connect();
  assertEquals((await client.history("held")).versions.length, 1);
});

Deno.test("leases: what is left of a lease goes on when its leader is killed or suspended", async () => {
  const ttlMs = 120_000;
  const sentAt = performance.now();
  await using cluster = await startWithLease(7, ttlMs);
  const grantedAt = performance.now();
  for (const disturb of ["kill", "pause"] as const) {
    const leader = await cluster.waitForLeader();
    if (disturb === "kill") await cluster.kill(leader);
    else cluster.pause(leader);
    await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader));
    const askedAt = performance.now();
    const leftMs = await remaining(cluster, 7);
    const answeredAt = performance.now();
    assert(leftMs >= ttlMs - (answeredAt - sentAt) - 10, `${leftMs} ms are left: time has passed twice`);
    assert(leftMs <= ttlMs - (askedAt - grantedAt) + TOLERANCE_MS, `${leftMs} ms are left: time was lost`);
    if (disturb === "kill") await cluster.startNode(leader);
    else cluster.resume(leader);
  }
});

Deno.test("leases: after kill -9 of all nodes a lease has the time left that it had", async () => {
  await using cluster = await startWithLease(7, 60_000);
  await atAnyNode(cluster, (client) => client.put("key", 7));
  const beforeMs = await remaining(cluster, 7);
  const readAt = performance.now();
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  const killedAt = performance.now();
  await cluster.startNodes(cluster.ids);
  await cluster.waitForLeader();
  const afterMs = await remaining(cluster, 7);
  const startedAt = performance.now();
  assert(afterMs <= beforeMs + 1_000, `${afterMs} ms are left of ${beforeMs}: it was reset`);
  const ranMs = (killedAt - readAt) + (startedAt - killedAt);
  assert(afterMs >= beforeMs - ranMs - 10, `${afterMs} ms are left of ${beforeMs}`);
  assertEquals((await atAnyNode(cluster, (client) => client.lease(7)))?.keys, ["key"]);
  assertEquals((await atAnyNode(cluster, (client) => client.revoke(7))).kind, "leaseRevoked");
});

Deno.test("leases: keys with a time of the wall clock are deleted on all nodes once it has passed", async () => {
  await using cluster = await startWithLease(7, 60_000);
  const expiresAtMs = Date.now() + 2_000;
  const keys = Array.from({ length: 5 }, (_, number) => `expiring/${number}`);
  for (const key of keys) await atAnyNode(cluster, (client) => client.put(key, null, expiresAtMs));
  await atAnyNode(cluster, (client) => client.put("lasting", null, expiresAtMs + 3_600_000));
  await using client = await cluster.connect();
  const names = async (): Promise<readonly string[]> =>
    (await client.list({})).entries.map(({ key }) => new TextDecoder().decode(key));
  let wereEarly = false;
  await eventually("the keys have expired", async () => {
    const { length } = await names();
    if (length <= keys.length && Date.now() < expiresAtMs) wereEarly = true;
    return length === 1 ? true : null;
  }, { explain: cluster.logs });
  assertEquals(wereEarly, false);
  assertEquals(await names(), ["lasting"]);
});
