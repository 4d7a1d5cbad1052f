/**
 * The whole store as its users know it, without haste or cleverness: what each operation must be answered when all of
 * them are done one after the other. An order that a search found is not believed before it was replayed here.
 */
import { assertNever } from "../platform/assert.ts";
import {
  type Check,
  earliestEffectOf,
  type Entry,
  type History,
  inRange,
  type KeyRange,
  type Mutation,
  type Operation,
  valueAfter,
} from "./history.ts";
import { type KeyState, matches } from "./model.ts";
import { contradictionOf } from "./transactions/program.ts";
import { execute } from "./transactions/transaction.ts";

/** An operation's turn in an order; `revision` is the one it made, or null if it made none. */
export interface Turn {
  /** Position in the history. */
  readonly operation: number;
  readonly revision: number | null;
}

/** Why an order explains nothing: the turn at which it failed. */
export interface ReplayFailure {
  readonly operation: number;
  readonly why: string;
}

/** Replays a history in the given order; null when every answer, every revision and real time are as they must be. */
export function replay(history: History, order: readonly Turn[]): ReplayFailure | null {
  const store = new Store();
  let earliestReturn = Infinity;
  for (const { operation: index } of order.toReversed()) {
    const operation = history[index];
    if (operation === undefined || earliestReturn < earliestEffectOf(operation)) {
      return { operation: index, why: "it is placed before one that returned before it was called" };
    }
    if (operation.outcome.kind === "answered") {
      earliestReturn = Math.min(earliestReturn, operation.returnedAt ?? Infinity);
    }
  }
  for (const { operation: index, revision } of order) {
    const operation = history[index];
    const why = operation === undefined ? "there is no such operation" : store.take(operation, revision);
    if (why !== null) return { operation: index, why };
  }
  const placed = new Set(order.map(({ operation }) => operation));
  const missing = history.findIndex(({ outcome }, index) =>
    outcome.kind === "answered" && !placed.has(index)
  );
  if (missing >= 0) return { operation: missing, why: "it was answered and has no turn" };
  return placed.size === order.length ? null : { operation: -1, why: "an operation has two turns" };
}

type Write = Exclude<Operation, { readonly kind: "get" | "list" | "branchingTransaction" }>;

/** Keys and a revision. */
class Store {
  readonly #keys = new Map<string, KeyState>();
  #revision = 0;

  /** Does an operation at `revision`; null, or why its answer can't be. */
  take(operation: Operation, revision: number | null): string | null {
    const { kind, outcome } = operation;
    if (outcome.kind === "notApplied") return "it did not happen";
    switch (kind) {
      case "get":
        if (operation.outcome.kind !== "answered") return "it was not answered";
        return this.#shows(operation.key, operation.outcome.result) ??
          this.#passes(operation.revision ?? null);
      case "list":
        return this.#list(operation);
      case "branchingTransaction":
        return this.#execute(operation, revision);
      case "put":
      case "delete":
      case "compareAndSet":
      case "transaction":
        return this.#write(operation, revision);
      default:
        return assertNever(kind);
    }
  }

