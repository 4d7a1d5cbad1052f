/** Majorities against brute force: counted over every way to split the nodes, joint configurations included. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { ConfState, NodeId } from "../../../lib/raft/mod.ts";
import { countVotes, hasQuorum, members, quorumReached } from "../../../lib/raft/quorum.ts";

const voters = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 7 });
const outgoing = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 7 });
/** Learners do not count, so that their ids must not matter. */
const learners = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 7 });
const confState: fc.Arbitrary<ConfState> = fc.record({ voters, votersOutgoing: outgoing, learners });
const numbers = fc.array(fc.nat(5), { minLength: 8, maxLength: 8 });

function isMajority(nodes: readonly NodeId[], holds: (node: NodeId) => boolean): boolean {
  return nodes.length === 0 || nodes.filter(holds).length * 2 > nodes.length;
}

function isQuorum(conf: ConfState, holds: (node: NodeId) => boolean): boolean {
  return isMajority(conf.voters, holds) && isMajority(conf.votersOutgoing, holds);
}

Deno.test("quorumReached: it is the largest number that every deciding majority has reached", () => {
  fc.assert(fc.property(confState, numbers, (conf, reached) => {
    const reachedBy = (node: NodeId): number => reached[node] ?? 0;
    let expected = 0;
    for (let number = 0; number <= 5; number++) {
      if (isQuorum(conf, (node) => reachedBy(node) >= number)) expected = number;
    }
    assertEquals(quorumReached(conf, reachedBy), expected);
  }));
});

Deno.test("hasQuorum: a quorum is a majority of both halves of a joint configuration", () => {
  fc.assert(fc.property(confState, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), (conf, held) => {
    const holds = (node: NodeId): boolean => held[node] === true;
    assertEquals(hasQuorum(conf, holds), isQuorum(conf, holds));
  }));
});

Deno.test("hasQuorum: any two quorums of a configuration have a node in common", () => {
  const subset = fc.array(fc.boolean(), { minLength: 8, maxLength: 8 });
  fc.assert(fc.property(confState, subset, subset, (conf, one, other) => {
    const both = hasQuorum(conf, (node) => one[node] === true) &&
      hasQuorum(conf, (node) => other[node] === true);
    fc.pre(both);
    assertEquals(members(conf).some((node) => one[node] === true && other[node] === true), true);
  }));
});

Deno.test("countVotes: an election is won with a quorum of votes, lost when no quorum is possible any more, else pending", () => {
  const votes = fc.array(fc.constantFrom(true, false, null), { minLength: 8, maxLength: 8 });
  fc.assert(fc.property(confState, votes, (conf, given) => {
    const cast = new Map<NodeId, boolean>();
    given.forEach((vote, node) => {
      if (vote !== null) cast.set(node, vote);
    });
    const won = isQuorum(conf, (node) => given[node] === true);
    const possible = isQuorum(conf, (node) => given[node] !== false);
    assertEquals(countVotes(conf, cast), won ? "won" : possible ? "pending" : "lost");
  }));
});

Deno.test("members: they are voters, outgoing voters and learners, each once, in ascending order", () => {
  assertEquals(members({ voters: [3, 1], votersOutgoing: [2, 3], learners: [10, 4] }), [1, 2, 3, 4, 10]);
});
