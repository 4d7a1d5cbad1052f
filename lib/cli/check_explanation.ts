/** A violation in a few words; the report has the history. */
import { assertNever } from "../platform/assert.ts";
import type { History, Operation, Violation } from "../lincheck/mod.ts";
import { bytesOfText } from "../loadgen/mod.ts";
import { escapeBytes } from "./escape.ts";

/** Sentences that name the operations; times count from `startedAt`. */
export function explanationOf(
  { cause, keys, operations }: Violation,
  { history, startedAt }: { readonly history: History; readonly startedAt: number },
): string {
  const name = (position: number): string => {
    const operation = history[position];
    return operation === undefined ? "an operation" : nameOf(operation, startedAt);
  };
  switch (cause.kind) {
    case "stuck": {
      const on = keys.length === 1 ? escaped(keys[0] ?? "") : `${keys.length} keys`;
      return `no order of the ${operations.length} operations on ${on} explains the answer to ` +
        `${name(cause.operation)}.`;
    }
    case "revisions":
      return `${name(cause.early)} had returned before ${
        name(cause.late)
      } was called, and yet the later one ` +
        "tells of no greater revision.";
    default:
      return assertNever(cause);
  }
}

/** `client 3's get of k/0004 (2.134 s to 2.140 s)`. */
function nameOf(operation: Operation, startedAt: number): string {
  const at = (time: number | null): string =>
    time === null ? "the end" : `${((time - startedAt) / 1_000).toFixed(3)} s`;
  const times = `${at(operation.calledAt)} to ${at(operation.returnedAt)}`;
  return `client ${operation.client}'s ${targetOf(operation)} (${times})`;
}

function targetOf(operation: Operation): string {
  switch (operation.kind) {
    case "put":
    case "get":
    case "delete":
      return `${operation.kind} of ${escaped(operation.key)}`;
    case "compareAndSet":
      return `cas of ${escaped(operation.key)}`;
    case "transaction":
      return `transaction on ${operation.mutations.map(({ key }) => escaped(key)).join(", ")}`;
    case "list":
      return "list";
    default:
      return assertNever(operation);
  }
}

function escaped(key: string): string {
  return escapeBytes(bytesOfText(key));
}
