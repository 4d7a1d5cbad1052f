/** Changes of the members: sent once, and their outcome determined when their answer is lost. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  AbortError,
  ConnectionError,
  InvalidRequestError,
  type KvClient,
  type Member,
  type MembershipChange,
  MembershipRefusedError,
  TimeoutError,
} from "../../../lib/mod.ts";
import { isMade } from "../../../lib/client/cluster.ts";
import { FakeCluster, type Reply } from "../../support/fakes/scripted_node.ts";

const ADD: MembershipChange = { kind: "add", id: 4, address: "10.0.0.4:7001", learner: false };
const ADDED: Member = { id: 4, address: "10.0.0.4:7001", role: "learner" };

/** Number of change requests to each node. */
function changesAsked(cluster: FakeCluster): readonly number[] {
  return cluster.nodes.map(({ requests }) =>
    requests.filter(({ kind }) => kind === "changeMembership").length
  );
}

/** Node 1 leads, makes every change, and then replies as the test says. */
function makeChanges(cluster: FakeCluster, reply: Reply | null): void {
  const leader = cluster.node(1);
  const obey = leader.answer;
  leader.answer = (request) => {
    if (request.kind !== "changeMembership") return obey(request);
    cluster.members = [...cluster.members, ADDED];
    return reply ?? obey(request);
  };
}

async function changed(cluster: FakeCluster, client: KvClient): Promise<readonly Member[]> {
  return await cluster.finish(client.cluster.changeMembership(ADD));
}

Deno.test("changeMembership: a change goes to the leader, and gives the members that there are then", async () => {
  const cluster = new FakeCluster(2);
  makeChanges(cluster, null);
  await using client = await cluster.connect([2]);
  assertEquals(await changed(cluster, client), cluster.members);
  assertEquals(changesAsked(cluster), [1, 0]);
  assertEquals(cluster.node(1).requests.at(-1), {
    kind: "changeMembership",
    requestId: 1,
    change: ADD,
    force: false,
  });
});

Deno.test("changeMembership: force is passed on, and an address is sent in its one written form", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const change = { kind: "replace", dead: 2, id: 4, address: "[0:0::1]:7001" } as const;
  await cluster.finish(client.cluster.changeMembership(change, { force: true }));
  const [request] = cluster.node(1).requests;
  assert(request?.kind === "changeMembership", "the change was asked for");
  assertEquals([request.change, request.force], [{ ...change, address: "[::1]:7001" }, true]);
});

Deno.test("changeMembership: a refusal is an error of its own, with what the leader said", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  cluster.node(1).answer = ({ requestId }) => ({
    kind: "error",
    requestId,
    code: "membershipRefused",
    message: "A change is under way.",
    outcome: "not-applied",
    leader: 1,
  });
  const error = await assertRejects(
    () => changed(cluster, client),
    MembershipRefusedError,
    "Cannot add node 4: node 1 answered: A change is under way.",
  );
  assertEquals([error.code, error.outcome, changesAsked(cluster)], ["membershipRefused", "not-applied", [1]]);
});

Deno.test("changeMembership: a node that does not lead says so, and the one that does is asked", async () => {
  const cluster = new FakeCluster(2);
  await using client = await cluster.connect([1]);
  cluster.node(1).answer = ({ requestId }) => (
    { kind: "error", requestId, code: "notLeader", message: "No.", outcome: "not-applied", leader: 2 }
  );
  assertEquals(await changed(cluster, client), cluster.members);
  assertEquals(changesAsked(cluster), [1, 1]);
});

Deno.test("changeMembership: a change whose answer is lost counts as made once the members show it, and is not sent again", async () => {
  const cluster = new FakeCluster(2);
  makeChanges(cluster, "disconnect");
  await using client = await cluster.connect();
  assertEquals(await changed(cluster, client), cluster.members);
  assertEquals(changesAsked(cluster), [1, 0]);
});

