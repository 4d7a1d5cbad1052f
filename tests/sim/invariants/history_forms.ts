/** Commands and results as histories write them: with texts that have one character for each byte. */
import { assert, assertNever } from "../../../lib/platform/assert.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import type { BranchingTransaction, CommandResult, Transaction } from "../../../lib/kv/mod.ts";
import type {
  BranchCondition,
  Branches,
  BranchesResult,
  BranchOperation,
  BranchOutcome,
  KeySet,
  ListedEntry,
} from "../../../lib/lincheck/mod.ts";

type KvOperation = BranchingTransaction["then"][number];
type KvOutcome = Exclude<Extract<CommandResult, { kind: "executed" }>["outcomes"], "omitted">[number];
type KvEntry = Extract<KvOutcome, { kind: "delete" }>["previous"][number];

/** Returns a command as histories write it. Put, delete and so on are transactions without conditions. */
export function branchesOf(command: Transaction | BranchingTransaction): Branches {
  if (command.kind === "branchingTransaction") return branches(command);
  const then = command.mutations.map((mutation): BranchOperation =>
    mutation.kind !== "delete"
      ? { kind: "put", key: textOf(mutation.key), value: textOf(mutation.value), returnPrevious: false }
      : { kind: "delete", keys: { kind: "key", key: textOf(mutation.key) }, returnPrevious: false }
  );
  return { conditions: [], then, else: [] };
}

/** Returns a result as histories write it; null where the outcomes were omitted, or it is not one of a transaction. */
export function branchesResultOf(result: CommandResult): BranchesResult | null {
  if (result.kind === "executed") {
    const { kind, succeeded, outcomes, revision } = result;
    if (outcomes === "omitted") return null;
    return { kind, succeeded, outcomes: outcomes.map(outcomeOf), revision };
  }
  if (result.kind !== "transactionFailed") return null;
  const { reason, position, revision } = result;
  if (reason === "tooManyKeys" || reason === "resultTooLarge") return null;
  if (reason === "leaseNotFound" || reason === "tooManyLeaseKeys") return null;
  return { kind: "failed", reason, position, revision };
}

function branches(from: Pick<BranchingTransaction, "conditions" | "then" | "else">): Branches {
  return {
    conditions: from.conditions.map((condition): BranchCondition => {
      const keys = keySetOf(condition.keys);
      if (condition.kind === "value") return { ...condition, keys, value: textOf(condition.value) };
      const { kind, comparison, number } = condition;
      assert(kind !== "lease", "no transaction of the workload compares leases");
      return { kind, keys, comparison, number };
    }),
    then: from.then.map(operationOf),
    else: from.else.map(operationOf),
  };
}

function operationOf(operation: KvOperation): BranchOperation {
  switch (operation.kind) {
    case "put": {
      const { kind, key, value, returnPrevious } = operation;
      return { kind, key: textOf(key), value: value === null ? null : textOf(value), returnPrevious };
    }
    case "delete":
    case "get":
      return { ...operation, keys: keySetOf(operation.keys) };
    case "sum":
    case "min":
    case "max":
      return { kind: operation.kind, key: textOf(operation.key), operand: textOf(operation.operand) };
    case "transaction":
      return { kind: "transaction", ...branches(operation) };
    default:
      return assertNever(operation);
  }
}

function keySetOf(keys: Extract<KvOperation, { kind: "get" }>["keys"]): KeySet {
  switch (keys.kind) {
    case "key":
      return { kind: "key", key: textOf(keys.key) };
    case "range":
      return {
        kind: "range",
        start: textOf(keys.start),
        end: keys.end === null ? null : textOf(keys.end),
      };
    default:
      return assertNever(keys);
  }
}

function outcomeOf(outcome: KvOutcome): BranchOutcome {
  switch (outcome.kind) {
    case "put": {
      const { previous } = outcome;
      return {
        ...outcome,
        previous: previous === null || previous === "omitted" ? previous : listedEntryOf(previous),
      };
    }
    case "delete":
      return { ...outcome, previous: outcome.previous.map(listedEntryOf) };
    case "get":
      return { ...outcome, entries: outcome.entries.map(listedEntryOf) };
    case "transaction":
      return { ...outcome, outcomes: outcome.outcomes.map(outcomeOf) };
    default:
      return assertNever(outcome);
  }
}

function listedEntryOf({ key, value, createRevision, modRevision, version }: KvEntry): ListedEntry {
  return { key: textOf(key), value: textOf(value), createRevision, modRevision, version };
}

/** Returns bytes as histories write them: one character each. */
export function textOf(bytes: Uint8Array): string {
  return keyText(bytes);
}
