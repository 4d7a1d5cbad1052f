/** Node 1 of a small cluster, for tests of one node: it receives only the messages that a test passes to it. */
import { assertEquals } from "@std/assert";
import {
  type AppendEntries,
  DEFAULT_LIMITS,
  type Entry,
  foundingState,
  type Message,
  type NodeId,
  Raft,
  type RaftConfig,
} from "../../../lib/raft/mod.ts";
import { configurationOf, TEXT_CODEC } from "./configuration.ts";
import { RaftDisk } from "./disk.ts";

/** The shortest election timeout of node 1, which is the one it draws. */
export const ELECTION_TICKS = 10;
/** The cluster that node 1 was founded with. */
export const FOUNDING = configurationOf({ voters: [1, 2, 3] });

/** Returns a command entry. */
export function entry(index: number, term: number, payload = ""): Entry {
  return { index, term, kind: "command", data: new TextEncoder().encode(payload) };
}

/** Returns the options of node 1. */
export function config(changes: Partial<RaftConfig> = {}): RaftConfig {
  return {
    id: 1,
    configurationCodec: TEXT_CODEC,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: 2,
    random: () => 0,
    limits: DEFAULT_LIMITS,
    recovered: foundingState(FOUNDING),
    ...changes,
  };
}

/** Returns node 1 with a log of these terms, in the last of them, and these payloads in memory. */
export function nodeWith(terms: readonly number[], changes: Partial<RaftConfig> = {}): Raft {
  const entries = terms.map((term, position) => entry(position + 1, term));
  const hardState = { term: terms.at(-1) ?? 0, vote: null, commitIndex: 0 };
  const disk = new RaftDisk({ founding: FOUNDING, hardState, entries });
  return new Raft(config({ recovered: disk.recovered(), ...changes }));
}

/** Carries out the node's Ready with an immediate sync; returns the sent messages. */
export function work(raft: Raft): Message[] {
  const sent: Message[] = [];
  for (let ready = raft.takeReady(); ready !== null; ready = raft.takeReady()) {
    sent.push(...ready.messages);
    if (ready.persist === null) continue;
    sent.push(...ready.persist.messagesAfterSync);
    raft.persisted(ready.persist.lastIndex, ready.persist.lastTerm);
  }
  return sent;
}

/** Ticks node 1. */
export function tick(raft: Raft, times: number): void {
  for (let count = 0; count < times; count++) raft.tick();
}

/** Makes node 1 the leader of the next term, by the vote of node 2. */
export function elect(raft: Raft): Raft {
  tick(raft, ELECTION_TICKS);
  work(raft);
  raft.step({ kind: "preVoteResponse", from: 2, to: 1, term: raft.term + 1, granted: true });
  work(raft);
  raft.step({ kind: "requestVoteResponse", from: 2, to: 1, term: raft.term, granted: true });
  work(raft);
  assertEquals(raft.isLeader, true);
  return raft;
}

/** Returns AppendEntries of node 2, which leads term 1. */
export function append(changes: Partial<AppendEntries>): AppendEntries {
  const place = { term: 1, prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 0, entries: [] };
  return { kind: "appendEntries", from: 2, to: 1, ...place, ...changes };
}

/** Steps an acknowledgement of node `from` up to `matchIndex`; returns the messages that the leader sends then. */
export function acknowledge(raft: Raft, from: NodeId, matchIndex: number): Message[] {
  const result = { kind: "accepted", matchIndex } as const;
  raft.step({ kind: "appendEntriesResponse", from, to: 1, term: raft.term, result });
  return work(raft);
}

/** Steps node `from`'s answer to a round of heartbeats; its lease is for `promisedMs`, by default none. */
export function answerHeartbeat(
  raft: Raft,
  from: NodeId,
  { round, promisedMs = 0 }: { readonly round: number; readonly promisedMs?: number },
): void {
  raft.step({
    kind: "heartbeatResponse",
    from,
    to: 1,
    term: raft.term,
    round,
    promisedMs,
    hasDiskSpace: true,
  });
}