Deno.test("changeMembership: a change that takes effect a while after its answer was lost is waited for", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(1).answer = () => "disconnect";
  await using client = await cluster.connect();
  const change = client.cluster.changeMembership(ADD);
  await cluster.pass(1_000);
  cluster.members = [...cluster.members, ADDED];
  assertEquals(await cluster.finish(change), cluster.members);
  assertEquals(changesAsked(cluster), [1, 0]);
});

Deno.test("changeMembership: a change of which nothing shows until the deadline is unknown", async () => {
  const cluster = new FakeCluster(2);
  cluster.node(1).answer = () => "disconnect";
  await using client = await cluster.connect();
  const error = await assertRejects(
    () => changed(cluster, client),
    TimeoutError,
    "the members do not show the change",
  );
  assertEquals([error.outcome, changesAsked(cluster)], ["unknown", [1, 0]]);
  assertInstanceOf(error.cause, ConnectionError);
});

Deno.test("changeMembership: a change that was under way when leadership was lost is looked for, too", async () => {
  const cluster = new FakeCluster(1);
  makeChanges(cluster, {
    kind: "error",
    requestId: 1,
    code: "leadershipLost",
    message: "This node no longer leads.",
    outcome: "unknown",
    leader: null,
  });
  await using client = await cluster.connect();
  assertEquals(await changed(cluster, client), cluster.members);
});

Deno.test("changeMembership: aborting while the members are read gives outcome unknown", async () => {
  const cluster = new FakeCluster(1);
  cluster.node(1).answer = ({ kind }) => kind === "changeMembership" ? "disconnect" : "silence";
  await using client = await cluster.connect();
  const controller = new AbortController();
  const change = client.cluster.changeMembership(ADD, { signal: controller.signal });
  await cluster.pass(100);
  controller.abort();
  const error = await assertRejects(() => cluster.finish(change), AbortError);
  assertEquals(error.outcome, "unknown");
});

Deno.test("changeMembership: a wrong change is refused before anything is sent", async () => {
  const cluster = new FakeCluster(1);
  await using client = await cluster.connect();
  const wrong: readonly [MembershipChange, string][] = [
    [{ kind: "remove", id: 0 }, "0 as a node's id"],
    [{ kind: "promote", id: 1.5 }, "1.5 as a node's id"],
    [{ ...ADD, address: "10.0.0.4" }, "there is no port"],
    [{ ...ADD, address: "4=10.0.0.4:7001" }, "name host:port only"],
    [{ ...ADD, address: "0.0.0.0:7001" }, "names no single machine"],
    [{ kind: "replace", dead: -1, id: 4, address: "n4:7001" }, "-1 as a node's id"],
  ];
  for (const [change, words] of wrong) {
    await assertRejects(() => client.cluster.changeMembership(change), InvalidRequestError, words);
  }
  assertEquals(cluster.node(1).requests, []);
});

Deno.test("changeMembership: the members show a change that was made, and none that was not", () => {
  const members: readonly Member[] = [
    { id: 1, address: "n1:1", role: "voter" },
    { id: 2, address: "n2:1", role: "leaving" },
    { id: 3, address: "n3:1", role: "learner" },
  ];
  const table: readonly [MembershipChange, boolean][] = [
    [{ kind: "add", id: 3, address: "n3:1", learner: true }, true],
    [{ kind: "add", id: 3, address: "elsewhere:1", learner: true }, false],
    [{ kind: "add", id: 4, address: "n4:1", learner: false }, false],
    [{ kind: "remove", id: 4 }, true],
    [{ kind: "remove", id: 2 }, false],
    [{ kind: "promote", id: 1 }, true],
    [{ kind: "promote", id: 3 }, false],
    [{ kind: "demote", id: 3 }, true],
    [{ kind: "demote", id: 2 }, false],
    [{ kind: "replace", dead: 2, id: 3, address: "n3:1" }, true],
    [{ kind: "replace", dead: 2, id: 4, address: "n4:1" }, false],
    [{ kind: "update", id: 1, address: "n1:1" }, true],
    [{ kind: "update", id: 1, address: "n9:1" }, false],
  ];
  for (const [change, made] of table) assertEquals([change, isMade(change, members)], [change, made]);
});
