/** Mutants of transactions with branches, and of leases. */
import { tests } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const BRANCHES = tests("branches", "tests/unit/kv/branching_test.ts");
const LEVELS = tests("feature levels", "tests/unit/server/membership/feature_levels_test.ts");
const WRITES = tests("writes", "tests/unit/server/replica_test.ts", "tests/unit/server/writes_test.ts");
const NESTING = tests("nesting", "tests/unit/protocol/codec_test.ts", "--filter=decodeCommand");
const RESULTS = tests("results", "tests/unit/protocol/result_values_test.ts");
const LEASES = tests("leases", "tests/unit/kv/leases");
const STORE = tests("store", "tests/unit/kv/pages/paged_store_test.ts", "--filter=memory is released");
const SNAPSHOTS = tests("snapshots", "tests/unit/server/snapshot/state_codec_test.ts");
const STAMPS = tests("stamps", "tests/unit/protocol/codec_test.ts", "--filter=peekSessionStamp");

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
  ...inFile("lib/kv/execute_transactions.ts", [BRANCHES], [
    {
      id: "M659",
      title: "a transaction that changes nothing advances the revision",
      failure: "revisions count reads, and a watch waits for events of revisions that have none",
      from: "revision: changes.length > 0 ? revision : before,",
      to: "revision: changes.length >= 0 ? revision : before,",
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
      from: "if (!isOfLevel(command, featureLevel)) {",
      to: "if (!isOfLevel(command, featureLevel) && featureLevel > 9) {",
    },
    {
      id: "M2620",
      title: "a leader that was just elected leaves the feature level to the state machine",
      failure: "a write in the first moment of a cluster is refused for good as unknown",
      from: "return isCurrent ? levels.refusalOf(featureOf(plain)) : justElected();",
      to: "return isCurrent ? levels.refusalOf(featureOf(plain)) : null;",
    },
  ]),
  ...inFile("lib/server/membership/feature_levels.ts", [LEVELS], [
    {
      id: "M2621",
      title: "a node that has not reported its version counts as older",
      failure: "requests in the first moments of a cluster fail for good, although nothing is wrong",
      from: "(this.#levelOf(id) ?? FEATURE_LEVEL) < FEATURE_LEVEL",
      to: "(this.#levelOf(id) ?? 0) < FEATURE_LEVEL",
    },
    {
      id: "M2622",
      title: "a node that is known to be older is waited for",
      failure: "a program waits until its deadline for what an operator has to upgrade",
      from: '        "invalidRequest",\n',
      to: '        "noLeader",\n',
    },
    {
      id: "M2623",
      title: "the level is raised while a member is away",
      failure: "a node that returns with its older version is refused by its cluster",
      from: "(this.#levelOf(id) ?? 0) >= FEATURE_LEVEL && this.#isConnected(id)",
      to: "(this.#levelOf(id) ?? 0) >= FEATURE_LEVEL",
    },
  ]),
];

