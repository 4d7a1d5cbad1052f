/** Mutants of the history and of the checks of it: what nodes keep of past revisions, and what counts as right. */
import { KV, LINCHECK, SIM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const PAST_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/kv/state_machine.ts", [SIM], [
    {
      id: "M640",
      title: "a node compacts its history when it takes a snapshot",
      failure: "nodes differ in the revisions that they can read",
      from: "const keys = this.#store.view();",
      to: "this.#store.compact(this.#store.revisionToKeep(500));\n    const keys = this.#store.view();",
    },
  ]),
  ...inFile("lib/kv/state_machine.ts", [KV, SIM], [
    {
      id: "M641",
      title: "a snapshot has no history",
      failure: "a node that was sent a snapshot cannot read past revisions that the others can",
      from: "if (featureLevel >= HISTORY_LEVEL) yield* historyRecords",
      to: "if (featureLevel < HISTORY_LEVEL) yield* historyRecords",
    },
    {
      id: "M642",
      title: "a transaction that changes nothing takes a revision",
      failure: "a revision has no event, and a retry of a watch waits for it",
      from: "const isEmpty = this.#featureLevel >= EMPTY_CHANGE_LEVEL && outcomes.every(changesNothing);",
      to: "const isEmpty = this.#featureLevel < EMPTY_CHANGE_LEVEL && outcomes.every(changesNothing);",
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
