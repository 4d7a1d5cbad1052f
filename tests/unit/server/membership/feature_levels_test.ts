/** The refusals of requests that need a higher feature level than the state has. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type KvClient, TimeoutError } from "../../../../lib/mod.ts";
import { FEATURE_LEVEL } from "../../../../lib/kv/feature_level.ts";
import { parseAddress } from "../../../../lib/platform/address.ts";
import { FeatureLevels } from "../../../../lib/server/membership/feature_levels.ts";
import { foundingConfiguration } from "../../../../lib/server/membership/members.ts";
import { dial } from "../../../../lib/transport/dial.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";

const SIZES = { readBytes: 1_024, retainedBytes: 1_024, maxQueuedBytes: 65_536 };

/** The knowledge of node 1 of a cluster of four. */
class Bench {
  readonly raft = {
    configuration: foundingConfiguration([1, 2, 3, 4].map((id) => ({ id, address: `n${id}:7001` }))),
    isLeader: true,
  };
  readonly connected = new Set([2, 3, 4]);
  readonly levels = new FeatureLevels({
    self: 1,
    raft: this.raft,
    peers: { isConnected: (id) => this.connected.has(id) },
  });

  /** Returns the code and the reason of a refusal. */
  get refusal(): readonly [string, string] {
    const { code, message, outcome } = this.levels.refusalOf("history");
    assertEquals(outcome, "not-applied");
    return [code, message.replace("Cannot use the history: ", "")];
  }

  get isKnownToAll(): boolean {
    return this.levels.isKnownToAll(this.raft.configuration);
  }
}

Deno.test("FeatureLevels: while no member is known to be older, clients try again, and learn which node is awaited", () => {
  const bench = new Bench();
  const { levels, connected, raft } = bench;
  const unreported = "reported yet that they run kvraft 0.2 or later. Try again.";
  assertEquals(bench.refusal, ["noLeader", `nodes 2, 3 and 4 have not ${unreported}`]);
  levels.seen(2, FEATURE_LEVEL);
  assertEquals(bench.refusal, ["noLeader", `nodes 3 and 4 have not ${unreported}`]);
  levels.seen(4, FEATURE_LEVEL + 1);
  const last = "node 3 has not reported yet that it runs kvraft 0.2 or later. Try again.";
  assertEquals([bench.refusal, bench.isKnownToAll], [["noLeader", last], false]);
  levels.seen(3, FEATURE_LEVEL);
  connected.delete(3);
  const away =
    "this leader is not connected to node 3, and every node must run kvraft 0.2 or later. Try again.";
  assertEquals([bench.refusal, bench.isKnownToAll], [["noLeader", away], false]);
  const raising = "the leader has not raised the feature level of the cluster yet. Try again.";
  raft.isLeader = false;
  assertEquals(bench.refusal, ["noLeader", raising]);
  raft.isLeader = true;
  connected.add(3);
  assertEquals([bench.refusal, bench.isKnownToAll], [["noLeader", raising], true]);
});

Deno.test("FeatureLevels: a request is refused for good only while a member is known to be of an older version", () => {
  const bench = new Bench();
  const { levels } = bench;
  const final = ["invalidRequest", "every node of the cluster must run kvraft 0.2 or later."] as const;
  levels.seen(99, FEATURE_LEVEL - 1);
  assertEquals(bench.refusal[0], "noLeader", "node 99 is no member");
  levels.seen(3, FEATURE_LEVEL - 1);
  assertEquals(bench.refusal, final, "also while others have not reported");
  levels.seen(2, FEATURE_LEVEL);
  levels.seen(4, FEATURE_LEVEL);
  assertEquals([bench.refusal, bench.isKnownToAll], [final, false]);
  levels.seen(3, FEATURE_LEVEL);
  assertEquals([bench.refusal[0], bench.isKnownToAll], ["noLeader", true]);
});

/** The options of a request. */
interface Options {
  readonly timeoutMs: number;
  /** The name of a user that it adds. */
  readonly user: string;
}

/** The requests that a state of the first feature level refuses, one of each kind. */
const REQUESTS: Readonly<Record<string, (client: KvClient, options: Options) => Promise<unknown>>> = {
  history: (client, { timeoutMs }) => client.history("k", { timeoutMs }),
  "past get": (client, { timeoutMs }) => client.get("k", { revision: 1, timeoutMs }),
  leases: (client, { timeoutMs }) => client.leases.list({ timeoutMs }),
  compact: (client, { timeoutMs }) => client.compact(0, { timeoutMs }),
  "keep alive": (client, { timeoutMs }) => client.leases.keepAlive([7], { timeoutMs }),
  grant: (client, { timeoutMs }) => client.leases.grant({ ttlMs: 60_000, timeoutMs }),
  branches: (client, { timeoutMs }) => client.transaction({ then: [{ kind: "get", key: "k" }], timeoutMs }),
  user: (client, { timeoutMs, user }) => client.auth.addUser(user, { timeoutMs }),
  watch: (client) => firstBatch(client),
};

async function firstBatch(client: KvClient): Promise<unknown> {
  for await (const batch of client.watch({ key: "k", progress: true })) return batch;
  return null;
}

Deno.test("Server: a new cluster whose last member starts late makes requests wait for it, at leader and followers", async () => {
  await using cluster = new MemoryCluster();
  for (const id of [1, 2]) await cluster.start(id, { founders: [1, 2, 3] });
  const client = await cluster.client(1);
  const clients = [client, await cluster.client(2)];
  await cluster.run(client.put("k", "1"));
  for (const [name, request] of Object.entries(REQUESTS)) {
    if (name === "watch") continue;
    const error = await assertRejects(
      () => cluster.run(request(client, { timeoutMs: 1_000, user: "ada" })),
      TimeoutError,
    );
    assertStringIncludes(error.message, "node 3 has not reported yet that it runs kvraft 0.2 or later", name);
  }
  const ended: string[] = [];
  const waiting = clients.flatMap((client, position) =>
    Object.entries(REQUESTS).map(([name, request]) =>
      request(client, { timeoutMs: 20_000, user: `user-${position}` }).then(() =>
        ended.push(`${name} ${position}`)
      )
    )
  );
  await cluster.pass(3_000);
  assertEquals(ended, []);
  await cluster.start(3, { founders: [1, 2, 3] });
  await cluster.run(Promise.all(waiting));
  assertEquals(ended.length, 2 * Object.keys(REQUESTS).length);
});

Deno.test("Server: a member of an older version has requests refused at once, and as invalid", async () => {
  await using cluster = new MemoryCluster();
  for (const id of [1, 2]) await cluster.start(id, { founders: [1, 2, 3] });
  const { network, clock } = cluster;
  for (const id of [1, 2]) {
    const clusterId = cluster.server(id)?.clusterId ?? "";
    const rest = { dataId: 103, featureLevel: FEATURE_LEVEL - 1, etcdUrl: null, credentials: null } as const;
    await cluster.run(dial({
      network,
      clock,
      address: parseAddress(`n${id}:7001`),
      caller: { role: "peer", clusterId, nodeId: 3, lane: "control", address: "n3:7001", ...rest },
      sizes: SIZES,
      timeoutMs: 1_000,
      signal: new AbortController().signal,
    }));
  }
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("k", "1"));
  for (const [name, request] of Object.entries(REQUESTS)) {
    const error = await assertRejects(
      () => cluster.run(request(client, { timeoutMs: 20_000, user: "ada" })),
      Error,
    );
    assertStringIncludes(error.message, "every node of the cluster must run kvraft 0.2 or later", name);
    assertEquals("code" in error && error.code, "invalidRequest", name);
  }
});
