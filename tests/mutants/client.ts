/** Mutants of how the client dials, keeps its deadlines, and says how nodes are. */
import { CLI, CLIENT } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

export const CLIENT_MUTANTS: readonly Mutant[] = [
  {
    id: "M260",
    title: "the next address is dialled only once the one before it has failed",
    failure: "one frozen node makes a third of short calls fail",
    file: "lib/client/dials.ts",
    from: "clock.after(HEAD_START_MS, () => this.#dialNext())",
    to: "clock.after(60_000, () => this.#dialNext())",
    checks: [CLIENT],
  },
  {
    id: "M261",
    title: "a dial that lost its race goes on",
    failure: "every client holds connections to nodes that it does not use",
    file: "lib/client/dials.ts",
    from: "dial.stop.abort();",
    to: "",
    checks: [CLIENT],
  },
  {
    id: "M262",
    title: "connecting gives up when every address has failed once",
    failure: "a client that comes while the nodes start, or are busy, fails inside its deadline",
    file: "lib/client/core.ts",
    from: 'if (failure.hope === "none") throw failure.error;',
    to: 'if (failure.hope !== "later") throw failure.error;',
    checks: [CLIENT],
  },
  {
    id: "M263",
    title: "connecting waits for the leader's dial however long it takes",
    failure: "with a frozen leader every short command fails",
    file: "lib/client/core.ts",
    from: "scope.within(HEAD_START_MS).waitFor(",
    to: "scope.waitFor(",
    checks: [CLIENT],
  },
  {
    id: "M264",
    title: "a node from which nothing comes in time counts as unreachable",
    failure: "an operator takes a frozen node for a dead one",
    file: "lib/client/cluster_status.ts",
    from: "error instanceof TimeoutError",
    to: "error instanceof TimeoutError && timeoutMs < 0",
    checks: [CLIENT],
  },
  {
    id: "M265",
    title: "finding out whose an address is may take the whole time of a status",
    failure: "one frozen address makes every node look down",
    file: "lib/client/cluster_status.ts",
    from: "scope.within(scope.remainingMs / 2).waitFor(",
    to: "scope.waitFor(",
    checks: [CLIENT],
  },
  {
    id: "M266",
    title: "a command's deadline begins anew once the client is connected",
    failure: "a command takes up to twice its deadline",
    file: "lib/cli/command_options.ts",
    from: "spentMs === 0 ? wholeMs",
    to: "spentMs >= 0 ? wholeMs",
    checks: [CLI],
  },
];
