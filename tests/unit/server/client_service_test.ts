/** ClientService: the requests of clients that wait are bounded, and a stopping node reports the outcome of each. */
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { assertEquals } from "@std/assert";
import { stampOf } from "../../support/server_state.ts";
import { MAX_KEY_BYTES, StateMachine } from "../../../lib/kv/mod.ts";
import type { ServerMessage } from "../../../lib/protocol/client_frames.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { CONFIGURATION_CODEC } from "../../../lib/protocol/configuration.ts";
import { DEFAULT_LIMITS, foundingState, Raft } from "../../../lib/raft/mod.ts";
import { ClientService, ClientWork, MAX_ASKED_BYTES } from "../../../lib/server/client_service.ts";
import {
  type LeadershipTransferOptions,
  LeadershipTransfers,
  MAX_TRANSFERS,
} from "../../../lib/server/leadership_transfer.ts";
import { Driver, type DriverEvents } from "../../../lib/server/driver.ts";
import { Forwarding } from "../../../lib/server/forwarding.ts";
import { LeadershipWatch } from "../../../lib/server/leadership.ts";
import { foundingConfiguration } from "../../../lib/server/membership/members.ts";
import { FeatureLevels } from "../../../lib/server/membership/feature_levels.ts";
import { Membership, type MembershipOptions } from "../../../lib/server/membership/membership.ts";
import { Quota } from "../../../lib/server/write_admission.ts";
import { Replica } from "../../../lib/server/replica.ts";
import { SnapshotDownloads } from "../../../lib/server/snapshot/downloads.ts";
import { SNAPSHOT_LIMITS, Snapshots } from "../../../lib/server/snapshot/snapshots.ts";
import { WatchHub } from "../../../lib/server/watch/watch_hub.ts";
import { WatchRequests } from "../../../lib/server/watch/watch_requests.ts";
import { Writes } from "../../../lib/server/writes.ts";
import type { SnapshotStore } from "../../../lib/storage/mod.ts";
import { accessTo, NO_WATCH_RIGHTS, noSignIns, withoutSignIn } from "../../support/fakes/auth.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { noYield, openStore } from "../../support/server_state.ts";
import { IDENTITY } from "../../support/storage.ts";

const UNCOUNTED = { metrics: null, live: { slowMs: null } };
const NO_QUOTA = { quotaBytes: null };

const ELECTION_TICKS = 10;
const TICK_MS = 10;
/** So many that no server has as many waiting transfers. */
const TRANSFER_TIMEOUT_MS = 1_000_000;
/** Takes the excess of a quota, which no test reaches. */
const exceeded = (): void => {};
const START = foundingState(
  foundingConfiguration([1, 2].map((id) => ({ id, address: `n${id}:7001` }))),
);