/** Mutants of leases and of keys that expire. */
export const EXPIRY_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/leases/execute_leases.ts", [LEASES], [
    {
      id: "M701",
      title: "leases that end in one entry have their keys deleted in a revision each",
      failure: "a watcher sees half of an entry, and an entry takes several revisions",
      from: "endLease(leaseId, keys, state);\n    ended++;",
      to: "endLease(leaseId, keys, { ...state, revision: state.revision + ended });\n    ended++;",
    },
    {
      id: "M702",
      title: "leases above the number of keys that one entry deletes end without their keys",
      failure: "keys of clients that have crashed are never deleted",
      from: ">= leases.limits.maxEndedKeys) break;",
      to: ">= leases.limits.maxEndedKeys) {\n      leases.remove(leaseId);\n      continue;\n    }",
    },
  ]),
  ...inFile("lib/kv/leases/leased_keys.ts", [LEASES], [
    {
      id: "M703",
      title: "the end of a lease leaves a key",
      failure: "a lock stays taken after its holder has crashed",
      from: "return this.#pages.indexes.leased.keysOf(leaseId).keys;",
      to: "return this.#pages.indexes.leased.keysOf(leaseId).keys.slice(1);",
    },
    {
      id: "M704",
      title: "one entry deletes any number of expired keys",
      failure: "a million keys of one expiry time stop all nodes for seconds",
      from: "entriesUpTo(untilMs, limit);",
      to: "entriesUpTo(untilMs, limit * 9);",
    },
  ]),
  ...inFile("lib/kv/leases/leases.ts", [LEASES], [
    {
      id: "M700",
      title: "a lease ends when the log's time reaches its deadline",
      failure: "it ends up to a millisecond early: so much may be uncounted when its time begins",
      from: "heap.firstDeadlineMs < nowMs",
      to: "heap.firstDeadlineMs <= nowMs",
    },
    {
      id: "M705",
      title: "a keep-alive lengthens a lease by its time to live",
      failure: "a lease that is kept alive often ends long after its holder has crashed",
      from: "this.#table.setDeadline(leaseId, nowMs + ttlMs);",
      to: "this.#table.setDeadline(leaseId, (this.#table.deadlineMs(leaseId) ?? nowMs) + ttlMs);",
    },
    {
      id: "M706",
      title: "a lease that has ended can be kept alive",
      failure: "two clients hold one lock",
      from: "this.#table.remove(leaseId);",
      to: "this.#table.setDeadline(leaseId, Infinity);",
    },
  ]),
  ...inFile("lib/kv/leases/deadline_heap.ts", [LEASES], [
    {
      id: "M707",
      title: "of leases with one deadline those granted first come first in the heap",
      failure: "a restored node ends leases in another order, and the replicas differ",
      from: "(deadlineMs === other && leaseId < (this.#ids[position] ?? 0))",
      to: "(deadlineMs === other && leaseId < 0 * (this.#ids[position] ?? 0))",
    },
  ]),
  ...inFile("lib/kv/leases/lease_table.ts", [LEASES], [
    {
      id: "M708",
      title: "a snapshot that is being written shows later keep-alives",
      failure: "nodes write different snapshots of one index",
      from: "if (chunk.generation === this.#generation) return chunk;",
      to: "if (chunk.generation <= this.#generation) return chunk;",
    },
  ]),
  ...inFile("lib/kv/leases/attached_keys.ts", [LEASES], [
    {
      id: "M709",
      title: "a key that is put again counts twice for its lease",
      failure: "a lease with its full number of keys refuses new values of them",
      from: "if (from === to) return null;",
      to: "",
    },
  ]),
  ...inFile("lib/kv/pages/paged_store.ts", [LEASES], [
    {
      id: "M710",
      title: "a key that moves to another lease stays with the first one too",
      failure: "the end of the first lease deletes a key that another holder has",
      from: "if (leaseBefore !== 0) this.#leased.remove(leaseBefore, key);",
      to: "",
    },
    {
      id: "M711",
      title: "a plain put leaves its key in the index of leases",
      failure: "the end of a lease deletes a key that is not attached to it",
      from: "if (attached !== NOT_ATTACHED || records.isAttached(before)) this.#reattach",
      to: "if (attached !== NOT_ATTACHED) this.#reattach",
    },
    {
      id: "M712",
      title: "a plain put keeps the lease of its key",
      failure: "a key that was put to stay is deleted with the lease that it had before",
      from: "numbers.leaseId = leaseId;",
      to: "numbers.leaseId = leaseId === 0 ? records.leaseId(before) : leaseId;",
    },
    {
      id: "M713",
      title: "a deleted key stays in the indexes",
      failure: "the end of a lease deletes a key that was created again",
      from: "if (records.isAttached(before)) this.#reattach(key, before, NOT_ATTACHED);",
      to: "",
    },
  ]),
  ...inFile("lib/kv/pages/store_loader.ts", [LEASES], [
    {
      id: "M714",
      title: "a restored store has no key under its lease",
      failure: "after a restart the end of a lease leaves its keys",
      from: "if (leaseId !== 0) this.#parts.leased.add(leaseId, key);",
      to: "",
    },
  ]),
  ...inFile("lib/kv/pages/records.ts", [STORE], [
    {
      id: "M715",
      title: "a version that is moved to another cell loses its lease",
      failure: "a node forgets to which lease a key is attached, and the others do not",
      from: "leaseId: this.leaseId(address),",
      to: "leaseId: 0,",
    },
  ]),
  ...inFile("lib/kv/state_records.ts", [LEASES], [
    {
      id: "M716",
      title: "a restored lease has its whole time to live again",
      failure: "replicas end a lease at different entries, and restarts lengthen it",
      from: "this.#leases.add({ leaseId, ttlMs, deadlineMs, ownerId });",
      to:
        "const deadline = (this.#header?.[3] ?? 0) + ttlMs;\n        this.#leases.add({ leaseId, ttlMs, deadlineMs: Math.max(deadlineMs, deadline), ownerId });",
    },
    {
      id: "M717",
      title: "a snapshot has no expiry of keys without a lease",
      failure: "keys that expire stay after a restart",
      from: "if (leaseId + expiresAtMs === 0) yield order",
      to: "if (leaseId === 0) yield order",
    },
  ]),
  ...inFile("lib/kv/transaction_plan.ts", [LEASES], [
    {
      id: "M718",
      title: "sum detaches its key from the lease",
      failure: "a counter stays after its holder has crashed",
      from: "const attachment = before === null ? {} : this.#overlay.attachmentOf(before);",
      to: "const attachment = {};",
    },
  ]),
  ...inFile("lib/kv/feature_level.ts", [LEASES], [
    {
      id: "M719",
      title: "leases exist at feature level 1",
      failure: "a node of version 0.1.0 refuses the entry that the others apply: the replicas differ",
      from: 'case "deleteExpired":\n      return featureLevel >= LEASE_LEVEL;',
      to: 'case "deleteExpired":\n      return featureLevel >= 0 * LEASE_LEVEL;',
    },
  ]),
  ...inFile("lib/server/snapshot/state_reader.ts", [SNAPSHOTS], [
    {
      id: "M720",
      title: "a snapshot may have leases that no log can have granted",
      failure: "a lease of a hostile backup never ends",
      from: 'upTo(input, "deadlineMs", this.#logTimeMs + ttlMs, ttlMs)',
      to: 'upTo(input, "deadlineMs", Number.MAX_SAFE_INTEGER, ttlMs)',
    },
  ]),
  ...inFile("lib/protocol/command.ts", [STAMPS], [
    {
      id: "M721",
      title: "grants and revocations are forwarded as if they had no session",
      failure:
        "a revocation that a leader change interrupts is reported as unknown, though a retry would tell",
      from: "  COMMAND.numbers.grantLease,\n  COMMAND.numbers.revokeLease,\n",
      to: "",
    },
  ]),
];
