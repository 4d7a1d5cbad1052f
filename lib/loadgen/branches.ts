/** Transactions with branches: how a workload draws and calls them, and how it records their answers. */
import type { KvClient } from "../client/client.ts";
import { TransactionFailedError } from "../client/errors.ts";
import type {
  BranchingRequest,
  BranchingResult,
  TransactionCondition,
  TransactionOperation,
} from "../client/transaction/types.ts";
import type { CallOptions } from "../client/types.ts";
import type { KeyValue } from "../kv/command.ts";
import {
  type BranchCondition,
  type Branches,
  type BranchesResult,
  type BranchFailure,
  type BranchOperation,
  type BranchOutcome,
  type Comparison,
  type Entry,
  type KeySet,
  type ListedEntry,
  numberOfText,
  textOfNumber,
} from "../lincheck/mod.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";
import { pick } from "./keys.ts";
import { bytesOfText, keySelection, textOfBytes } from "./texts.ts";

/** Deepest transaction within others. */
const MAX_DEPTH = 2;
/** Keys that a range spans. */
const RANGE_KEYS = 2;
const MAX_OPERAND = 4;
const SIGNS = { equal: "=", notEqual: "!=", less: "<", greater: ">" } as const satisfies Record<
  Comparison,
  string
>;

/** Options of a draw. */
export interface BranchesOptions {
  readonly random: Random;
  /** Keys of values and of counters, in byte order; at least one of each. */
  readonly keys: readonly string[];
  readonly counters: readonly string[];
  /** Returns a value that no other write has. */
  readonly value: () => string;
  /** The key as it was last seen, or null. */
  readonly seen: (key: string) => Entry | null;
  /**
   * Returns a revision for a get of the past. Null where revisions of unknown outcome cannot be known afterwards: then no
   * get reads the past, and no condition compares revisions by < or >.
   */
  readonly pastRevision: (() => number) | null;
}

/** Draws a transaction: conditions that are often met, and operations that see each other's changes. */
export function drawBranches(options: BranchesOptions, depth = 0): Branches {
  const draw = new Draw(options);
  return {
    conditions: draw.some([0, 0, 1, 1, 2], () => draw.condition()),
    then: draw.some([1, 2, 3], () => draw.operation(depth)),
    else: draw.some([0, 1, 2], () => draw.operation(depth)),
  };
}

/** A condition on a revision, without the kind of revision. */
interface ComparedRevision {
  readonly keys: KeySet;
  readonly comparison: Comparison;
  readonly number: number;
}

class Draw {
  readonly #options: BranchesOptions;

  constructor(options: BranchesOptions) {
    this.#options = options;
  }

