/** One node while its log is compacted and snapshots are sent and received. */
import { assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { Raft, type SnapshotMetadata } from "../../../lib/raft/mod.ts";
import { configurationOf } from "../../support/raft/configuration.ts";
import { RaftDisk } from "../../support/raft/disk.ts";
import {
  acknowledge,
  append,
  config,
  elect,
  entry,
  FOUNDING,
  nodeWith,
  tick,
  work,
} from "../../support/raft/single_node.ts";

function snapshotOf(index: number, term: number): SnapshotMetadata {
  return { index, term, configuration: FOUNDING };
}

/** Node 1 leads term 3 with entries 1 to 6, of which 5 are committed, and its log begins after entry 4. */
function leaderWithSnapshot(): Raft {
  const raft = elect(nodeWith([1, 1, 1, 2, 2]));
  acknowledge(raft, 2, 6);
  assertEquals(raft.status().commitIndex, 6);
  raft.compact({ snapshot: snapshotOf(5, 2), compactedIndex: 4 });
  return raft;
}

/** Node 3 reports that it has no entry at `prevLogIndex`, and at most the beginning of the log. */
function refuse(raft: Raft, prevLogIndex: number): void {
  const result = { kind: "rejected", prevLogIndex, conflictIndex: 1, conflictTerm: 1 } as const;
  raft.step({ kind: "appendEntriesResponse", from: 3, to: 1, term: raft.term, result });
}

Deno.test("Raft: a follower that needs compacted entries is sent a snapshot, and nothing else before it has that", () => {
  const raft = leaderWithSnapshot();
  refuse(raft, 5);
  const ready = raft.takeReady();
  assertEquals([ready?.snapshots, ready?.messages], [[{ to: 3, index: 5 }], []]);
  raft.propose(new Uint8Array(1));
  raft.messagesLost(3);
  tick(raft, 1);
  assertEquals(work(raft).filter(({ to, kind }) => to === 3 && kind === "appendEntries"), []);
  assertEquals(raft.status().peers[1]?.kind, "snapshot");
  const [next] = acknowledge(raft, 3, 5);
  assertEquals(next?.kind === "appendEntries" && [next.prevLogIndex, next.entries.length], [5, 2]);
  assertEquals(raft.status().peers[1]?.kind, "replicate");
});

Deno.test("Raft: a follower's matchIndex counts beyond the snapshot, but not beyond the leader's own log", () => {
  const raft = leaderWithSnapshot();
  refuse(raft, 5);
  raft.takeReady();
  const head = { kind: "appendEntriesResponse", from: 3, to: 1, term: raft.term } as const;
  assertEquals(
    raft.step({ ...head, result: { kind: "accepted", matchIndex: 7 } }),
    "acknowledgesUnsent",
  );
  assertEquals(raft.step({ ...head, result: { kind: "accepted", matchIndex: 6 } }), null);
  assertEquals(raft.status().peers[1]?.matchIndex, 6);
});

Deno.test("Raft: after a failed snapshot the follower is probed where the log begins", () => {
  const raft = leaderWithSnapshot();
  refuse(raft, 5);
  raft.takeReady();
  raft.snapshotFailed(3);
  const [question] = work(raft);
  assertEquals(question?.kind === "appendEntries" && [question.to, question.prevLogIndex, question.entries], [
    3,
    4,
    [],
  ]);
  refuse(raft, 4);
  assertEquals(raft.takeReady()?.snapshots, [{ to: 3, index: 5 }]);
  raft.snapshotFailed(2);
  assertEquals(raft.status().peers.map(({ kind }) => kind), ["replicate", "snapshot"]);
});

Deno.test("Raft: entries read back for a follower are not sent if the log was compacted meanwhile", () => {
  const entries = [1, 1, 1, 2].map((term, position) => entry(position + 1, term));
  const hardState = { term: 2, vote: null, commitIndex: 4 };
  const disk = new RaftDisk({ founding: FOUNDING, hardState, entries });
  const raft = elect(new Raft(config({ recovered: disk.recovered(0) })));
  const entryRead = { to: null, firstIndex: 1, maxBytes: 1_000_000 };
  raft.entriesRead(entryRead, disk.read(entryRead));
  work(raft);
  refuse(raft, 4);
  const wanted = raft.takeReady()?.entryReads[0];
  assertEquals(wanted?.firstIndex, 2);
  raft.compact({ snapshot: snapshotOf(4, 2), compactedIndex: 2 });
  if (wanted !== undefined) raft.entriesRead(wanted, disk.read(wanted));
  const ready = raft.takeReady();
  assertEquals([ready?.messages, ready?.snapshots], [[], [{ to: 3, index: 4 }]]);
});

Deno.test("Raft: a received snapshot is acknowledged when it is durable, and its state is applied before later entries", () => {
  const raft = nodeWith([1, 1]);
  const snapshot = { ...snapshotOf(7, 3), configuration: configurationOf({ voters: [1, 2] }) };
  const install = { kind: "installSnapshot", from: 2, to: 1, term: 3, snapshot } as const;
  assertEquals(raft.step(install), null);
  raft.step(append({ term: 3, prevLogIndex: 7, prevLogTerm: 3, entries: [entry(8, 3)], leaderCommit: 8 }));
  const ready = raft.takeReady();
  assertEquals(ready?.restore, snapshot);
  assertEquals(ready?.committed, [entry(8, 3)]);
  assertEquals(ready?.messages, []);
  assertEquals([ready?.persist?.snapshot, ready?.persist?.entries], [snapshot, [entry(8, 3)]]);
  assertEquals(
    ready?.persist?.messagesAfterSync.map((answer) =>
      answer.kind === "appendEntriesResponse" && answer.result
    ),
    [{ kind: "accepted", matchIndex: 7 }, { kind: "accepted", matchIndex: 8 }],
  );
  const { firstIndex, snapshotIndex, commitIndex, configuration } = raft.status();
  assertEquals([firstIndex, snapshotIndex, commitIndex, configuration], [8, 7, 8, snapshot.configuration]);
});

Deno.test("Raft: entries read back to be applied are dropped when a snapshot replaces the state", () => {
  const entries = [entry(1, 1), entry(2, 1)];
  const hardState = { term: 1, vote: null, commitIndex: 2 };
  const disk = new RaftDisk({ founding: FOUNDING, hardState, entries });
  const raft = new Raft(config({ recovered: disk.recovered(0) }));
  const entryRead = raft.takeReady()?.entryReads[0];
  if (entryRead !== undefined) raft.entriesRead(entryRead, disk.read(entryRead));
  raft.step({ kind: "installSnapshot", from: 2, to: 1, term: 1, snapshot: snapshotOf(5, 1) });
  const ready = raft.takeReady();
  assertEquals([ready?.restore?.index, ready?.committed], [5, []]);
});

Deno.test("Raft: a snapshot that is not beyond the commit index changes nothing, and is answered with the commit index", () => {
  const raft = nodeWith([1, 1, 1, 1]);
  raft.step(append({ prevLogIndex: 3, prevLogTerm: 1, leaderCommit: 3 }));
  work(raft);
  const before = raft.status();
  for (const snapshot of [snapshotOf(2, 1), snapshotOf(3, 1)]) {
    assertEquals(raft.step({ kind: "installSnapshot", from: 2, to: 1, term: 1, snapshot }), null);
    assertEquals(raft.status(), before);
    const ready = raft.takeReady();
    assertEquals([ready?.persist, ready?.restore], [null, null]);
    assertEquals(
      ready?.messages.map((answer) => answer.kind === "appendEntriesResponse" && answer.result),
      [{ kind: "accepted", matchIndex: 3 }],
    );
  }
});

Deno.test("Raft: only the leader of the term installs a snapshot", () => {
  const raft = nodeWith([1, 3]);
  const install = { kind: "installSnapshot", to: 1, snapshot: snapshotOf(9, 2) } as const;
  assertEquals(raft.step({ ...install, from: 2, term: 2 }), "staleTerm");
  raft.step(append({ term: 3, from: 2, prevLogIndex: 2, prevLogTerm: 3 }));
  assertEquals(raft.step({ ...install, from: 3, term: 3 }), "secondLeader");
  const candidate = nodeWith([1, 3]);
  tick(candidate, 10);
  assertEquals(candidate.step({ ...install, from: 2, term: 3 }), null);
  assertEquals([candidate.leader, candidate.status().lastIndex], [2, 9]);
});

Deno.test("Raft: entries from before the base match without comparison, and a message that contradicts the base is ignored", () => {
  const raft = nodeWith([1, 1, 2, 2]);
  raft.step(append({ term: 2, prevLogIndex: 4, prevLogTerm: 2, leaderCommit: 4 }));
  work(raft);
  raft.compact({ snapshot: snapshotOf(3, 2), compactedIndex: 3 });
  const result = (entries: readonly [number, number][]): unknown => {
    const sent = entries.map(([index, term]) => entry(index, term));
    const ignored = raft.step(append({ term: 2, prevLogIndex: 1, prevLogTerm: 1, entries: sent }));
    const [answer] = work(raft);
    return ignored ?? (answer?.kind === "appendEntriesResponse" && answer.result);
  };
  assertEquals(result([[2, 1]]), { kind: "accepted", matchIndex: 2 });
  assertEquals(result([[2, 1], [3, 2], [4, 2], [5, 2]]), { kind: "accepted", matchIndex: 5 });
  assertEquals(result([[2, 1], [3, 1]]), "conflictsWithCommitted");
  assertEquals([raft.status().firstIndex, raft.status().lastIndex], [4, 5]);
});

Deno.test("Raft: a request of an earlier term about compacted entries gets a hint that is true of every log", () => {
  const raft = nodeWith([1, 1, 2, 5]);
  raft.step(append({ term: 5, prevLogIndex: 4, prevLogTerm: 5, leaderCommit: 4 }));
  work(raft);
  raft.compact({ snapshot: snapshotOf(3, 2), compactedIndex: 3 });
  raft.step(append({ term: 2, prevLogIndex: 2, prevLogTerm: 2 }));
  const [answer] = work(raft);
  assertEquals(answer?.kind === "appendEntriesResponse" && answer.result, {
    kind: "rejected",
    prevLogIndex: 2,
    conflictIndex: 2,
    conflictTerm: 2,
  });
});

Deno.test("Raft: a snapshot of another log, or of entries that were not applied, is a fault of the caller", () => {
  const raft = leaderWithSnapshot();
  assertThrows(
    () => raft.compact({ snapshot: snapshotOf(6, 2), compactedIndex: 5 }),
    InvariantError,
    "this log",
  );
  assertThrows(
    () => raft.compact({ snapshot: snapshotOf(9, 3), compactedIndex: 5 }),
    InvariantError,
    "applied",
  );
});
