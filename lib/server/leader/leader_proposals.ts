/** The commands that a leader proposes by itself: counts of time, compactions of the history, deletions of expired keys. */
import type { Raft } from "../../raft/mod.ts";
import type { Driver } from "../driver.ts";
import type { Replica } from "../replica.ts";

/** How a leader proposes commands of its own. */
export interface LeaderProposals {
  /** Returns the term that this node leads, once it has applied an entry of it and so all earlier entries; else null. */
  readonly leadingTerm: () => number | null;
  /** Proposes an entry; returns its index, or null if it was not accepted. */
  readonly propose: (command: Uint8Array) => number | null;
}

/** Returns the proposals of a node. */
export function leaderProposals(
  { raft, driver, replica }: {
    readonly raft: Raft;
    readonly driver: Driver;
    readonly replica: Replica;
  },
): LeaderProposals {
  return {
    leadingTerm: () => raft.isLeader && replica.applied.term === raft.term ? raft.term : null,
    propose: (command) => {
      const proposed = driver.propose(command);
      return proposed.kind === "accepted" ? proposed.index : null;
    },
  };
}
