/** Real nodes with users: what each may do, on every node, over restarts, changes of leader, and a restored backup. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { AuthenticationError, KvClient, PermissionDeniedError } from "../../../lib/mod.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DEADLINE_MS, eventually } from "../../support/eventually.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { UserClient } from "../../support/frames/user_client.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { READY_LINE, startKvraft } from "../../support/processes/process.ts";
import { ConnectionFrom, HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { parseMetrics } from "../../support/prometheus.ts";
import { freePorts } from "../../support/temporary.ts";
import { clientHello, frame } from "../../support/wire.ts";

const PASSWORDS = { root: "root's password", alice: "alice's password", bob: "bob's password" } as const;
type Name = keyof typeof PASSWORDS;

/** Connects to these nodes (default: all) as a user. */
async function connectAs(user: Name, cluster: TestCluster, ids = cluster.ids): Promise<KvClient> {
  return await KvClient.connect({
    cluster: ids.map((id) => cluster.address(id)),
    user,
    password: PASSWORDS[user],
    timeoutMs: DEADLINE_MS,
  });
}

/** Connects to one node, frame by frame. */
async function open(cluster: TestCluster, id: number): Promise<UserClient> {
  const address = { host: "127.0.0.1", port: cluster.port(id) };
  return await UserClient.open({ network: new DenoNetwork(), clock: new SystemClock(), address });
}

async function openAs(user: Name, cluster: TestCluster, id: number): Promise<UserClient> {
  const client = await open(cluster, id);
  assertEquals(await client.signIn(user, PASSWORDS[user]), "signedIn", cluster.logs());
  return client;
}

/** Adds the users: root, and alice and bob, who may read and write the keys below their names. */
async function addUsers(cluster: TestCluster): Promise<void> {
  await using client = await cluster.connect();
  for (const user of ["root", "alice", "bob"] as const) {
    await client.auth.addUser(user, { password: PASSWORDS[user] });
    if (user === "root") continue;
    await client.auth.addRole(user);
    for (const right of ["read", "write"] as const) {
      await client.auth.grant(user, right, { prefix: `${user}/` });
    }
    await client.auth.grantRole(user, user);
  }
  await client.auth.grantRole("root", "root");
}

async function enable(cluster: TestCluster): Promise<void> {
  await using root = await connectAs("root", cluster);
  await root.auth.enable();
}

/** The node that leads, by the status that root reads. */
async function leaderOf(root: KvClient): Promise<number> {
  return await eventually("a node leads", async () => (await root.cluster.status()).leader);
}

/** The outcomes at one node: of a connection without a user, of a read and a write that alice may make, and may not. */
async function outcomesAt(cluster: TestCluster, id: number): Promise<readonly string[]> {
  using anonymous = await open(cluster, id);
  using alice = await openAs("alice", cluster, id);
  return [
    await anonymous.get("alice/key"),
    await anonymous.get("alice/key", "stale"),
    await anonymous.put("alice/key"),
    await alice.put("alice/key"),
    await alice.get("alice/key"),
    await alice.put("bob/key"),
    await alice.get("bob/key"),
    await alice.outcome({ kind: "stateHash" }),
    await alice.write({ kind: "compact", revision: 1 }).then(String),
  ];
}

const OUTCOMES = [
  "unauthenticated",
  "unauthenticated",
  "unauthenticated",
  "applied",
  "value",
  "permissionDenied",
  "permissionDenied",
  "permissionDenied",
  "permissionDenied",
];

Deno.test("users: every node decides alike, over live enabling, a new leader, restarts of all nodes and disabling", async () => {
  await using cluster = await TestCluster.start();
  await addUsers(cluster);
  using early = await open(cluster, 1);
  assertEquals(await early.put("early"), "applied");
  await enable(cluster);
  assertEquals(await early.put("early"), "unauthenticated");
  for (const id of cluster.ids) assertEquals(await outcomesAt(cluster, id), OUTCOMES, `node ${id}`);

  // A sign-in goes on over a change of leader: it is of the connection and not of the leader.
  await using root = await connectAs("root", cluster);
  const leader = await leaderOf(root);
  const [follower = 0] = cluster.ids.filter((id) => id !== leader);
  using alice = await openAs("alice", cluster, follower);
  await cluster.kill(leader);
  await eventually(
    "alice writes under the next leader",
    async () => await alice.put("alice/key") === "applied" || null,
    {
      explain: cluster.logs,
    },
  );
  assertEquals(await alice.put("bob/key"), "permissionDenied");
  await cluster.startNode(leader);

  for (const id of cluster.ids) await cluster.kill(id);
  await cluster.startNodes(cluster.ids);
  await eventually("the nodes serve again", async () => {
    using restarted = await open(cluster, 1);
    const outcome = await restarted.signIn("alice", PASSWORDS.alice);
    return outcome === "signedIn" || null;
  }, { explain: cluster.logs });
  await using again = await connectAs("root", cluster);
  await leaderOf(again);
  for (const id of cluster.ids) {
    assertEquals(await outcomesAt(cluster, id), OUTCOMES, `node ${id} after a restart`);
  }

  await again.auth.disable();
  using late = await open(cluster, 2);
  await eventually(
    "node 2 serves connections without users",
    async () => await late.put("late") === "applied" || null,
  );
});

