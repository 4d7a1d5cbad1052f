/** Membership: how a leader carries out changes of membership, and their outcome when it is interrupted. */
import { FEATURE_LEVEL } from "../../../../lib/kv/feature_level.ts";
import { assertEquals, assertMatch } from "@std/assert";
import type { MembershipChange } from "../../../../lib/protocol/messages.ts";
import { CONFIGURATION_CODEC } from "../../../../lib/protocol/configuration.ts";
import {
  type Configuration,
  DEFAULT_LIMITS,
  type Entry,
  foundingState,
  type Message,
  Raft,
} from "../../../../lib/raft/mod.ts";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { Driver, type DriverEvents } from "../../../../lib/server/driver.ts";
import { FeatureLevels } from "../../../../lib/server/membership/feature_levels.ts";
import { foundingConfiguration, membersOf } from "../../../../lib/server/membership/members.ts";
import { Membership, type MembershipOptions } from "../../../../lib/server/membership/membership.ts";
import { type ErrorAnswer, notApplied } from "../../../../lib/server/reply.ts";
import type { JoiningNode } from "../../../../lib/server/membership/membership_change.ts";
import { Replica } from "../../../../lib/server/replica.ts";
import { FakeLog } from "../../../support/fakes/fake_log.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

const ELECTION_TICKS = 10;
const TICK_MS = 10;
const INTERVAL_MS = 50;
const TIMEOUT_MS = 1_000;

/** Node 1, and others that answer while the test lets them. */
class Bench {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly replica: Replica;
  readonly raft: Raft;
  readonly driver: Driver;
  readonly membership: Membership;
  readonly answers: string[] = [];
  readonly failures: unknown[] = [];
  /** The nodes that answer the leader. */
  readonly up: Set<number>;
  readonly #logs = new Map<number, number>();
  /** Returns the level of the state. */
  featureLevel = (): number => FEATURE_LEVEL;
  /** The result of a probe. */
  probe: MembershipOptions["probe"] = ({ id, address }) => Promise.resolve({ id, address, dataId: 100 + id });
  /** Nodes whose connections broke. */
  readonly disconnected = new Set<number>();

  readonly #isConnected = (id: number): boolean => !this.disconnected.has(id);

