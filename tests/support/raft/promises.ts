/**
 * The invariants of the consensus core as predicates (Raft Figure 3, thesis §4 and §6.4). Each returns a violation as a
 * sentence, or null. The stateful {@link RaftInvariants} and the exhaustive model (tests/model) both use them.
 */
import type { Configuration, ConfState, HardState, Message, NodeId } from "../../../lib/raft/mod.ts";

/** Returns whether a majority of the voters has a property, in a joint configuration also of the outgoing voters. */
export function hasMajorities({ confState }: Configuration, holds: (node: NodeId) => boolean): boolean {
  const { voters, votersOutgoing } = confState;
  return [voters, votersOutgoing].every((half) =>
    half.length === 0 || half.filter(holds).length > half.length / 2
  );
}

/**
 * Returns whether no election can be won without a node that has a property: such nodes are a majority of the voters, or
 * of the outgoing voters. (One half of a joint configuration is enough, because an election needs both. Entries that the
 * final configuration commits while only the leader has it may be on no more nodes than that.)
 */
export function blocksElections({ confState }: Configuration, holds: (node: NodeId) => boolean): boolean {
  const { voters, votersOutgoing } = confState;
  return [voters, votersOutgoing].some((half) => half.filter(holds).length > half.length / 2);
}

/** Checks that a term never decreases and that a vote never changes within a term. */
export function regression(
  before: Pick<HardState, "term" | "vote">,
  after: Pick<HardState, "term" | "vote">,
): string | null {
  if (after.term < before.term) return `the term falls from ${before.term} to ${after.term}`;
  if (after.term > before.term || before.vote === null || after.vote === before.vote) return null;
  return `the vote of term ${before.term} changes from ${before.vote} to ${after.vote}`;
}

/** Checks that the claims of a message are on its sender's disk: the term, the vote, the acknowledged entries. */
export function unfulfilledClaim(
  message: Message,
  durable: { readonly hardState: HardState; readonly lastIndex: number },
): string | null {
  // A pre-vote names the next term, and a read request names the leader's: they claim nothing.
  if (message.kind === "preVote" || message.kind === "readIndex") return null;
  if (message.kind === "preVoteResponse" && message.granted) return null;
  const { hardState: { term, vote }, lastIndex } = durable;
  const { from } = message;
  if (term < message.term) {
    return `node ${from} sends ${message.kind} of term ${message.term}, on disk is ${term}`;
  }
  // Once the sender is in a later term, a later leader may have overwritten acknowledged entries (Raft §5.4.3).
  if (term > message.term) return null;
  if (message.kind === "requestVote" && vote !== from) {
    return `node ${from} campaigns in term ${term} without its own vote on disk`;
  }
  if (message.kind === "requestVoteResponse" && message.granted && vote !== message.to) {
    return `node ${from} grants a vote in term ${term} that is not on its disk`;
  }
  if (message.kind === "appendEntriesResponse" && message.result.kind === "accepted") {
    const { matchIndex } = message.result;
    if (matchIndex > lastIndex) {
      return `node ${from} acknowledges ${matchIndex}, and its disk ends at ${lastIndex}`;
    }
  }
  return null;
}

/**
 * Checks a configuration and its successor: any majorities of the two must intersect, so voters change only into a joint
 * configuration, and out of it.
 */
export function wrongSuccessor(before: ConfState, after: ConfState): string | null {
  const isSame = (a: readonly NodeId[], b: readonly NodeId[]): boolean => a.join() === b.join();
  if (after.voters.length === 0) return "it has no voters";
  if (before.votersOutgoing.length > 0) {
    return after.votersOutgoing.length === 0 && isSame(before.voters, after.voters)
      ? null
      : "a joint configuration is followed by its own voters alone";
  }
  if (after.votersOutgoing.length > 0) {
    return isSame(after.votersOutgoing, before.voters)
      ? null
      : "a joint configuration keeps the voters before it as the outgoing ones";
  }
  return isSame(before.voters, after.voters) ? null : "voters change only by a joint configuration";
}
