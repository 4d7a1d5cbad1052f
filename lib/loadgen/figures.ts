/** Figures of a history. */
import type { History, Outcome } from "../lincheck/mod.ts";
import { isWrite, type OperationKind } from "./requests.ts";

/** How operations ended. */
export interface Count {
  readonly operations: number;
  readonly answered: number;
  /** Failed for certain. */
  readonly notApplied: number;
  /** Writes of unknown outcome. */
  readonly unknown: number;
}

/** The figures of a history. */
export interface Figures extends Count {
  readonly byKind: Readonly<Record<OperationKind, Count>>;
  /**
   * Longest time in which no write was answered, from the beginning to the end of the run; null for a run that
   * tried none.
   */
  readonly longestWithoutWriteMs: number | null;
}

/** Counts; `startedAt` and `endedAt` are those of the run, in the history's time. */
export function figuresOf(
  history: History,
  run: { readonly startedAt: number; readonly endedAt: number },
): Figures {
  const count = (kind: OperationKind): Count =>
    countOf(history.filter((operation) => operation.kind === kind));
  return {
    ...countOf(history),
    byKind: {
      put: count("put"),
      get: count("get"),
      delete: count("delete"),
      compareAndSet: count("compareAndSet"),
      transaction: count("transaction"),
      branchingTransaction: count("branchingTransaction"),
      list: count("list"),
    },
    longestWithoutWriteMs: longestWithoutWriteMs(history, run),
  };
}

function countOf(history: History): Count {
  const ended = (kind: Outcome<unknown>["kind"]): number =>
    history.filter(({ outcome }) => outcome.kind === kind).length;
  return {
    operations: history.length,
    answered: ended("answered"),
    notApplied: ended("notApplied"),
    unknown: ended("unknown"),
  };
}

function longestWithoutWriteMs(
  history: History,
  { startedAt, endedAt }: { readonly startedAt: number; readonly endedAt: number },
): number | null {
  const writes = history.filter(({ kind }) => isWrite(kind));
  if (writes.length === 0) return null;
  const answeredAt = writes.flatMap(({ outcome, returnedAt }) =>
    outcome.kind === "answered" && returnedAt !== null ? [returnedAt] : []
  ).sort((a, b) => a - b);
  let longestMs = 0;
  let lastAt = startedAt;
  for (const at of [...answeredAt, endedAt]) {
    longestMs = Math.max(longestMs, at - lastAt);
    lastAt = at;
  }
  return longestMs;
}