  constructor(voters: readonly number[], limits = DEFAULT_LIMITS) {
    const start = foundingState(
      foundingConfiguration(voters.map((id) => ({ id, address: `n${id}:7001` }))),
    );
    this.up = new Set(voters);
    this.replica = new Replica(new StateMachine(), start.snapshot);
    this.raft = new Raft({
      id: 1,
      configurationCodec: CONFIGURATION_CODEC,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 2,
      random: () => 0,
      limits,
      recovered: start,
    });
    const { raft, clock, logger } = this;
    const log = new FakeLog({ holdsSyncs: false });
    this.driver = new Driver({ raft, log, clock, logger, tickMs: TICK_MS });
    this.membership = new Membership({
      self: 1,
      dataId: 101,
      raft,
      driver: this.driver,
      clock,
      logger,
      intervalMs: INTERVAL_MS,
      contactTicks: ELECTION_TICKS,
      roundTimeoutMs: ELECTION_TICKS * TICK_MS,
      timeoutMs: TIMEOUT_MS,
      isConnected: this.#isConnected,
      featureLevel: () => this.featureLevel(),
      levels: new FeatureLevels({ self: 1, raft, peers: { isConnected: this.#isConnected } }),
      probe: (change, configuration) => this.probe(change, configuration),
    });
  }

  #events(): DriverEvents {
    return {
      send: (message) => this.#answer(message),
      install: () => {},
      restore: () => {},
      sendSnapshot: () => {},
      apply: (entries) => {
        this.replica.apply(entries);
        this.membership.entriesApplied(entries);
      },
      read: () => {},
      settled: () => {
        this.membership.applied(this.replica.applied.configuration);
        this.membership.settled();
      },
      failed: (error) => void this.failures.push(error),
    };
  }

  /** Returns once node 1 leads and knows it. */
  static async leading(voters: readonly number[]): Promise<Bench> {
    const bench = new Bench(voters);
    bench.driver.start(bench.#events());
    await bench.pass(30 * TICK_MS);
    assertEquals(bench.raft.isLeader, true);
    return bench;
  }

  /** Advances the clock. */
  async pass(durationMs: number): Promise<void> {
    for (let passed = 0; passed < durationMs; passed += TICK_MS) {
      this.clock.advance(TICK_MS);
      await settle();
    }
  }

  /** The refusal of every change after other nodes were asked. */
  lateRefusal: ErrorAnswer | null = null;

  /** Requests a change, and records its answer. */
  async ask(change: MembershipChange, force = false): Promise<void> {
    const request = { kind: "changeMembership", requestId: 1, change, force } as const;
    void this.membership.change(request, {
      lateRefusal: () => this.lateRefusal,
      answer: (end) => {
        const isDone = end.kind === "changed";
        const members = isDone ? end.members.map(({ id, role }) => `${id} ${role}`).join(", ") : "";
        this.answers.push(isDone ? members : `${end.code}, ${end.outcome}: ${end.message}`);
      },
    });
    await settle();
  }

  /** The committed members. */
  get members(): string {
    return membersOf(this.raft.committedConfiguration).map(({ id, role }) => `${id} ${role}`).join(", ");
  }

  async stop(): Promise<void> {
    this.membership.stop();
    await this.driver.stop();
    assertEquals([this.clock.timerCount, this.failures], [0, []]);
  }

  /** The answer of a follower that accepts every message. */
  #answer(message: Message): void {
    const { from: to, to: from, term } = message;
    if (!this.up.has(from)) return;
    const matchIndex = "entries" in message ? message.prevLogIndex + message.entries.length : 0;
    this.#logs.set(from, Math.max(this.#logs.get(from) ?? 0, matchIndex));
    switch (message.kind) {
      case "preVote":
        return this.driver.step({ kind: "preVoteResponse", from, to, term, granted: true });
      case "requestVote":
        return this.driver.step({ kind: "requestVoteResponse", from, to, term, granted: true });
      case "heartbeat": {
        const { round } = message;
        const answer = { kind: "heartbeatResponse", round, promisedMs: 0, hasDiskSpace: true } as const;
        return this.driver.step({ ...answer, from, to, term });
      }
      case "appendEntries": {
        const result = { kind: "accepted", matchIndex } as const;
        return this.driver.step({ kind: "appendEntriesResponse", from, to, term, result });
      }
      default:
        return;
    }
  }
}

function add(id: number, learner = false): MembershipChange {
  return { kind: "add", id, address: `n${id}:7001`, learner };
}

function dataIds({ members }: Configuration): readonly (number | null)[] {
  return members.map(({ dataId }) => dataId);
}

Deno.test("Membership: an added node is reported as done once it is a learner, and becomes a voter when it has caught up", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.membership.start();
  assertEquals(bench.clock.timerCount, 1, "a leader is woken up by the core's ticks alone");
  await bench.ask(add(4));
  assertEquals(bench.answers, ["1 voter, 2 voter, 3 voter, 4 learner"]);
  await bench.pass(10 * INTERVAL_MS);
  assertEquals(bench.members, "1 voter, 2 voter, 3 voter, 4 learner", "it does not answer yet");
  bench.up.add(4);
  await bench.pass(10 * INTERVAL_MS);
  assertEquals(bench.members, "1 voter, 2 voter, 3 voter, 4 voter");
  assertEquals(bench.logger.messages.slice(-1), ["a learner has caught up and becomes a voter"]);
  await bench.stop();
});

Deno.test("Membership: a change to an invalid address is refused, though the codec accepted it", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  await bench.ask({ kind: "update", id: 2, address: "0.0.0.0:7001" }, true);
  assertEquals(bench.answers, [
    "membershipRefused, not-applied: Cannot update node 2: the configuration would be invalid: address must be host:port " +
    'that others can dial, in its one written form, not "0.0.0.0:7001".',
  ]);
  assertEquals([bench.raft.isLeader, bench.failures], [true, []]);
  await bench.stop();
});

Deno.test("Membership: a learner that can't become a voter does not delay a replacement behind it", async () => {
  const bench = await Bench.leading([1, 2, 3, 4, 5, 6]);
  bench.up.add(8).add(9).add(10);
  await bench.ask(add(8));
  await bench.ask(add(9, true));
  await bench.ask({ kind: "promote", id: 9 });
  await bench.ask({ kind: "replace", dead: 6, id: 10, address: "n10:7001" });
  await bench.pass(ELECTION_TICKS * TICK_MS);
  bench.membership.start();
  await bench.pass(4 * INTERVAL_MS);
  const voters = [1, 2, 3, 4, 5].map((id) => `${id} voter`).join(", ");
  assertEquals(bench.members, `${voters}, 8 learner, 9 voter, 10 voter`);
  await bench.stop();
});

