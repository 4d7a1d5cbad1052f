/** The sizes and copies of outcomes of a branching transaction. */
import type { OperationOutcome } from "./branching_command.ts";
import type { KeyValue } from "./command.ts";
import { assertNever } from "../platform/assert.ts";

/** Bytes that an entry counts for in addition to its key and value. */
const ENTRY_BYTES = 32;

/** Returns the number of outcomes, those of nested transactions included. */
export function countOutcomes(outcomes: readonly OperationOutcome[]): number {
  let count = outcomes.length;
  for (const outcome of outcomes) {
    if (outcome.kind === "transaction") count += countOutcomes(outcome.outcomes);
  }
  return count;
}

/** Returns the bytes of the entries in outcomes: of each its key and value, and ENTRY_BYTES for its numbers. */
export function entryBytes(outcomes: readonly OperationOutcome[]): number {
  let bytes = 0;
  for (const outcome of outcomes) {
    if (outcome.kind === "transaction") {
      bytes += entryBytes(outcome.outcomes);
    } else {
      for (const { key, value } of entriesOf(outcome)) bytes += ENTRY_BYTES + key.length + value.length;
    }
  }
  return bytes;
}

/** Returns a copy of outcomes that shares no bytes with anything else. */
export function copyOutcomes(outcomes: readonly OperationOutcome[]): readonly OperationOutcome[] {
  return outcomes.map((outcome): OperationOutcome => {
    switch (outcome.kind) {
      case "put":
        return typeof outcome.previous === "object" && outcome.previous !== null
          ? { ...outcome, previous: copyEntry(outcome.previous) }
          : outcome;
      case "delete":
        return { ...outcome, previous: outcome.previous.map(copyEntry) };
      case "get":
        return { ...outcome, entries: outcome.entries.map(copyEntry) };
      case "transaction":
        return { ...outcome, outcomes: copyOutcomes(outcome.outcomes) };
      default:
        return assertNever(outcome);
    }
  });
}

function entriesOf(
  outcome: Exclude<OperationOutcome, { readonly kind: "transaction" }>,
): readonly KeyValue[] {
  switch (outcome.kind) {
    case "put":
      return outcome.previous === null || outcome.previous === "omitted" ? [] : [outcome.previous];
    case "delete":
      return outcome.previous;
    case "get":
      return outcome.entries;
    default:
      return assertNever(outcome);
  }
}

function copyEntry(entry: KeyValue): KeyValue {
  return { ...entry, key: entry.key.slice(), value: entry.value.slice() };
}
