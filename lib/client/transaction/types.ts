/** Arguments and results of transactions with branches: {@link KvClient.transaction}. */
import type { KeyValue } from "../../kv/command.ts";
import type { Bytes } from "../types.ts";

/** The keys of a check or of an operation: one key, all keys with a prefix, or a range. */
export type KeySelection =
  | { readonly key: Bytes }
  | { readonly prefix: Bytes }
  | {
    /** First key of the range (included). */
    readonly start: Bytes;
    /**
     * End of the range (excluded). A range whose end is not above its start has no keys.
     *
     * @default behind the last key
     */
    readonly end?: Bytes;
  };

/** All of {@link ComparisonSign}. */
export const COMPARISON_SIGNS = ["=", "!=", "<", ">"] as const;

/** How a check compares what the store has (left) with what the check names (right). Values are compared as bytes. */
export type ComparisonSign = typeof COMPARISON_SIGNS[number];

/** The comparison of a check. */
export type ConditionTarget =
  /** The value. An absent key has none, so that the check does not hold for any comparison. */
  | { readonly value: Bytes; readonly comparison?: ComparisonSign }
  /** The number of writes since the key was created; 0 for an absent key. */
  | { readonly version: number; readonly comparison?: ComparisonSign }
  /** The revision of the write that created the key; 0 for an absent key. */
  | { readonly createRevision: number; readonly comparison?: ComparisonSign }
  /** The revision of the write that last changed the key; 0 for an absent key. */
  | { readonly modRevision: number; readonly comparison?: ComparisonSign }
  /** The lease of the key; 0 for a key without one, and for an absent key. */
  | { readonly leaseId: number; readonly comparison?: ComparisonSign }
  /** Whether the key exists; for a prefix or a range, whether there is a key in it. */
  | { readonly exists: boolean };

/**
 * A condition of a transaction with branches. `comparison` is "=" if it is not given. For a prefix or a range it must
 * hold for every key there.
 */
export type TransactionCondition = KeySelection & ConditionTarget;

/** Writes a key. */
export interface PutOperation {
  /** Discriminates the operation. */
  readonly kind: "put";
  /** The key to write. */
  readonly key: Bytes;
  /** The value to write. Exactly one of `value` and `keepValue` is given. */
  readonly value?: Bytes;
  /**
   * Writes the value that the key has, as a new version; the key must exist.
   *
   * @default false
   */
  readonly keepValue?: boolean;
  /**
   * The lease with which the key is deleted; "keep" for the one that it has, if any.
   *
   * @default none
   */
  readonly leaseId?: number | "keep";
  /**
   * The time of the wall clock at which the key is deleted, in milliseconds since 1970; "keep" for the one that it has, if
   * any.
   *
   * @default never
   */
  readonly expiresAtMs?: number | "keep";
  /**
   * Whether the result has the entry that was there before.
   *
   * @default false
   */
  readonly returnPrevious?: boolean;
}

/** Removes a key, or all keys of a prefix or a range. */
export type DeleteOperation = KeySelection & {
  /** Discriminates the operation. */
  readonly kind: "delete";
  /**
   * Whether the result has the entries that were removed.
   *
   * @default false
   */
  readonly returnPrevious?: boolean;
};

/** Reads a key, or the keys of a prefix or a range, as the operations before it in the transaction have left them. */
export type GetOperation = KeySelection & {
  /** Discriminates the operation. */
  readonly kind: "get";
  /**
   * The most entries of the result, 1 to 10,000.
   *
   * @default 10000
   */
  readonly limit?: number;
  /**
   * Reads from the greatest key down.
   *
   * @default false
   */
  readonly reverse?: boolean;
  /**
   * Reads the state as of this revision, without the changes of the transaction itself.
   *
   * @default the present state
   */
  readonly revision?: number;
};

/**
 * Changes a counter: a value of 8 bytes, an unsigned little-endian integer ({@link counterValue}). An absent key becomes
 * the operand.
 */
export interface CounterOperation {
  /** "sum" adds the operand modulo 2^64, "min" keeps the lesser of counter and operand, "max" the greater. */
  readonly kind: "sum" | "min" | "max";
  /** The key of the counter. */
  readonly key: Bytes;
  /** An integer from 0 to 2^64 - 1; for a sum from -(2^63), which subtracts. A number is at most 2^53 - 1. */
  readonly operand: bigint | number;
}

/** A transaction within a transaction. Its checks are evaluated with those of the outer one, before any change. */
export interface NestedTransaction extends Branches {
  /** Discriminates the operation. */
  readonly kind: "transaction";
}

/** An operation of a transaction with branches. */
export type TransactionOperation =
  | PutOperation
  | DeleteOperation
  | GetOperation
  | CounterOperation
  | NestedTransaction;

/** Checks and the operations for both of their results. */
export interface Branches {
  /**
   * Conditions, evaluated on the state before the transaction.
   *
   * @default none, so that `then` runs
   */
  readonly checks?: readonly TransactionCondition[];
  /**
   * Operations that run in this order if all checks hold.
   *
   * @default none
   */
  readonly then?: readonly TransactionOperation[];
  /**
   * Operations that run in this order if a check does not hold.
   *
   * @default none
   */
  readonly else?: readonly TransactionOperation[];
}

