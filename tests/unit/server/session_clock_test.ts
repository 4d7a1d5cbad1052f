/** SessionClock: the log's time continues from leader to leader, and is never ahead of real time. */
import { assert, assertEquals } from "@std/assert";
import { SESSION_LIMITS } from "../../../lib/kv/mod.ts";
import { decodeCommand } from "../../../lib/protocol/command.ts";
import { SessionClock } from "../../../lib/server/session_clock.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MemoryCluster } from "../../support/fakes/memory_cluster.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import type { PeerMessage } from "../../../lib/protocol/peer_frames.ts";
import { Node } from "../../../lib/server/node.ts";
import { recoverState } from "../../../lib/server/startup/recovered_state.ts";
import { serverConfigOf } from "../../../lib/server/config/config.ts";
import { SERVER_LIMITS, stateMachineOptionsOf } from "../../../lib/server/config/server_limits.ts";
import { DataDirectory } from "../../../lib/storage/mod.ts";
import type { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { noYield } from "../../support/server_state.ts";

const HOUR_MS = 3_600_000;

/** A count that was proposed in a term. */
interface Count {
  readonly term: number;
  readonly elapsedMs: number;
}

/** Nodes that share a log of only counts. A leader has to apply the entries before its term until it counts itself. */
class Counters {
  readonly clock = new ManualClock();
  readonly #log: Count[] = [];
  readonly #states: { applied: number; logTimeMs: number }[] = [];
  readonly #clocks: SessionClock[] = [];
  #leader = 0;
  #term = 1;
  /** Entries of the log when the term began. */
  #termStart = 0;
  sessions = 1;

  constructor(nodes: number) {
    for (let node = 0; node < nodes; node++) {
      const state = { applied: 0, logTimeMs: 0 };
      const sessionClock = new SessionClock({
        clock: this.clock,
        applied: () => ({ logTimeMs: state.logTimeMs, sessionCount: this.sessions }),
        leadingTerm: () => node === this.#leader && state.applied >= this.#termStart ? this.#term : null,
        propose: (command) => {
          this.#log.push({ term: this.#term, elapsedMs: elapsedIn(command) });
          return true;
        },
      });
      this.#states.push(state);
      this.#clocks.push(sessionClock);
      sessionClock.start();
    }
  }

  /** The log's time once everything in it is applied. */
  get logTimeMs(): number {
    return this.#log.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0);
  }

  /** Another node leads; `lost` entries at the end of the log were on no majority. */
  lead(node: number, lost = 0): void {
    const applied = Math.max(...this.#states.map((state) => state.applied));
    this.#log.length = Math.max(applied, this.#log.length - lost);
    this.#leader = node;
    this.#term += 1;
    this.#termStart = this.#log.length;
  }

  /** A node applies the log as far as it has it. */
  apply(node: number): void {
    const state = this.#states[node];
    assert(state !== undefined, "the node is one of these");
    for (const { elapsedMs } of this.#log.slice(state.applied)) state.logTimeMs += elapsedMs;
    state.applied = this.#log.length;
    this.#clocks[node]?.noteApplied();
  }

  /** Every node applies everything. */
  applyAll(): void {
    for (const node of this.#states.keys()) this.apply(node);
  }

  stop(): void {
    for (const sessionClock of this.#clocks) sessionClock.stop();
    assertEquals(this.clock.timerCount, 0);
  }
}

function elapsedIn(bytes: Uint8Array): number {
  const command = decodeCommand(bytes);
  assert(command.kind === "expireSessions", "nothing else is proposed");
  return command.elapsedMs;
}

Deno.test("SessionClock: with a new leader every 20 s an hour of log time is an hour, less a moment for each count", () => {
  const counters = new Counters(3);
  for (let second = 1; second <= HOUR_MS / 1_000; second++) {
    counters.clock.advance(1_000);
    counters.applyAll();
    if (second % 20 === 0) counters.lead((second / 20) % 3);
  }
  assert(counters.logTimeMs <= HOUR_MS, `${counters.logTimeMs} ms are more than an hour`);
  assert(counters.logTimeMs >= HOUR_MS - 60_000 - 60_000, `${counters.logTimeMs} ms are less than an hour`);
  counters.stop();
});

Deno.test("SessionClock: log time never runs ahead of real time, under any loss, delay or change of leader", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const counters = new Counters(3);
    for (let step = 0; step < 400; step++) {
      counters.clock.advance(1 + random.below(8_000));
      for (const node of [0, 1, 2]) if (random.chance(0.4)) counters.apply(node);
      if (random.chance(0.2)) counters.lead(random.below(3), random.below(2));
      assert(counters.logTimeMs <= counters.clock.now(), `seed ${seed}, step ${step}`);
    }
    assert(counters.logTimeMs > counters.clock.now() / 4, `seed ${seed}: it advances nevertheless`);
    counters.stop();
  }
});

Deno.test("SessionClock: a cluster without sessions counts nothing, and its first session begins with no more than a moment", () => {
  const counters = new Counters(2);
  counters.sessions = 0;
  const pass = (seconds: number): void => {
    for (let second = 0; second < seconds; second++) {
      counters.clock.advance(1_000);
      counters.applyAll();
    }
  };
  pass(1_000);
  assertEquals(counters.logTimeMs, 0);
  counters.sessions = 1;
  pass(100);
  assert(counters.logTimeMs > 0 && counters.logTimeMs <= 105_000, `${counters.logTimeMs} ms`);
  counters.stop();
});

Deno.test("SessionClock: a time without sessions or without a leader is counted at most as one entry can", () => {
  const counters = new Counters(1);
  counters.sessions = 0;
  counters.clock.advance(HOUR_MS);
  counters.sessions = 1;
  counters.clock.advance(54_000);
  counters.applyAll();
  assertEquals(counters.logTimeMs <= 59_000, true);
  counters.lead(1);
  counters.clock.advance(HOUR_MS);
  counters.lead(0);
  counters.applyAll();
  const before = counters.logTimeMs;
  counters.clock.advance(5_000);
  counters.applyAll();
  assertEquals(counters.logTimeMs - before, 60_000);
  counters.stop();
});

Deno.test("SessionClock: an idle session expires in time, though each node leads for 20 s only", async () => {
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
    options: Pick<ConstructorParameters<typeof Node>[0], "start" | "clusterId" | "dataId">,
  ) {
    this.node = new Node({
      ...serverConfigOf({ nodeId: 1, bind: { host: "n1", port: 7001 } }),
      ...options,
      id: 1,
      electionTimeoutMs: 200,
      heartbeatMs: HEARTBEAT_MS,
      limits: SERVER_LIMITS,
      clock: this.clock,
      random: () => 0.5,
      logger: new RecordingLogger(),
      metrics: null,
      peers: { send: (message) => this.#sent.push(message) > 0, isConnected: () => true },
      probe: () => Promise.resolve("no node is there"),
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
    return new Bench({ start, clusterId: identity.clusterId, dataId: identity.dataId });
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

Deno.test("SessionClock: a leader counts no time before it has applied an entry of its term", async () => {
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
