/** Mutants of the client: dialling, deadlines, and the state of nodes. */
import { CLI, CLIENT, SERVER, SIM } from "./checks.ts";
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
  ...inFile("lib/client/pool.ts", [CLIENT], [
    {
      id: "M684",
      title: "a suspended node is asked again while other nodes answer",
      failure: "a write waits for four seconds although a new leader was elected within one",
      from: "const connection = this.#current(except, (one) => !one.isSuspect);",
      to: "const connection = this.#current(except);",
    },
  ]),
  ...inFile("lib/server/forwarding.ts", [SERVER], [
    {
      id: "M685",
      title: "writes that were forwarded to an earlier leader wait although another one is known",
      failure: "writes over a follower stop for two election timeouts when the leader is suspended",
      from: "this.#loseAll((other) => other !== leader);",
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
  ...inFile("lib/client/cluster.ts", [SERVER], [
    {
      id: "M3055",
      title: "reports of all nodes have the time that a node waits for a frozen member",
      failure: "top shows old figures, and programs get an error, in the seconds after a node was suspended",
      from: 'checked === "all" ? "collection" : "read"',
      to: '"read"',
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
  ...inFile("lib/client/watch/watch.ts", [CLIENT], [
    {
      id: "M810",
      title: "a revision that was queued before is queued again",
      failure: "a program sees a change twice after its watch has gone to another node",
      from: "if (this.#next !== null && revision < this.#next) return; // queued before",
      to: "",
    },
    {
      id: "M945",
      title: "progress of a watch is reported only when the revision advances",
      failure: "a program that stops without progress stops while nothing is written",
      from: "if (this.#next !== null && revision < this.#next - 1) return;",
      to: "if (this.#next !== null && revision < this.#next) return;",
    },
    {
      id: "M811",
      title: "the parts of a revision are kept over the loss of their node",
      failure: "a program sees the first events of a revision twice",
      from: "this.#parts = [];\n    return new Promise",
      to: "return new Promise",
    },
    {
      id: "M812",
      title: "progress does not move the place from which a watch goes on",
      failure: "an idle watch finds its history compacted as soon as it loses its node",
      from: "this.#next = revision + 1;\n    if (this.#plan.progress)",
      to: "if (this.#plan.progress)",
    },
    {
      id: "M827",
      title: "a watch asks the node again that refused it as busy",
      failure: "a client never watches while the leader has too many watches, though other nodes have space",
      from: "decision.except ?? busyNode(end.failure);",
      to: "decision.except;",
    },
  ]),
  ...inFile("lib/client/watch/batch_queue.ts", [CLIENT], [
    {
      id: "M813",
      title: "the batches that wait for a slow program have no bound",
      failure: "a program that reads slowly takes memory without bound",
      from: "return this.#waiting.length >= MAX_WAITING_BATCHES || this.#bytes >= MAX_WAITING_BATCH_BYTES;",
      to: "return false;",
    },
  ]),
  ...inFile("lib/client/watch/connection_watches.ts", [CLIENT], [
    {
      id: "M814",
      title: "a watch that the program ends is not cancelled at its node",
      failure: "the node sends events that nothing reads until the connection ends",
      from: "if (!this.#receivers.delete(watchId)) return;\n    this.#sendCancel(watchId);",
      to: "if (!this.#receivers.delete(watchId)) return;",
    },
    {
      id: "M815",
      title: "a watch that begins after it was cancelled is left open",
      failure: "the node serves a watch that the client does not know",
      from: "return this.#sendCancel(watchId);",
      to: "return;",
    },
    {
      id: "M826",
      title: "a watch that is lost while its connection is open is not cancelled at its node",
      failure: "the node sends events that nothing reads, and counts the watch, until the connection ends",
      from: 'this.#sendCancel(watchId);\n      this.#end(watchId, { kind: "lost", reason });',
      to: 'this.#end(watchId, { kind: "lost", reason });',
    },
  ]),
  ...inFile("lib/client/pool.ts", [CLIENT], [
    {
      id: "M825",
      title: "a former leader is not asked for a sign of life once another one is known",
      failure: "watches at a frozen leader show nothing for several seconds more",
      from: "if (connection.node !== leader) connection.watches.verify();",
      to: "if (connection.node === leader) connection.watches.verify();",
    },
  ]),
  ...inFile("lib/client/leases/lease_client.ts", [CLIENT], [
    {
      id: "M760",
      title: "a keep-alive waits behind the other calls of its client",
      failure: "a client with thousands of puts loses its lock, though it and the cluster are well",
      from: "await core.runner.askAhead(call);",
      to: "await core.runner.ask(call);",
    },
  ]),
  ...inFile("lib/client/leases/keeper.ts", [CLIENT], [
    {
      id: "M816",
      title: "a lease counts from the answer to its keep-alive",
      failure: "a holder believes in its lock after another one has it",
      from: "lease.confirmedAt = sentAt;",
      to: "lease.confirmedAt = this.#core.clock.now();",
    },
    {
      id: "M761",
      title: "a lease whose id is granted again is forgotten",
      failure: "its holder never learns that it has ended",
      from: "if (before !== undefined) this.#lose(",
      to: "if (before === null) this.#lose(",
    },
    {
      id: "M817",
      title: "no lease is asked for while a request for another one is in flight",
      failure: "the request for a lease of a minute holds up one of a second, which is lost",
      from: "if (!lease.isAsked) next",
      to: "if (![...this.#leases.values()].some(({ isAsked }) => isAsked)) next",
    },
  ]),
  ...inFile("lib/client/leases/held_lease.ts", [CLIENT], [
    {
      id: "M818",
      title: "a lease that was lost during a suspension is found lost only once timers run",
      failure: "a program that resumes still sees its lock as held",
      from: "this.#core.leaseKeeper.check(this.#kept);",
      to: "",
    },
  ]),
  ...inFile("lib/client/locks/queue.ts", [CLIENT], [
    {
      id: "M819",
      title: "contenders are ordered by their keys",
      failure: "a contender with a lesser lease id takes the lock of its holder",
      from: "own.toSorted(byCreation)",
      to: "own",
    },
    {
      id: "M820",
      title: "the watch of the contender before begins a revision late",
      failure: "a contender waits forever for one that has left",
      from: "revision + 1, signal",
      to: "revision + 2, signal",
    },
    {
      id: "M821",
      title: "every contender waits for the holder",
      failure: "each release wakes all contenders",
      from: "const before = entries[position - 1];",
      to: "const before = position === 0 ? undefined : entries[0];",
    },
    {
      id: "M822",
      title: "keys of other locks below the name count as contenders",
      failure: "a lock is never had while another one with a longer name is held",
      from: "return name.startsWith(this.#prefix) && ID_PATTERN.test(name.slice(this.#prefix.length));",
      to: "return name.startsWith(this.#prefix);",
    },
    {
      id: "M823",
      title: "a contender that gives up leaves its key",
      failure: "those behind it wait until its lease ends",
      from: "const isLost = lease.lost.aborted;\n        await lease[Symbol.asyncDispose]();",
      to: "const isLost = lease.lost.aborted;",
    },
  ]),
  ...inFile("lib/client/keyspace.ts", [CLIENT], [
    {
      id: "M824",
      title: "a range without an end goes beyond the prefix",
      failure: "a delete below a prefix removes keys of others",
      from: "return last === null ? given : { ...given, end: last };",
      to: "return given;",
    },
  ]),
];