/** Node 1 of two, which leads node 2 and receives its answers when the test says so. */
class Bench {
  readonly clock = new ManualClock();
  readonly answers: string[] = [];
  readonly service: ClientService;
  readonly driver: Driver;
  readonly client: ClientWork;
  readonly forwarding: Forwarding;
  /** Round of the last heartbeat. */
  #round = 0;
  readonly #leadership: LeadershipWatch;
  readonly #replica = new Replica(new StateMachine(), START.snapshot);
  readonly #watches = new WatchHub({
    clock: this.clock,
    stateMachine: this.#replica.stateMachine,
    leaderlessMs: ELECTION_TICKS * TICK_MS,
  });

  private constructor(store: SnapshotStore) {
    const { clock } = this;
    const replica = this.#replica;
    const logger = new RecordingLogger();
    const raft = new Raft({
      id: 1,
      configurationCodec: CONFIGURATION_CODEC,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      random: () => 0,
      limits: DEFAULT_LIMITS,
      recovered: START,
    });
    const leadership = this.#leadership = new LeadershipWatch(raft, logger);
    this.driver = new Driver({
      raft,
      log: {
        append: () => {},
        sync: () => Promise.resolve(),
        leaveSyncMark: () => {},
        readEntries: () => Promise.reject(new Error("nothing is read back in these tests")),
      },
      clock,
      logger,
      tickMs: TICK_MS,
    });
    const { driver } = this;
    const levels = new FeatureLevels({ self: 1, raft, peers: { isConnected: () => true } });
    const stateMachine = (): StateMachine => replica.stateMachine;
    const quota = new Quota({ live: NO_QUOTA, stateMachine, exceeded, isDiskNearlyFull: () => false });
    this.forwarding = new Forwarding({ clock, firstId: 1, timeoutMs: 50, send: () => true });
    const access = accessTo(stateMachine);
    const writes = new Writes({
      driver,
      replica,
      forwarding: this.forwarding,
      access,
      maxValueBytes: 100,
      quota,
      clock,
      isMember: () => true,
      levels,
      logger,
      countTime: () => true,
    });
    const membership = membershipOf({ raft, driver, clock, logger, levels });
    this.service = new ClientService({
      driver,
      replica,
      writes,
      leadership,
      membership,
      levels,
      access,
      signIns: noSignIns(stateMachine),
      watches: new WatchRequests({ hub: this.#watches, driver, replica, levels }),
      clock,
      yieldToEventLoop: noYield,
      transfers: transfersOf({ driver, leadership, clock, logger }),
      status: () => {
        throw new Error("no test asks for the status");
      },
      describe: () => Promise.resolve([]),
      logTimeMs: () => 0,
      clusterId: "0123456789abcdef",
      ...UNCOUNTED,
      logger,
    });
    this.client = this.#connect(store, replica);
  }

  #events(): DriverEvents {
    return {
      send: (message) => {
        if (message.kind === "heartbeat") this.#round = message.round;
      },
      install: () => {},
      restore: () => {},
      sendSnapshot: () => {},
      apply: (entries) => this.#replica.apply(entries),
      read: (read) => this.#replica.confirmRead(read),
      settled: () => this.#leadership.check(),
      failed: (error) => {
        throw error;
      },
    };
  }

  /** Returns once node 1 leads, and node 2 has its first entry. */
  static async leading(): Promise<Bench> {
    const bench = new Bench(await openStore(new MemoryDisk()));
    const { driver } = bench;
    driver.start(bench.#events());
    for (let tick = 0; tick < ELECTION_TICKS; tick++) {
      bench.clock.advance(TICK_MS);
      await settle();
    }
    driver.step({ kind: "preVoteResponse", from: 2, to: 1, term: 1, granted: true });
    await settle();
    driver.step({ kind: "requestVoteResponse", from: 2, to: 1, term: 1, granted: true });
    await settle();
    const result = { kind: "accepted", matchIndex: 1 } as const;
    driver.step({ kind: "appendEntriesResponse", from: 2, to: 1, term: 1, result });
    await settle();
    return bench;
  }

  /** Node 2 follows another leader. */
  async depose(): Promise<void> {
    this.driver.step({ kind: "heartbeat", from: 2, to: 1, term: 9, leaderCommit: 0, round: 1 });
    await settle();
  }

  /** Advances by this many ticks, after which node 2 answers the last heartbeat. */
  async tick(count: number): Promise<void> {
    this.clock.advance(count * TICK_MS);
    await settle();
    const round = this.#round;
    this.driver.step({
      kind: "heartbeatResponse",
      from: 2,
      to: 1,
      term: 1,
      round,
      promisedMs: 0,
      hasDiskSpace: true,
    });
    await settle();
  }

  transfer(requestId: number): void {
    this.service.handle({ kind: "transferLeadership", requestId, target: 2 }, this.client);
  }

  list(requestId: number, boundary: Uint8Array): void {
    const query = {
      prefix: boundary,
      start: boundary,
      end: boundary,
      after: boundary,
      reverse: false,
      limit: 1,
    };
    this.service.handle(
      { kind: "list", requestId, query, consistency: "linearizable", visibleOnly: false },
      this.client,
    );
  }

  put(requestId: number, sequence: number): void {
    this.service.handle({ kind: "write", requestId, command: put(sequence) }, this.client);
  }

  #connect(store: SnapshotStore, replica: Replica): ClientWork {
    const { clock } = this;
    const snapshots = new Snapshots({
      store,
      log: { firstIndex: 1, bytesSince: () => 0, removeBefore: () => {} },
      replica,
      clock,
      logger: new RecordingLogger(),
      clusterId: IDENTITY.clusterId,
      limits: SNAPSHOT_LIMITS,
      turn: () => ({ position: 0, nodes: 1 }),
      transfers: { lowestSending: null, endBelow: () => {} },
      compact: ({ compactedIndex }) => compactedIndex,
      yieldToEventLoop: noYield,
    });
    return new ClientWork({
      identity: withoutSignIn(),
      send: (message) => void this.answers.push(textOf(message)),
      fail: (error) => {
        throw error;
      },
      isHeld: () => false,
      hold: () => {},
      reads: this.service.reads,
      downloads: new SnapshotDownloads({ snapshots, store, clock, totals: { open: 0, reads: 0 } }),
      watches: this.#watches.connect({
        access: NO_WATCH_RIGHTS,
        isHeld: () => false,
        send: () => {},
        sendEvents: () => {},
      }),
    });
  }
}

