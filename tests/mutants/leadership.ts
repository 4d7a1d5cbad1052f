/** Mutants of a leader's answers to waiting requests, and of its count of reachable nodes. */
import { GOLDEN, NET, SERVER } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const LEADERSHIP_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/membership/membership.ts", [SERVER], [
    {
      id: "M242",
      title: "a change of members is answered by its index alone",
      failure:
        "`member remove` reports success, and the node still votes: another leader's entry replaced the change",
      from: "if (entry?.term === waiting.term) waiting.isApplied = true;",
      to: "if (entry !== undefined) waiting.isApplied = true;",
    },
    {
      id: "M246",
      title: "voters count that were heard from before a change was asked for",
      failure: "right after a death the removal of another voter is accepted, and leaves no majority",
      from: "round === null ? situation.isReachable : this.#answered(round)",
      to: "round === -1 ? this.#answered(round) : situation.isReachable",
    },
  ]),
  ...inFile("lib/server/session_clock.ts", [SERVER], [
    {
      id: "M243",
      title: "the counts of other leaders are not noted by those that follow",
      failure: "each leader counts the same minutes again: sessions expire while their clients are at work",
      from: "if (logTimeMs === this.#logTimeMs) return;",
      to: "if (logTimeMs === this.#logTimeMs || leadingTerm() === null) return;",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER], [
    {
      id: "M244",
      title: "a busy leader refuses the retry of a write that is under way as not applied",
      failure: "a client writes again under a new number what is applied a moment later",
      from: "      if (stamp !== null && this.#inFlight.join(stamp, answer)) return;\n      if (metrics",
      to: "      if (stamp !== null && stamp.sessionId < 0) return;\n      if (metrics",
    },
    {
      id: "M245",
      title: "the last write is kept for every session that ever wrote at this node",
      failure: "the leader's memory grows with every client that comes, and is never given back",
      from: "    else this.#highest.delete(sessionId);\n",
      to: "",
    },
  ]),
  ...inFile("lib/raft/raft.ts", [GOLDEN, SERVER], [
    {
      id: "M248",
      title: "a leader with a full disk transfers leadership to a node with a full disk",
      failure: "leadership goes round between nodes that refuse every write",
      from: "role.peers.get(target)?.hasDiskSpace === true",
      to: "role.peers.get(target)?.hasDiskSpace !== undefined",
    },
  ]),
  ...inFile("lib/server/membership/membership_change.ts", [SERVER], [
    {
      id: "M247",
      title: "a member's address becomes any address where a node with its id answers",
      failure: "an address with an empty folder takes the place of the node that has the data",
      from: "found.dataId !== record.dataId",
      to: "found.id !== id",
    },
  ]),
  ...inFile("lib/transport/listener.ts", [NET], [
    {
      id: "M249",
      title: "connections that replace open ones of the same node are not looked at",
      failure: "a copy of a folder beside its original makes both flap, and no node says why",
      from: 'older.closeReason === null && peer.lane !== "probe"',
      to: 'older.closeReason !== null && peer.lane !== "probe"',
    },
  ]),
];
