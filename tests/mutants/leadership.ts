/** Mutants of a leader's answers to waiting requests, of its count of reachable nodes, and of lease reads. */
import { GOLDEN, NET, RAFT, RANDOM, SERVER, SIM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const LEASE_CHECKS = [RAFT, RANDOM, SIM];

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
    {
      id: "M3146",
      title: "a leader reconciles its members only once",
      failure: "a learner that takes long to catch up never becomes a voter",
      from: "    this.start();\n    this.#reconcile();",
      to: "    this.#dueMs = null;\n    this.#reconcile();",
    },
  ]),
  ...inFile("lib/server/leader/log_clock.ts", [SERVER], [
    {
      id: "M243",
      title: "the counts of other leaders are not noted by those that follow",
      failure: "each leader counts the same minutes again: sessions expire while their clients are at work",
      from: "if (index !== this.#countIndex) {",
      to: "if (index !== this.#countIndex && leadingTerm() !== null) {",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER], [
    {
      id: "M244",
      title: "a busy leader refuses the retry of a write that is under way as not applied",
      failure: "a client writes again under a new number what is applied a moment later",
      from: "if (stamp !== null && this.#inFlight.join(stamp, answer)) return true;",
      to: "if (stamp !== null && stamp.sessionId < 0) return true;",
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
      failure: "an address with an empty directory takes the place of the node that has the data",
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

export const LEASE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/raft/election.ts", LEASE_CHECKS, [
    {
      id: "M179",
      title: "a voter votes for another node while its lease lasts",
      failure: "a second leader writes while the first still answers reads",
      from: " || state.isLeased) return true;",
      to: ") return true;",
    },
    {
      id: "M190",
      title: "a voter's promise ends with the term in which it was made",
      failure:
        "a late answer brings the next term, and the vote in it elects a second leader beside the one with the lease",
      from: "const isBound = state.isLeased && !message.leadershipTransfer;",
      to: "const isBound = false;",
    },
  ]),
  ...inFile("lib/raft/follower.ts", LEASE_CHECKS, [
    {
      id: "M180",
      title: "a voter campaigns while its lease lasts",
      failure: "its own vote is the one that was missing",
      from: "const { isLeased } = state;",
      to: "const isLeased = false;",
    },
  ]),
  ...inFile("lib/raft/state.ts", LEASE_CHECKS, [
    {
      id: "M181",
      title: "a voter that starts again votes at once",
      failure: "the leader relied on a lease that the voter has forgotten",
      from: "const mayHaveGranted = hardState.term > 0;",
      to: "const mayHaveGranted = false;",
    },
  ]),
  ...inFile("lib/server/driver.ts", [SERVER], [
    {
      id: "M601",
      title: "reads share an answer that was given under a lease",
      failure: "a read that arrives after the lease has ended is answered from an old state",
      from: "if (this.#raft.holdsLease) return",
      to: "if (false) return",
    },
    {
      id: "M602",
      title: "reads share a read index that the core has answered already",
      failure: "a read does not see a write that was acknowledged before it began",
      from: "      this.#sharedRead = null;\n",
      to: "",
    },
  ]),
  ...inFile("lib/raft/transfer.ts", LEASE_CHECKS, [
    {
      id: "M182",
      title: "a leader keeps its lease when it sends TimeoutNow",
      failure: "such an election heeds no promise: stale reads beside the new leader's writes",
      from: "role.lease?.revoke();",
      to: "",
    },
  ]),
  ...inFile("lib/raft/lease.ts", LEASE_CHECKS, [
    {
      id: "M183",
      title: "a lease is counted from when the answer came",
      failure: "it outlives the promise by as long as the answer took",
      from: "const untilMs = begun.atMs +",
      to: "const untilMs = this.#config.now() +",
    },
    {
      id: "M184",
      title: "a leader counts on all of a promise",
      failure: "the voter's clock is a little faster than its own",
      from: "const TRUSTED_SHARE = 0.9;",
      to: "const TRUSTED_SHARE = 1;",
    },
    {
      id: "M185",
      title: "one voter's promise is enough",
      failure: "all others may have elected another leader",
      from: "return hasQuorum(\n      confState,\n      (node) => node === leader ||",
      to: "return [...confState.voters].some(\n      (node) => node !== leader &&",
    },
  ]),
  ...inFile("lib/raft/raft.ts", LEASE_CHECKS, [
    {
      id: "M186",
      title: "a read under a lease is answered before this leader has committed in its term",
      failure: "the answer lacks a write that the last leader acknowledged",
      from: 'if (role.kind !== "leader" || !canServeReads(state, role)) return { kind: "refused" };',
      to: 'if (role.kind !== "leader") return { kind: "refused" };',
    },
  ]),
  ...inFile("lib/server/node.ts", [SERVER], [
    {
      id: "M187",
      title: "a server with lease reads enabled does not use them",
      failure: "the mode does nothing",
      from: 'lease: options.readMode === "lease" ?',
      to: 'lease: options.readMode !== "lease" && options.readMode !== "read-index" ?',
    },
  ]),
];