Deno.test("Membership: a change of voters is answered once the final configuration is applied, also when it removes the leader", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  await bench.ask({ kind: "remove", id: 3 });
  await bench.ask({ kind: "remove", id: 1 });
  assertEquals(bench.answers, ["1 voter, 2 voter", "2 voter"]);
  await bench.stop();
});

Deno.test("Membership: repeating a change succeeds, but not before the first is committed", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.up.clear();
  await bench.ask(add(4, true));
  await bench.ask(add(4, true));
  assertEquals(bench.answers, [
    "membershipRefused, not-applied: Cannot add node 4: another change is in progress; try again when it is finished.",
  ]);
  bench.up.add(2).add(3);
  bench.driver.messagesLost(2);
  bench.driver.messagesLost(3);
  await bench.pass(2 * TICK_MS);
  await bench.ask(add(4, true));
  const members = "1 voter, 2 voter, 3 voter, 4 learner";
  assertEquals(bench.answers.slice(1), [members, members]);
  await bench.stop();
});

Deno.test("Membership: a change that is not committed in time, or whose leader steps down, has an unknown outcome", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.up.clear();
  await bench.ask(add(4, true));
  bench.clock.advance(TIMEOUT_MS);
  bench.membership.leadershipLost();
  assertEquals(bench.answers.map((answer) => answer.slice(0, 23)), ["leadershipLost, unknown"]);
  const other = await Bench.leading([1, 2, 3]);
  other.up.clear();
  await other.ask(add(4, true));
  other.membership.leadershipLost();
  assertEquals(other.answers.map((answer) => answer.slice(0, 23)), ["leadershipLost, unknown"]);
  await bench.stop();
  await other.stop();
});

Deno.test("Membership: a change that another leader's entry replaced is answered as not applied", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  const { lastIndex, term } = bench.raft.status();
  bench.up.clear();
  await bench.ask({ kind: "remove", id: 3 }, true);
  // In one turn the new leader, its entries instead of the change, and their commit arrive.
  const head = { from: 2, to: 1, term: term + 1 };
  const at = (index: number): Entry => ({ index, term: term + 1, kind: "noop", data: new Uint8Array(0) });
  bench.driver.step({
    kind: "appendEntries",
    ...head,
    prevLogIndex: lastIndex,
    prevLogTerm: term,
    leaderCommit: lastIndex + 2,
    entries: [at(lastIndex + 1), at(lastIndex + 2)],
  });
  await settle();
  assertEquals(bench.members, "1 voter, 2 voter, 3 voter");
  assertEquals(bench.answers, [
    "leadershipLost, not-applied: Cannot change the membership: another node took over the leadership before the " +
    "change was committed. Try again.",
  ]);
  await bench.stop();
});

Deno.test("Membership: a node that does not lead, or has stopped, changes nothing, also if that happens during the probe", async () => {
  const follower = new Bench([1, 2, 3]);
  await follower.ask(add(4));
  const leader = await Bench.leading([1, 2, 3]);
  const probed = Promise.withResolvers<JoiningNode>();
  leader.probe = () => probed.promise;
  await leader.ask(add(4));
  leader.membership.stop();
  probed.resolve({ id: 4, address: "n4:7001", dataId: 104 });
  await settle();
  assertEquals([follower.answers, leader.answers].map(([answer]) => answer?.split(":")[0]), [
    "notLeader, not-applied",
    "stopping, not-applied",
  ]);
  assertEquals(leader.members, "1 voter, 2 voter, 3 voter");
  await leader.stop();
});

Deno.test("Membership: a client that lost its right while other nodes were asked changes nothing", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.lateRefusal = notApplied("permissionDenied", "the right was taken away");
  await bench.ask(add(4));
  assertEquals(bench.answers, ["permissionDenied, not-applied: the right was taken away"]);
  assertEquals(bench.members, "1 voter, 2 voter, 3 voter");
  await bench.stop();
});