  #write(operation: Write, revision: number | null): string | null {
    const { checks, mutations } = transactionOf(operation);
    const failedChecks = checks.flatMap((check, position) => this.#holds(check) ? [] : [position]);
    if (failedChecks.length > 0) return this.#refuse(operation, failedChecks);
    if (
      operation.kind === "delete" && operation.outcome.kind === "answered" &&
      !operation.outcome.result.deleted
    ) {
      if (this.#keys.has(operation.key)) return "it returned wrongly whether the key existed";
      return this.#passes(operation.outcome.result.revision);
    }
    if (revision === null || revision <= this.#revision) return "it has no revision above the one before it";
    const why = this.#contradiction(operation, revision);
    if (why !== null) return why;
    this.#revision = revision;
    for (const mutation of mutations) this.#mutate(mutation, revision);
    if (operation.kind !== "compareAndSet" || operation.outcome.kind !== "answered") return null;
    return this.#shows(operation.key, operation.outcome.result.current);
  }

  #execute(
    { transaction, outcome }: Extract<Operation, { readonly kind: "branchingTransaction" }>,
    revision: number | null,
  ): string | null {
    const result = outcome.kind === "answered" ? outcome.result : null;
    const before = {
      keys: [...this.#keys.keys()].sort(),
      get: (key: string) => this.#keys.get(key) ?? null,
    };
    const execution = execute(transaction, before, revision ?? 0);
    const why = contradictionOf({ result }, execution);
    if (why !== null) return why;
    if (execution.kind === "failed" || execution.changes.length === 0) {
      return this.#passes(result?.revision ?? null);
    }
    if (revision === null || revision <= this.#revision) return "it has no revision above the one before it";
    if (result !== null && result.revision !== null && result.revision !== revision) {
      return "it returned another revision";
    }
    this.#revision = revision;
    for (const { key, state } of execution.changes) {
      if (state === null) this.#keys.delete(key);
      else this.#keys.set(key, state);
    }
    return null;
  }

  /** Whether a write whose checks fail returned that they do. */
  #refuse(operation: Write, failedChecks: readonly number[]): string | null {
    if (operation.outcome.kind !== "answered") return "its checks fail";
    const { result } = operation.outcome;
    if (!("succeeded" in result) || result.succeeded) return "its checks fail";
    if ("failedChecks" in result) {
      const failed = result.failedChecks.toSorted((a, b) => a - b);
      return failed.join() === failedChecks.join() ? this.#passes(result.revision) : "other checks fail";
    }
    const why = operation.kind === "compareAndSet" ? this.#shows(operation.key, result.current) : null;
    return why ?? this.#passes(result.revision);
  }

  /** Why the answer of a write whose checks hold can't be right, or null. */
  #contradiction(
    operation: Write,
    revision: number,
  ): string | null {
    if (operation.outcome.kind !== "answered") return null;
    const { result } = operation.outcome;
    if (result.revision !== null && result.revision !== revision) return "it returned another revision";
    if ("succeeded" in result && !result.succeeded) return "its checks hold";
    if ("failedChecks" in result && result.failedChecks.length > 0) return "its checks hold";
    if (operation.kind === "delete" && operation.outcome.result.deleted !== this.#keys.has(operation.key)) {
      return "it returned wrongly whether the key existed";
    }
    return null;
  }

  #mutate(mutation: Mutation, revision: number): void {
    const { key } = mutation;
    const value = valueAfter(mutation);
    if (value === null) {
      this.#keys.delete(key);
      return;
    }
    const before = this.#keys.get(key);
    this.#keys.set(key, {
      value,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
    });
  }

  #list(operation: Extract<Operation, { readonly kind: "list" }>): string | null {
    const { range, limit, outcome } = operation;
    if (outcome.kind !== "answered") return "it was not answered";
    const { entries, more } = outcome.result;
    const revision = operation.revision ?? outcome.result.revision;
    const all = this.#keysIn(range);
    if (entries.length > limit || (more && entries.length === 0)) return "its page has the wrong length";
    if (entries.some(({ key }, i) => key !== all[i])) return "it shows other keys";
    if (more !== all.length > entries.length) return "it is wrong about what follows";
    const wrong = entries.find((entry) => this.#shows(entry.key, entry) !== null);
    return wrong === undefined ? this.#passes(revision) : `it shows ${wrong.key} as it is not`;
  }

  #keysIn(range: KeyRange): readonly string[] {
    const rising = [...this.#keys.keys()].filter((key) => inRange(key, range)).sort();
    return range.reverse ? rising.reverse() : rising;
  }

  /** Other programs may have written to other keys: the revision may have risen, and never falls. */
  #passes(revision: number | null): string | null {
    if (revision === null) return null;
    if (revision < this.#revision) return "its revision has passed";
    this.#revision = revision;
    return null;
  }

  #shows(key: string, entry: Entry | null): string | null {
    return matches(entry, this.#keys.get(key) ?? null) ? null : `${key} is not as it was returned`;
  }

  #holds(check: Check): boolean {
    const state = this.#keys.get(check.key);
    switch (check.kind) {
      case "modRevision":
        return (state?.modRevision ?? 0) === check.modRevision;
      case "exists":
        return (state !== undefined) === check.exists;
      case "value":
        return state?.value === check.value;
      default:
        return assertNever(check);
    }
  }
}

/** Every write is a transaction. */
function transactionOf(
  operation: Write,
): { readonly checks: readonly Check[]; readonly mutations: readonly Mutation[] } {
  switch (operation.kind) {
    case "put":
    case "delete":
      return { checks: [], mutations: [operation] };
    case "compareAndSet": {
      const { key, expect, value } = operation;
      return {
        checks: [
          expect === null ? { kind: "exists", key, exists: false } : { kind: "value", key, value: expect },
        ],
        mutations: [{ kind: "put", key, value }],
      };
    }
    case "transaction":
      return operation;
    default:
      return assertNever(operation);
  }
}
