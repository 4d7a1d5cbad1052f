/**
 * Membership changes of real processes: a cluster grows and shrinks under load, moves to new machines, and refuses
 * changes that would cost its majority. Afterwards the history is linearizable, every acknowledged write is in the
 * store, once and in order, and all replicas are equal.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { MembershipRefusedError } from "../../lib/mod.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { addNode, assertLeaves, removeNode, replaceNode, rolesOf } from "../support/processes/members.ts";
import { startKvraft } from "../support/processes/process.ts";
import { step } from "../support/step.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";
import { underLoad } from "../support/processes/under_load.ts";

/** Default flags of the nodes. */
const ELECTION_TIMEOUT_MS = 1_000;
/** Far longer than two sequential requests take, far shorter than an election timeout. */
const DELAY_MS = 300;

Deno.test("membership: a cluster grows from one node to five and shrinks to three under load", async (t) => {
  await underLoad({ nodes: 1, checked: true, watchers: 6 }, async ({ cluster, progress }) => {
    await step(t, "one becomes three", async () => {
      await addNode(cluster);
      await addNode(cluster);
      assertEquals(await rolesOf(cluster), ["voter 1", "voter 2", "voter 3"]);
      await progress();
    });
    await step(t, "three become five", async () => {
      await addNode(cluster);
      await addNode(cluster);
      assertEquals(await rolesOf(cluster), ["voter 1", "voter 2", "voter 3", "voter 4", "voter 5"]);
      await progress();
    });
    await step(t, "five become four: a follower leaves", async () => {
      const leader = await cluster.waitForLeader();
      const [follower] = cluster.ids.filter((id) => id !== leader);
      assert(follower !== undefined);
      await removeNode(cluster, follower);
      await progress();
    });
    await step(t, "four become three: the leader leaves once it has finished the change", async () => {
      await removeNode(cluster, await cluster.waitForLeader());
      assertEquals(await rolesOf(cluster), cluster.ids.map((id) => `voter ${id}`));
      assertEquals(cluster.ids.length, 3);
      await progress();
    });
  });
});

Deno.test("membership: a cluster moves to three new machines under load, and its clients follow", async (t) => {
  await underLoad({ checked: true, watchers: 6 }, async ({ cluster, progress }) => {
    await step(t, "a running follower is replaced, logs its removal and exits", async () => {
      const leader = await cluster.waitForLeader();
      const old = cluster.ids.find((id) => id <= 3 && id !== leader);
      assert(old !== undefined);
      await replaceNode(cluster, old);
      await assertLeaves(cluster, old);
      await progress();
    });
    await step(
      t,
      "a dead node is replaced; after a restart it learns of its removal, logs it and exits",
      async () => {
        const leader = await cluster.waitForLeader();
        const old = cluster.ids.find((id) => id <= 3 && id !== leader);
        assert(old !== undefined);
        await cluster.kill(old);
        await replaceNode(cluster, old);
        await progress();
        await cluster.startNode(old);
        await assertLeaves(cluster, old);
      },
    );
    await step(t, "the last of the old nodes is replaced while it leads", async () => {
      const [old] = cluster.ids;
      assert(old !== undefined && old <= 3);
      await replaceNode(cluster, old);
      await assertLeaves(cluster, old);
      await progress();
    });
    assertEquals(cluster.ids, [4, 5, 6]);
    assertEquals(await rolesOf(cluster), ["voter 4", "voter 5", "voter 6"]);
  });
});

/** Waits until the leader has recorded the data directory ids of the members: the second entry of a cluster without writes. */
async function waitForDataIds(cluster: TestCluster): Promise<void> {
  await eventually("the leader has recorded the data directory ids", async () => {
    const leader = await cluster.status(await cluster.waitForLeader());
    return leader !== null && leader.commitIndex >= 2 ? true : null;
  }, { explain: cluster.logs });
}