Deno.test("Membership: the data id of the node at the address is recorded, and another node there is refused", async () => {
  const bench = await Bench.leading([1]);
  bench.probe = () => Promise.resolve("node 9 answers at n4:7001");
  await bench.ask(add(4));
  bench.probe = ({ id, address }) => Promise.resolve({ id, address, dataId: 4711 });
  await bench.ask(add(4));
  assertEquals(bench.answers, [
    "membershipRefused, not-applied: Cannot add node 4: node 9 answers at n4:7001.",
    "1 voter, 4 learner",
  ]);
  assertEquals(dataIds(bench.raft.configuration), [null, 4711]);
  await bench.stop();
});

Deno.test("Membership: a voter with a broken connection counts as unreachable, even right after its last answer", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.disconnected.add(3);
  await bench.ask({ kind: "remove", id: 2 });
  await bench.ask({ kind: "demote", id: 2 });
  const lacks =
    "of the 2 voters that there would be, 2 must answer, and only 1 do (node 3 does not): the cluster would " +
    "stop, and could not take the change back. Bring them up first. With --force it is done nevertheless: nothing can " +
    "be written, and no linearizable read answered, before 2 of these answer (node 3 must come back); with their data " +
    "lost, only `recover` or a backup bring the cluster back.";
  assertEquals(bench.answers, [
    `membershipRefused, not-applied: Cannot remove node 2: ${lacks}`,
    `membershipRefused, not-applied: Cannot demote node 2: ${lacks}`,
  ]);
  assertEquals(bench.members, "1 voter, 2 voter, 3 voter");
  await bench.ask({ kind: "remove", id: 3 });
  assertEquals(bench.members, "1 voter, 2 voter", "the one that is silent may go");
  await bench.stop();
});

Deno.test("Membership: a voter that does not answer counts as unreachable, even if its connection is still open", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.up.delete(3);
  await bench.ask({ kind: "remove", id: 2 });
  assertEquals(bench.answers, [], "it is asked, and may be slow");
  await bench.pass(ELECTION_TICKS * TICK_MS);
  assertMatch(bench.answers.join(), /^membershipRefused, not-applied: .* \(node 3 does not\)/);
  assertEquals(bench.members, "1 voter, 2 voter, 3 voter");
  await bench.ask({ kind: "demote", id: 3 });
  assertEquals(bench.members, "1 voter, 2 voter, 3 learner", "a majority of those left answers at once");
  await bench.stop();
});

Deno.test("Membership: a change that waits for voters to answer ends when the leader steps down", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.up.clear();
  await bench.ask({ kind: "demote", id: 2 });
  bench.driver.step({ kind: "heartbeat", from: 2, to: 1, term: 9, leaderCommit: 0, round: 1 });
  bench.membership.leadershipLost();
  await settle();
  assertEquals(bench.answers.map((answer) => answer.split(":")[0]), ["notLeader, not-applied"]);
  await bench.stop();
});

Deno.test("Membership: the risk of a forced change is in the log, and in the answer if its outcome is unknown", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.disconnected.add(3);
  bench.up.clear();
  await bench.ask({ kind: "remove", id: 2 }, true);
  assertEquals(bench.logger.messages.slice(-2), ["membership changes", "this change was forced"]);
  bench.membership.leadershipLost();
  assertMatch(
    bench.answers.join(),
    /^leadershipLost, unknown: .* The change was forced: nothing can be written, .* \(node 3 must come back\)/,
  );
  await bench.stop();
});

Deno.test("Membership: a member's address is changed only if it was found there with its data directory, or by force", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.membership.start();
  bench.membership.seen(2, { dataId: 102, featureLevel: FEATURE_LEVEL });
  bench.membership.seen(3, { dataId: 103, featureLevel: FEATURE_LEVEL });
  await bench.pass(10 * INTERVAL_MS);
  const update: MembershipChange = { kind: "update", id: 2, address: "n9:7001" };
  bench.probe = () => Promise.resolve("node 3 answers at n9:7001");
  await bench.ask(update);
  bench.probe = ({ id, address }) => Promise.resolve({ id, address, dataId: 4711 });
  await bench.ask(update);
  assertEquals(bench.answers, [
    "membershipRefused, not-applied: Cannot update node 2: node 3 answers at n9:7001.",
    "membershipRefused, not-applied: Cannot update node 2: what answers at n9:7001 has the id of node 2 and another data " +
    "directory. Start node 2 there with its own, or replace it: member replace.",
  ]);
  const addressOf2 = (): string | undefined => bench.raft.configuration.members[1]?.address;
  assertEquals(addressOf2(), "n2:7001");
  bench.probe = ({ id, address }) => Promise.resolve({ id, address, dataId: 102 });
  await bench.ask(update);
  assertEquals(addressOf2(), "n9:7001");
  bench.probe = () => Promise.reject(new Error("no node is probed for a forced change"));
  await bench.ask({ kind: "update", id: 2, address: "n8:7001" }, true);
  assertEquals(addressOf2(), "n8:7001");
  await bench.stop();
});

