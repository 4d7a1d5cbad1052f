/** Driver: it keeps the core's contract: messages that need a durable write leave after it, and others do not wait. */
import { assert, assertEquals } from "@std/assert";
import { CONFIGURATION_CODEC } from "../../../lib/protocol/configuration.ts";
import { foundingConfiguration } from "../../../lib/server/membership/members.ts";
import { Metrics } from "../../../lib/server/metrics/metrics.ts";
import { Driver, type DriverEvents } from "../../../lib/server/driver.ts";
import {
  DEFAULT_LIMITS,
  type Entry,
  foundingState,
  type Message,
  Raft,
  type RaftConfig,
} from "../../../lib/raft/mod.ts";
import { LogFailedError, OutOfDescriptorsError, SnapshotWriteError } from "../../../lib/storage/mod.ts";
import { FakeLog } from "../../support/fakes/fake_log.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const ELECTION_TICKS = 10;

/** A driver of node `id` of `voters` that records its operations. */
class Bench {
  readonly clock = new ManualClock();
  readonly log = new FakeLog();
  readonly logger = new RecordingLogger();
  readonly sent: Message[] = [];
  readonly applied: Entry[] = [];
  readonly failures: unknown[] = [];
  /** Called for each batch of entries that is applied. */
  onApply = (_entries: readonly Entry[]): void => {};
  /** The operations on the disk, in order. */
  readonly steps: string[] = [];
  readonly driver: Driver;
  readonly raft: Raft;

  constructor(
    id: number,
    voters: number[],
    { lease = null, metrics = () => null }: {
      readonly lease?: RaftConfig["lease"];
      readonly metrics?: (clock: ManualClock) => Metrics | null;
    } = {},
  ) {
    this.raft = new Raft({
      id,
      configurationCodec: CONFIGURATION_CODEC,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      random: () => 0,
      limits: DEFAULT_LIMITS,
      recovered: foundingState(
        foundingConfiguration(voters.map((voter) => ({ id: voter, address: `n${voter}:7001` }))),
      ),
      lease,
    });
    const events: DriverEvents = {
      send: (message) => void this.sent.push(message),
      install: ({ index }) => void this.steps.push(`install ${index}`),
      restore: () => {},
      sendSnapshot: () => {},
      apply: (entries) => {
        this.applied.push(...entries);
        this.onApply(entries);
      },
      read: () => {},
      settled: () => {},
      failed: (error) => void this.failures.push(error),
    };
    const { raft, log, clock, logger } = this;
    log.onAppend = ({ snapshot }) => {
      if (snapshot !== null) this.steps.push(`the log begins behind ${snapshot.index}`);
    };
    this.driver = new Driver({ raft, log, clock, logger, tickMs: 10, metrics: metrics(clock) });
    this.driver.start(events);
  }

  async tick(count: number): Promise<void> {
    for (let tick = 0; tick < count; tick++) {
      this.clock.advance(10);
      await settle();
    }
  }

  async endSync(): Promise<void> {
    await this.log.endSync();
  }

  kinds(): string[] {
    return this.sent.splice(0).map((message) => message.kind);
  }
}

Deno.test("Driver: a single node applies nothing before its own sync has ended", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  assertEquals(bench.raft.isLeader, false, "its vote for itself is not durable yet");
  await bench.endSync();
  assertEquals(bench.raft.isLeader, true);
  assertEquals(bench.applied, []);
  await bench.endSync();
  assertEquals(bench.applied.map(({ index, kind }) => ({ index, kind })), [{ index: 1, kind: "noop" }]);
  await bench.driver.stop();
});

Deno.test("Driver: proposals during a sync become one batch", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  const before = bench.log.batches.length;
  for (const byte of [1, 2, 3]) bench.driver.ask((raft) => raft.propose(new Uint8Array([byte])));
  await settle();
  assertEquals(bench.log.batches.length, before, "the no-op's sync is still under way");
  await bench.endSync();
  assertEquals(bench.log.batches.at(-1)?.entries.map(({ index }) => index), [2, 3, 4]);
  await bench.endSync();
  assertEquals(bench.applied.map(({ index }) => index), [1, 2, 3, 4]);
  await bench.driver.stop();
});

