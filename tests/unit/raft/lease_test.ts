/** Reads under a lease, by node 1 alone: the lease it holds as a leader, and the lease it grants as a voter. */
import { assert, assertEquals } from "@std/assert";
import { foundingState, type Message, type NodeId, Raft, type RaftConfig } from "../../../lib/raft/mod.ts";
import { configurationOf } from "../../support/raft/configuration.ts";
import {
  acknowledge,
  answerHeartbeat,
  config,
  elect,
  ELECTION_TICKS,
  nodeWith,
  tick,
  work,
} from "../../support/raft/single_node.ts";

const PROMISE_MS = 1_000;
const FIVE = configurationOf({ voters: [1, 2, 3, 4, 5] });

/** A clock that a test sets. */
class Time {
  nowMs = 5_000;

  /** Leases by this clock. */
  get lease(): Pick<RaftConfig, "lease"> {
    return { lease: { durationMs: PROMISE_MS, now: () => this.nowMs } };
  }
}

/** Node 1, which leads, and has committed in its term. */
function leader(time: Time, changes: Partial<RaftConfig> = {}): Raft {
  const raft = elect(new Raft(config({ ...time.lease, ...changes })));
  acknowledge(raft, 2, 1);
  return raft;
}

/** The next heartbeats; their round. */
function heartbeats(raft: Raft): number {
  tick(raft, 2);
  const sent = work(raft).filter((message) => message.kind === "heartbeat");
  const round = sent[0]?.round;
  assert(round !== undefined);
  return round;
}

/** Node `from` answers heartbeats. */
function answer(raft: Raft, from: NodeId, round: number, promisedMs = PROMISE_MS): void {
  answerHeartbeat(raft, from, { round, promisedMs });
  work(raft);
}

/** Requests a read, and returns whether it was answered at once, without a message from another node. */
function isAnsweredAtOnce(raft: Raft): boolean {
  const requested = raft.readIndex();
  assert(requested.kind === "accepted");
  const reads = raft.takeReady()?.reads ?? [];
  return reads.some(({ readId, index }) => readId === requested.readId && index !== null);
}

Deno.test("Raft: a leader with a majority's leases answers reads at once, until nine tenths of them have passed", () => {
  const time = new Time();
  const raft = leader(time);
  assertEquals([raft.holdsLease, isAnsweredAtOnce(raft)], [false, false]);
  const round = heartbeats(raft);
  const beganMs = time.nowMs;
  time.nowMs += 300;
  answer(raft, 2, round);
  assertEquals([raft.holdsLease, isAnsweredAtOnce(raft)], [true, true]);
  // The lease counts from the beginning of the round, for nine tenths of the duration in the answers.
  time.nowMs = beganMs + 899;
  assertEquals(isAnsweredAtOnce(raft), true);
  time.nowMs = beganMs + 900;
  assertEquals([raft.holdsLease, isAnsweredAtOnce(raft)], [false, false]);
});

Deno.test("Raft: a later answer to an earlier round makes no lease longer, and one of 0 ms makes none", () => {
  const time = new Time();
  const raft = leader(time);
  const first = heartbeats(raft);
  const beganMs = time.nowMs;
  time.nowMs += 100;
  const second = heartbeats(raft);
  answer(raft, 2, second, 0);
  assertEquals(isAnsweredAtOnce(raft), false);
  answer(raft, 2, second, 500);
  time.nowMs = beganMs + 100 + 449;
  answer(raft, 3, first, 0);
  assertEquals(isAnsweredAtOnce(raft), true);
  time.nowMs += 1;
  assertEquals(isAnsweredAtOnce(raft), false);
  answer(raft, 2, first);
  assertEquals(isAnsweredAtOnce(raft), true, "the first round still counts for what was promised then");
  time.nowMs = beganMs + 900;
  assertEquals(isAnsweredAtOnce(raft), false);
});