Deno.test("Membership: the founders' data directories are recorded once all are known, or after a time the known ones", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.membership.start();
  bench.membership.seen(2, { dataId: 102, featureLevel: FEATURE_LEVEL });
  await bench.pass(10 * INTERVAL_MS);
  assertEquals(dataIds(bench.raft.configuration), [null, null, null]);
  bench.membership.seen(3, { dataId: 103, featureLevel: FEATURE_LEVEL });
  await bench.pass(2 * INTERVAL_MS);
  assertEquals(dataIds(bench.raft.committedConfiguration), [101, 102, 103]);
  const patient = await Bench.leading([1, 2, 3]);
  patient.membership.start();
  patient.membership.seen(2, { dataId: 102, featureLevel: FEATURE_LEVEL });
  await patient.pass(52 * INTERVAL_MS);
  assertEquals(dataIds(patient.raft.committedConfiguration), [101, 102, null]);
  await bench.stop();
  await patient.stop();
});

Deno.test("Membership: of very many callers the latest are remembered, and this node itself always", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.membership.seen(2, { dataId: 102, featureLevel: FEATURE_LEVEL });
  bench.membership.seen(1, { dataId: 999, featureLevel: FEATURE_LEVEL });
  for (let caller = 100; caller < 200; caller++) {
    bench.membership.seen(caller, { dataId: caller, featureLevel: FEATURE_LEVEL });
  }
  bench.membership.seen(3, { dataId: 103, featureLevel: FEATURE_LEVEL });
  bench.membership.start();
  await bench.pass(52 * INTERVAL_MS);
  assertEquals(dataIds(bench.raft.committedConfiguration), [101, null, 103]);
  await bench.stop();
});

Deno.test("Membership: above sixteen changes that wait for other nodes, one more is refused as busy", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  let probes = 0;
  const found = Promise.withResolvers<string>();
  bench.probe = (): Promise<string> => {
    probes += 1;
    return found.promise;
  };
  for (let id = 10; id < 30; id++) {
    await bench.ask({ kind: "add", id, address: `n${id}:7001`, learner: false });
  }
  assertEquals([probes, bench.answers.length], [16, 4]);
  const busy =
    "busy, not-applied: Cannot change the membership: too many changes wait for other nodes. Try again later.";
  assertEquals(new Set(bench.answers.splice(0)), new Set([busy]));
  found.resolve("no answer");
  await bench.pass(TICK_MS);
  assertEquals(bench.answers.length, 16);
  await bench.ask({ kind: "add", id: 30, address: "n30:7001", learner: false });
  assertEquals(probes, 17);
  bench.membership.stop();
  await bench.driver.stop();
});

Deno.test("the feature level is raised once, when every member is connected and knows the higher one", async () => {
  const bench = await Bench.leading([1, 2, 3]);
  bench.featureLevel = (): number => bench.replica.stateMachine.featureLevel;
  bench.membership.start();
  const levelAfter = async (): Promise<number> => {
    await bench.pass(3 * INTERVAL_MS);
    return bench.featureLevel();
  };
  bench.membership.seen(2, { dataId: 102, featureLevel: FEATURE_LEVEL });
  assertEquals(await levelAfter(), 1, "node 3 has not said what it knows");
  bench.membership.seen(3, { dataId: 103, featureLevel: FEATURE_LEVEL - 1 });
  assertEquals(await levelAfter(), 1, "node 3 does not know the level");
  bench.disconnected.add(3);
  bench.membership.seen(3, { dataId: 103, featureLevel: FEATURE_LEVEL });
  assertEquals(await levelAfter(), 1, "node 3 may return with another version");
  bench.disconnected.delete(3);
  assertEquals(await levelAfter(), FEATURE_LEVEL);
  const { lastIndex } = bench.raft.status();
  await bench.pass(5 * INTERVAL_MS);
  assertEquals(bench.raft.status().lastIndex, lastIndex, "it is proposed once");
  await bench.stop();
});