Deno.test("users: a right that is taken away under load has no further effect, and other users go on", async () => {
  await using cluster = await TestCluster.start();
  await addUsers(cluster);
  await enable(cluster);
  await using root = await connectAs("root", cluster);
  let isOver = false;
  /** Writes until the test is over, or the first refusal; returns the last number that was acknowledged. */
  const write = async (user: "alice" | "bob", id: number): Promise<readonly [number, string]> => {
    using client = await openAs(user, cluster, id);
    for (let number = 1;; number++) {
      const outcome = await client.put(`${user}/${id}`, String(number));
      if (outcome !== "applied" || isOver) return [number, outcome];
    }
  };
  const alices = Promise.all(cluster.ids.map((id) => write("alice", id)));
  const bobs = Promise.all(cluster.ids.map((id) => write("bob", id)));
  await eventually("all of them write", async () => {
    const { entries } = await root.list({ prefix: "" });
    return entries.length === 6 || null;
  }, { explain: cluster.logs });
  await root.auth.revokeRole("alice", "alice");
  // What begins after that is refused on every node.
  for (const id of cluster.ids) {
    using alice = await openAs("alice", cluster, id);
    assertEquals([await alice.put("alice/after"), await alice.get("alice/after")], [
      "permissionDenied",
      "permissionDenied",
    ]);
  }
  assertEquals((await alices).map(([, outcome]) => outcome), cluster.ids.map(() => "permissionDenied"));
  const before = await root.list({ prefix: "alice/" });
  isOver = true;
  assertEquals((await bobs).map(([, outcome]) => outcome), cluster.ids.map(() => "applied"));
  assertEquals(
    (await root.list({ prefix: "alice/" })).entries,
    before.entries,
    "alice writes nothing any more",
  );
});

Deno.test("users: a follower that is cut off from the leader does not lend the rights that it still knows of", async () => {
  await using cluster = await TestCluster.start({
    proxied: true,
    flags: ["--election-timeout-ms", "5000", "--heartbeat-ms", "100"],
  });
  await addUsers(cluster);
  await enable(cluster);
  await using root = await connectAs("root", cluster);
  const leader = await leaderOf(root);
  const [follower = 0] = cluster.ids.filter((id) => id !== leader);
  using alice = await openAs("alice", cluster, follower);
  assertEquals(await alice.put("alice/before"), "applied");
  // The follower has applied it when it answers this.
  assertEquals(await alice.get("alice/before"), "value");
  // The follower still reaches the leader, and does not learn of the change.
  cluster.cut({ from: leader, to: follower });
  await using direct = await connectAs("root", cluster, [leader]);
  await direct.auth.revokeRole("alice", "alice");
  assertEquals(await alice.get("alice/before", "stale"), "value", "the follower does not know of it");
  void alice.put("alice/after").catch(() => {});
  await direct.put("barrier", "");
  const healed = eventually("the follower knows of it", async () => {
    return await alice.get("alice/before", "stale") === "permissionDenied" || null;
  }, { explain: cluster.logs });
  cluster.heal();
  await healed;
  assertEquals(await direct.get("alice/after"), null);
  assertMatch(cluster.logs(), /audit: request refused.*user=alice.*remote="?node \d"?.*permissionDenied/);
});

Deno.test("users: a thousand wrong passwords are slowed down and counted, and other clients are served meanwhile", async () => {
  if (!HAS_MANY_LOOPBACK_ADDRESSES) return;
  const http = freePorts(1);
  await using cluster = await TestCluster.start({ flagsOf: (id) => id === 1 ? ["--http", `${http}`] : [] });
  await addUsers(cluster);
  await enable(cluster);
  const signIns = async (): Promise<ReadonlyMap<string, number>> => {
    const answer = await fetch(`http://127.0.0.1:${http}/metrics`);
    const samples = parseMetrics(await answer.text()).get("kvraft_sign_ins_total")?.samples ?? [];
    return new Map(samples.map(({ labels, value }) => [labels["result"] ?? "", value]));
  };
  using bob = await openAs("bob", cluster, 1);
  using hostile = new DisposableStack();
  for (let number = 0; number < 20; number++) {
    const connection = hostile.use(await ConnectionFrom.open("127.0.0.2", cluster.port(1)));
    await connection.send(frame(clientHello()));
    for (let guess = 1; guess <= 50; guess++) {
      await connection.sendFrame([FRAME_KIND.signIn, guess, [1, "alice", `guess ${number} ${guess}`]]);
    }
  }
  for (let write = 0; write < 100; write++) assertEquals(await bob.put("bob/key", `${write}`), "applied");
  // The failures delay alice by ten seconds at most.
  using alice = await openAs("alice", cluster, 1);
  assertEquals(await alice.put("alice/key"), "applied");
  const counts = await eventually("all guesses have ended", async () => {
    const counts = await signIns();
    const ended = (counts.get("failed") ?? 0) + (counts.get("busy") ?? 0);
    return ended >= 1_000 ? counts : null;
  }, { explain: cluster.logs });
  const failed = counts.get("failed") ?? 0;
  assert(failed >= 1 && failed <= 40, `${failed} guesses were compared with the password`);
  assertMatch(cluster.logs(), /audit: sign-in user=alice via=password remote=127\.0\.0\.2:\d+ result=failed/);
  assertEquals(cluster.logs().includes("guess 1"), false, "no guess is in the log");
});

