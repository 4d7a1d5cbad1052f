/** Mutants of snapshots, of the acceptance of nodes, and of reads of the past with their bounds. */
import { CLIENT, KV, LINCHECK, SERVER, SIM, tests } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const HISTORY_CRASHES = tests("history", "tests/unit/server/snapshot/history_crash_test.ts");
const STATE_CODEC = tests("codec", "tests/unit/server/snapshot/state_codec_test.ts");
const REVISIONS = tests("revisions", "tests/unit/kv/pages/revision_index_test.ts");
const INSPECTION = tests("inspection", "tests/unit/server/inspect_test.ts");
const CELLS = tests("cells", "tests/unit/kv/pages/cell_heap_test.ts");
const STORE_MEMORY = tests("memory", "tests/unit/kv/pages/store_memory_test.ts");

/** Mutants of snapshots and membership as the server has them. */
export const SNAPSHOT_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/snapshot/snapshots.ts", [SERVER, SIM], [
    {
      id: "M150",
      title: "the log is cut to the newest snapshot, and the one before is of no use",
      failure: "one flipped bit in a snapshot costs a node that could have started",
      from: "return Math.min(previous, this.#sendingBase()",
      to: "return Math.min(previous + newestIndex, this.#sendingBase()",
    },
    {
      id: "M3072",
      title: "an upgraded node without a snapshot takes none when the feature level rises",
      failure: "all nodes started with the version before apply the log differently, and nothing stops them",
      from: "return hasSnapshot || compactedRevision > 0;",
      to: "return hasSnapshot;",
    },
    {
      id: "M3073",
      title: "the snapshot that follows the feature level is taken again and again",
      failure: "after an upgrade every batch of entries begins another snapshot",
      from: "this.#formatVersion = formatVersionOf(view.featureLevel);",
      to: "",
    },
    {
      id: "M234",
      title: "the log is cut as far as the core has compacted it, without checking the disk",
      failure: "a loss of power costs the voter whose snapshot from the leader has no name yet",
      from: "Math.min(compact({ snapshot, compactedIndex }), compactedIndex)",
      to: "compact({ snapshot, compactedIndex })",
    },
    {
      id: "M235",
      title: "a damaged snapshot of the same index counts as taken",
      failure: "an idle leader never repairs it, and a follower that needs it waits forever",
      from: "index === metadata.index && damage === null",
      to: "index === metadata.index && damage !== undefined",
    },
    {
      id: "M237",
      title: "the log is kept without a bound for a snapshot that is being sent",
      failure: "a slow node fills the leader's disk",
      from: "log.bytesSince(index) <= Math.max(limits.sendingBytes, newestBytes) ? index : null",
      to: "log.bytesSince(index) <= Math.max(limits.sendingBytes, newestBytes) ? index : index",
    },
  ]),
  ...inFile("lib/server/membership/members.ts", [SERVER, SIM], [
    {
      id: "M151",
      title: "a node with an emptied disk may call under its old id",
      failure: "its vote counts again, for a log without its acknowledged entries",
      from: "if (isOther(applied)) {",
      to: "if (isOther(applied) && dataId < 0) {",
    },
    {
      id: "M152",
      title: "after a restart it may call until the log is applied again",
      failure: "the same, where a power failure came between",
      from: "if (!isOther(newest)) return null;",
      to: "if (!isOther(applied)) return null;",
      checks: [SERVER],
    },
  ]),
  ...inFile("lib/server/replica.ts", [SERVER, SIM], [
    {
      id: "M153",
      title: "a snapshot says who was a member when the node started, not when it was taken",
      failure: "a node that is restored from it goes by a configuration that is over",
      from: 'if (kind === "configuration") this.#configuration',
      to: 'if (kind === "configuration" && data.length === 0) this.#configuration',
    },
  ]),
  ...inFile("lib/server/snapshot/receiver.ts", [SERVER, SIM], [
    {
      id: "M236",
      title: "pieces of a snapshot from a deposed leader are taken after a newer leader's",
      failure: "chunks of two leaders restart each other's transfers, and none completes",
      from: "chunk.term < Math.max(term, this.#current?.term ?? 0)",
      to: "chunk.term < term",
    },
  ]),
  ...inFile("lib/server/tools/loaded_state.ts", [INSPECTION], [
    {
      id: "M440",
      title: "a deep inspection applies entries that are not known to be committed",
      failure: "it shows a state that the cluster never had",
      from: "hardState: { commitIndex: lastIndex }",
      to: "lastIndex",
    },
    {
      id: "M441",
      title: "a deep inspection reports a structure that is not sound as undamaged",
      failure: "the exit code says that all is well",
      from: "return { state: null, damage: [damage] };",
      to: "return { state: null, damage: [damage].slice(1) };",
    },
  ]),
  ...inFile("lib/kv/state_records.ts", [HISTORY_CRASHES], [
    {
      id: "M442",
      title: "a snapshot says that no history was compacted",
      failure: "a restarted node has a history with holes in it",
      from: "featureLevel, keys.compactedRevision]",
      to: "featureLevel, 0 * keys.compactedRevision]",
    },
    {
      id: "M443",
      title: "a snapshot has the versions of deleted keys without their deletion",
      failure: "a restarted node cannot use its snapshot",
      from: "for (const address of keys.tombstones()) {",
      to: "for (const address of [...keys.tombstones()].slice(1)) {",
    },
  ]),
  ...inFile("lib/kv/pages/store_loader.ts", [STATE_CODEC], [
    {
      id: "M983",
      title: "a snapshot that was received is linked to a store at once",
      failure: "a node with a million events answers nothing for half a second",
      from: "return ++this.#linked % VERSIONS_PER_STEP === 0;",
      to: "return ++this.#linked % VERSIONS_PER_STEP < 0;",
    },
  ]),
  ...inFile("lib/kv/pages/revision_index.ts", [REVISIONS], [
    {
      id: "M984",
      title: "a revision without an event has the place of the next one",
      failure: "a damaged snapshot is loaded, and its versions refer to those of other keys",
      from: "countAt(revision) > 0 ? counts[revision - first] ?? null : null;",
      to: "counts[revision - first] ?? null;",
    },
  ]),
  ...inFile("lib/kv/pages/store_reader.ts", [STATE_CODEC], [
    {
      id: "M980",
      title: "a snapshot passes over all events without a superseded version at once",
      failure: "no client is answered meanwhile: 60 ms after a million keys were loaded",
      from: "else if (++skipped % SKIPPED_PER_STEP === 0) yield null;",
      to: "else if (++skipped % SKIPPED_PER_STEP < 0) yield null;",
    },
  ]),
  ...inFile("lib/kv/pages/paged_store.ts", [STORE_MEMORY], [
    {
      id: "M444",
      title: "what only a released view could reach is never freed",
      failure: "the memory of a node grows with every snapshot",
      from: "let left = limit - this.#views.reclaim(limit);",
      to: "let left = limit;",
    },
  ]),
];

