/** The commands that a leader proposes by itself: the count of time for sessions, and compactions of the history. */
import type { Raft } from "../raft/mod.ts";
import type { Driver } from "./driver.ts";
import type { Replica } from "./replica.ts";

/** How a leader proposes commands of its own. */
export interface LeaderProposals {
  /** Returns the term that this node leads, once it has applied an entry of it and so all earlier entries; else null. */
  readonly leadingTerm: () => number | null;
  /** Proposes an entry; returns whether it was accepted. */
  readonly propose: (command: Uint8Array) => boolean;
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
    propose: (command) => driver.ask((raft) => raft.propose(command)).kind === "accepted",
  };
}
