/** Mutants of the client: dialling, deadlines, and the state of nodes. */
import { CLI, CLIENT, SIM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const CLIENT_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/client/dials.ts", [CLIENT], [
    {
      id: "M260",
      title: "the next address is dialled only once the one before it has failed",
      failure: "one frozen node makes a third of short calls fail",
      from: "clock.after(HEAD_START_MS, () => this.#dialNext())",
      to: "clock.after(60_000, () => this.#dialNext())",
    },
    {
      id: "M261",
      title: "a dial that lost its race goes on",
      failure: "every client holds connections to nodes that it does not use",
      from: "dial.stop.abort();",
      to: "",
    },
  ]),
  ...inFile("lib/client/core.ts", [CLIENT], [
    {
      id: "M262",
      title: "connecting gives up when every address has failed once",
      failure: "a client that comes while the nodes start, or are busy, fails inside its deadline",
      from: 'if (failure.hope === "none") throw failure.error;',
      to: 'if (failure.hope !== "later") throw failure.error;',
    },
    {
      id: "M263",
      title: "connecting waits for the leader's dial however long it takes",
      failure: "with a frozen leader every short command fails",
      from: "context.within(HEAD_START_MS).waitFor(",
      to: "context.waitFor(",
    },
  ]),
  ...inFile("lib/client/transaction/branching.ts", [CLIENT], [
    {
      id: "M455",
      title: "outcomes of another number of operations are taken",
      failure: "a confused node's answer gives results to the wrong operations",
      from: "if (operations.length !== outcomes.length) return null;",
      to: "",
    },
    {
      id: "M456",
      title: "an answer without results reads as one of no operations",
      failure: "a program that retried believes that it has read nothing, or that nothing ran",
      from: 'if (outcomes === "omitted") throw answerOmitted(answer);',
      to: 'if (outcomes === "omitted") return { succeeded, results: [], revision };',
    },
    {
      id: "M457",
      title: "the position of a failed operation of else is counted from the beginning of then",
      failure: "the error names an operation that does not exist",
      from: "isThen ? index : index - inner.then.length",
      to: "index",
    },
    {
      id: "M458",
      title: "of two targets of a check one is taken",
      failure: "a check with exists and value does not check the value",
      from: "if (given.length !== 1) {",
      to: "if (given.length < 1) {",
    },
  ]),
  ...inFile("lib/client/cluster.ts", [CLIENT], [
    {
      id: "M264",
      title: "a node from which nothing comes in time counts as unreachable",
      failure: "an operator takes a frozen node for a dead one",
      from: "error instanceof TimeoutError",
      to: "error instanceof TimeoutError && timeoutMs < 0",
    },
    {
      id: "M265",
      title: "the probe of an address may take the whole deadline of a status",
      failure: "one frozen address makes every node look down",
      from: "context.within(context.remainingMs / 2).waitFor(",
      to: "context.waitFor(",
    },
  ]),
  ...inFile("lib/cli/options.ts", [CLI], [
    {
      id: "M266",
      title: "a command's deadline starts again once the client is connected",
      failure: "a command takes up to twice its deadline",
      from: "spentMs === 0 ? wholeMs",
      to: "spentMs >= 0 ? wholeMs",
    },
  ]),
  ...inFile("lib/client/retry.ts", [CLIENT], [
    {
      id: "M267",
      title: "a nested error is printed completely",
      failure: "messages read Cannot this, Cannot that, Cannot something else",
      from: "reasonOf(message.slice(end + SEPARATOR.length))",
      to: "message",
    },
  ]),
  ...inFile("lib/client/watch/connection_watches.ts", [CLIENT, SIM], [
    {
      id: "M870",
      title: "a node that refuses to say how far its watches are counts as one that serves them",
      failure: "a watch stays at a node that gets no new entries, and shows nothing more",
      from: 'if (end.kind === "refused") this.lose(end.error.message);\n      else if',
      to: "if",
    },
  ]),
  ...inFile("lib/cli/commands/cluster/members.ts", [CLI], [
    {
      id: "M268",
      title: "a node that the leader has never heard from lags by all of the log",
      failure: "a dead leader is shown with a lag that no node measured",
      from: "peer.lastContactMs === null ? null : lagOf(peer, leader)",
      to: "lagOf(peer, leader)",
    },
  ]),
  ...inFile("lib/cli/commands/cluster/status.ts", [CLI], [
    {
      id: "M269",
      title: "status ends with 0 without a leader",
      failure: "a script considers a cluster healthy that serves no client",
      from: "exitCode: leader === null ? ExitCode.unavailable",
      to: "exitCode: term < 0 ? ExitCode.unavailable",
    },
  ]),
];
