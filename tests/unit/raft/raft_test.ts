/**
 * One node: messages that are late, of unknown senders or false, bounds, and faults of the caller. How nodes work
 * together is in tests/golden/raft.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { DEFAULT_LIMITS, EMPTY_STATE, foundingState, type Message, Raft } from "../../../lib/raft/mod.ts";
import { configurationOf } from "../../support/raft/configuration.ts";
import { RaftDisk } from "../../support/raft/disk.ts";
import {
  acknowledge,
  append,
  config,
  elect,
  ELECTION_TICKS,
  entry,
  FOUNDING,
  nodeWith,
  tick,
  work,
} from "../../support/raft/single_node.ts";

Deno.test("Raft: messages for another node or from itself change nothing", () => {
  const raft = nodeWith([1]);
  const before = raft.status();
  assertEquals(raft.step({ ...append({ term: 9 }), to: 2, from: 3 }), "wrongRecipient");
  assertEquals(raft.step({ ...append({ term: 9 }), from: 1 }), "unknownSender");
  assertEquals([raft.status(), raft.takeReady()], [before, null]);
});

Deno.test("Raft: requests of an earlier term are answered with the present one, and with nothing that could be misread", () => {
  const raft = nodeWith([1, 1, 5]);
  const old = { from: 2, to: 1, term: 2 } as const;
  const requests: Message[] = [
    { kind: "preVote", ...old, lastLogIndex: 9, lastLogTerm: 2 },
    { kind: "requestVote", ...old, lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: true },
    { kind: "heartbeat", ...old, leaderCommit: 2, round: 7 },
    append({ ...old, prevLogIndex: 2, prevLogTerm: 1, entries: [entry(3, 2)] }),
  ];
  for (const request of requests) assertEquals(raft.step(request), "staleTerm");
  const answer = { from: 1, to: 2, term: 5 } as const;
  assertEquals(work(raft), [
    { kind: "preVoteResponse", ...answer, granted: false },
    { kind: "requestVoteResponse", ...answer, granted: false },
    { kind: "heartbeatResponse", ...answer, round: 0, promisedMs: 0, hasDiskSpace: true },
    {
      kind: "appendEntriesResponse",
      ...answer,
      result: { kind: "rejected", prevLogIndex: 2, conflictIndex: 2, conflictTerm: 1 },
    },
  ]);
});

Deno.test("Raft: responses and other messages of an earlier term are ignored", () => {
  const raft = elect(nodeWith([1, 5]));
  const old = { from: 2, to: 1, term: 5 } as const;
  const messages: Message[] = [
    { kind: "preVoteResponse", ...old, granted: true },
    { kind: "requestVoteResponse", ...old, granted: true },
    { kind: "appendEntriesResponse", ...old, result: { kind: "accepted", matchIndex: 3 } },
    { kind: "heartbeatResponse", ...old, round: 1, promisedMs: 0, hasDiskSpace: true },
    { kind: "timeoutNow", ...old },
    { kind: "readIndex", ...old, readId: 1 },
    { kind: "readIndexResponse", ...old, readId: 1, index: 3 },
  ];
  const before = raft.status();
  for (const message of messages) assertEquals(raft.step(message), "staleTerm");
  assertEquals([raft.status(), raft.takeReady()], [before, null]);
});

Deno.test("Raft: a follower commits no further than the last entry of the message, even if its log is longer", () => {
  const raft = nodeWith([1, 1, 1, 1]);
  raft.step(append({ term: 2, entries: [entry(1, 1), entry(2, 1)], leaderCommit: 4 }));
  assertEquals([raft.status().commitIndex, raft.status().lastIndex], [2, 4]);
  raft.step(append({ term: 2, prevLogIndex: 3, prevLogTerm: 1, leaderCommit: 4 }));
  assertEquals(raft.status().commitIndex, 3);
});

Deno.test("Raft: a follower keeps entries that match, and acknowledges only those of the message", () => {
  const raft = nodeWith([1, 1, 1]);
  raft.step(append({ entries: [entry(1, 1)] }));
  const [answer] = work(raft);
  assertEquals(raft.status().lastIndex, 3);
  assertEquals(answer?.kind === "appendEntriesResponse" && answer.result, {
    kind: "accepted",
    matchIndex: 1,
  });
});

Deno.test("Raft: a heartbeat whose leaderCommit is beyond the log commits nothing", () => {
  const raft = nodeWith([1, 1]);
  const heartbeat = { kind: "heartbeat", from: 2, to: 1, term: 1, round: 1 } as const;
  assertEquals(raft.step({ ...heartbeat, leaderCommit: 3 }), "commitBeyondLog");
  assertEquals([raft.status().commitIndex, work(raft)], [0, []]);
});

Deno.test("Raft: no message overwrites a committed entry", () => {
  const raft = nodeWith([1, 1]);
  raft.step(append({ entries: [entry(1, 1), entry(2, 1)], leaderCommit: 2 }));
  work(raft);
  assertEquals(raft.step(append({ term: 2, entries: [entry(1, 2)] })), "conflictsWithCommitted");
  assertEquals([raft.status().commitIndex, raft.status().lastIndex], [2, 2]);
});

Deno.test("Raft: a leader ignores answers to messages that it did not send", () => {
  const raft = elect(nodeWith([1]));
  const head = { from: 2, to: 1, term: raft.term } as const;
  assertEquals(
    raft.step({ kind: "appendEntriesResponse", ...head, result: { kind: "accepted", matchIndex: 3 } }),
    "acknowledgesUnsent",
  );
  assertEquals(
    raft.step({ kind: "heartbeatResponse", ...head, round: 1, promisedMs: 0, hasDiskSpace: true }),
    "acknowledgesUnsent",
  );
  const rejected = { kind: "rejected", prevLogIndex: 7, conflictIndex: 6, conflictTerm: 1 } as const;
  assertEquals(
    raft.step({ kind: "appendEntriesResponse", ...head, result: rejected }),
    "notOutstanding",
  );
  assertEquals(raft.status().commitIndex, 0);
});

Deno.test("Raft: entries proposed during a write are neither sent nor counted before they are part of the next write", () => {
  const raft = elect(nodeWith([1]));
  raft.step({
    kind: "appendEntriesResponse",
    from: 2,
    to: 1,
    term: raft.term,
    result: { kind: "accepted", matchIndex: 2 },
  });
  work(raft);
  raft.propose(new Uint8Array(1));
  const first = raft.takeReady();
  raft.propose(new Uint8Array(2));
  assertEquals(first?.messages.length, 1);
  assertEquals(raft.takeReady(), null);
});

Deno.test("Raft: a term has one leader: a second one is not followed", () => {
  const raft = nodeWith([1]);
  raft.step(append({ term: 2, from: 2 }));
  assertEquals(raft.step(append({ term: 2, from: 3 })), "secondLeader");
  const heartbeat = { kind: "heartbeat", to: 1, leaderCommit: 0, round: 1 } as const;
  assertEquals(raft.step({ ...heartbeat, from: 3, term: 2 }), "secondLeader");
  assertEquals(raft.leader, 2);
  const leader = elect(nodeWith([1]));
  assertEquals(leader.step({ ...heartbeat, from: 3, term: leader.term }), "secondLeader");
  assertEquals(leader.isLeader, true);
});

Deno.test("Raft: only the leader's timeoutNow starts a campaign, and only its answer to a read counts", () => {
  const raft = nodeWith([1]);
  raft.step(append({ term: 2 }));
  const requested = raft.readIndex();
  const readId = requested.kind === "accepted" ? requested.readId : 0;
  assertEquals(raft.step({ kind: "timeoutNow", from: 3, to: 1, term: 2 }), "notFromLeader");
  assertEquals(
    raft.step({ kind: "readIndexResponse", from: 3, to: 1, term: 2, readId, index: 1 }),
    "notFromLeader",
  );
  assertEquals(
    raft.step({ kind: "readIndexResponse", from: 2, to: 1, term: 2, readId: readId + 1, index: 1 }),
    "unknownRead",
  );
  assertEquals([raft.status().role, raft.takeReady()?.reads], ["follower", []]);
  raft.step({ kind: "readIndexResponse", from: 2, to: 1, term: 2, readId, index: 1 });
  assertEquals(raft.takeReady()?.reads, [{ readId, index: 1 }]);
});

Deno.test("Raft: a node that does not lead answers readIndex with null", () => {
  const question = { kind: "readIndex", from: 2, to: 1, term: 1, readId: 4 } as const;
  const answer = { kind: "readIndexResponse", from: 1, to: 2, term: 1, readId: 4, index: null } as const;
  const follower = nodeWith([1]);
  follower.step(question);
  assertEquals(work(follower), [answer]);
  const candidate = nodeWith([1]);
  tick(candidate, ELECTION_TICKS);
  work(candidate);
  candidate.step(question);
  assertEquals(work(candidate), [answer]);
});

Deno.test("Raft: a pre-vote is granted to a node that is many terms ahead", () => {
  const raft = nodeWith([1]);
  raft.step({ kind: "preVote", from: 2, to: 1, term: 9, lastLogIndex: 1, lastLogTerm: 1 });
  assertEquals(work(raft), [{ kind: "preVoteResponse", from: 1, to: 2, term: 9, granted: true }]);
  assertEquals(raft.term, 1);
});

Deno.test("Raft: a refused vote leaves the election timer running, a granted one restarts it", () => {
  const refused = nodeWith([1, 1]);
  tick(refused, ELECTION_TICKS - 1);
  const request = { kind: "requestVote", from: 2, to: 1, leadershipTransfer: false } as const;
  refused.step({ ...request, term: 2, lastLogIndex: 1, lastLogTerm: 1 });
  refused.tick();
  assertEquals([refused.status().role, refused.term], ["preCandidate", 2]);
  const granted = nodeWith([1, 1]);
  tick(granted, ELECTION_TICKS - 1);
  granted.step({ ...request, term: 2, lastLogIndex: 2, lastLogTerm: 1 });
  tick(granted, ELECTION_TICKS - 1);
  assertEquals([granted.status().role, granted.status().vote], ["follower", 2]);
});

Deno.test("Raft: a pre-candidate that grants a vote waits a whole timeout again", () => {
  const raft = nodeWith([1]);
  tick(raft, 2 * ELECTION_TICKS - 1);
  assertEquals(raft.status().role, "preCandidate");
  raft.step({
    kind: "requestVote",
    from: 2,
    to: 1,
    term: 1,
    lastLogIndex: 1,
    lastLogTerm: 1,
    leadershipTransfer: false,
  });
  tick(raft, ELECTION_TICKS - 1);
  assertEquals([raft.status().role, raft.status().vote], ["follower", 2]);
});

Deno.test("Raft: a leader refuses proposals while the bound of unapplied bytes is reached", () => {
  const limits = { ...DEFAULT_LIMITS, uncommittedBytes: 300 };
  const raft = elect(
    new Raft(config({ recovered: foundingState(configurationOf({ voters: [1, 2] })), limits })),
  );
  assertEquals(raft.propose(new Uint8Array(200)), { kind: "accepted", index: 2, term: 1 });
  assertEquals(raft.propose(new Uint8Array(10)), { kind: "refused", reason: "busy" });
  work(raft);
  raft.step({
    kind: "appendEntriesResponse",
    from: 2,
    to: 1,
    term: 1,
    result: { kind: "accepted", matchIndex: 1 },
  });
  work(raft);
  raft.step({
    kind: "appendEntriesResponse",
    from: 2,
    to: 1,
    term: 1,
    result: { kind: "accepted", matchIndex: 2 },
  });
  work(raft);
  assertEquals(raft.propose(new Uint8Array(10)), { kind: "accepted", index: 3, term: 1 });
});

Deno.test("Raft: reads are refused without a leader, and beyond the bound of waiting reads", () => {
  const raft = nodeWith([1], { limits: { ...DEFAULT_LIMITS, pendingReads: 1 } });
  assertEquals(raft.readIndex().kind, "refused");
  raft.step(append({}));
  assertEquals([raft.readIndex().kind, raft.readIndex().kind], ["accepted", "refused"]);
});

Deno.test("Raft: entries read back for a follower are not sent after the node has stepped down", () => {
  const hardState = { term: 1, vote: null, commitIndex: 0 };
  const disk = new RaftDisk({ founding: FOUNDING, hardState, entries: [entry(1, 1), entry(2, 1)] });
  const raft = elect(new Raft(config({ recovered: disk.recovered(1) })));
  raft.step({
    kind: "appendEntriesResponse",
    from: 2,
    to: 1,
    term: 2,
    result: { kind: "rejected", prevLogIndex: 2, conflictIndex: 0, conflictTerm: 0 },
  });
  const entryRead = raft.takeReady()?.entryReads[0];
  assertEquals(entryRead, { to: 2, firstIndex: 1, maxBytes: 262_144 });
  raft.step(append({ term: 3, from: 3, prevLogIndex: 3, prevLogTerm: 2 }));
  work(raft);
  if (entryRead !== undefined) raft.entriesRead(entryRead, disk.read(entryRead));
  assertEquals(raft.takeReady(), null);
});

Deno.test("Raft: entries read back in an earlier leadership are not sent in a later one, since they may have changed", () => {
  const hardState = { term: 1, vote: null, commitIndex: 0 };
  const written = [entry(1, 1, "old"), entry(2, 1)];
  const disk = new RaftDisk({ founding: FOUNDING, hardState, entries: written });
  const limits = { ...DEFAULT_LIMITS, entryCacheBytes: 0 };
  const raft = elect(new Raft(config({ recovered: disk.recovered(0), limits })));
  const refused = { kind: "rejected", prevLogIndex: 2, conflictIndex: 0, conflictTerm: 0 } as const;
  raft.step({ kind: "appendEntriesResponse", from: 2, to: 1, term: 2, result: refused });
  const late = raft.takeReady()?.entryReads[0];
  const before = disk.read({ to: 2, firstIndex: 1, maxBytes: 100 });
  const entries = [entry(1, 3, "new"), entry(2, 3)];
  raft.step(append({ term: 3, from: 3, entries, leaderCommit: 2 }));
  work(raft);
  elect(raft);
  raft.step({ kind: "appendEntriesResponse", from: 2, to: 1, term: 4, result: refused });
  assertEquals([late, raft.takeReady()?.entryReads[0]], [late, late]);
  if (late !== undefined) raft.entriesRead(late, before);
  assertEquals(raft.takeReady()?.messages ?? [], []);
});

Deno.test("Raft: a rejection lowers nextIndex even if its hint is beyond it", () => {
  const raft = elect(nodeWith([1, 1, 1]));
  const rejected = { kind: "rejected", prevLogIndex: 3, conflictIndex: 3, conflictTerm: 2 } as const;
  raft.step({ kind: "appendEntriesResponse", from: 2, to: 1, term: 2, result: rejected });
  const [probe] = work(raft);
  assertEquals(probe?.kind === "appendEntries" && [probe.to, probe.prevLogIndex], [2, 2]);
});

Deno.test("Raft: an invalid configuration of the node is refused by the constructor", () => {
  assertThrows(() => new Raft(config({ electionTicks: 2 })), InvariantError, "longer than heartbeats");
  const recovered = { ...EMPTY_STATE, hardState: { term: 1, vote: null, commitIndex: 1 } };
  assertThrows(() => new Raft(config({ recovered })), InvariantError, "in the log");
  const snapshot = { index: 3, term: 1, configuration: FOUNDING };
  const short = { ...EMPTY_STATE, snapshot };
  assertThrows(
    () => new Raft(config({ recovered: short })),
    InvariantError,
    "does not end before the snapshot",
  );
  const gap = { ...short, compacted: { index: 4, term: 1 }, lastIndex: 4 };
  assertThrows(() => new Raft(config({ recovered: gap })), InvariantError, "above the snapshot");
});

Deno.test("Raft: completing a write that was not begun is a fault of the caller", () => {
  const raft = nodeWith([1]);
  assertThrows(() => raft.persisted(1, 1), InvariantError, "in progress");
  assertThrows(() => raft.storageStalled(), InvariantError, "in progress");
});

Deno.test("Raft: a restarted process ignores the answer to a read of its predecessor", () => {
  const asked = (random: () => number): { raft: Raft; readId: number } => {
    const raft = nodeWith([1], { random });
    raft.step({ kind: "heartbeat", from: 2, to: 1, term: 1, leaderCommit: 0, round: 1 });
    const read = raft.readIndex();
    return { raft, readId: read.kind === "accepted" ? read.readId : 0 };
  };
  const before = asked(() => 0.1);
  const after = asked(() => 0.2);
  const late = {
    kind: "readIndexResponse",
    from: 2,
    to: 1,
    term: 1,
    readId: before.readId,
    index: 1,
  } as const;
  assertEquals(after.raft.step(late), "unknownRead");
  assertEquals(before.raft.step(late), null, "the process that asked accepts it");
});

Deno.test("Raft: a vote in a term that is already durable is itself durable before it is answered", () => {
  const raft = nodeWith([1]);
  raft.step({
    kind: "requestVote",
    from: 2,
    to: 1,
    term: 1,
    lastLogIndex: 1,
    lastLogTerm: 1,
    leadershipTransfer: false,
  });
  const ready = raft.takeReady();
  assertEquals(ready?.messages, []);
  assertEquals(ready?.persist?.hardState, { term: 1, vote: 2, commitIndex: 0 });
  assertEquals(ready?.persist?.messagesAfterSync, [
    { kind: "requestVoteResponse", from: 1, to: 2, term: 1, granted: true },
  ]);
});

Deno.test("Raft: a node whose disk has the last possible term starts and follows, and never campaigns", () => {
  for (const last of [Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]) {
    const raft = nodeWith([last]);
    tick(raft, 5 * ELECTION_TICKS);
    assertEquals([work(raft), raft.term], [[], last]);
  }
});

Deno.test("Raft: a follower whose disk is busy accepts entries up to a bound, and more once they are written", () => {
  const limits = { ...DEFAULT_LIMITS, uncommittedBytes: 100 };
  const raft = nodeWith([1], { limits });
  const send = (index: number): unknown => {
    const entries = [entry(index, 1, "x".repeat(40))];
    return raft.step(append({ prevLogIndex: index - 1, prevLogTerm: 1, entries }));
  };
  assertEquals(send(2), null);
  const first = raft.takeReady()?.persist;
  assertEquals(first?.lastIndex, 2);
  assertEquals([3, 4, 5].map(send), [null, null, "diskBacklog"]);
  raft.persisted(2, 1);
  assertEquals(raft.takeReady()?.persist?.lastIndex, 4);
  assertEquals(send(5), null);
  // Entries that another leader's entries replace no longer count.
  const others = [entry(5, 2, "y".repeat(40)), entry(6, 2, "y".repeat(40))];
  assertEquals(raft.step(append({ term: 2, prevLogIndex: 4, prevLogTerm: 1, entries: others })), null);
  assertEquals(raft.status().lastIndex, 6);
});

Deno.test("Raft: a commit that is announced is not above what the peer has, and only a leader announces one", () => {
  const raft = nodeWith([1]);
  raft.announceCommit(2);
  assertEquals(work(raft), []);
  elect(raft);
  acknowledge(raft, 2, 2);
  work(raft);
  for (const node of [2, 3, 9]) raft.announceCommit(node);
  const beat = { kind: "heartbeat", from: 1, term: 2, round: 0 } as const;
  assertEquals(work(raft), [{ ...beat, to: 2, leaderCommit: 2 }, { ...beat, to: 3, leaderCommit: 0 }]);
});