  some<T>(counts: readonly number[], make: () => T): readonly T[] {
    return Array.from({ length: this.#pick(counts) }, make);
  }

  condition(): BranchCondition {
    const { keys, seen } = this.#options;
    const key = this.#pick(keys);
    const entry = seen(key);
    const named: KeySet = { kind: "key", key };
    const equality = this.#pick(["equal", "equal", "notEqual"] as const);
    if (entry === null || this.#chance(0.3)) {
      const comparison = this.#pick(["equal", "greater", "less"] as const);
      return { kind: "version", keys: this.#keySet(), comparison, number: this.#pick([0, 1, 2]) };
    }
    const { value, modRevision, createRevision, version } = entry;
    if (modRevision !== null && this.#chance(0.4)) {
      return {
        kind: "modRevision",
        ...this.#comparedRevision({ keys: named, comparison: equality, number: modRevision }),
      };
    }
    if (createRevision !== null && this.#chance(0.2)) {
      return {
        kind: "createRevision",
        ...this.#comparedRevision({ keys: named, comparison: equality, number: createRevision }),
      };
    }
    const comparison = this.#chance(0.6) ? equality : this.#pick(["less", "greater"] as const);
    if (version !== null && this.#chance(0.3)) {
      return { kind: "version", keys: named, comparison, number: version + this.#pick([-1, 0, 1]) };
    }
    return { kind: "value", keys: named, comparison, value };
  }

  operation(depth: number): BranchOperation {
    const { keys, counters, value } = this.#options;
    const kind = this.#pick(
      ["put", "put", "put", "keep", "delete", "get", "get", "count", "transaction"] as const,
    );
    const returnPrevious = this.#chance(0.4);
    switch (kind) {
      case "put":
        return { kind, key: this.#pick(keys), value: value(), returnPrevious };
      case "keep":
        return { kind: "put", key: this.#pick(keys), value: null, returnPrevious };
      case "delete":
        return { kind, keys: this.#keySet(), returnPrevious };
      case "get": {
        const limit = this.#pick([1, 100]);
        return { kind, keys: this.#keySet(), limit, reverse: this.#chance(0.3), revision: this.#past() };
      }
      case "count": {
        const key = this.#pick(this.#chance(0.9) ? counters : keys);
        const operand = textOfNumber(BigInt(Math.floor(this.#options.random() * MAX_OPERAND)));
        return { kind: this.#pick(["sum", "sum", "min", "max"] as const), key, operand };
      }
      case "transaction":
        return depth + 1 < MAX_DEPTH
          ? { kind, ...drawBranches(this.#options, depth + 1) }
          : { kind: "put", key: this.#pick(keys), value: value(), returnPrevious };
      default:
        return assertNever(kind);
    }
  }

  /** Returns the comparison of a revision, or one by < or > of a key or range, where such a one may be drawn. */
  #comparedRevision(comparedByEquality: ComparedRevision): ComparedRevision {
    if (this.#options.pastRevision === null || this.#chance(0.5)) return comparedByEquality;
    const comparison = this.#pick(["less", "greater"] as const);
    return { keys: this.#keySet(), comparison, number: comparedByEquality.number };
  }

  /** Returns the past revision of a get; null for the present. */
  #past(): number | null {
    const { pastRevision } = this.#options;
    return pastRevision !== null && this.#chance(0.5) ? pastRevision() : null;
  }

  #keySet(): KeySet {
    const { keys } = this.#options;
    const first = Math.floor(this.#options.random() * keys.length);
    const start = keys[first] ?? "";
    if (this.#chance(0.6)) return { kind: "key", key: start };
    // A range without a successor among the keys ends behind its only key.
    return { kind: "range", start, end: keys[first + RANGE_KEYS] ?? `${keys.at(-1)}\x00` };
  }

  #chance(share: number): boolean {
    return this.#options.random() < share;
  }

  #pick<T>(items: readonly T[]): T {
    return pick(items, this.#options.random);
  }
}

/** Has `client` execute a transaction; rejects as the client does, except where the store found it to be impossible. */
export async function performBranches(
  client: Pick<KvClient, "transaction">,
  { transaction, options }: { readonly transaction: Branches; readonly options: CallOptions },
): Promise<BranchesResult> {
  try {
    const { succeeded, results, revision }: BranchingResult = await client.transaction({
      ...requestOf(transaction),
      ...options,
    });
    return { kind: "executed", succeeded, outcomes: results.map(outcomeOf), revision };
  } catch (error) {
    if (!(error instanceof TransactionFailedError)) throw error;
    const { reason, position, revision } = error;
    if (!isRecorded(reason)) throw error;
    return { kind: "failed", reason, position: positionOf(position, transaction), revision };
  }
}

function isRecorded(reason: TransactionFailedError["reason"]): reason is BranchFailure {
  return reason !== "tooManyKeys" && reason !== "resultTooLarge";
}

/** Returns the positions of `then[0].else[2]`: operations of `else` come after those of `then`. */
function positionOf(text: string, transaction: Branches): readonly number[] {
  const positions: number[] = [];
  let inner: Branches | null = transaction;
  for (const [, branch, digits] of text.matchAll(/(then|else)\[(\d+)\]/g)) {
    if (inner === null) break;
    const position: number = Number(digits) + (branch === "else" ? inner.then.length : 0);
    positions.push(position);
    const operation: BranchOperation | undefined = [...inner.then, ...inner.else][position];
    inner = operation?.kind === "transaction" ? operation : null;
  }
  return positions;
}

/** Returns a transaction as the client takes it. */
export function requestOf(
  { conditions, then, else: otherwise }: Branches,
): Pick<BranchingRequest, "checks" | "then" | "else"> {
  return {
    checks: conditions.map(conditionOf),
    then: then.map(operationOf),
    else: otherwise.map(operationOf),
  };
}

function conditionOf(condition: BranchCondition): TransactionCondition {
  const comparison = SIGNS[condition.comparison];
  const keys = keySelection(condition.keys);
  switch (condition.kind) {
    case "value":
      return { ...keys, value: bytesOfText(condition.value), comparison };
    case "version":
      return { ...keys, version: condition.number, comparison };
    case "createRevision":
      return { ...keys, createRevision: condition.number, comparison };
    case "modRevision":
      return { ...keys, modRevision: condition.number, comparison };
    default:
      return assertNever(condition);
  }
}

function operationOf(operation: BranchOperation): TransactionOperation {
  switch (operation.kind) {
    case "put": {
      const { kind, returnPrevious } = operation;
      const key = bytesOfText(operation.key);
      return operation.value === null
        ? { kind, key, keepValue: true, returnPrevious }
        : { kind, key, value: bytesOfText(operation.value), returnPrevious };
    }
    case "delete": {
      const { kind, keys, returnPrevious } = operation;
      return { ...keySelection(keys), kind, returnPrevious };
    }
    case "get": {
      const { kind, keys, limit, reverse, revision } = operation;
      const past = revision === null ? {} : { revision };
      return { ...keySelection(keys), kind, limit, reverse, ...past };
    }
    case "sum":
    case "min":
    case "max": {
      const operand = numberOfText(operation.operand);
      assert(operand !== null, "an operand is a number");
      return { kind: operation.kind, key: bytesOfText(operation.key), operand };
    }
    case "transaction":
      return { kind: "transaction", ...requestOf(operation) };
    default:
      return assertNever(operation);
  }
}

function outcomeOf(result: BranchingResult["results"][number]): BranchOutcome {
  switch (result.kind) {
    case "put":
    case "sum":
    case "min":
    case "max": {
      const { createRevision, version } = result;
      const previous = "previous" in result ? result.previous : undefined;
      const seen = previous === undefined ? "omitted" : previous === null ? null : listedEntryOf(previous);
      return { kind: "put", createRevision, version, previous: seen };
    }
    case "delete":
      return {
        kind: "delete",
        deleted: result.deleted,
        previous: (result.previous ?? []).map(listedEntryOf),
      };
    case "get": {
      const { entries, more, count } = result;
      return { kind: "get", entries: entries.map(listedEntryOf), more, count };
    }
    case "transaction":
      return {
        kind: "transaction",
        succeeded: result.succeeded,
        outcomes: result.results.map(outcomeOf),
      };
    default:
      return assertNever(result);
  }
}

function listedEntryOf({ key, value, createRevision, modRevision, version }: KeyValue): ListedEntry {
  return { key: textOfBytes(key), value: textOfBytes(value), createRevision, modRevision, version };
}
