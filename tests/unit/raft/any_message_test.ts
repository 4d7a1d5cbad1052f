/**
 * The core accepts any sequence of messages from peers: a message that the wire format allows (lib/protocol/peer_frames.ts)
 * never makes the core throw, since the content of a peer's message is input and no fault of this program. The core checks
 * its own invariants after each step.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DEFAULT_LIMITS, type Entry, type EntryRead, type Message, Raft } from "../../../lib/raft/mod.ts";
import { configurationOf, TEXT_CODEC } from "../../support/raft/configuration.ts";
import { RaftDisk } from "../../support/raft/disk.ts";

/** Content of an entry, which follows from its index and term as in a real cluster; most are commands. */
const CONFIGURATIONS = ["", "", "voters=1,2,3 learners=4", "", "voters=2,4 outgoing=1,2,3", "", "voters=1"];

const TERMS = 5;
const INDEXES = 6;

const index = fc.nat(INDEXES);
const term = fc.nat(TERMS);

/** An index and a term as the wire format allows them: 0 and 0 belong together, no term is above the message's. */
function place(maxTerm: number): fc.Arbitrary<{ index: number; term: number }> {
  return fc.record({ index, term: fc.integer({ min: 1, max: Math.max(1, maxTerm) }) })
    .map((at) => at.index === 0 ? { index: 0, term: 0 } : at);
}

function append(head: { from: number; to: number; term: number }): fc.Arbitrary<Message> {
  const terms = fc.array(fc.integer({ min: 1, max: head.term }), { maxLength: 4 });
  return fc.tuple(place(head.term), terms, index).map(([prev, given, leaderCommit]): Message => {
    const ascending = given.sort((a, b) => a - b).filter((one) => one >= prev.term);
    const entries = ascending.map((one, position): Entry => {
      const index = prev.index + 1 + position;
      const text = CONFIGURATIONS[(index + one) % CONFIGURATIONS.length] ?? "";
      if (text === "") return { index, term: one, kind: "command", data: new Uint8Array(0) };
      return { index, term: one, kind: "configuration", data: new TextEncoder().encode(text) };
    });
    const { index: prevLogIndex, term: prevLogTerm } = prev;
    return { kind: "appendEntries", ...head, prevLogIndex, prevLogTerm, leaderCommit, entries };
  });
}

const message: fc.Arbitrary<Message> = fc.record({ from: fc.constantFrom(2, 3, 3, 4), term }).chain(
  (sender) => {
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
      fc.nat(3).map((round): Message => ({
        kind: "heartbeatResponse",
        ...led,
        round,
        promisedMs: 0,
        hasDiskSpace: true,
      })),
      fc.constant<Message>({ kind: "timeoutNow", ...led }),
      place(led.term).filter((at) => at.index > 0).map((at): Message => {
        const configuration = configurationOf({ voters: [1, 2, 3], learners: at.index % 2 === 0 ? [4] : [] });
        return { kind: "installSnapshot", ...led, snapshot: { ...at, configuration } };
      }),
      fc.nat(3).map((readId): Message => ({ kind: "readIndex", ...head, readId })),
      fc.tuple(fc.nat(3), fc.option(index)).map(([readId, at]): Message => {
        return { kind: "readIndexResponse", ...head, readId, index: at };
      }),
    );
  },
);

const WORDS = [
  "propose",
  "change",
  "read",
  "transfer",
  "entryRead",
  "lost",
  "gone",
  "failed",
  "compact",
] as const;
type Act = Message | "tick" | "ready" | "sync" | typeof WORDS[number];

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 5, arbitrary: message },
  { weight: 3, arbitrary: fc.constantFrom<Act>("tick", "ready", "sync") },
  { weight: 1, arbitrary: fc.constantFrom<Act>(...WORDS) },
);

/** Node 1 of three, on a real disk. */
class Life {
  readonly raft: Raft;
  readonly #disk = new RaftDisk({ founding: configurationOf({ voters: [1, 2, 3] }) });
  readonly #entryReads: EntryRead[] = [];

  constructor() {
    this.raft = new Raft({
      id: 1,
      configurationCodec: TEXT_CODEC,
      electionTicks: 3,
      heartbeatTicks: 1,
      random: () => 0,
      limits: { ...DEFAULT_LIMITS, appendBytes: 70, inflightMessages: 2, entryCacheBytes: 40 },
      recovered: this.#disk.recovered(),
    });
  }

  live(one: Act): void {
    const { raft } = this;
    if (typeof one !== "string") return void raft.step(one);
    switch (one) {
      case "tick":
        return raft.tick();
      case "ready":
        return this.#work();
      case "sync":
        return this.#sync();
      case "propose":
        return void raft.propose(new Uint8Array(1));
      case "change":
        return this.#change();
      case "read":
        return void raft.readIndex();
      case "transfer":
        return void raft.transferLeadership(null);
      case "lost":
        return raft.messagesLost(2);
      case "gone":
        return raft.reportUnreachable(2);
      case "failed":
        return raft.snapshotFailed(2);
      case "entryRead": {
        const entryRead = this.#entryReads.shift();
        return entryRead && raft.entriesRead(entryRead, this.#disk.read(entryRead));
      }
      case "compact":
        return this.#compact();
    }
  }

  #work(): void {
    const ready = this.raft.takeReady();
    if (ready?.persist) this.#disk.begin(ready.persist);
    this.#entryReads.push(...ready?.entryReads ?? []);
  }

  #sync(): void {
    if (this.#disk.underWay === null) return;
    const { lastIndex, lastTerm } = this.#disk.complete();
    this.raft.persisted(lastIndex, lastTerm);
  }

  /** Proposes a configuration without the last voter, or with a new one. */
  #change(): void {
    const { confState, removedIds } = this.raft.configuration;
    const voters = confState.voters.length > 2 ? confState.voters.slice(0, -1) : [1, 2, 5];
    const possible = voters.filter((id) => !removedIds.includes(id));
    if (possible.length > 0) this.raft.proposeConfiguration(configurationOf({ voters: possible }));
  }

  #compact(): void {
    const { raft } = this;
    const { log } = raft.dump();
    const index = log.appliedIndex;
    const term = log.termRanges.findLast((range) => range.firstIndex <= index)?.term ?? log.compacted.term;
    const snapshot = { index, term, configuration: raft.configurationAt(index) };
    this.#disk.keepSnapshot(snapshot);
    raft.compact({ snapshot, compactedIndex: Math.max(0, index - 1) });
    this.#disk.removeUpTo(raft.status().firstIndex - 1);
  }
}

Deno.test("Raft: no sequence of messages that the wire format allows makes the core throw or go back", () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60, size: "max" }), (acts) => {
      const life = new Life();
      for (const one of acts) life.live(one);
      const { appliedIndex, commitIndex, lastIndex } = life.raft.status();
      assertEquals(appliedIndex <= commitIndex && commitIndex <= lastIndex, true);
    }),
    { numRuns: 2_000 },
  );
});