Deno.test("Raft: no lease counts for longer than this node's own duration, nor after its round is forgotten", () => {
  const time = new Time();
  const raft = leader(time);
  const round = heartbeats(raft);
  answer(raft, 2, round, Number.MAX_SAFE_INTEGER);
  time.nowMs += 899;
  assertEquals(isAnsweredAtOnce(raft), true);
  time.nowMs += 101;
  heartbeats(raft);
  answer(raft, 3, round);
  assertEquals(isAnsweredAtOnce(raft), false);
});

Deno.test("Raft: a leader that has not committed in its term answers no read, even with a lease", () => {
  const time = new Time();
  const raft = elect(new Raft(config(time.lease)));
  answer(raft, 2, heartbeats(raft));
  assertEquals([raft.holdsLease, raft.readIndex().kind], [true, "refused"]);
  acknowledge(raft, 2, 1);
  assertEquals(isAnsweredAtOnce(raft), true);
});

Deno.test("Raft: a leader with a lease answers a follower's read at once", () => {
  const time = new Time();
  const raft = leader(time);
  answer(raft, 2, heartbeats(raft));
  raft.step({ kind: "readIndex", from: 3, to: 1, term: raft.term, readId: 77 });
  const response = {
    kind: "readIndexResponse",
    from: 1,
    to: 3,
    term: raft.term,
    readId: 77,
    index: 1,
  } as const;
  assertEquals(work(raft), [response]);
});

Deno.test("Raft: a leader that has sent timeoutNow has no lease in its term any more, not even after the transfer failed", () => {
  const time = new Time();
  const raft = leader(time);
  answer(raft, 2, heartbeats(raft));
  assertEquals(raft.transferLeadership(2), 2);
  assertEquals(work(raft).map(({ kind }) => kind), ["timeoutNow"]);
  assertEquals(isAnsweredAtOnce(raft), false);
  for (let time = 0; time < ELECTION_TICKS; time++) answer(raft, 3, heartbeats(raft));
  assertEquals(raft.propose(new Uint8Array()).kind, "accepted", "the transfer was given up");
  answer(raft, 2, heartbeats(raft));
  assertEquals(isAnsweredAtOnce(raft), false);
});

Deno.test("Raft: of five voters two have to grant the leader a lease", () => {
  const time = new Time();
  const raft = new Raft(config({ ...time.lease, recovered: foundingState(FIVE) }));
  tick(raft, ELECTION_TICKS);
  work(raft);
  for (const from of [2, 3]) raft.step({ kind: "preVoteResponse", from, to: 1, term: 1, granted: true });
  work(raft);
  for (const from of [2, 3]) raft.step({ kind: "requestVoteResponse", from, to: 1, term: 1, granted: true });
  work(raft);
  acknowledge(raft, 2, 1);
  acknowledge(raft, 3, 1);
  const round = heartbeats(raft);
  answer(raft, 2, round);
  assertEquals(isAnsweredAtOnce(raft), false);
  answer(raft, 4, round);
  assertEquals(isAnsweredAtOnce(raft), true);
});

Deno.test("Raft: in a joint configuration both majorities have to grant the lease", () => {
  const time = new Time();
  const raft = leader(time);
  assertEquals(raft.proposeConfiguration(configurationOf({ voters: [1, 4, 5] })).kind, "accepted");
  work(raft);
  answer(raft, 2, heartbeats(raft));
  assertEquals(isAnsweredAtOnce(raft), false);
  answer(raft, 4, heartbeats(raft));
  assertEquals(isAnsweredAtOnce(raft), true);
});

/** Node 1, which follows node 2 in term 1 and has granted it a lease. */
function follower(time: Time, changes: Partial<RaftConfig> = {}): Raft {
  const raft = nodeWith([1], { ...time.lease, ...changes });
  // Any lease from before its start has ended.
  time.nowMs += PROMISE_MS;
  raft.step({ kind: "heartbeat", from: 2, to: 1, term: 1, leaderCommit: 0, round: 4 });
  const promise = {
    kind: "heartbeatResponse",
    from: 1,
    to: 2,
    term: 1,
    round: 4,
    promisedMs: PROMISE_MS,
    hasDiskSpace: true,
  } as const;
  assertEquals(work(raft), [promise]);
  return raft;
}

