/**
 * The changes that an operation makes: those that it certainly made, given its answer, and those that it may have made.
 * An event that a watcher saw has to be one of the latter; one of the former has to be seen.
 */
import { assertNever } from "../../platform/assert.ts";
import { getOrMake } from "../bounds.ts";
import { type Operation, valueAfter } from "../history.ts";
import { operationsOf } from "../transactions/program.ts";
import {
  type BranchesResult,
  type BranchOperation,
  type BranchOutcome,
  hasKey,
  type KeySet,
} from "../transactions/transaction.ts";
import type { WatchEvent } from "./record.ts";

/** A key that exists, as far as it is known; null: a number or value that is not known. */
export interface KnownEntry {
  readonly value: string | null;
  readonly createRevision: number | null;
  readonly version: number | null;
  readonly leaseId: number | null | "unknown";
}

/** A key as the last change of a revision left it; null: it does not exist. */
export interface Effect {
  readonly key: string;
  readonly entry: KnownEntry | null;
}

/** Everything that an operation may change. */
export interface PossibleWrites {
  /** A null value is not known beforehand. */
  readonly puts: readonly { readonly key: string; readonly value: string | null }[];
  readonly deletes: readonly KeySet[];
}

/** The revision of an operation's changes. */
export type Made =
  /** It changed something, in this revision; null: in one that was not recorded. */
  | { readonly kind: "certain"; readonly revision: number | null }
  /** It may have changed something; if it did, in this revision (null: in an unknown one). */
  | { readonly kind: "possible"; readonly revision: number | null }
  | { readonly kind: "nothing" };

/** Returns whether an operation changed something, and in which revision. */
export function madeBy(operation: Operation): Made {
  if (operation.kind === "get" || operation.kind === "list") return { kind: "nothing" };
  const { outcome } = operation;
  switch (outcome.kind) {
    case "notApplied":
      return { kind: "nothing" };
    case "unknown":
      return { kind: "possible", revision: null };
    case "answered":
      return { kind: changes(operation), revision: outcome.result.revision };
    default:
      return assertNever(outcome);
  }
}

/** Whether an answered write changed something. */
function changes(operation: Exclude<Operation, { readonly kind: "get" | "list" }>): Made["kind"] {
  if (operation.outcome.kind !== "answered") return "nothing";
  switch (operation.kind) {
    case "put":
      return "certain";
    case "delete":
      return operation.outcome.result.deleted ? "certain" : "nothing";
    case "compareAndSet":
      return operation.outcome.result.succeeded ? "certain" : "nothing";
    case "transaction":
      if (!operation.outcome.result.succeeded) return "nothing";
      // One that only deletes may have found none of its keys.
      return operation.mutations.some(({ kind }) => kind === "put") ? "certain" : "possible";
    case "branchingTransaction":
      return hasChanged(operation.outcome.result) ? "certain" : "nothing";
    default:
      return assertNever(operation);
  }
}

function hasChanged(result: BranchesResult): boolean {
  const didChange = (outcome: BranchOutcome): boolean =>
    outcome.kind === "put" || (outcome.kind === "delete" && outcome.deleted > 0) ||
    (outcome.kind === "transaction" && outcome.outcomes.some(didChange));
  return result.kind === "executed" && result.outcomes.some(didChange);
}

/** Returns the keys that an applied operation certainly changed, as it left them. */
export function effectsOf(operation: Operation): readonly Effect[] {
  switch (operation.kind) {
    case "get":
    case "list":
      return [];
    case "put":
      return [{ key: operation.key, entry: putEntry(operation.value, operation.leaseId ?? null) }];
    case "delete":
      return [{ key: operation.key, entry: null }];
    case "compareAndSet": {
      const { key, value, outcome } = operation;
      const current = outcome.kind === "answered" ? outcome.result.current : null;
      const numbers = { createRevision: current?.createRevision ?? null, version: current?.version ?? null };
      return [{ key, entry: { ...putEntry(value, null), ...numbers } }];
    }
    case "transaction":
      return operation.mutations.flatMap((mutation) => {
        const value = valueAfter(mutation);
        return value === null ? [] : [{ key: mutation.key, entry: putEntry(value, null) }];
      });
    case "branchingTransaction": {
      const { outcome, transaction } = operation;
      if (outcome.kind !== "answered" || outcome.result.kind !== "executed") return [];
      const { succeeded, outcomes } = outcome.result;
      const final = new Map<string, KnownEntry | null>();
      noteBranch(succeeded ? transaction.then : transaction.else, { outcomes, final });
      return [...final].map(([key, entry]) => ({ key, entry }));
    }
    default:
      return assertNever(operation);
  }
}

function putEntry(value: string | null, leaseId: KnownEntry["leaseId"]): KnownEntry {
  return { value, createRevision: null, version: null, leaseId };
}