function transfersOf(
  parts: Pick<LeadershipTransferOptions, "driver" | "leadership" | "clock" | "logger">,
): LeadershipTransfers {
  return new LeadershipTransfers({
    ...parts,
    timeoutMs: TRANSFER_TIMEOUT_MS,
    members: () => [],
    hasDiskSpace: () => true,
  });
}

/** It receives no calls here. */
function membershipOf(
  parts: Pick<MembershipOptions, "raft" | "driver" | "clock" | "logger" | "levels">,
): Membership {
  return new Membership({
    ...parts,
    self: 1,
    dataId: 1,
    intervalMs: TICK_MS,
    contactTicks: ELECTION_TICKS,
    roundTimeoutMs: 100,
    timeoutMs: 100,
    isConnected: () => true,
    featureLevel: () => FEATURE_LEVEL,
    probe: () => Promise.resolve("no test probes"),
  });
}

function textOf(message: ServerMessage): string {
  if (message.kind !== "error") return message.kind;
  return `${message.requestId}: ${message.code}, ${message.outcome}`;
}

function put(sequence: number): Uint8Array {
  const key = new TextEncoder().encode("k");
  return encodeCommand({
    kind: "transaction",
    session: stampOf(sequence),
    checks: [],
    mutations: [{ kind: "put", key, value: key }],
  });
}

Deno.test("ClientService: reads that wait for the core are bounded by their bytes, and release these at their end", async () => {
  const bench = await Bench.leading();
  const boundary = new Uint8Array(MAX_KEY_BYTES);
  // All requests share the bytes of one key: here only their sum counts.
  const fitting = Math.floor(MAX_ASKED_BYTES / (1_024 + 4 * MAX_KEY_BYTES));
  for (let id = 1; id <= fitting; id++) bench.list(id, boundary);
  assertEquals(bench.answers, []);
  bench.list(0, boundary);
  assertEquals(bench.answers, ["0: busy, not-applied"]);
  await bench.depose();
  assertEquals(bench.answers.length, 1 + fitting);
  assertEquals(
    new Set(bench.answers.slice(1).map((answer) => answer.replace(/^\d+/, ""))),
    new Set([": noLeader, not-applied"]),
  );
  bench.list(0, boundary);
  assertEquals(bench.answers.length, 1 + fitting, "it waits for the new leader");
  await bench.driver.stop();
});

Deno.test("ClientService: a stopping node does not report a write as not applied while an earlier attempt is in flight", async () => {
  const bench = await Bench.leading();
  bench.put(1, 1);
  bench.forwarding.forward(2, { bytes: put(2), stamp: stampOf(2) }, () => {});
  bench.service.stop();
  bench.put(2, 1);
  bench.put(3, 2);
  bench.put(4, 3);
  assertEquals(bench.answers, [
    "2: stopping, unknown",
    "3: stopping, unknown",
    "4: stopping, not-applied",
  ]);
  bench.forwarding.close();
  await bench.driver.stop();
});

Deno.test("ClientService: clients may wait for a bounded number of transfers, which end when the leader changes", async () => {
  const bench = await Bench.leading();
  const timersBefore = bench.clock.timerCount;
  for (let id = 1; id <= MAX_TRANSFERS; id++) {
    bench.transfer(id);
    // The core ends it before it accepts the next.
    await bench.tick(ELECTION_TICKS / 2);
    await bench.tick(ELECTION_TICKS / 2);
  }
  assertEquals([bench.answers, bench.clock.timerCount - timersBefore], [[], MAX_TRANSFERS]);
  bench.transfer(0);
  assertEquals(bench.answers, ["0: busy, not-applied"]);
  await bench.depose();
  assertEquals(bench.answers.slice(1), Array(MAX_TRANSFERS).fill("transferLeadershipResult"));
  assertEquals(bench.clock.timerCount, timersBefore);
  await bench.driver.stop();
});

Deno.test("ClientService: a stale read is answered at once, and at a revision that the node has not reached it waits for it", async () => {
  const bench = await Bench.leading();
  const get = (requestId: number, revision: number): void =>
    bench.service.handle(
      { kind: "getAt", requestId, key: new TextEncoder().encode("k"), revision, consistency: "stale" },
      bench.client,
    );
  get(1, 0);
  get(2, 1);
  assertEquals(bench.answers, ["1: noLeader, not-applied"]);
  await bench.depose();
  assertEquals(bench.answers[1], "2: noLeader, not-applied");
  await bench.driver.stop();
});