Deno.test("users: after every credential of root was lost, a recovered or restored node lets root have a new password", async () => {
  await using old = await TestCluster.start();
  await addUsers(old);
  await enable(old);
  await using alice = await connectAs("alice", old);
  await alice.put("alice/key", "value");
  await using root = await connectAs("root", old);
  await using snapshot = await root.cluster.openSnapshot({ node: await leaderOf(root) });
  await Deno.writeFile(join(old.folder.path, "backup.snap"), ReadableStream.from(snapshot.chunks()));
  const leader = await leaderOf(root);
  const inspected = await old.run(["server", "inspect", "backup.snap", "--output", "json"]);
  const { clusterId }: { readonly clusterId: string } = JSON.parse(inspected.stdout);
  for (const id of old.ids) await old.stop(id);
  const dataDir = join("data", `node-${leader}`);
  const recovered = await old.run(
    ["server", "recover", "--data-dir", dataDir, "--yes", clusterId, "--disable-auth"],
  );
  assertEquals(recovered.code, 0, recovered.stderr);
  assertStringIncludes(recovered.stdout, "Authentication is disabled");
  const port = freePorts(1);
  const to = ["--node-id", "1", "--cluster", `1=127.0.0.1:${port}`, "--data-dir", "data/restored"];
  const restored = await old.run(["server", "restore", "--from", "backup.snap", ...to, "--disable-auth"]);
  assertEquals(restored.code, 0, restored.stderr);
  assertStringIncludes(restored.stdout, "Authentication is disabled");
  const nodes = [
    [old.address(leader), ["--node-id", `${leader}`, "--data-dir", dataDir]],
    [`127.0.0.1:${port}`, to],
  ] as const;
  for (const [address, args] of nodes) {
    await using server = startKvraft(["server", "--bind", address, ...args], {
      cwd: old.folder.path,
      name: address,
    });
    await server.waitForOutput(READY_LINE);
    const options = { cluster: [address], timeoutMs: DEADLINE_MS };
    await using operator = await KvClient.connect(options);
    assertEquals((await operator.auth.users()).map(({ name }) => name), ["root", "alice", "bob"].toSorted());
    await operator.auth.setPassword("root", "a new password");
    await operator.auth.enable();
    await assertRejects(() => operator.get("alice/key"), AuthenticationError);
    await using again = await KvClient.connect({ ...options, user: "root", password: "a new password" });
    assert(await again.get("alice/key") !== null, "the keys are there");
    await using user = await KvClient.connect({ ...options, user: "alice", password: PASSWORDS.alice });
    await user.put("alice/key", "another value");
    await assertRejects(() => user.put("bob/key", "value"), PermissionDeniedError);
  }
});

Deno.test("users: a restored backup keeps the users, and not the sign-ins", async () => {
  await using old = await TestCluster.start();
  await addUsers(old);
  await enable(old);
  await using root = await connectAs("root", old);
  await root.put("alice/key", "value");
  await using snapshot = await root.cluster.openSnapshot({ node: await leaderOf(root) });
  const chunks = await Array.fromAsync(snapshot.chunks());
  await using restored = await TestCluster.start({
    prepare: async (cluster) => {
      await Deno.writeFile(join(cluster.folder.path, "backup.snap"), ReadableStream.from(chunks));
      for (const id of cluster.ids) {
        const args = ["--from", "backup.snap", "--node-id", `${id}`, "--cluster", cluster.membersFlag];
        const { code, stderr } = await cluster.run(["server", "restore", ...args]);
        assertEquals(code, 0, stderr);
      }
      return null;
    },
  });
  await using again = await connectAs("root", restored);
  assert(await again.get("alice/key") !== null, "the keys are there");
  const users = await again.auth.users();
  assertEquals(users.map(({ name }) => name).toSorted(), ["alice", "bob", "root"]);
  for (const id of restored.ids) assertEquals(await outcomesAt(restored, id), OUTCOMES, `node ${id}`);
  await using anonymous = await restored.connect();
  await assertRejects(() => anonymous.get("alice/key"), AuthenticationError, "no credentials");
  assert((await again.auth.status()).enabled);
});