Deno.test("membership: a node whose data directory is not the recorded one is refused with the remedy", async (t) => {
  await using cluster = await TestCluster.start();
  await waitForDataIds(cluster);
  const leader = await cluster.waitForLeader();
  const wiped = cluster.ids.find((id) => id !== leader);
  assert(wiped !== undefined);
  await cluster.kill(wiped);
  await Deno.remove(cluster.dataFolder(wiped), { recursive: true });
  const others = cluster.ids.filter((id) => id !== wiped);

  await step(t, "a wiped node under its old id, started to found the cluster again", async () => {
    const { code, stderr } = await cluster.run(["server", ...cluster.serverArguments(wiped)]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, `member replace ${wiped} <new id> <host:port>`);
    await Deno.remove(cluster.dataFolder(wiped), { recursive: true });
  });

  await step(t, "a wiped node under its old id, started to join", async () => {
    const join = others.map((id) => cluster.address(id)).join(",");
    const args = ["--node-id", `${wiped}`, "--bind", cluster.address(wiped), "--join", join];
    const { code, stderr } = await cluster.run(["server", ...args]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, `member replace ${wiped} <new id> <host:port>`);
  });

  await step(t, "a node of another cluster, at the address of a member and as a new one", async () => {
    await using other = await TestCluster.start({ nodes: 1, flags: ["--cluster-name", "other"] });
    await other.waitForLeader();
    const args = ["member", "add", "9", other.memberAddress(1)];
    const { stderr } = await cluster.client(args, { code: 1, nodes: others });
    assertStringIncludes(stderr, "Cannot add node 9: ");
    assertMatch(stderr, /This node belongs to cluster [0-9a-f]{16}, and the connection is meant for/);

    const bind = cluster.address(wiped);
    const flags = ["--node-id", `${wiped}`, "--bind", bind, "--cluster", cluster.membersFlag];
    await using folder = await TemporaryFolder.make();
    await using process = startKvraft(["server", ...flags, "--cluster-name", "other"], {
      cwd: folder.path,
    });
    await process.waitForOutput(/This node belongs to cluster/);
    await cluster.waitForLeader(others);
  });

  await step(t, "the remedy of the refusal works: the lost node is replaced", async () => {
    const id = await cluster.join();
    await cluster.client(["member", "replace", `${wiped}`, `${id}`, cluster.memberAddress(id)], {
      nodes: others,
    });
    await cluster.discard(wiped);
    assertEquals(await rolesOf(cluster), cluster.ids.map((id) => `voter ${id}`));
    await cluster.waitForEqualStates();
  });
});

/** Returns whether the leader receives answers from a node, or is that node. */
async function isHeard(cluster: TestCluster, node: number): Promise<boolean> {
  const status = await cluster.status(await cluster.waitForLeader());
  if (status === null || status.role !== "leader") throw new Error("the leader does not answer as one");
  const lastContactMs = status.peers.find(({ id }) => id === node)?.lastContactMs ?? null;
  return status.id === node || (lastContactMs !== null && lastContactMs <= ELECTION_TIMEOUT_MS);
}

/** Removes a node that was never started; on a busy machine the leader may briefly lack answers of the others. */
async function removeSilent(
  cluster: TestCluster,
  { id, running }: { readonly id: number; readonly running: readonly number[] },
): Promise<void> {
  await eventually(`node ${id} is removed`, async () => {
    return await cluster.client(["member", "remove", `${id}`], { nodes: running });
  });
  await cluster.discard(id);
}

Deno.test("membership: changes that would cost the cluster its majority are refused with the reason", async (t) => {
  // Of seven voters four run: exactly a majority.
  await using cluster = await TestCluster.start({ nodes: 7, started: [1, 2, 3, 4] });
  const running = [1, 2, 3, 4];
  // Recording the data directory ids of the running nodes is a change, and only one change may be in flight.
  await waitForDataIds(cluster);
  const leader = await cluster.waitForLeader();
  const follower = leader === 1 ? 2 : 1;
  const nowhere = `127.0.0.1:${freePorts(1)}`;
  const refused = async (args: readonly string[], ...says: readonly string[]): Promise<void> => {
    const { stderr } = await cluster.client(["member", ...args], { code: 1, nodes: running });
    for (const words of says) assertStringIncludes(stderr, words);
  };
  await eventually("the leader knows who answers", async () => {
    const heard = running.map(async (id) => await isHeard(cluster, id));
    return (await Promise.all(heard)).every((is) => is) ? true : null;
  }, { explain: cluster.logs });

  await step(t, "an eighth voter", async () => {
    await refused(["add", "8", nowhere], "at most 7 voters", "--learner");
  });
  await step(t, "an address where no node answers", async () => {
    await refused(["add", "8", nowhere, "--learner"], `kvraft server --node-id 8 --bind ${nowhere} --join`);
  });
  await step(t, "an address in use", async () => {
    const address = cluster.memberAddress(follower);
    await refused(["add", "8", address, "--learner"], `${address} is the address of node ${follower}`);
  });
  await step(t, "an address where another node answers", async () => {
    const id = await cluster.join();
    await refused(["add", "99", cluster.memberAddress(id), "--learner"], `node ${id} answers at`);
    await cluster.discard(id);
  });
  await step(t, "removing and demoting a voter when the other reachable voters are no majority", async () => {
    await refused(["remove", `${follower}`], "4 must answer, and only ", "--force");
    await refused(["demote", `${follower}`], "4 must answer, and only ", "--force");
  });
  await step(t, "an id that was used before", async () => {
    await removeSilent(cluster, { id: 7, running });
    await refused(["add", "7", nowhere], "node 7 was a member before, and an id is never used again");
  });
  await step(t, "a refused change is made by force, and is committed when another node is back", async () => {
    await removeSilent(cluster, { id: 6, running });
    const down = running.find((id) => id !== leader && id !== follower);
    assert(down !== undefined);
    // Five voters are left, of which three run; of the four without the follower, two would run.
    await cluster.kill(down);
    await eventually("the leader does not hear the killed node any more", async () => {
      return await isHeard(cluster, down) ? null : true;
    }, { explain: cluster.logs });
    await refused(["remove", `${follower}`], "3 must answer, and only ", "--force");
    await removeByForce(cluster, { id: follower, down });
  });
});

