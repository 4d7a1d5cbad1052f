/** One node at its door while members change: who counts, who campaigns, whom it hears. */
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

Deno.test("a node without a configuration never campaigns, votes when it is asked, and takes what a leader sends", () => {
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

Deno.test("strangers are heard as leaders and candidates, and their answers count for nothing", () => {
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

Deno.test("the vote of a node that is no voter does not elect", () => {
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

Deno.test("a learner counts neither for a commit, nor for a read, nor for keeping a leader in office", () => {
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

Deno.test("leadership goes to no learner, to no stranger and to no node on its way out", () => {
  const raft = readyLeader();
  raft.proposeConfiguration(configurationOf({ voters: [1, 2], learners: [4] }));
  work(raft);
  assertEquals(said(raft), "voters=1,2 learners=4 outgoing=1,2,3");
  for (const target of [3, 4, 9]) assertEquals(raft.transferLeadership(target), null);
  assertEquals(raft.transferLeadership(2), 2);
});

Deno.test("a learner that is told to campaign does not", () => {
  const raft = nodeWith([1]);
  raft.step(append({ prevLogIndex: 1, prevLogTerm: 1, entries: [change(2, 1, "voters=2,3 learners=1")] }));
  raft.step(append({ prevLogIndex: 2, prevLogTerm: 1, leaderCommit: 2 }));
  assertEquals(raft.step({ kind: "timeoutNow", from: 2, to: 1, term: 1 }), "notPromotable");
  assertEquals(raft.status().role, "follower");
});

Deno.test("a voter on its way out campaigns until it knows that it is out", () => {
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

Deno.test("a change of learners is one entry, a change of voters two, and there is one at a time", () => {
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

Deno.test("a leader that is handing over leaves the joint configuration to its successor, or does so when that fails", () => {
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

Deno.test("a change waits for room like any proposal", () => {
  const limits = { ...config().limits, uncommittedBytes: 100 };
  const raft = elect(nodeWith([1], { limits }));
  acknowledge(raft, 2, 2);
  raft.propose(new Uint8Array(90));
  const target = configurationOf({ voters: [1, 2, 3], learners: [4] });
  assertEquals(raft.proposeConfiguration(target), { kind: "refused", reason: "busy" });
});

Deno.test("a follower proposes no configuration, and an impossible one is a fault of the caller", () => {
  const target = configurationOf({ voters: [1] });
  assertEquals(nodeWith([1]).proposeConfiguration(target), { kind: "refused", reason: "notLeader" });
  const joint = configurationOf({ voters: [1], outgoing: [2] });
  assertThrows(() => readyLeader().proposeConfiguration(joint), InvariantError, "not a joint configuration");
});

Deno.test("the configuration of an index is that of the last entry up to it; what is not committed may change", () => {
  const raft = readyLeader();
  raft.proposeConfiguration(configurationOf({ voters: [1, 2, 3], learners: [4] }));
  assertEquals(configurationText(raft.configurationAt(2)), "voters=1,2,3");
  assertThrows(() => raft.configurationAt(3), InvariantError, "uncommitted");
  assertEquals(raft.configuration, raft.configuration);
  assertEquals(raft.committedConfiguration === raft.configurationAt(1), true);
});

Deno.test("a node that is out is waited for until it has the entry that says so, but not for long", () => {
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
  const told = leave();
  tick(told, 1);
  told.step({
    kind: "appendEntriesResponse",
    from: 3,
    to: 1,
    term: told.term,
    result: { kind: "rejected", prevLogIndex: 1, conflictIndex: 0, conflictTerm: 0 },
  });
  work(told);
  const last = acknowledge(told, 3, 4);
  assertEquals(last.map(({ kind, to }) => [kind, to]), [["heartbeat", 3]]);
  assertEquals(last.map((message) => message.kind === "heartbeat" && message.leaderCommit), [4]);
  assertEquals(told.status().peers.map(({ id }) => id), [2]);
  const silent = leave();
  for (let count = 0; count < ELECTION_TICKS + 1; count++) {
    silent.tick();
    work(silent);
    acknowledge(silent, 2, 4);
  }
  assertEquals(silent.status().peers.map(({ id }) => id), [2]);
});

Deno.test("status says what a leader knows of each other node, learners too", () => {
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