Deno.test("Driver: a batch has the times at which it was written, synced and committed, and until it was applied", async () => {
  const bench = new Bench(1, [1], { metrics: (clock) => new Metrics(clock) });
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  const begin = bench.clock.now() * 1_000;
  for (const byte of [1, 2]) bench.driver.propose(new Uint8Array([byte]));
  await settle();
  bench.clock.advance(3);
  await bench.endSync();
  bench.clock.advance(7);
  await bench.endSync();
  assertEquals(bench.applied.map(({ index }) => index), [1, 2, 3]);
  bench.clock.advance(2);
  assertEquals(bench.driver.batches.partsOf(3, { begin, elapsed: 12_000 }), {
    queued: 3_000,
    sync: 7_000,
    majority: 0,
    apply: 2_000,
  });
  await bench.driver.stop();
});

Deno.test("Driver: entries that take long are applied in small batches, few a turn, until they are fast again", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  await bench.endSync();
  let msPerEntry = 10;
  let batches: number[] = [];
  bench.onApply = (entries) => {
    batches.push(entries.length);
    bench.clock.work(entries.length * msPerEntry);
  };
  const applyWrites = async (writes: number): Promise<void> => {
    const { length } = bench.applied;
    for (let write = 0; write < writes; write++) {
      bench.driver.ask((raft) => raft.propose(new Uint8Array(1_000)));
    }
    await settle();
    await bench.endSync();
    assert(msPerEntry === 0 || bench.applied.length < length + writes, "a turn ends before all are applied");
    while (bench.applied.length < length + writes) {
      const before = bench.applied.length;
      bench.clock.sleep(0);
      await settle();
      const workMs = (bench.applied.length - before) * msPerEntry;
      assert(workMs <= 40, `a turn ends after ${workMs} ms`);
    }
  };
  await applyWrites(40);
  const [first = 0, ...others] = batches;
  assert(first > 2 && first < 40, `${first}`);
  // A batch of two, just within a turn, lets the next one be larger, which then takes too long.
  assert(others.every((entries) => entries <= 4), `${others}`);
  batches = [];
  msPerEntry = 0;
  await applyWrites(200);
  assert(Math.max(...batches) > 50, `${batches}`);
  await bench.driver.stop();
});

Deno.test("Driver: a message that proves a loss of acknowledged entries is logged as an error, and the node continues", async () => {
  const bench = new Bench(1, [1, 2, 3]);
  const noop: Entry = { index: 1, term: 1, kind: "noop", data: new Uint8Array(0) };
  const lead = { from: 2, to: 1, term: 1 } as const;
  const append = { kind: "appendEntries", prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 1 } as const;
  bench.driver.step({ ...lead, ...append, entries: [noop] });
  await settle();
  await bench.endSync();
  const beyond = { kind: "heartbeat", leaderCommit: 7, round: 1 } as const;
  bench.driver.step({ ...lead, ...beyond });
  bench.driver.step({ ...lead, ...append, from: 3, term: 2, entries: [{ ...noop, term: 2 }] });
  await settle();
  const errors = bench.logger.lines.filter(({ level }) => level === "error");
  assertEquals(errors.map(({ message, fields }) => [message.slice(0, 40), fields]), [
    ["The leader counts entries as acknowledge", { from: 2, term: 1, lastIndex: 1, commitIndex: 1 }],
    ["The leader's log contradicts entries tha", { from: 3, term: 2, lastIndex: 1, commitIndex: 1 }],
  ]);
  assertEquals([bench.failures, bench.applied.length], [[], 1]);
  await bench.endSync();
  await bench.driver.stop();
});

Deno.test("Driver: reads that arrive before the outputs are taken share a read index, and later ones do not", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  await bench.endSync();
  const first = bench.driver.readIndex();
  assertEquals(first.kind, "accepted");
  assertEquals(bench.driver.readIndex(), first);
  await settle();
  assert(bench.driver.readIndex() !== first, "the first read is confirmed: a later one needs its own");
  await bench.driver.stop();
});

