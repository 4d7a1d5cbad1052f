/** One node while members change: which nodes count for a quorum, which may campaign, and from which it accepts messages. */
import { assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { EMPTY_STATE, type Entry, foundingState, type Message, Raft } from "../../../lib/raft/mod.ts";
import { configurationOf, configurationText } from "../../support/raft/configuration.ts";
import {
  acknowledge,
  answerHeartbeat,
  append,
  config,
  elect,
  ELECTION_TICKS,
  nodeWith,
  tick,
  work,
} from "../../support/raft/single_node.ts";

function change(index: number, term: number, text: string): Entry {
  return { index, term, kind: "configuration", data: new TextEncoder().encode(text) };
}

function said(raft: Raft): string {
  return configurationText(raft.configuration);
}

/** Node 1 leads and has committed in its term; its no-op is entry 2. */
function readyLeader(): Raft {
  const raft = elect(nodeWith([1]));
  acknowledge(raft, 2, 2);
  assertEquals(raft.status().commitIndex, 2);
  return raft;
}

function to(messages: readonly Message[]): number[] {
  return [...new Set(messages.map((message) => message.to))].sort((a, b) => a - b);
}

Deno.test("Raft: a node without a configuration never campaigns, but votes and accepts a leader's entries", () => {
  const raft = new Raft(config({ recovered: EMPTY_STATE }));
  tick(raft, 20 * ELECTION_TICKS);
  assertEquals([raft.status().role, raft.takeReady()], ["follower", null]);
  const request = { kind: "requestVote", from: 7, to: 1, term: 3, leadershipTransfer: false } as const;
  raft.step({ ...request, lastLogIndex: 4, lastLogTerm: 2 });
  assertEquals(work(raft), [{ kind: "requestVoteResponse", from: 1, to: 7, term: 3, granted: true }]);
  const entries = [change(1, 3, "voters=7 learners=1")];
  assertEquals(raft.step(append({ from: 7, term: 3, entries, leaderCommit: 1 })), null);
  work(raft);
  assertEquals([said(raft), raft.leader], ["voters=7 learners=1", 7]);
  tick(raft, 20 * ELECTION_TICKS);
  assertEquals(raft.status().role, "follower");
});

Deno.test("Raft: a non-member is accepted as leader and candidate, and its answers count for nothing", () => {
  const leader = elect(nodeWith([1]));
  const head = { from: 9, to: 1, term: leader.term } as const;
  const answers: Message[] = [
    { kind: "preVoteResponse", ...head, term: 9, granted: false },
    { kind: "requestVoteResponse", ...head, term: 9, granted: false },
    { kind: "appendEntriesResponse", ...head, result: { kind: "accepted", matchIndex: 2 } },
    { kind: "heartbeatResponse", ...head, term: 9, round: 1, promisedMs: 0, hasDiskSpace: true },
  ];
  const before = leader.status();
  for (const answer of answers) assertEquals(leader.step(answer), "unknownSender");
  assertEquals([leader.status(), leader.takeReady()], [before, null]);
  const follower = nodeWith([1]);
  assertEquals(follower.step(append({ from: 9, term: 4, prevLogIndex: 1, prevLogTerm: 1 })), null);
  assertEquals([follower.leader, follower.term], [9, 4]);
});

Deno.test("Raft: the vote of a node that is no voter does not elect", () => {
  const recovered = foundingState(configurationOf({ voters: [1, 2], learners: [3] }));
  const raft = new Raft(config({ recovered }));
  tick(raft, ELECTION_TICKS);
  assertEquals(to(work(raft)), [2], "a learner is not asked");
  assertEquals(
    raft.step({ kind: "preVoteResponse", from: 3, to: 1, term: 1, granted: true }),
    "unknownSender",
  );
  assertEquals(raft.status().role, "preCandidate");
});

Deno.test("Raft: a learner counts neither for a commit, nor for a read, nor for CheckQuorum", () => {
  const raft = readyLeader();
  raft.proposeConfiguration(configurationOf({ voters: [1, 2, 3], learners: [4, 5, 6] }));
  work(raft);
  acknowledge(raft, 2, 3);
  work(raft);
  raft.propose(new Uint8Array(1));
  work(raft);
  for (const learner of [4, 5, 6]) acknowledge(raft, learner, 4);
  assertEquals(raft.status().commitIndex, 3);
  raft.readIndex();
  work(raft);
  for (const from of [4, 5, 6]) {
    answerHeartbeat(raft, from, { round: 1 });
  }
  assertEquals(raft.takeReady(), null);
  for (let count = 0; count < 3 * ELECTION_TICKS && raft.isLeader; count++) {
    raft.tick();
    work(raft);
    for (const from of [4, 5, 6]) {
      answerHeartbeat(raft, from, { round: 1 });
    }
  }
  assertEquals(raft.isLeader, false);
});

Deno.test("Raft: leadership is not transferred to a learner, a non-member or a leaving node", () => {
  const raft = readyLeader();
  raft.proposeConfiguration(configurationOf({ voters: [1, 2], learners: [4] }));
  work(raft);
  assertEquals(said(raft), "voters=1,2 learners=4 outgoing=1,2,3");
  for (const target of [3, 4, 9]) assertEquals(raft.transferLeadership(target), null);
  assertEquals(raft.transferLeadership(2), 2);
});

Deno.test("Raft: a learner that receives timeoutNow does not campaign", () => {
  const raft = nodeWith([1]);
  raft.step(append({ prevLogIndex: 1, prevLogTerm: 1, entries: [change(2, 1, "voters=2,3 learners=1")] }));
  raft.step(append({ prevLogIndex: 2, prevLogTerm: 1, leaderCommit: 2 }));
  assertEquals(raft.step({ kind: "timeoutNow", from: 2, to: 1, term: 1 }), "notPromotable");
  assertEquals(raft.status().role, "follower");
});

Deno.test("Raft: a leaving voter campaigns until it learns that its removal is committed", () => {
  const raft = nodeWith([1]);
  const entries = [change(2, 1, "voters=2,3 outgoing=1,2,3"), change(3, 1, "voters=2,3 removed=1")];
  raft.step(append({ prevLogIndex: 1, prevLogTerm: 1, entries, leaderCommit: 2 }));
  work(raft);
  tick(raft, ELECTION_TICKS);
  assertEquals([raft.status().role, to(work(raft))], ["preCandidate", [2, 3]]);
  raft.step(append({ prevLogIndex: 3, prevLogTerm: 1, leaderCommit: 3 }));
  work(raft);
  assertEquals(configurationText(raft.committedConfiguration), "voters=2,3 removed=1");
  tick(raft, 20 * ELECTION_TICKS);
  assertEquals(raft.status().role, "follower");
});

Deno.test("Raft: a change of learners is one entry, a change of voters two, and there is one change at a time", () => {
  const raft = readyLeader();
  const learning = configurationOf({ voters: [1, 2, 3], learners: [4] });
  assertEquals(raft.proposeConfiguration(learning), { kind: "accepted", index: 3, term: 2 });
  assertEquals(said(raft), "voters=1,2,3 learners=4");
  const voting = configurationOf({ voters: [1, 2, 3, 4] });
  assertEquals(raft.proposeConfiguration(voting), { kind: "refused", reason: "changeUnderWay" });
  work(raft);
  acknowledge(raft, 2, 3);
  acknowledge(raft, 4, 3);
  assertEquals(raft.proposeConfiguration(voting), { kind: "accepted", index: 4, term: 2 });
  work(raft);
  assertEquals(said(raft), "voters=1,2,3,4 outgoing=1,2,3");
  acknowledge(raft, 2, 4);
  assertEquals(said(raft), "voters=1,2,3,4 outgoing=1,2,3", "two of four are no majority of the new voters");
  acknowledge(raft, 4, 4);
  assertEquals([said(raft), raft.status().lastIndex], ["voters=1,2,3,4", 5]);
  assertEquals(raft.proposeConfiguration(learning).kind, "refused", "the final one is not committed yet");
});

Deno.test("Raft: a leader that is transferring leadership leaves the joint configuration only if the transfer fails", () => {
  const raft = readyLeader();
  acknowledge(raft, 3, 2);
  raft.proposeConfiguration(configurationOf({ voters: [1, 2] }));
  work(raft);
  assertEquals(raft.transferLeadership(2), 2);
  acknowledge(raft, 2, 3);
  assertEquals([raft.status().commitIndex, said(raft)], [3, "voters=1,2 outgoing=1,2,3"]);
  for (let count = 0; count < ELECTION_TICKS; count++) {
    raft.tick();
    work(raft);
    acknowledge(raft, 2, 3);
  }
  assertEquals([raft.isLeader, said(raft)], [true, "voters=1,2 removed=3"]);
});

Deno.test("Raft: a change is refused while too many bytes are uncommitted, like any proposal", () => {
  const limits = { ...config().limits, uncommittedBytes: 100 };
  const raft = elect(nodeWith([1], { limits }));
  acknowledge(raft, 2, 2);
  raft.propose(new Uint8Array(90));
  const target = configurationOf({ voters: [1, 2, 3], learners: [4] });
  assertEquals(raft.proposeConfiguration(target), { kind: "refused", reason: "busy" });
});

Deno.test("Raft: a follower proposes no configuration, and an impossible one is a fault of the caller", () => {
  const target = configurationOf({ voters: [1] });
  assertEquals(nodeWith([1]).proposeConfiguration(target), { kind: "refused", reason: "notLeader" });
  const joint = configurationOf({ voters: [1], outgoing: [2] });
  assertThrows(() => readyLeader().proposeConfiguration(joint), InvariantError, "not a joint configuration");
});

Deno.test("Raft: the configuration of an index is that of the last entry up to it, and changes with uncommitted entries", () => {
  const raft = readyLeader();
  raft.proposeConfiguration(configurationOf({ voters: [1, 2, 3], learners: [4] }));
  assertEquals(configurationText(raft.configurationAt(2)), "voters=1,2,3");
  assertThrows(() => raft.configurationAt(3), InvariantError, "uncommitted");
  assertEquals(raft.configuration, raft.configuration);
  assertEquals(raft.committedConfiguration === raft.configurationAt(1), true);
});

Deno.test("Raft: a leader waits until a removed node has the entry of its removal, but not for longer than an election timeout", () => {
  const leave = (): Raft => {
    const raft = readyLeader();
    raft.proposeConfiguration(configurationOf({ voters: [1, 2] }));
    work(raft);
    acknowledge(raft, 2, 3);
    acknowledge(raft, 2, 4);
    assertEquals([said(raft), raft.status().commitIndex], ["voters=1,2 removed=3", 4]);
    assertEquals(raft.status().peers.map(({ id }) => id), [2, 3]);
    return raft;
  };
  const answering = leave();
  tick(answering, 1);
  answering.step({
    kind: "appendEntriesResponse",
    from: 3,
    to: 1,
    term: answering.term,
    result: { kind: "rejected", prevLogIndex: 1, conflictIndex: 0, conflictTerm: 0 },
  });
  work(answering);
  const last = acknowledge(answering, 3, 4);
  assertEquals(last.map(({ kind, to }) => [kind, to]), [["heartbeat", 3]]);
  assertEquals(last.map((message) => message.kind === "heartbeat" && message.leaderCommit), [4]);
  assertEquals(answering.status().peers.map(({ id }) => id), [2]);
  const silent = leave();
  for (let count = 0; count < ELECTION_TICKS + 1; count++) {
    silent.tick();
    work(silent);
    acknowledge(silent, 2, 4);
  }
  assertEquals(silent.status().peers.map(({ id }) => id), [2]);
});

Deno.test("Raft: status shows the progress of every other node, learners too", () => {
  const raft = readyLeader();
  raft.proposeConfiguration(configurationOf({ voters: [1, 2, 3], learners: [4] }));
  work(raft);
  acknowledge(raft, 2, 3);
  tick(raft, 2);
  assertEquals(raft.status().peers, [
    {
      id: 2,
      matchIndex: 3,
      kind: "replicate",
      isActive: true,
      ticksSinceContact: 2,
      confirmedRound: 0,
      hasDiskSpace: null,
    },
    {
      id: 3,
      matchIndex: 0,
      kind: "probe",
      isActive: true,
      ticksSinceContact: null,
      confirmedRound: 0,
      hasDiskSpace: null,
    },
    {
      id: 4,
      matchIndex: 0,
      kind: "probe",
      isActive: true,
      ticksSinceContact: null,
      confirmedRound: 0,
      hasDiskSpace: null,
    },
  ]);
  assertEquals(nodeWith([1]).status().peers, []);
});
