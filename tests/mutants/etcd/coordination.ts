/** Mutants of etcd's leases, locks and elections. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const LEASES = tests("leases", "tests/unit/etcd/lease/lease_test.ts");
const KEEP_ALIVES = tests("keep-alives", "tests/unit/etcd/lease/keep_alives_test.ts");
const LOCKS = tests("locks", "tests/unit/etcd/concurrency/lock_test.ts");
const ELECTIONS = tests("elections", "tests/unit/etcd/concurrency/election_test.ts");

/** The mutants. */
export const ETCD_COORDINATION_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/etcd/lease/methods.ts", [LEASES], [
    {
      id: "M2800",
      title: "a short lease is granted as long as asked",
      failure: "a lease of no seconds ends before its client can keep it alive",
      from: "Math.max(ttl, MIN_TTL_SECONDS)",
      to: "Math.max(ttl, 1)",
    },
    {
      id: "M2801",
      title: "the outcome of a grant without an answer is not found out",
      failure:
        "a client repeats the grant, and a lease that nothing knows keeps its place until its time is over",
      from: 'if (id !== 0n || !(error instanceof KvraftError) || error.outcome !== "unknown") throw error;',
      to: "if (id !== 0n || error instanceof KvraftError) throw error;",
    },
    {
      id: "M2802",
      title: "the lease of another client is taken for the one that was granted",
      failure:
        "two clients share a lease of an id that both chose, and the end of one deletes the keys of the other",
      from: "if (id !== 0n || !(error",
      to: "if (!(error",
    },
    {
      id: "M2803",
      title: "what is left of a lease is rounded down",
      failure: "a lease shows 0 s while it and its keys live",
      from: "Math.max(1, Math.ceil(lease.remainingMs / 1_000))",
      to: "Math.floor(lease.remainingMs / 1_000)",
    },
    {
      id: "M2804",
      title: "only the first page of the leases is listed",
      failure: "LeaseLeases leaves leases out",
      from: "if (page.after === null) return {",
      to: "if (page.after !== undefined) return {",
    },
  ]),
  ...inFile("lib/etcd/lease/keep_alives.ts", [KEEP_ALIVES], [
    {
      id: "M2805",
      title: "each message makes a request of its own",
      failure: "a client that keeps a thousand leases alive costs a thousand requests every few seconds",
      from: "if (waiting.length >= MAX_KEEP_ALIVES) this",
      to: "if (waiting.length >= 1) this",
    },
    {
      id: "M2806",
      title: "answers are sent as they come",
      failure: "clients that read the next answer take one lease's for that of another one",
      from: "await Promise.all([ttlMs, before]);",
      to: "await Promise.all([ttlMs]);",
    },
    {
      id: "M2807",
      title: "a failure ends the stream with the client's next message",
      failure: "a client believes for minutes that its lease is kept alive, and loses it",
      from: "last.catch(fail);",
      to: "last.catch(() => {});",
    },
    {
      id: "M2826",
      title: "streams go on while the front end stops",
      failure: "clients learn late that a node stops, and leases of a few seconds end",
      from: "closing.add(onClosing);",
      to: "",
    },
    {
      id: "M2808",
      title: "messages are read without a limit",
      failure: "a client that sends keep-alives without reading fills the memory of the node",
      from: "if (unanswered >= MAX_UNANSWERED) await last;",
      to: "",
    },
    {
      id: "M2809",
      title: "one refused lease fails all that were asked for in its turn",
      failure: "the leases of other clients end because one has lost its right",
      from: 'error.code === "permissionDenied"',
      to: 'error.code === "busy"',
    },
  ]),
  ...inFile("lib/etcd/concurrency/queue.ts", [LOCKS], [
    {
      id: "M2810",
      title: "a contender waits for the first one",
      failure: "one change wakes all who wait, and two of them may hold the lock",
      from: "return before === null || entry.createRevision > before.createRevision",
      to: "return before === null || entry.createRevision < before.createRevision",
    },
    {
      id: "M2811",
      title: "a contender holds the lock although its key has ended",
      failure: "a client whose lease has ended holds a lock together with the next one",
      from: "if (!isThere) return null;",
      to: "",
    },
    {
      id: "M2812",
      title: "a contender counts as alone behind others",
      failure: "every client gets the lock at once",
      from: "isAlone: entry === null",
      to: "isAlone: entry === null || succeeded",
    },
    {
      id: "M2813",
      title: "a queue may be one of reserved keys",
      failure: "a client of etcd reads and writes the keys of databases",
      from: 'if (isReserved(this.#prefix)) throw etcdError("permissionDenied");',
      to: "",
    },
  ]),
  ...inFile("lib/etcd/concurrency/contest.ts", [LOCKS], [
    {
      id: "M3167",
      title: "a request that waits for a lock is in work",
      failure: "hundreds of clients that wait for locks keep the one that holds it from giving it back",
      from: "      noteWaiting();\n",
      to: "",
    },
    {
      id: "M2814",
      title: "a client that has gone stays in the queue",
      failure: "the lock passes to a client that is not there, and nothing gets it until a lease ends",
      from: "if (isOwn && !isStopping()) await queue.leave(place);",
      to: "",
    },
    {
      id: "M2815",
      title: "a request that is given up deletes the key of the lock that its client holds",
      failure: "two clients hold the lock",
      from: "if (isOwn && !isStopping())",
      to: "if (!isStopping())",
    },
    {
      id: "M2816",
      title: "a node that stops deletes the keys of those who wait at it",
      failure: "clients lose their places in the queue whenever a node is restarted",
      from: "if (isOwn && !isStopping())",
      to: "if (isOwn)",
    },
    {
      id: "M2817",
      title: "the server's lease is not kept alive after its client has the lock",
      failure: "a client that waited long holds the lock for a few seconds only",
      from: "if (won.hasWaited) {",
      to: "if (won.leaseId === 0) {",
    },
    {
      id: "M2818",
      title: "the lease of the server is kept alive without end",
      failure: "a lock without a lease is held until the node stops",
      from: "lease.abandon();",
      to: "",
    },
    {
      id: "M2819",
      title: "the same lease campaigns on with its old value",
      failure: "observers see the address of a leader before its restart",
      from: "compareKeys(found.value, value) !== 0",
      to: "compareKeys(found.value, value) === 0",
      checks: [ELECTIONS],
    },
  ]),
  ...inFile("lib/etcd/concurrency/waiting_calls.ts", [LOCKS], [
    {
      id: "M2820",
      title: "any number of calls may wait",
      failure: "a client fills the memory of a node with calls that wait",
      from: "if (this.#count >= MAX_WAITING_CALLS)",
      to: "if (this.#count < 0)",
    },
    {
      id: "M2821",
      title: "calls wait on while the front end stops",
      failure: "a node with waiting clients takes its whole time limit to stop",
      from: "closing.add(onClosing);",
      to: "",
    },
  ]),
  ...inFile("lib/etcd/concurrency/elections.ts", [ELECTIONS], [
    {
      id: "M2822",
      title: "a leader proclaims without proof",
      failure: "a former leader overwrites the value of its successor's key",
      from: "return rev < FIRST_REVISION ? null",
      to: "return rev < 0 ? null",
    },
    {
      id: "M2823",
      title: "a leader is reported again after a compaction",
      failure: "observers see changes of the leader that there were not",
      from: "sent.modRevision === leader.modRevision && ",
      to: "sent.modRevision !== leader.modRevision && ",
    },
    {
      id: "M2824",
      title: "values are sent to an observer that does not read",
      failure: "a slow observer fills the memory of the node",
      from: "if (!isTaken) await messages.whenWritable();",
      to: "if (isTaken) await messages.whenWritable();",
    },
  ]),
  ...inFile("lib/etcd/concurrency/failures.ts", [LOCKS], [
    {
      id: "M2825",
      title: "locks and elections have statuses of their own",
      failure: "clients that compare with etcd's status take a lost lease for another failure",
      from: ': new EtcdError("unknown", message)',
      to: ": error",
    },
  ]),
];
