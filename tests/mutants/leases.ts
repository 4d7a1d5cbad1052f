/** Mutants of lease reads. */
import { RAFT, RANDOM, SERVER, SIM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const CHECKS = [RAFT, RANDOM, SIM];

export const LEASE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/raft/election.ts", CHECKS, [
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
  ...inFile("lib/raft/follower.ts", CHECKS, [
    {
      id: "M180",
      title: "a voter campaigns while its lease lasts",
      failure: "its own vote is the one that was missing",
      from: "const { isLeased } = state;",
      to: "const isLeased = false;",
    },
  ]),
  ...inFile("lib/raft/state.ts", CHECKS, [
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
  ...inFile("lib/raft/transfer.ts", CHECKS, [
    {
      id: "M182",
      title: "a leader keeps its lease when it sends TimeoutNow",
      failure: "such an election heeds no promise: stale reads beside the new leader's writes",
      from: "role.lease?.revoke();",
      to: "",
    },
  ]),
  ...inFile("lib/raft/lease.ts", CHECKS, [
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
  ...inFile("lib/raft/raft.ts", CHECKS, [
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