Deno.test("Driver: reads under a lease share nothing", async () => {
  const bench = new Bench(1, [1], { lease: { durationMs: 100, now: () => 0 } });
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  await bench.endSync();
  assertEquals(bench.raft.holdsLease, true);
  const [one, other] = [bench.driver.readIndex(), bench.driver.readIndex()];
  assert(one.kind === "accepted" && other.kind === "accepted" && one.readId !== other.readId);
  await bench.driver.stop();
});

Deno.test("Driver: a long replay is applied in several turns, and new events are handled between them", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  await bench.endSync();
  const writes = 20;
  for (let write = 0; write < writes; write++) {
    bench.driver.ask((raft) => raft.propose(new Uint8Array(1_048_576)));
  }
  await settle();
  await bench.endSync();
  const turns: number[] = [];
  while (bench.applied.length < 1 + writes) {
    turns.push(bench.applied.length);
    bench.clock.sleep(0);
    await settle();
    assert(turns.at(-1) !== bench.applied.length, "every turn applies some");
  }
  assertEquals(turns, [9, 17]);
  assertEquals(
    bench.applied.map(({ index }) => index),
    Array.from({ length: 1 + writes }, (_, at) => at + 1),
  );
  await bench.driver.stop();
  assertEquals(bench.clock.timerCount, 0);
});

Deno.test("Driver: a follower's acknowledgement leaves only after its sync", async () => {
  const bench = new Bench(2, [1, 2, 3]);
  const entries: Entry[] = [{ index: 1, term: 1, kind: "noop", data: new Uint8Array(0) }];
  bench.driver.step({
    kind: "appendEntries",
    from: 1,
    to: 2,
    term: 1,
    prevLogIndex: 0,
    prevLogTerm: 0,
    leaderCommit: 0,
    entries,
  });
  await settle();
  assertEquals(bench.log.batches.map(({ entries }) => entries), [entries]);
  assertEquals(bench.kinds(), []);
  await bench.endSync();
  assertEquals(bench.kinds(), ["appendEntriesResponse"]);
  await bench.driver.stop();
});

Deno.test("Driver: a leader sends entries during its own sync", async () => {
  const bench = new Bench(1, [1, 2, 3]);
  await bench.tick(ELECTION_TICKS);
  bench.driver.step({ kind: "preVoteResponse", from: 2, to: 1, term: 1, granted: true });
  await settle();
  assertEquals(bench.kinds(), ["preVote", "preVote"], "vote requests wait for the sync of the own vote");
  await bench.endSync();
  assertEquals(bench.kinds(), ["requestVote", "requestVote"]);
  bench.driver.step({ kind: "requestVoteResponse", from: 2, to: 1, term: 1, granted: true });
  await settle();
  assertEquals(bench.kinds(), ["appendEntries", "appendEntries"]);
  assertEquals(bench.applied, [], "no follower has acknowledged");
  await bench.endSync();
  await bench.driver.stop();
});

Deno.test("Driver: a follower that was behind is sent one large batch of entries a turn, before any response", async () => {
  const bench = new Bench(1, [1, 2, 3]);
  await bench.tick(ELECTION_TICKS);
  bench.driver.step({ kind: "preVoteResponse", from: 2, to: 1, term: 1, granted: true });
  await settle();
  await bench.endSync();
  bench.driver.step({ kind: "requestVoteResponse", from: 2, to: 1, term: 1, granted: true });
  await settle();
  await bench.endSync();
  const acknowledge = async (from: number, matchIndex: number): Promise<void> => {
    const result = { kind: "accepted", matchIndex } as const;
    bench.driver.step({ kind: "appendEntriesResponse", from, to: 1, term: 1, result });
    await settle();
  };
  await acknowledge(2, 1);
  for (let write = 0; write < 4; write++) {
    bench.driver.ask((raft) => raft.propose(new Uint8Array(1_000_000)));
    await settle();
    await bench.endSync();
    await acknowledge(2, 2 + write);
  }
  bench.sent.splice(0);
  await acknowledge(3, 1);
  const sentByTurn: number[] = [];
  while (sentByTurn.length < 5) {
    sentByTurn.push(bench.sent.filter(({ to }) => to === 3).length);
    bench.clock.sleep(0);
    await settle();
  }
  assertEquals(sentByTurn, [1, 2, 3, 4, 4]);
  await bench.driver.stop();
});