/** Mutants of the reads of the past, and of the bounds and the compaction of the history. */
export const HISTORY_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/pages/past_versions.ts", [KV], [
    {
      id: "M620",
      title: "a read at a revision sees the write of the next one",
      failure: "a reader of the past gets a value that was written later",
      from: "if (version === 0 || this.#records.modRevision(version) <= revision) return version;",
      to: "if (version === 0 || this.#records.modRevision(version) <= revision + 1) return version;",
    },
    {
      id: "M621",
      title: "a read of a key that changes often returns the first version above the revision",
      failure: "a reader of the past gets a value that was written later",
      from: "if (records.compare(key, changed, 0) === 0) return records.previous(changed);",
      to: "if (records.compare(key, changed, 0) === 0) return changed;",
    },
  ]),
  ...inFile("lib/kv/pages/store_reader.ts", [KV, SERVER], [
    {
      id: "M622",
      title: "a listing at a revision does not read the keys that were deleted since",
      failure: "keys that existed at the revision are missing",
      from: "const isPresent = revision === this.revision;",
      to: "const isPresent = revision <= this.revision;",
    },
  ]),
  ...inFile("lib/kv/state_machine.ts", [KV, SERVER], [
    {
      id: "M623",
      title: "a revision below the compacted one is read",
      failure: "a reader gets the remains of a state, or memory that was freed",
      from: 'return revision < this.#store.compactedRevision ? "compacted" : "readable";',
      to: 'return revision < 0 ? "compacted" : "readable";',
    },
    {
      id: "M624",
      title: "the entry of a compaction above the present revision is applied",
      failure: "a client can stop every node with one entry",
      from: 'if (revision > this.#revision) return refused("futureRevision");',
      to: "",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER], [
    {
      id: "M625",
      title: "a leader proposes a compaction above the present revision",
      failure: "an entry of the log for nothing, and no refusal by name",
      from: "plain.revision > revision\n",
      to: "plain.revision < 0\n",
    },
  ]),
  ...inFile("lib/kv/store.ts", [KV], [
    {
      id: "M626",
      title: "a page that ends because of the versions it has read says that it is the last one",
      failure: "the rest of the range is missing from the listing",
      from: "more: address !== 0 || isUnfinished",
      to: "more: address !== 0",
    },
    {
      id: "M627",
      title: "a page of a key's history ends between two versions of one revision",
      failure: "the next page begins below that revision, and versions are missing",
      from: "if (isFull && modRevision !== lastRevision) break;",
      to: "if (isFull && modRevision !== 0) break;",
    },
  ]),
  ...inFile("lib/server/client_service.ts", [SERVER], [
    {
      id: "M628",
      title: "a node answers a stale read of a revision that it has not reached",
      failure: "the pages of a listing fail at the nodes that lag a little",
      from: "if (isStale && (pastRevision(request) ?? 0) <= replica.stateMachine.revision)",
      to: "if (isStale)",
    },
  ]),
  ...inFile("lib/server/leader/history_bound.ts", [SERVER], [
    {
      id: "M629",
      title: "the history is compacted at a revision that was noted just now",
      failure: "versions are dropped before --history-seconds have passed",
      from: "this.#notes.findLastIndex(({ atMs }) => atMs <= now - boundMs);",
      to: "this.#notes.findLastIndex(({ atMs }) => atMs <= now || boundMs < 0);",
    },
    {
      id: "M630",
      title: "a leader goes on with the notes of an earlier term",
      failure: "what was written before another leader's term counts as older than it is known to be",
      from: "if (term !== this.#notedTerm) this.#notes = [];",
      to: "",
    },
  ]),
  ...inFile("lib/client/input.ts", [CLIENT], [
    {
      id: "M631",
      title: "the second page of a listing at a revision is of the present",
      failure: "a listing has keys of two moments",
      from: "revision: cursor === null ? given : cursor.revision };",
      to: "revision: given };",
    },
  ]),
  ...inFile("lib/kv/pages/cell_heap.ts", [CELLS], [
    {
      id: "M670",
      title: "every region's buffer has the same length",
      failure: "the C library keeps the memory of released regions, and a node's memory stays at its peak",
      from: "const longer = Math.min(buffer.byteLength + BUFFER_STEP_BYTES, MAX_BUFFER_BYTES);",
      to: "const longer = Math.min(buffer.byteLength, MAX_BUFFER_BYTES);",
    },
  ]),
];

