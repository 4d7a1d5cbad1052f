/** Mutants of reads under a lease (reliability.md §3, 17). */
import { RAFT, RANDOM, SERVER, SIM } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

const CHECKS = [RAFT, RANDOM, SIM];

export const LEASE_MUTANTS: readonly Mutant[] = [
  {
    id: "M179",
    title: "a voter helps to elect somebody else though it has promised not to",
    failure: "a second leader writes while the first still answers reads",
    file: "lib/raft/election.ts",
    from: " || state.isLeased) return true;",
    to: ") return true;",
    checks: CHECKS,
  },
  {
    id: "M180",
    title: "a voter campaigns though it has promised to elect nobody else",
    failure: "its own vote is the one that was missing",
    file: "lib/raft/follower.ts",
    from: "const { isLeased } = state;",
    to: "const isLeased = false;",
    checks: CHECKS,
  },
  {
    id: "M181",
    title: "a voter that starts again votes at once",
    failure: "what it has promised and forgotten was counted on",
    file: "lib/raft/state.ts",
    from: "const mayHaveGranted = hardState.term > 0;",
    to: "const mayHaveGranted = false;",
    checks: CHECKS,
  },
  {
    id: "M182",
    title: "a leader keeps its lease when it tells another node to campaign",
    failure: "such an election heeds no promise: stale reads beside the new leader's writes",
    file: "lib/raft/transfer.ts",
    from: "role.lease?.revoke();",
    to: "",
    checks: CHECKS,
  },
  {
    id: "M183",
    title: "a lease is counted from when the answer came",
    failure: "it outlives the promise by as long as the answer took",
    file: "lib/raft/lease.ts",
    from: "const untilMs = begun.atMs +",
    to: "const untilMs = this.#config.now() +",
    checks: CHECKS,
  },
  {
    id: "M184",
    title: "a leader counts on all of a promise",
    failure: "the voter's clock is a little faster than its own",
    file: "lib/raft/lease.ts",
    from: "const TRUSTED_SHARE = 0.9;",
    to: "const TRUSTED_SHARE = 1;",
    checks: CHECKS,
  },
  {
    id: "M185",
    title: "one voter's promise is enough",
    failure: "all others may have elected somebody",
    file: "lib/raft/lease.ts",
    from: "return hasQuorum(\n      confState,\n      (node) => node === leader ||",
    to: "return [...confState.voters].some(\n      (node) => node !== leader &&",
    checks: CHECKS,
  },
  {
    id: "M186",
    title: "a read under a lease is answered before this leader has committed in its term",
    failure: "what the last leader acknowledged is missing in the answer",
    file: "lib/raft/raft.ts",
    from: 'if (role.kind !== "leader" || !canServeReads(state, role)) return { kind: "refused" };',
    to: 'if (role.kind !== "leader") return { kind: "refused" };',
    checks: CHECKS,
  },
  {
    id: "M190",
    title: "a voter's promise ends with the term in which it was made",
    failure:
      "somebody's late answer brings the next term, and the vote in it makes a leader beside the one with the lease",
    file: "lib/raft/election.ts",
    from: "const isBound = state.isLeased && !message.leadershipTransfer;",
    to: "const isBound = false;",
    checks: CHECKS,
  },
  {
    id: "M187",
    title: "a server that is told to answer under a lease does not",
    failure: "the mode does nothing",
    file: "lib/server/node.ts",
    from: 'lease: options.readMode === "lease" ?',
    to: 'lease: options.readMode !== "lease" && options.readMode !== "read-index" ?',
    checks: [SERVER],
  },
];
