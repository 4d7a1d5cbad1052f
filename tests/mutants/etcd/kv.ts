/** Mutants of etcd's KV service, and of what the node does for it. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const CONDITIONS = tests("conditions", "tests/unit/etcd/kv/conditions_test.ts");
const CHECKS = tests("checks", "tests/unit/etcd/kv/checks_test.ts");
const RANGES = tests("ranges", "tests/unit/etcd/kv/range_test.ts");
const WRITES = tests("writes", "tests/unit/etcd/kv/writes_test.ts");
const SCANS = tests("scans", "tests/unit/kv/scan_test.ts");

/** Mutants of reads, writes and transactions. */
export const ETCD_KV_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/etcd/kv/txn/conditions.ts", [CONDITIONS], [
    {
      id: "M2730",
      title: "a condition on a revision is passed on as it is",
      failure: "every guarded update of etcd's clients fails, since etcd's revisions are one more",
      from: "number: storeRevision(revision) }",
      to: "number: revision }",
    },
    {
      id: "M2731",
      title: "a key is greater than revision 1 only if it was created later",
      failure: "a transaction takes the branch for an absent key although the key exists",
      from: 'return { comparison: "greater", number: 0 };',
      to: 'return { comparison: "greater", number: 1 };',
    },
  ]),
  ...inFile("lib/etcd/kv/checks.ts", [CHECKS], [
    {
      id: "M2732",
      title: "a key may be put in a nested transaction and beside it",
      failure: "one revision has two versions of a key, which etcd's clients do not expect",
      from: "for (const key of success.puts) add(key);",
      to: "for (const key of success.puts) puts.has(key);",
    },
    {
      id: "M2733",
      title: "nested transactions have as many operations as the outer one",
      failure: "a transaction that etcd refuses is executed",
      from: "for (const operation of success) checkOperation(operation, maxOperations - operations);",
      to: "for (const operation of success) checkOperation(operation, maxOperations);",
    },
  ]),
  ...inFile("lib/etcd/kv/txn/operations.ts", [WRITES], [
    {
      id: "M2734",
      title: "a put that keeps a lease is made although the key does not exist",
      failure: "a client that renews its key writes one without a lease, which never ends",
      from: "return ignoreLease && !ignoreValue;",
      to: "return ignoreLease && ignoreValue;",
    },
    {
      id: "M2735",
      title: "a sorted read of a transaction reads its limit in the order of the keys",
      failure: "a lock sees another contender than the oldest one before itself",
      from: "return isKeyOrder(request) ? limit : 0;",
      to: "return limit;",
    },
  ]),
  ...inFile("lib/etcd/kv/txn/answers.ts", [WRITES], [
    {
      id: "M2736",
      title: "answers before the first change have the revision of the transaction",
      failure: "a client takes what it read for newer than it is",
      from: "const before = changes(executed.outcomes) ? revision - 1 : revision;",
      to: "const before = revision;",
    },
  ]),
  ...inFile("lib/etcd/kv/range/answer.ts", [RANGES], [
    {
      id: "M3225",
      title: "an answer in JSON needs no turn",
      failure: "a hundred requests for 15 MB, of a client that reads nothing, take 2 GB of a node",
      from: "if (this.#bytes > LARGE_JSON_ANSWER_BYTES) this.#endTurn",
      to: "if (this.#bytes < 0) this.#endTurn",
    },
  ]),
  ...inFile("lib/etcd/kv/range/turns.ts", [RANGES], [
    {
      id: "M3228",
      title: "any number of large answers waits for a turn",
      failure: "requests that wait hold up to 5 MiB each, and take gigabytes of a node",
      from: "if (this.#waiting.size >= MAX_WAITING) throw",
      to: "if (this.#waiting.size >= 100_000) throw",
    },
  ]),
  ...inFile("lib/etcd/kv/range/range.ts", [RANGES], [
    {
      id: "M3226",
      title: "a large answer keeps its turn until it was sent, however long that takes",
      failure: "three clients that read nothing have the large reads of all others refused",
      from: "context.clock.after(MAX_SENDING_MS, sink.release)",
      to: "context.clock.after(60_000, sink.release)",
    },
  ]),
  ...inFile("lib/etcd/kv/range/range_stream.ts", [RANGES], [
    {
      id: "M2737",
      title: "the count of a stream is that of the entries that it sent",
      failure: "a client with a limit takes its page for the whole range",
      from: "RANGE_RESPONSE.encode({ header: headerOf(context, pages.present), more, count })",
      to: "RANGE_RESPONSE.encode({ header: headerOf(context, pages.present), more, count: taken })",
    },
  ]),
  ...inFile("lib/etcd/kv/range/sorted_runs.ts", [RANGES], [
    {
      id: "M2738",
      title: "of equal entries later ones come first",
      failure: "entries of one order are answered in another order each time",
      from: "order(nextA, nextB) <= 0",
      to: "order(nextA, nextB) < 0",
    },
  ]),
  ...inFile("lib/etcd/kv/range/read.ts", [RANGES], [
    {
      id: "M3030",
      title: "any number of large ranges is sorted at once",
      failure: "of many sorted reads none is answered in its time",
      from: "const endTurn = await reading.sorts.begin(reading.limits);",
      to: "const endTurn = () => {};",
    },
    {
      id: "M3031",
      title: "a sort of few keys waits for a turn",
      failure: "a lock waits for sorts of all keys",
      from: "if (pages.isAtEnd) return await sortPages(pages, { first, request, reading });",
      to: "",
    },
  ]),
  ...inFile("lib/kv/scan.ts", [SCANS], [
    {
      id: "M2739",
      title: "a past count leaves out keys that were deleted since",
      failure: "Kubernetes shows fewer remaining objects than a list has",
      from: "if (before !== 0 && records.isPut(before)) count++;",
      to: "if (before !== 0 && !records.isPut(before)) count++;",
    },
  ]),
];
