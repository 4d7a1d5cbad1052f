/**
 * Plans a branching transaction: decides its branches, and executes the operations over an {@link Overlay}. The plan has
 * the changes and the outcomes, or the reason why the transaction fails; the store is changed by the caller.
 *
 * The plan depends only on the transaction and the content of the store, so it is the same on every node. What it may
 * read is bounded by the limits of branching_command.ts.
 */
import { equals } from "@std/bytes";
import type {
  Branches,
  Comparison,
  Condition,
  KeySet,
  Operation,
  OperationOutcome,
  TransactionFailure,
} from "./branching_command.ts";
import {
  MAX_TRANSACTION_COMPARED_BYTES,
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_RESULT_BYTES,
  MAX_TRANSACTION_VERSIONS,
  NUMBER_BYTES,
} from "./branching_command.ts";
import { attachmentOf, type KeyValue, type Mutation } from "./command.ts";
import { belowReserved } from "./databases/reserved_keys.ts";
import { compareKeys } from "./keys.ts";
import type { AttachedKeys } from "./leases/attached_keys.ts";
import { Overlay, type Version } from "./overlay.ts";
import type { StoreReader } from "./pages/store_reader.ts";
import type { KeyRange } from "./pages/tree_pages.ts";
import { PastReader } from "./past_reader.ts";
import { assert, assertNever } from "../platform/assert.ts";

/** The store that a transaction is planned on. */
export interface PlannedStore {
  readonly pages: StoreReader;
  /** Returns versions as entries that do not change when the store does. */
  readonly entries: (versions: readonly Version[]) => readonly KeyValue[];
  /** Counts the keys of leases, of this transaction alone. */
  readonly attachedKeys: AttachedKeys;
}

/** A transaction that can be executed: its changes, all of one revision, and its result. */
export interface TransactionPlan {
  readonly kind: "planned";
  readonly succeeded: boolean;
  readonly outcomes: readonly OperationOutcome[];
  readonly changes: readonly Mutation[];
}

/** The reason why a transaction fails, and the position of the operation; see CommandResult. */
export interface PlanFailure {
  readonly kind: "failed";
  readonly reason: TransactionFailure;
  readonly position: readonly number[];
}

/** Which branch of a transaction is executed, with the decisions about the transactions in it. */
interface Decision {
  readonly kind: "decided";
  readonly succeeded: boolean;
  readonly operations: readonly Operation[];
  /** Position of the first of these operations. */
  readonly offset: number;
  /** By position in `operations`; only those of transactions. */
  readonly nested: ReadonlyMap<number, Decision>;
}

/** Plans a transaction whose changes will be made in `revision`. */
export function planTransaction(
  branches: Branches,
  store: PlannedStore,
  revision: number,
): TransactionPlan | PlanFailure {
  const planner = new Planner(store, revision);
  const decision = planner.decide(branches, []);
  if (decision.kind === "failed") return decision;
  const outcomes = planner.execute(decision, []);
  if ("kind" in outcomes) return outcomes;
  return { kind: "planned", succeeded: decision.succeeded, outcomes, changes: planner.changes };
}

class Planner {
  readonly #store: PlannedStore;
  readonly #overlay: Overlay;
  readonly #past: PastReader;
  /** Keys that ranges may still read, and bytes that the result may still have. */
  #leftKeys = MAX_TRANSACTION_KEYS;
  #leftBytes = MAX_TRANSACTION_RESULT_BYTES;
  /** Bytes that conditions may still compare with the values of ranges. */
  #leftCompared = MAX_TRANSACTION_COMPARED_BYTES;

  constructor(store: PlannedStore, revision: number) {
    this.#store = store;
    this.#overlay = new Overlay(store.pages, revision);
    this.#past = new PastReader(store.pages, MAX_TRANSACTION_VERSIONS);
  }

  get changes(): readonly Mutation[] {
    return this.#overlay.changes;
  }

  /** Decides the branch of a transaction at `position`, and those of the transactions in it, before anything is changed. */
  decide(
    { conditions, then, else: otherwise }: Branches,
    position: readonly number[],
  ): Decision | PlanFailure {
    let succeeded = true;
    for (const condition of conditions) {
      // Every condition counts, so that a failure does not depend on their order.
      if (!this.#takeKeys(condition.keys, Infinity)) {
        return { kind: "failed", reason: "tooManyKeys", position };
      }
      const found = this.#find(condition.keys, { limit: Infinity, reverse: false });
      if (!this.#takeCompared(condition, found)) {
        return { kind: "failed", reason: "tooManyKeys", position };
      }
      succeeded &&= this.#holds(condition, found);
    }
    const operations = succeeded ? then : otherwise;
    const offset = succeeded ? 0 : then.length;
    const nested = new Map<number, Decision>();
    for (const [index, operation] of operations.entries()) {
      if (operation.kind !== "transaction") continue;
      const decision = this.decide(operation, [...position, offset + index]);
      if (decision.kind === "failed") return decision;
      nested.set(index, decision);
    }
    return { kind: "decided", succeeded, operations, offset, nested };
  }