/** Removes a node by force; the change can't be committed before the stopped node is back. */
async function removeByForce(
  cluster: TestCluster,
  { id, down }: { readonly id: number; readonly down: number },
): Promise<void> {
  const addresses = cluster.ids.map((node) => cluster.address(node)).join(",");
  await using forced = startKvraft(
    ["client", "--cluster", addresses, "member", "remove", `${id}`, "--force"],
    {
      cwd: cluster.folder.path,
    },
  );
  await eventually("the change is under way", () => {
    return cluster.logs().includes(`membership changes event=membershipChanges change="remove node ${id}"`)
      ? true
      : null;
  }, { explain: cluster.logs });
  await cluster.startNode(down);
  assertEquals((await forced.end({ explain: cluster.logs })).code, 0, forced.printed + cluster.logs());
  await assertLeaves(cluster, id);
}

Deno.test("membership: a second change is refused while one is in flight", async () => {
  await using cluster = await TestCluster.start({ proxied: true });
  await waitForDataIds(cluster);
  await using client = await cluster.connect();
  await client.put("the client", "knows the leader");
  const leader = await cluster.waitForLeader();
  const [first, second] = cluster.ids.filter((id) => id !== leader);
  assert(first !== undefined && second !== undefined);
  // The first change is not committed before the second request; by force, it waits for no voter's answer.
  for (const to of [first, second]) cluster.delay({ from: leader, to, delayMs: DELAY_MS });
  const demoting = client.cluster.changeMembership({ kind: "demote", id: first }, { force: true });
  const error = await assertRejects(
    () => client.cluster.changeMembership({ kind: "demote", id: second }),
    MembershipRefusedError,
  );
  assertStringIncludes(error.message, "another change is in progress");
  await demoting;
  assertEquals(
    await rolesOf(cluster),
    cluster.ids.map((id) => `${id === first ? "learner" : "voter"} ${id}`),
  );
});

Deno.test("membership: right after a follower was killed, the other one is not removed", async () => {
  await using cluster = await TestCluster.start();
  await waitForDataIds(cluster);
  await using client = await cluster.connect();
  await client.put("the client", "knows the leader");
  const leader = await cluster.waitForLeader();
  const [killed, other] = cluster.ids.filter((id) => id !== leader);
  assert(killed !== undefined && other !== undefined);
  // Its last answer is one heartbeat old, far less than an election timeout.
  await cluster.kill(killed);
  const error = await assertRejects(
    () => client.cluster.changeMembership({ kind: "remove", id: other }),
    MembershipRefusedError,
  );
  assertStringIncludes(error.message, `(node ${killed} does not)`);
  await client.put("the cluster", "serves");
});

Deno.test("membership: an address where another node, or none, answers is refused for a member", async () => {
  await using cluster = await TestCluster.start();
  await waitForDataIds(cluster);
  await using client = await cluster.connect();
  const leader = await cluster.waitForLeader();
  const [follower, third] = cluster.ids.filter((id) => id !== leader);
  assert(follower !== undefined && third !== undefined);
  const nowhere = `127.0.0.1:${freePorts(1)}`;
  for (const id of [leader, follower]) {
    const error = await assertRejects(
      () => client.cluster.changeMembership({ kind: "update", id, address: nowhere }),
      MembershipRefusedError,
    );
    assertMatch(error.message, new RegExp(`Start node ${id} there first\\. With --force`));
  }
  // The same port under another host name reaches the same node, also the leader itself.
  const renamed = (id: number): string => `localhost:${cluster.port(id)}`;
  await client.cluster.changeMembership({ kind: "update", id: leader, address: renamed(leader) });
  const other = await assertRejects(
    () => client.cluster.changeMembership({ kind: "update", id: follower, address: renamed(third) }),
    MembershipRefusedError,
  );
  assertStringIncludes(other.message, `node ${third} answers at`);
  await client.put("the cluster", "serves");
});

// A copy of a node's folder that runs together with its original: the other nodes log the cause.
Deno.test("data directory: two nodes that run from copies of one folder are reported by the nodes that both dial", async () => {
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const original = cluster.ids.find((id) => id !== leader);
  assert(original !== undefined);
  await cluster.stop(original);
  const copied = await new Deno.Command("cp", {
    args: ["-r", cluster.dataFolder(original), `${cluster.dataFolder(original)}-copy`],
  }).output();
  assert(copied.success);
  await cluster.startNode(original);
  const bind = `127.0.0.1:${freePorts(1)}`;
  const folder = `${cluster.dataFolder(original)}-copy`;
  const args = cluster.serverArguments(original, bind).map((arg) =>
    arg === cluster.dataFolder(original) ? folder : arg
  );
  const extra = args.includes(folder) ? [] : ["--data-dir", folder];
  await using _copy = startKvraft(["server", ...args, ...extra], { cwd: cluster.folder.path });
  await eventually("a node says that two processes call as one", () => {
    return cluster.logs().includes("Two processes connect as one node") ? true : null;
  }, { explain: cluster.logs });
});