/** A transaction with branches: at most 512 checks and operations in all, those of nested transactions included. */
export interface BranchingRequest<
  Then extends readonly TransactionOperation[] = readonly TransactionOperation[],
  Else extends readonly TransactionOperation[] = readonly TransactionOperation[],
> extends Branches {
  /** See {@link Branches.then}. */
  readonly then?: Then;
  /** See {@link Branches.else}. */
  readonly else?: Else;
  /** The short form has mutations in place of branches. */
  readonly mutations?: never;
}

/** A transaction with branches that has no checks, so that `then` is executed. */
export interface UnconditionalRequest<Then extends readonly TransactionOperation[]> {
  /** See {@link Branches.then}. */
  readonly then: Then;
  /** There are none. */
  readonly checks?: never;
  /** Without checks it is never executed. */
  readonly else?: never;
  /** The short form has mutations in place of branches. */
  readonly mutations?: never;
}

/** The result of {@link KvClient.transaction} with branches and without checks. */
export type UnconditionalResult<Then extends readonly TransactionOperation[]> =
  & Extract<BranchResults<Then, readonly []>, { readonly succeeded: true }>
  & RevisionAfter;

/** The result of a {@link PutOperation} or a {@link CounterOperation}. */
export interface WriteOutcome<Kind extends "put" | "sum" | "min" | "max"> {
  /** Discriminates the result. */
  readonly kind: Kind;
  /** The revision of the write that created the key. */
  readonly createRevision: number;
  /** The number of writes since then, this one included. */
  readonly version: number;
}

/** The previous entry of a put that asked for it; null if the key did not exist. */
export interface PreviousEntry {
  /** The entry. */
  readonly previous: KeyValue | null;
}

/** The result of a {@link DeleteOperation}. */
export interface DeleteOutcome {
  /** Discriminates the result. */
  readonly kind: "delete";
  /** The number of keys that were removed. */
  readonly deleted: number;
}

/** The removed entries of a delete that asked for them, in the order of their keys. */
export interface PreviousEntries {
  /** The entries. */
  readonly previous: readonly KeyValue[];
}

/** The result of a {@link GetOperation}. */
export interface GetOutcome {
  /** Discriminates the result. */
  readonly kind: "get";
  /** The entries in byte order, in reverse where `reverse` is true. */
  readonly entries: readonly KeyValue[];
  /** Whether the range has entries beyond the `limit`. */
  readonly more: boolean;
  /** The number of keys in the range. */
  readonly count: number;
}

/** The entry of a get of one key; null if it does not exist. */
export interface SingleEntry {
  /** The entry. */
  readonly entry: KeyValue | null;
}

/** The result of a {@link NestedTransaction}. */
export type NestedOutcome<
  Then extends readonly TransactionOperation[] = readonly TransactionOperation[],
  Else extends readonly TransactionOperation[] = readonly TransactionOperation[],
> = { readonly kind: "transaction" } & BranchResults<Then, Else>;

/** Whether the checks held, and the results of the operations of the branch that ran, in order. */
export type BranchResults<
  Then extends readonly TransactionOperation[],
  Else extends readonly TransactionOperation[],
> =
  | { readonly succeeded: true; readonly results: OperationResults<Then> }
  | { readonly succeeded: false; readonly results: OperationResults<Else> };

/** The results of a list of operations, by position. */
export type OperationResults<List extends readonly TransactionOperation[]> = {
  readonly [Position in keyof List]: OperationResult<List[Position]>;
};

/** `Extra` where the operation asked for it by `returnPrevious: true`; perhaps, where that is not known. */
export type IfPrevious<Asked, Extra> = Asked extends { readonly returnPrevious: infer Flag }
  ? [Flag] extends [true] ? Extra : [Flag] extends [false] ? unknown : Partial<Extra>
  : Asked extends { readonly returnPrevious?: boolean }
    ? "returnPrevious" extends keyof Asked ? Partial<Extra> : unknown
  : unknown;

/** The result of one operation. */
export type OperationResult<One extends TransactionOperation> = One extends { readonly kind: "put" }
  ? WriteOutcome<"put"> & IfPrevious<One, PreviousEntry>
  : One extends { readonly kind: infer Kind extends "sum" | "min" | "max" } ? WriteOutcome<Kind>
  : One extends { readonly kind: "delete" } ? DeleteOutcome & IfPrevious<One, PreviousEntries>
  : One extends { readonly kind: "get" }
    ? GetOutcome & (One extends { readonly key: Bytes } ? SingleEntry : unknown)
  : One extends NestedTransaction ? NestedOutcome<ListOf<One["then"]>, ListOf<One["else"]>>
  : never;

/** The list of operations of a branch; the empty one where there is none. */
export type ListOf<Branch> = Branch extends readonly TransactionOperation[] ? Branch : readonly [];

/** The result of {@link KvClient.transaction} with branches. */
export type BranchingResult<
  Then extends readonly TransactionOperation[] = readonly TransactionOperation[],
  Else extends readonly TransactionOperation[] = readonly TransactionOperation[],
> = BranchResults<Then, Else> & RevisionAfter;

/** The store's revision after a transaction. */
export interface RevisionAfter {
  /** The store's revision: that of the transaction, if it changed something. */
  readonly revision: number;
}
