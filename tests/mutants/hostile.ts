/**
 * Faults that hostile programs and scarce resources bring out: what the fuzz of well-formed frames and the simulator's
 * intruders must notice.
 */
import { HOSTILE, SIM } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

/** Mutants of how nodes bear what arrives and what runs out. */
export const HOSTILE_MUTANTS: readonly Mutant[] = [
  {
    id: "M210",
    title: "a node that lacks descriptors accepts no connection ever after",
    failure: "nobody reaches it until it is started again",
    file: "lib/net/accept_loop.ts",
    from: "await pause(ACCEPT_RETRY_MS, { clock, signal });",
    to: "return void await pause(ACCEPT_RETRY_MS, { clock, signal });",
    checks: [SIM],
  },
  {
    id: "M213",
    title: "any term that a member names is taken",
    failure: "one frame leaves a cluster without a next term",
    file: "lib/server/node.ts",
    from: 'if ("term" in message && !this.#termGuard.allows(message.term, this.#raft.term)) {',
    to: 'if ("term" in message && !this.#termGuard.allows(message.term, message.term)) {',
    checks: [HOSTILE, SIM],
  },
  {
    id: "M215",
    title: "whoever claims to lead the term is followed",
    failure: "a member that says so takes a cluster's followers from its leader",
    file: "lib/raft/follower.ts",
    from: "if (role.leader !== null && role.leader !== message.from) return false;",
    to: "if (role.leader !== null && role.leader < 0) return false;",
    checks: [HOSTILE],
  },
];