Deno.test("Driver: a leader with a full disk steps down, and continues once there is space", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  await bench.endSync();
  bench.log.full = true;
  bench.driver.ask((raft) => raft.propose(new Uint8Array([7])));
  await settle();
  assertEquals({ full: bench.driver.isDiskFull, leads: bench.raft.isLeader }, { full: true, leads: false });
  bench.log.full = false;
  await bench.tick(50);
  await bench.endSync();
  assertEquals(bench.driver.isDiskFull, false);
  assertEquals(bench.log.batches.at(-1)?.entries.map(({ index }) => index), [2], "what it has, it keeps");
  assertEquals(bench.failures, []);
  await bench.driver.stop();
});

Deno.test("Driver: after a lack of file descriptors, or a snapshot that can't be renamed yet, the same write is repeated", async () => {
  const lacking = Object.assign(new Error("too many open files"), { code: "EMFILE" });
  const reason = { reason: "too many open files", cause: lacking };
  for (
    const shortage of [
      new OutOfDescriptorsError("wal", reason),
      new SnapshotWriteError("receiving.new", reason),
    ]
  ) {
    const bench = new Bench(1, [1]);
    await bench.tick(ELECTION_TICKS);
    await bench.endSync();
    await bench.endSync();
    bench.log.shortage = shortage;
    bench.driver.ask((raft) => raft.propose(new Uint8Array([7])));
    await settle();
    assertEquals([bench.driver.isDiskFull, bench.raft.isLeader, bench.failures], [
      shortage instanceof SnapshotWriteError && shortage.isFull,
      false,
      [],
    ]);
    bench.log.shortage = null;
    await bench.tick(50);
    await bench.endSync();
    assertEquals(bench.log.batches.at(-1)?.entries.map(({ index }) => index), [2]);
    assertEquals(bench.failures, []);
    await bench.driver.stop();
    assertEquals(bench.clock.timerCount, 0);
  }
});

Deno.test("Driver: a received snapshot has its name before the log begins behind it", async () => {
  const bench = new Bench(1, [1, 2, 3]);
  const configuration = foundingConfiguration([1, 2, 3].map((id) => ({ id, address: `n${id}:7001` })));
  const snapshot = { index: 7, term: 1, configuration };
  bench.driver.step({ kind: "installSnapshot", from: 2, to: 1, term: 1, snapshot });
  await settle();
  assertEquals(bench.steps, ["install 7", "the log begins behind 7"]);
  await bench.endSync();
  assertEquals(bench.kinds(), ["appendEntriesResponse"]);
  await bench.driver.stop();
});

Deno.test("Driver: a failed sync ends the node and is never repeated", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  const error = new LogFailedError("wal", { reason: "input/output error", cause: null });
  bench.log.syncs.at(-1)?.reject(error);
  await settle();
  assertEquals(bench.failures, [error]);
  await bench.tick(3 * ELECTION_TICKS);
  assertEquals(bench.log.syncs.length, 1);
  assertEquals(bench.clock.timerCount, 0);
});

Deno.test("Driver: a sync that never ends makes a leader step down", async () => {
  const bench = new Bench(1, [1]);
  await bench.tick(ELECTION_TICKS);
  await bench.endSync();
  assert(bench.raft.isLeader);
  await bench.tick(ELECTION_TICKS);
  assertEquals(bench.raft.isLeader, false);
});

Deno.test("Driver: after a pause of an hour a follower waits for its leader like after a moment", async () => {
  const bench = new Bench(2, [1, 2, 3]);
  const heartbeat: Message = { kind: "heartbeat", from: 1, to: 2, term: 1, leaderCommit: 0, round: 1 };
  bench.driver.step(heartbeat);
  await settle();
  await bench.endSync();
  bench.clock.sleep(3_600_000);
  await settle();
  assertEquals(
    bench.kinds(),
    ["heartbeatResponse"],
    "no election, though the timeout is long over by the clock",
  );
  await bench.tick(ELECTION_TICKS);
  assertEquals(bench.kinds(), ["preVote", "preVote"], "the leader's silence counts from now on");
  await bench.driver.stop();
});
