/** The effects of transactions, in both of their forms, on the keys. */
import { assert } from "../platform/assert.ts";
import type { BranchingTransaction } from "./branching_command.ts";
import type { MutationOutcome, Transaction } from "./command.ts";
import { EMPTY_CHANGE_LEVEL, HISTORY_LEVEL } from "./feature_level.ts";
import type { Leases } from "./leases/leases.ts";
import type { TransactionResult } from "./record.ts";
import type { Store } from "./store.ts";

/** The state that transactions change. */
export interface TransactedState {
  readonly store: Store;
  readonly leases: Leases;
  readonly featureLevel: number;
  /** The revision of the last change. All changes of a transaction are made in the next one. */
  readonly revision: number;
}

/** Executes a valid transaction. The revision of the result is that of the state afterwards. */
export function executeTransaction(
  transaction: Transaction,
  { store, leases, featureLevel, revision: before }: TransactedState,
): TransactionResult {
  const failure = transaction.checks.length === 0 ? null : store.failedChecks(transaction);
  if (failure !== null) return { kind: "checksFailed", revision: before, ...failure };
  const attachFailure = store.leased.attachFailure(transaction.mutations, leases);
  if (attachFailure !== null) {
    const { reason, position } = attachFailure;
    return { kind: "transactionFailed", revision: before, reason, position: [position] };
  }
  const outcomes = store.applyAll(transaction.mutations, before + 1);
  const isEmpty = featureLevel >= EMPTY_CHANGE_LEVEL && outcomes.every(changesNothing);
  if (featureLevel < HISTORY_LEVEL) store.dropHistory();
  return { kind: "applied", revision: isEmpty ? before : before + 1, outcomes };
}

/** Makes the changes of a valid transaction that can be executed, all in one revision; the result is as above. */
export function executeBranches(
  transaction: BranchingTransaction,
  { store, leases, revision: before }: TransactedState,
): TransactionResult {
  const revision = before + 1;
  const plan = store.plan(transaction, revision, leases);
  if (plan.kind === "failed") {
    const { reason, position } = plan;
    return { kind: "transactionFailed", revision: before, reason, position };
  }
  const { succeeded, outcomes, changes } = plan;
  for (const change of changes) {
    assert(!changesNothing(store.apply(change, revision)), "a transaction deletes keys that exist");
  }
  return { kind: "executed", revision: changes.length > 0 ? revision : before, succeeded, outcomes };
}

/** Whether a mutation left the store as it was: a delete of an absent key. */
function changesNothing(outcome: MutationOutcome): boolean {
  return outcome.kind === "delete" && !outcome.deleted;
}