  /** Executes the operations of a branch in order; each sees the changes of those before it. */
  execute(decision: Decision, position: readonly number[]): readonly OperationOutcome[] | PlanFailure {
    const outcomes: OperationOutcome[] = [];
    for (const [index, operation] of decision.operations.entries()) {
      const place = [...position, decision.offset + index];
      if (operation.kind === "transaction") {
        const nested = decision.nested.get(index);
        assert(nested !== undefined, "every transaction of a branch is decided before it is executed");
        const inner = this.execute(nested, place);
        if ("kind" in inner) return inner;
        outcomes.push({ kind: "transaction", succeeded: nested.succeeded, outcomes: inner });
        continue;
      }
      const outcome = this.#executeOperation(operation);
      if (typeof outcome === "string") return { kind: "failed", reason: outcome, position: place };
      outcomes.push(outcome);
    }
    return outcomes;
  }

  #executeOperation(
    operation: Exclude<Operation, { readonly kind: "transaction" }>,
  ): OperationOutcome | TransactionFailure {
    switch (operation.kind) {
      case "put":
        return this.#put(operation);
      case "delete":
        return this.#delete(operation);
      case "get":
        return operation.revision === null
          ? this.#get(operation)
          : this.#getAt(operation, operation.revision);
      case "sum":
      case "min":
      case "max":
        return this.#calculate(operation);
      default:
        return assertNever(operation);
    }
  }

  #put(
    { key, value, returnPrevious, leaseId, expiresAtMs }: Extract<Operation, { readonly kind: "put" }>,
  ): OperationOutcome | TransactionFailure {
    const before = this.#overlay.get(key);
    const kept = before === null ? {} : this.#overlay.attachmentOf(before);
    const attachment = attachmentOf(
      (leaseId === "keep" ? kept.leaseId : leaseId) ?? 0,
      (expiresAtMs === "keep" ? kept.expiresAtMs : expiresAtMs) ?? 0,
    );
    const failure = this.#store.attachedKeys.move(kept.leaseId ?? 0, attachment.leaseId ?? 0);
    if (failure !== null) return failure;
    if (value === null && before === null) return "keyNotFound";
    const [present] = value === null && before !== null ? this.#store.entries([before]) : [];
    const previous = returnPrevious ? this.#returned(before === null ? [] : [before]) : null;
    if (previous === "resultTooLarge") return previous;
    const written = this.#overlay.put(key, value ?? present?.value ?? new Uint8Array(0), attachment);
    return putOutcome(written, previous === null ? "omitted" : previous[0] ?? null);
  }

  #delete(
    { keys, returnPrevious }: Extract<Operation, { readonly kind: "delete" }>,
  ): OperationOutcome | TransactionFailure {
    if (!this.#takeKeys(keys, Infinity)) return "tooManyKeys";
    const found = this.#find(keys, { limit: Infinity, reverse: false });
    const previous = returnPrevious ? this.#returned(found) : [];
    if (previous === "resultTooLarge") return previous;
    for (const version of found) {
      this.#store.attachedKeys.move(this.#overlay.leaseIdOf(version), 0);
      this.#overlay.delete(this.#overlay.keyOf(version));
    }
    return { kind: "delete", deleted: found.length, previous };
  }

  #get(
    { keys, limit: given, reverse }: Extract<Operation, { readonly kind: "get" }>,
  ): OperationOutcome | TransactionFailure {
    const limit = given === 0 ? Infinity : given;
    if (!this.#takeKeys(keys, limit)) return "tooManyKeys";
    const found = this.#find(keys, { limit, reverse });
    const entries = this.#returned(found);
    if (entries === "resultTooLarge") return entries;
    const count = keys.kind === "key" ? found.length : this.#overlay.count(rangeOf(keys));
    return { kind: "get", entries, more: count > found.length, count };
  }

  /** Reads as of a revision, in which the changes of the transaction are not. */
  #getAt(
    { keys, limit, reverse }: Extract<Operation, { readonly kind: "get" }>,
    revision: number,
  ): OperationOutcome | TransactionFailure {
    const { pages } = this.#store;
    if (revision > pages.revision) return "futureRevision";
    if (revision < pages.compactedRevision) return "compacted";
    const found: number[] = [];
    if (keys.kind === "key") {
      const address = this.#past.get(keys.key, revision);
      if (address === null) return "tooManyKeys";
      if (address !== 0) found.push(address);
    } else {
      const scan = { ...rangeOf(keys), reverse };
      const keyCount = this.#past.countKeys(scan, this.#leftKeys);
      if (keyCount > this.#leftKeys) return "tooManyKeys";
      this.#leftKeys -= keyCount;
      for (const address of this.#past.range(scan, revision)) {
        if (address === null) return "tooManyKeys";
        found.push(address);
      }
    }
    const entries = this.#returned(limit === 0 ? found : found.slice(0, limit));
    if (entries === "resultTooLarge") return entries;
    return { kind: "get", entries, more: found.length > entries.length, count: found.length };
  }

  #calculate(
    { kind, key, operand }: Extract<Operation, { readonly kind: "sum" | "min" | "max" }>,
  ): OperationOutcome | TransactionFailure {
    const before = this.#overlay.get(key);
    const present = before === null ? null : this.#overlay.valueOf(before);
    if (present !== null && present.length !== NUMBER_BYTES) return "notANumber";
    const value = present === null ? operand : calculate(kind, present, operand);
    const attachment = before === null ? {} : this.#overlay.attachmentOf(before);
    return putOutcome(this.#overlay.put(key, value, attachment), "omitted");
  }

  /** Whether a condition holds for every one of its keys, `found` in the store; see {@link Condition} for one without keys. */
  #holds(condition: Condition, found: readonly Version[]): boolean {
    if (found.length === 0) {
      return condition.kind !== "value" && compares(0, condition.comparison, condition.number);
    }
    const { records } = this.#store.pages;
    return found.every((version) => {
      assert(typeof version === "number", "conditions are checked before anything is changed");
      switch (condition.kind) {
        case "value": {
          const [value, { comparison }] = [records.value(version), condition];
          if (comparison === "equal") return equals(value, condition.value);
          if (comparison === "notEqual") return !equals(value, condition.value);
          return compares(compareKeys(value, condition.value), comparison, 0);
        }
        case "version":
        case "createRevision":
        case "modRevision":
          return compares(records[condition.kind](version), condition.comparison, condition.number);
        case "lease":
          return compares(records.leaseId(version), condition.comparison, condition.number);
        default:
          return assertNever(condition);
      }
    });
  }

  /** Returns the present versions of the keys, at most `limit` of them. */
  #find(keys: KeySet, { limit, reverse }: { readonly limit: number; readonly reverse: boolean }): Version[] {
    if (keys.kind === "key") {
      const version = this.#overlay.get(keys.key);
      return version === null ? [] : [version];
    }
    const found: Version[] = [];
    for (const version of this.#overlay.range({ ...rangeOf(keys), reverse })) {
      if (found.length >= limit) break;
      found.push(version);
    }
    return found;
  }

  /** Counts the keys of a range that are about to be read, `limit` at most; false when they are too many. */
  #takeKeys(keys: KeySet, limit: number): boolean {
    if (keys.kind === "key") return true;
    const count = Math.min(limit, this.#overlay.count(rangeOf(keys)));
    if (count > this.#leftKeys) return false;
    this.#leftKeys -= count;
    return true;
  }

  /** Counts the bytes that a condition is about to compare with the values of its range; false when they are too many. */
  #takeCompared(condition: Condition, found: readonly Version[]): boolean {
    if (condition.kind !== "value" || condition.keys.kind === "key") return true;
    const { length } = condition.value;
    for (const version of found) {
      this.#leftCompared -= Math.min(length, this.#overlay.valueLengthOf(version));
    }
    return this.#leftCompared >= 0;
  }

  /** Returns versions as entries of the result, unless they are too large for it. */
  #returned(versions: readonly Version[]): readonly KeyValue[] | "resultTooLarge" {
    for (const version of versions) {
      this.#leftBytes -= this.#overlay.sizeOf(version);
      if (this.#leftBytes < 0) return "resultTooLarge";
    }
    return this.#store.entries(versions);
  }
}

