/**
 * A leader under steady load: late acknowledgements neither cause probes nor make a peer seem unresponsive, and a peer
 * that was behind does not hold it up.
 */
import { assertEquals } from "@std/assert";
import { acknowledge, elect, ELECTION_TICKS, nodeWith, tick, work } from "../../support/raft/single_node.ts";

Deno.test("Raft: a follower that acknowledges steadily is never probed again, though entries are always in flight", () => {
  const raft = elect(nodeWith([1]));
  acknowledge(raft, 2, raft.status().lastIndex);
  const kinds = new Set<string | undefined>();
  for (let count = 0; count < 5 * ELECTION_TICKS; count++) {
    raft.propose(new Uint8Array(1));
    work(raft);
    // One entry behind all the time: the answer to the newest is still in flight.
    acknowledge(raft, 2, raft.status().lastIndex - 1);
    tick(raft, 1);
    work(raft);
    kinds.add(raft.status().peers.find(({ id }) => id === 2)?.kind);
  }
  assertEquals([...kinds], ["replicate"]);
});

Deno.test("Raft: leadership is transferred to a node that answers, though a silent one has more of the log", () => {
  const raft = elect(nodeWith([1]));
  acknowledge(raft, 3, raft.status().lastIndex);
  for (let count = 0; count < 5; count++) raft.propose(new Uint8Array(1));
  work(raft);
  acknowledge(raft, 3, raft.status().lastIndex);
  for (let count = 0; count < 3 * ELECTION_TICKS; count++) {
    tick(raft, 1);
    work(raft);
    acknowledge(raft, 2, 2);
  }
  assertEquals(raft.status().peers.map(({ id, matchIndex }) => [id, matchIndex]), [[2, 2], [3, 7]]);
  assertEquals([raft.isLeader, raft.transferLeadership(null)], [true, 2]);
});

Deno.test("Raft: a Ready has one large batch of entries for a peer that was behind, and the next ones have the rest", () => {
  const raft = elect(nodeWith([1]));
  const sentToBoth = raft.status().lastIndex;
  for (let count = 0; count < 12; count++) {
    raft.propose(new Uint8Array(262_000));
    work(raft);
    acknowledge(raft, 2, raft.status().lastIndex);
    work(raft);
  }
  const result = { kind: "accepted", matchIndex: sentToBoth } as const;
  raft.step({ kind: "appendEntriesResponse", from: 3, to: 1, term: raft.term, result });
  const sent: (readonly [entries: number, hasMoreToSend: boolean])[] = [];
  for (let ready = raft.takeReady(); ready !== null; ready = raft.takeReady()) {
    const counts = ready.messages.map((message) =>
      message.kind === "appendEntries" && message.to === 3 ? message.entries.length : 0
    );
    sent.push([counts.reduce((sum, count) => sum + count, 0), ready.hasMoreToSend]);
  }
  assertEquals(sent, [[4, true], [4, true], [4, false]]);
});