/** Notes the keys that the operations of a branch changed, given their outcomes. */
function noteBranch(
  operations: readonly BranchOperation[],
  { outcomes, final }: {
    readonly outcomes: readonly BranchOutcome[];
    readonly final: Map<string, KnownEntry | null>;
  },
): void {
  for (const [position, outcome] of outcomes.entries()) {
    const operation = operations[position];
    if (operation !== undefined) noteOutcome(operation, { outcome, final });
  }
}

function noteOutcome(
  operation: BranchOperation,
  { outcome, final }: { readonly outcome: BranchOutcome; readonly final: Map<string, KnownEntry | null> },
): void {
  switch (operation.kind) {
    case "put":
    case "sum":
    case "min":
    case "max": {
      if (outcome.kind !== "put") return;
      const { createRevision, version } = outcome;
      const value = operation.kind === "put" ? operation.value : null;
      // A put detaches the key from its lease, even if it keeps the value; the others keep both.
      const leaseId = operation.kind === "put" ? null : "unknown";
      final.set(operation.key, { value, createRevision, version, leaseId });
      return;
    }
    case "delete": {
      if (outcome.kind !== "delete" || outcome.deleted === 0) return;
      const { keys } = operation;
      if (keys.kind === "key") final.set(keys.key, null);
      for (const { key } of outcome.previous) final.set(key, null);
      for (const [key, entry] of final) if (entry !== null && hasKey(keys, key)) final.set(key, null);
      return;
    }
    case "get":
      return;
    case "transaction":
      if (outcome.kind !== "transaction") return;
      noteBranch(outcome.succeeded ? operation.then : operation.else, { outcomes: outcome.outcomes, final });
      return;
    default:
      assertNever(operation);
  }
}

/** Returns everything that an operation may change. */
export function possibleWritesOf(operation: Operation): PossibleWrites {
  switch (operation.kind) {
    case "get":
    case "list":
      return { puts: [], deletes: [] };
    case "put":
    case "compareAndSet":
      return { puts: [operation], deletes: [] };
    case "delete":
      return { puts: [], deletes: [{ kind: "key", key: operation.key }] };
    case "transaction":
      return {
        puts: operation.mutations.flatMap((each) => each.kind === "put" ? [each] : []),
        deletes: operation.mutations.flatMap(({ kind, key }) =>
          kind === "delete" ? [{ kind: "key", key }] : []
        ),
      };
    case "branchingTransaction":
      return possibleWritesOfBranches(operation);
    default:
      return assertNever(operation);
  }
}

function possibleWritesOfBranches(
  { transaction }: Extract<Operation, { readonly kind: "branchingTransaction" }>,
): PossibleWrites {
  const puts: { key: string; value: string | null }[] = [];
  const deletes: KeySet[] = [];
  for (const each of operationsOf(transaction)) {
    if (each.kind === "delete") deletes.push(each.keys);
    else if (each.kind === "put") puts.push({ key: each.key, value: each.value });
    else if (each.kind !== "get" && each.kind !== "transaction") puts.push({ key: each.key, value: null });
  }
  return { puts, deletes };
}

/** Whether an operation with these possible writes can have made the change that an event shows. */
export function canHaveMade({ puts, deletes }: PossibleWrites, event: WatchEvent): boolean {
  if (event.kind === "delete") return deletes.some((keys) => hasKey(keys, event.key));
  const { key, entry: { value } } = event;
  return puts.some((put) => put.key === key && (put.value === null || put.value === value));
}

/** The operations that may have changed a key, found without reading all of them. */
export class WriteIndex {
  readonly #putters = new Map<string, number[]>();
  readonly #keepers = new Map<string, number[]>();
  readonly #deleters = new Map<string, number[]>();
  readonly #rangeDeleters: { readonly keys: KeySet; readonly operation: number }[] = [];

  /** Makes an index of operations by what they may write. */
  constructor(writes: readonly PossibleWrites[]) {
    for (const [operation, { puts, deletes }] of writes.entries()) {
      for (const { key, value } of puts) {
        if (value === null) getOrMake(this.#keepers, key, () => []).push(operation);
        else getOrMake(this.#putters, nameOf(key, value), () => []).push(operation);
      }
      for (const keys of deletes) {
        if (keys.kind === "key") getOrMake(this.#deleters, keys.key, () => []).push(operation);
        else this.#rangeDeleters.push({ keys, operation });
      }
    }
  }

  /** Returns the positions of the operations that may have made the change that an event shows. */
  writersOf(event: WatchEvent): ReadonlySet<number> {
    const { key } = event;
    if (event.kind === "put") {
      const putters = this.#putters.get(nameOf(key, event.entry.value)) ?? [];
      return new Set([...putters, ...this.#keepers.get(key) ?? []]);
    }
    const ranges = this.#rangeDeleters.filter(({ keys }) => hasKey(keys, key));
    return new Set([...this.#deleters.get(key) ?? [], ...ranges.map(({ operation }) => operation)]);
  }
}

/** Returns a text that no other key and value have. */
function nameOf(key: string, value: string): string {
  return `${key.length} ${key}${value}`;
}