/** Node 3 asks for a vote in the next term. */
function voteRequests(raft: Raft): readonly Message[] {
  const asked = { from: 3, to: 1, term: raft.term + 1, lastLogIndex: 9, lastLogTerm: 1 };
  return [
    { kind: "preVote", ...asked },
    { kind: "requestVote", ...asked, leadershipTransfer: false },
  ];
}

/** Returns whether node 1 grants node 3 a pre-vote and a vote. */
function helps(raft: Raft): readonly boolean[] {
  return voteRequests(raft).map((request) => {
    raft.step(request);
    return work(raft).some((message) => "granted" in message && message.granted);
  });
}

Deno.test("VoterLease: a voter's lease ends by the clock, not by ticks, and also holds while the leader is unreachable", () => {
  const time = new Time();
  const raft = follower(time);
  time.nowMs += PROMISE_MS - 1;
  raft.reportUnreachable(2);
  tick(raft, 5 * ELECTION_TICKS);
  assertEquals([raft.status().role, helps(raft)], ["follower", [false, false]]);
  time.nowMs += 1;
  assertEquals(helps(raft), [true, true]);
});

Deno.test("VoterLease: it also holds in a later term that a third node's late answer brought", () => {
  const time = new Time();
  const raft = follower(time);
  time.nowMs += PROMISE_MS - 1;
  raft.step({ kind: "preVoteResponse", from: 3, to: 1, term: 2, granted: false });
  const request = { from: 3, to: 1, term: 2, lastLogIndex: 9, lastLogTerm: 1 } as const;
  const isGranted = (leadershipTransfer: boolean): boolean => {
    raft.step({ kind: "requestVote", ...request, leadershipTransfer });
    return work(raft).some((message) => "granted" in message && message.granted);
  };
  assertEquals([raft.term, isGranted(false)], [2, false]);
  time.nowMs += 1;
  assertEquals(isGranted(false), true);
});

Deno.test("VoterLease: a voter that waited campaigns as soon as its lease has ended", () => {
  const time = new Time();
  const raft = follower(time);
  time.nowMs += PROMISE_MS - 1;
  tick(raft, 2 * ELECTION_TICKS);
  assertEquals(raft.status().role, "follower");
  time.nowMs += 1;
  tick(raft, 1);
  assertEquals(raft.status().role, "preCandidate");
});

Deno.test("VoterLease: voters that wait for the same lease to end campaign at different times after it", () => {
  const campaignsAfter = (chance: number): number => {
    const time = new Time();
    const raft = follower(time, { random: () => chance });
    raft.reportUnreachable(2);
    tick(raft, 5 * ELECTION_TICKS);
    time.nowMs += PROMISE_MS;
    let ticks = 0;
    for (; raft.status().role === "follower"; ticks++) tick(raft, 1);
    return ticks;
  };
  assertEquals([0, 0.5, 0.99].map(campaignsAfter), [1, 3, 4]);
});

Deno.test("VoterLease: the lease does not delay the node to which the leader transfers leadership", () => {
  const time = new Time();
  const raft = follower(time);
  const asked = { from: 3, to: 1, term: 2, lastLogIndex: 9, lastLogTerm: 1, leadershipTransfer: true };
  raft.step({ kind: "requestVote", ...asked });
  assertEquals(work(raft).map((message) => "granted" in message && message.granted), [true]);
  const target = follower(time);
  target.step({ kind: "timeoutNow", from: 2, to: 1, term: 1 });
  assertEquals(target.status().role, "candidate");
});

Deno.test("VoterLease: a restarted voter grants no vote for the duration of a lease it may have granted before", () => {
  const time = new Time();
  const raft = nodeWith([1], time.lease);
  time.nowMs += PROMISE_MS - 1;
  tick(raft, 5 * ELECTION_TICKS);
  assertEquals([raft.status().role, helps(raft)], ["follower", [false, false]]);
  time.nowMs += 1;
  assertEquals(helps(raft), [true, true]);
});

Deno.test("VoterLease: a node that has never run has granted no lease", () => {
  assertEquals(helps(new Raft(config(new Time().lease))), [true, true]);
});