function rangeOf({ start, end }: Extract<KeySet, { readonly kind: "range" }>): KeyRange {
  return { lower: start, upper: belowReserved(start, end) };
}

function putOutcome(
  { createRevision, version }: KeyValue,
  previous: KeyValue | null | "omitted",
): OperationOutcome {
  return { kind: "put", createRevision, version, previous };
}

/** Whether `number` compares so with `other`. */
function compares(number: number, comparison: Comparison, other: number): boolean {
  switch (comparison) {
    case "equal":
      return number === other;
    case "notEqual":
      return number !== other;
    case "less":
      return number < other;
    case "greater":
      return number > other;
    default:
      return assertNever(comparison);
  }
}

/** Returns the sum (modulo 2^64), the smaller or the larger of two unsigned little-endian numbers. */
function calculate(kind: "sum" | "min" | "max", present: Uint8Array, operand: Uint8Array): Uint8Array {
  const [a, b] = [numberOf(present), numberOf(operand)];
  const value = new Uint8Array(NUMBER_BYTES);
  const result = kind === "sum" ? a + b : (kind === "min") === (a < b) ? a : b;
  // It takes the lower 64 bits.
  new DataView(value.buffer).setBigUint64(0, result, true);
  return value;
}

function numberOf({ buffer, byteOffset, length }: Uint8Array): bigint {
  assert(length === NUMBER_BYTES, "a number has 8 bytes");
  return new DataView(buffer, byteOffset, length).getBigUint64(0, true);
}
