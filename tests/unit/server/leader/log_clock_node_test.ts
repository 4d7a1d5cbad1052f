/** LogClock in nodes: sessions expire by the log's time, which a leader counts once it has applied an entry of its term. */
import { assert, assertEquals } from "@std/assert";
import { SESSION_LIMITS } from "../../../../lib/kv/mod.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../../support/fakes/memory_cluster.ts";
import type { PeerMessage } from "../../../../lib/protocol/peer_frames.ts";
import { EtcdUrls } from "../../../../lib/server/membership/etcd_urls.ts";
import { Node } from "../../../../lib/server/node.ts";
import { recoverState } from "../../../../lib/server/startup/recovered_state.ts";
import { serverConfigOf } from "../../../../lib/server/config/reading.ts";
import { SERVER_LIMITS, stateMachineOptionsOf } from "../../../../lib/server/config/server_limits.ts";
import { DataDirectory } from "../../../../lib/storage/mod.ts";
import type { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { quickScrypt, RecordingAudit } from "../../../support/fakes/auth.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";
import { noYield } from "../../../support/server_state.ts";

Deno.test("LogClock: an idle session expires in time, though each node leads for 20 s only", async () => {
  await using cluster = new MemoryCluster({ sessions: { ...SESSION_LIMITS, ttlMs: 50_000 } });
  await cluster.found(1, 2, 3);
  const client = await cluster.client(1, 2, 3);
  await cluster.run(client.put("key", "value"));
  const begin = cluster.clock.now();
  const sessions = async (): Promise<number[]> =>
    (await client.cluster.status()).nodes.map((node) => node.reachable ? node.sessions : -1);
  for (const target of [2, 3, 1]) {
    await cluster.run(client.cluster.transferLeadership(target));
    assertEquals(Math.max(...await cluster.run(sessions())), 1);
    await cluster.pass(16_000);
  }
  await cluster.until(async () => (await sessions()).every((count) => count === 0));
  const tookMs = cluster.clock.now() - begin;
  assert(tookMs >= 44_000 && tookMs < 60_000, `it took ${tookMs} ms`);
});

const HEARTBEAT_MS = 50;
/** Longer than any time after which a leader counts. */
const LONG_MS = 120_000;

/** The disk of a node of two that has a session in its snapshot. */
async function diskWithSession(): Promise<MemoryDisk> {
  await using cluster = new MemoryCluster();
  await cluster.found(1, 2);
  const client = await cluster.client(1, 2);
  await cluster.run(client.put("key", "value"));
  await cluster.pass(1_000);
  await cluster.run(client.cluster.takeSnapshot({ node: 1 }));
  return cluster.disk(1);
}

/** Node 1; the test decides what node 2 answers. */
class Bench {
  readonly clock = new ManualClock();
  readonly node: Node;
  readonly failures: unknown[] = [];
  /** Whether node 2 acknowledges entries. */
  acknowledges = false;
  readonly #sent: PeerMessage[] = [];

  private constructor(
    options: Pick<ConstructorParameters<typeof Node>[0], "disk" | "start" | "clusterId" | "dataId">,
  ) {
    const config = serverConfigOf({ nodeId: 1, bind: { host: "n1", port: 7001 } });
    this.node = new Node({
      ...config,
      live: config,
      ...options,
      id: 1,
      etcdUrls: new EtcdUrls(),
      electionTimeoutMs: 200,
      heartbeatMs: HEARTBEAT_MS,
      limits: SERVER_LIMITS,
      clock: this.clock,
      wallClock: () => this.clock.now(),
      random: () => 0.5,
      logger: new RecordingLogger(),
      audit: new RecordingAudit(),
      scrypt: quickScrypt,
      metrics: null,
      peers: {
        send: (message) => this.#sent.push(message) > 0,
        isConnected: () => true,
        authenticatedBy: () => null,
      },
      probe: () => Promise.resolve("no node is there"),
      describe: () => Promise.resolve([]),
    });
  }

  static async on(disk: MemoryDisk): Promise<Bench> {
    const directory = await DataDirectory.open({ disk, path: "/data" });
    const { identity } = directory;
    assert(identity !== null);
    const start = await recoverState({
      disk,
      directory,
      identity,
      segmentBytes: 65_536,
      entryCacheBytes: 1_000_000,
      stateMachineOptions: stateMachineOptionsOf(SERVER_LIMITS),
      logger: new RecordingLogger(),
      yieldToEventLoop: noYield,
    });
    return new Bench({ disk, start, clusterId: identity.clusterId, dataId: identity.dataId });
  }

  async pass(durationMs: number): Promise<void> {
    for (let passed = 0; passed < durationMs; passed += HEARTBEAT_MS) {
      this.clock.advance(HEARTBEAT_MS);
      do {
        for (const message of this.#sent.splice(0)) this.#answer(message);
        await settle();
      } while (this.#sent.length > 0);
    }
  }

  #answer(message: PeerMessage): void {
    const head = { from: 2, to: 1 } as const;
    switch (message.kind) {
      case "preVote":
        return this.node.receive(2, { kind: "preVoteResponse", ...head, term: message.term, granted: true });
      case "requestVote":
        return this.node.receive(2, {
          kind: "requestVoteResponse",
          ...head,
          term: message.term,
          granted: true,
        });
      case "heartbeat": {
        const { term, round } = message;
        const answer = { kind: "heartbeatResponse", term, round, promisedMs: 0, hasDiskSpace: true } as const;
        return this.node.receive(2, { ...head, ...answer });
      }
      case "appendEntries": {
        if (!this.acknowledges) return;
        const matchIndex = message.prevLogIndex + message.entries.length;
        const result = { kind: "accepted", matchIndex } as const;
        return this.node.receive(2, { kind: "appendEntriesResponse", ...head, term: message.term, result });
      }
      default:
    }
  }
}

Deno.test("LogClock: a leader counts no time before it has applied an entry of its term", async () => {
  const bench = await Bench.on(await diskWithSession());
  bench.node.start({
    configurationChanged: () => {},
    failed: (error) => void bench.failures.push(error),
  });
  await bench.pass(1_000);
  const { role, lastLogIndex, sessions } = bench.node.status();
  assertEquals([role, sessions], ["leader", 1]);
  await bench.pass(LONG_MS);
  assertEquals(bench.node.status().lastLogIndex, lastLogIndex, "nothing was proposed");
  bench.acknowledges = true;
  await bench.pass(LONG_MS);
  assert(bench.node.status().lastLogIndex > lastLogIndex, "time is counted");
  assertEquals(bench.failures, []);
  await bench.node.stop();
});