/** Mutants of the history and of the checks of it. */
export const PAST_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/state_machine.ts", [SIM], [
    {
      id: "M640",
      title: "a node compacts its history when it takes a snapshot",
      failure: "nodes differ in the revisions that they can read",
      from: "return viewOf({",
      to: "this.#store.compact(this.#store.revisionToKeep(500));\n    return viewOf({",
    },
  ]),
  ...inFile("lib/kv/state_records.ts", [KV, SIM], [
    {
      id: "M641",
      title: "a snapshot has no history",
      failure: "a node that was sent a snapshot cannot read past revisions that the others can",
      from: "if (featureLevel >= HISTORY_LEVEL) yield* historyRecords",
      to: "if (featureLevel < HISTORY_LEVEL) yield* historyRecords",
    },
  ]),
  ...inFile("lib/kv/execute_transactions.ts", [KV, SIM], [
    {
      id: "M642",
      title: "a transaction that changes nothing takes a revision",
      failure: "a revision has no event, and a retry of a watch waits for it",
      from: "const isEmpty = featureLevel >= EMPTY_CHANGE_LEVEL && outcomes.every(changesNothing);",
      to: "const isEmpty = featureLevel < EMPTY_CHANGE_LEVEL && outcomes.every(changesNothing);",
    },
  ]),
  ...inFile("lib/kv/pages/paged_store.ts", [KV, SIM], [
    {
      id: "M643",
      title: "compaction frees the version that the first kept event superseded",
      failure: "a read as of the compacted revision finds no key, or another one's bytes",
      from: "if (this.#reclaimedEvent >= this.#firstEvent) break;",
      to: "if (this.#reclaimedEvent > this.#firstEvent) break;",
    },
  ]),
  ...inFile("lib/kv/pages/views.ts", [KV, SIM], [
    {
      id: "M644",
      title: "a page is freed while a view can reach it",
      failure: "a snapshot has bytes of other pages",
      from: "if (this.#pages.epochOf(page) > this.#newestEpoch) this.#pages.free(page);",
      to: "if (page !== 0) this.#pages.free(page);",
    },
  ]),
  ...inFile("lib/lincheck/transactions/transaction.ts", [LINCHECK], [
    {
      id: "M645",
      title: "the conditions of a nested transaction are checked on the state that the outer one has made",
      failure: "a wrong branch is found right, and the right one wrong",
      from: "isMet(condition, run.before)",
      to: "isMet(condition, run)",
    },
    {
      id: "M646",
      title: "a get in a transaction is expected to show the state before the transaction",
      failure: "a store whose transactions do not see their own changes is found right",
      from: "const state = operation.revision === null ? run : run.before",
      to: "const state = operation.revision === null ? run.before : run.before",
    },
  ]),
  ...inFile("lib/lincheck/history.ts", [LINCHECK], [
    {
      id: "M647",
      title: "a read as of a past revision takes effect after its call",
      failure: "a right answer is found wrong",
      from: "return isPast ? Number.NEGATIVE_INFINITY : operation.calledAt;",
      to: "return isPast ? operation.calledAt : operation.calledAt;",
    },
  ]),
  ...inFile("lib/lincheck/transactions/program.ts", [LINCHECK], [
    {
      id: "M648",
      title: "the previous entries of a delete are not compared",
      failure: "a store that returns others is found right",
      from: 'return areSame(seen.previous, actual.previous) ? null : "the previous entries are others";',
      to: "return null;",
    },
  ]),
];
