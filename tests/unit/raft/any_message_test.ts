/**
 * Whatever a peer says, in whatever order: a message that the wire lets in (lib/net/peer_codec.ts) never makes the
 * core throw, since a peer's words are input and no fault of this program. The core's own invariants are checked by
 * itself after each step.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DEFAULT_LIMITS, type Entry, type Message, Raft } from "../../../lib/raft/mod.ts";
import { configurationOf, TEXT_CODEC } from "../../support/raft_configuration.ts";
import { RaftDisk } from "../../support/raft_disk.ts";

const TERMS = 5;
const INDEXES = 6;

const index = fc.nat(INDEXES);
const term = fc.nat(TERMS);

/** An index and a term as the wire lets them in: 0 and 0 belong together, no term is above the message's. */
function place(maxTerm: number): fc.Arbitrary<{ index: number; term: number }> {
  return fc.record({ index, term: fc.integer({ min: 1, max: Math.max(1, maxTerm) }) })
    .map((at) => at.index === 0 ? { index: 0, term: 0 } : at);
}

function append(head: { from: number; to: number; term: number }): fc.Arbitrary<Message> {
  const terms = fc.array(fc.integer({ min: 1, max: head.term }), { maxLength: 4 });
  return fc.tuple(place(head.term), terms, index).map(([prev, given, leaderCommit]): Message => {
    const ascending = given.sort((a, b) => a - b).filter((one) => one >= prev.term);
    const entries = ascending.map((one, position): Entry => {
      return { index: prev.index + 1 + position, term: one, kind: "command", data: new Uint8Array(0) };
    });
    const { index: prevLogIndex, term: prevLogTerm } = prev;
    return { kind: "appendEntries", ...head, prevLogIndex, prevLogTerm, leaderCommit, entries };
  });
}

const message: fc.Arbitrary<Message> = fc.record({ from: fc.constantFrom(2, 3), term }).chain((sender) => {
  const head = { ...sender, to: 1 };
  const led = { ...head, term: Math.max(1, head.term) };
  const last = place(led.term).map((at) => ({ lastLogIndex: at.index, lastLogTerm: at.term }));
  return fc.oneof(
    append(led),
    last.map((at): Message => ({ kind: "preVote", ...led, ...at })),
    fc.tuple(last, fc.boolean()).map(([at, leadershipTransfer]): Message => {
      return { kind: "requestVote", ...led, ...at, leadershipTransfer };
    }),
    fc.boolean().map((granted): Message => ({ kind: "preVoteResponse", ...head, granted })),
    fc.boolean().map((granted): Message => ({ kind: "requestVoteResponse", ...led, granted })),
    index.map((matchIndex): Message => {
      return { kind: "appendEntriesResponse", ...led, result: { kind: "accepted", matchIndex } };
    }),
    fc.tuple(index, place(led.term)).map(([prevLogIndex, hint]): Message => {
      const conflict = hint.index > prevLogIndex ? { index: 0, term: 0 } : hint;
      const [conflictIndex, conflictTerm] = [conflict.index, conflict.term];
      const result = { kind: "rejected", prevLogIndex, conflictIndex, conflictTerm } as const;
      return { kind: "appendEntriesResponse", ...led, result };
    }),
    fc.tuple(index, fc.nat(3)).map(([leaderCommit, round]): Message => {
      return { kind: "heartbeat", ...led, leaderCommit, round };
    }),
    fc.nat(3).map((round): Message => ({ kind: "heartbeatResponse", ...led, round })),
    fc.constant<Message>({ kind: "timeoutNow", ...led }),
    fc.nat(3).map((readId): Message => ({ kind: "readIndex", ...head, readId })),
    fc.tuple(fc.nat(3), fc.option(index)).map(([readId, at]): Message => {
      return { kind: "readIndexResponse", ...head, readId, index: at };
    }),
  );
});

type Act = Message | "tick" | "propose" | "read" | "transfer" | "ready" | "sync" | "load" | "lost";

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 5, arbitrary: message },
  { weight: 3, arbitrary: fc.constantFrom<Act>("tick", "ready", "sync") },
  { weight: 1, arbitrary: fc.constantFrom<Act>("propose", "read", "transfer", "load", "lost") },
);

/** Lets node 1 of three live through the acts, on a real disk. */
function live(acts: readonly Act[]): Raft {
  const disk = new RaftDisk({ founding: configurationOf({ voters: [1, 2, 3] }) });
  const raft = new Raft({
    id: 1,
    configurationCodec: TEXT_CODEC,
    electionTicks: 3,
    heartbeatTicks: 1,
    random: () => 0,
    limits: { ...DEFAULT_LIMITS, appendBytes: 70, inflightMessages: 2, tailBytes: 40 },
    recovered: disk.recovered(),
  });
  const loads = new Array<() => void>();
  for (const one of acts) {
    if (typeof one !== "string") raft.step(one);
    else if (one === "tick") raft.tick();
    else if (one === "propose") raft.propose(new Uint8Array(1));
    else if (one === "read") raft.readIndex();
    else if (one === "transfer") raft.transferLeadership(null);
    else if (one === "lost") raft.messagesLost(2);
    else if (one === "load") loads.shift()?.();
    else if (one === "sync" && disk.underWay !== null) {
      const { lastIndex, lastTerm } = disk.complete();
      raft.persisted(lastIndex, lastTerm);
    } else if (one === "ready") {
      const ready = raft.takeReady();
      if (ready?.persist) disk.begin(ready.persist);
      for (const load of ready?.loads ?? []) loads.push(() => raft.loaded(load, disk.read(load)));
    }
  }
  return raft;
}

Deno.test("no message that the wire lets in, in whatever order, makes the core throw or go back", () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60, size: "max" }), (acts) => {
      const raft = live(acts);
      const { appliedIndex, commitIndex, lastIndex } = raft.status();
      assertEquals(appliedIndex <= commitIndex && commitIndex <= lastIndex, true);
    }),
    { numRuns: 2_000 },
  );
});
