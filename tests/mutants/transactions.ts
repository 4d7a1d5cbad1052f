/** Mutants of transactions with branches. */
import { tests } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const BRANCHES = tests("branches", "tests/unit/kv/branching_test.ts");
const WRITES = tests("writes", "tests/unit/server/replica_test.ts", "tests/unit/server/writes_test.ts");
const NESTING = tests("nesting", "tests/unit/protocol/codec_test.ts", "--filter=decodeCommand");
const RESULTS = tests("results", "tests/unit/protocol/result_values_test.ts");

/** The mutants. */
export const TRANSACTION_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/store.ts", [BRANCHES], [
    {
      id: "M680",
      title: "waiting transactions may compare any number of bytes",
      failure: "256 small transactions that compare 16 MiB each stop all nodes for 40 seconds",
      from: "bytes += count * comparedBytes;",
      to: "bytes += 0 * comparedBytes;",
    },
    {
      id: "M681",
      title: "waiting transactions may go back over any number of versions",
      failure: "256 small transactions that read an old value of a key stop all nodes for seconds",
      from: "versions += this.#pages.eventsAfter(revision);",
      to: "versions += 0 * this.#pages.eventsAfter(revision);",
    },
  ]),
  ...inFile("lib/kv/transaction_plan.ts", [BRANCHES], [
    {
      id: "M650",
      title: "a range delete leaves the last key",
      failure: "a key that was deleted is still there",
      from: "for (const version of found) {\n      this.#store.attachedKeys",
      to:
        'for (const version of keys.kind === "key" ? found : found.slice(0, -1)) {\n      this.#store.attachedKeys',
    },
    {
      id: "M651",
      title: "a get as of the present revision sees what the transaction did",
      failure: "a read of the past shows changes that are not of its revision",
      from: "return operation.revision === null",
      to: "return operation.revision === null || operation.revision === this.#store.pages.revision",
    },
    {
      id: "M652",
      title: "conditions of a nested transaction are checked when its turn comes",
      failure: "a nested transaction takes the branch that the operations before it choose",
      from: "const nested = decision.nested.get(index);",
      to:
        'const late = this.decide(operation, place);\n        const nested = late.kind === "failed" ? undefined : late;',
    },
    {
      id: "M653",
      title: "an operation that fails ends its branch, and the changes before it are made",
      failure: "a failed transaction leaves half of its changes",
      from: 'if (typeof outcome === "string") return { kind: "failed", reason: outcome, position: place };',
      to: 'if (typeof outcome === "string") break;',
    },
    {
      id: "M654",
      title: "a condition on the value holds for a range without keys",
      failure: "a transaction that depends on the value of absent keys is executed",
      from: 'return condition.kind !== "value" && compares(',
      to: 'return condition.kind === "value" || compares(',
    },
    {
      id: "M655",
      title: "ranges may have any number of keys",
      failure: "one transaction that deletes a million keys stops all nodes for seconds",
      from: "if (count > this.#leftKeys) return false;",
      to: "",
    },
    {
      id: "M656",
      title: "sum is computed big-endian",
      failure: "counters of other clients, such as Deno KV's, become other numbers",
      from: "setBigUint64(0, result, true)",
      to: "setBigUint64(0, result, false)",
    },
  ]),
  ...inFile("lib/kv/overlay.ts", [BRANCHES], [
    {
      id: "M657",
      title: "reads of a single key do not see what the transaction did to it",
      failure: "a transaction that puts a key twice, or reads what it has written, works with the old value",
      from: "if (changed !== undefined) return changed.current;",
      to: "",
    },
    {
      id: "M658",
      title: "a key that the transaction has overwritten counts twice in its range",
      failure: "a get says that there is more where there is nothing",
      from: "(isStored ? 1 : 0)",
      to: "(isStored && current === null ? 1 : 0)",
    },
  ]),
  ...inFile("lib/kv/state_machine.ts", [BRANCHES], [
    {
      id: "M659",
      title: "a transaction that changes nothing advances the revision",
      failure: "revisions count reads, and a watch waits for events of revisions that have none",
      from: "if (changes.length > 0) this.#revision = revision;",
      to: "this.#revision = revision;",
    },
  ]),
  ...inFile("lib/kv/feature_level.ts", [BRANCHES], [
    {
      id: "M660",
      title: "transactions with branches are executed at feature level 1",
      failure: "a node of version 0.1.0 refuses the entry that the others apply: the replicas differ",
      from: "return featureLevel >= BRANCHING_LEVEL;",
      to: "return featureLevel >= 0 * BRANCHING_LEVEL;",
    },
  ]),
  ...inFile("lib/kv/sessions/session.ts", [BRANCHES], [
    {
      id: "M661",
      title: "a session remembers all entries of an answer",
      failure: "a few large reads in transactions have every client's session forgotten",
      from: "entryBytes(outcomes) > MAX_REMEMBERED_BYTES",
      to: "entryBytes(outcomes) > 1_000 * MAX_REMEMBERED_BYTES",
    },
  ]),
  ...inFile("lib/kv/validate.ts", [WRITES], [
    {
      id: "M662",
      title: "the limits of a transaction with branches are checked by the leader alone",
      failure: "an entry of a hostile leader puts an empty key, and no snapshot can be read again",
      from: "return validateBranchingTransaction(command, { maxValueBytes: MAX_VALUE_BYTES }) === null;",
      to: "return true;",
    },
  ]),
  ...inFile("lib/protocol/msgpack_reader.ts", [NESTING], [
    {
      id: "M663",
      title: "the levels of nested transactions are not counted",
      failure: "a command of deeply nested transactions overflows the stack of every node",
      from: "this.#nestedLevels += 1;",
      to: "",
    },
  ]),
  ...inFile("lib/protocol/command.ts", [RESULTS], [
    {
      id: "M664",
      title: "the entries of a transaction's result are sent however much waits",
      failure: "a client that reads slowly is closed, and the outcome of its writes is unknown",
      from: "const isShort = entryBytes(result.outcomes) <= MAX_REMEMBERED_BYTES;",
      to: "const isShort = true;",
    },
  ]),
  ...inFile("lib/server/replica.ts", [WRITES], [
    {
      id: "M665",
      title: "a batch of transactions may return any number of bytes",
      failure: "a thousand small commands take gigabytes for their results",
      from: 'if (this.#leftOutcomeBytes <= 0) return { ...result, outcomes: "omitted" };',
      to: "",
    },
  ]),
  ...inFile("lib/server/writes.ts", [WRITES], [
    {
      id: "M666",
      title: "a leader proposes transactions with branches at any feature level",
      failure: "a client learns only that its command is invalid, and the log has an entry that does nothing",
      from: "if (!isOfLevel(command, featureLevel)) return",
      to: "if (!isOfLevel(command, featureLevel) && featureLevel > 9) return",
    },
  ]),
];
