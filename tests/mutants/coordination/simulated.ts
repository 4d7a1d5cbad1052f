/** Mutants of watches, leases and locks that take a whole cluster under faults to show. */
import { SIM } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const SIMULATED_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/leader/log_clock.ts", [SIM], [
    {
      id: "M871",
      title: "a lease is granted although the last count is seconds old",
      failure: "the next count covers time before the grant, and the lease ends before its holder expects it",
      from: "now - this.#own.countedToMs < 1;",
      to: "now - this.#own.countedToMs < 5_000;",
    },
    {
      id: "M872",
      title: "a leader counts on from when its last count was applied",
      failure: "log time loses each count's commit, and leases end late",
      from: "this.#countedAtMs = this.#takeOwn(index)?.atMs ?? clock.now();",
      to: "this.#countedAtMs = clock.now();",
    },
    {
      id: "M874",
      title: "a leader with leases counts as seldom as one without",
      failure: "a leader that was restarted before its election loses most of a minute of every lease",
      from: "const LEASE_COUNT_MS = 500;",
      to: "const LEASE_COUNT_MS = 50_000;",
    },
  ]),
  ...inFile("lib/server/watch/watch_requests.ts", [SIM], [
    {
      id: "M875",
      title: "a watch is resumed one revision too late",
      failure: "the events of one revision are missing after each reconnect",
      from: "const from = request.from ?? revision + 1;",
      to: "const from = Math.min((request.from ?? revision) + 1, revision + 1);",
    },
  ]),
  ...inFile("lib/client/locks/queue.ts", [SIM], [
    {
      id: "M876",
      title: "a contender does not wait for those before it",
      failure: "two holders write at once",
      from: "if (before === undefined) return true;",
      to: "if (before !== undefined || position === 0) return true;",
    },
  ]),
];
