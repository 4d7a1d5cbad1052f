/**
 * The full form of a transaction: conditions over keys and ranges, and the operations of both branches, which may be
 * transactions themselves. It exists from feature level 2 on.
 *
 * All conditions, those of nested transactions too, are checked on the state before the transaction. Then the operations of
 * the chosen branches are executed in order, and each sees what earlier ones did. All changes are made in one revision, or
 * none is: a transaction that fails changes nothing.
 */
import type { KeyValue, SessionStamp } from "./command.ts";

/** Conditions and operations of a transaction, those of both branches and of transactions within it together. */
export const MAX_BRANCHING_OPERATIONS = 512;
/** Levels of transactions within each other, the outermost included. */
export const MAX_TRANSACTION_LEVELS = 4;
/**
 * Keys that the ranges of one transaction may read or delete in all. A condition and a delete count all keys of their
 * range, a get those that it returns; a get at a past revision counts the keys of its range that exist now, and those
 * whose deletion is in the history.
 */
export const MAX_TRANSACTION_KEYS = 10_000;
/** Later versions that the gets of one transaction at past revisions may go back over in all: about 20 ms of work. */
export const MAX_TRANSACTION_VERSIONS = 262_144;
/**
 * Bytes that the conditions of one transaction may compare with the values of ranges in all, about 20 ms of work: of each
 * value as many as the shorter of both has, whether or not an earlier byte decides.
 */
export const MAX_TRANSACTION_COMPARED_BYTES = 16_777_216;
/** Bytes of keys and values in the result of one transaction. */
export const MAX_TRANSACTION_RESULT_BYTES = 4_194_304;
/** Bytes of entries (see outcomes.ts) up to which a session remembers the outcomes of a transaction. */
export const MAX_REMEMBERED_BYTES = 4_096;
/** Bytes of a number that `sum`, `min` and `max` work with. */
export const NUMBER_BYTES = 8;

/** The keys of a condition or operation. A range whose end is not above its start has no keys. */
export type KeySet =
  | { readonly kind: "key"; readonly key: Uint8Array }
  /** From `start` (included; empty: the first key) to `end` (excluded; null: to the last key). */
  | { readonly kind: "range"; readonly start: Uint8Array; readonly end: Uint8Array | null };

/** How a condition compares what is there with what it names; values in unsigned byte order. */
export type Comparison = "equal" | "notEqual" | "less" | "greater";

/**
 * A condition holds if it holds for every one of its keys. For an absent key, and for a range without keys, the version,
 * both revisions and the lease are 0 (the lease of a key without one too), and a condition on the value does not hold, whichever its comparison (as in etcd 3.7).
 */
export type Condition =
  | {
    readonly kind: "value";
    readonly keys: KeySet;
    readonly comparison: Comparison;
    readonly value: Uint8Array;
  }
  | {
    readonly kind: "version" | "createRevision" | "modRevision" | "lease";
    readonly keys: KeySet;
    readonly comparison: Comparison;
    readonly number: number;
  };

/** One step of a transaction. */
export type Operation =
  | {
    readonly kind: "put";
    readonly key: Uint8Array;
    /** Null keeps the value that is there, in a new version of the key. */
    readonly value: Uint8Array | null;
    readonly returnPrevious: boolean;
    /** The lease to which the key is attached; null: none, "keep": that to which it is attached already, if any. */
    readonly leaseId: number | null | "keep";
    /** As in Attachment; null: the key does not expire, "keep": at the time that it has already, if any. */
    readonly expiresAtMs: number | null | "keep";
  }
  | { readonly kind: "delete"; readonly keys: KeySet; readonly returnPrevious: boolean }
  | {
    readonly kind: "get";
    readonly keys: KeySet;
    /** 1 … MAX_LIST_ENTRIES; 0: all of them, or the transaction fails. */
    readonly limit: number;
    /** In descending order. */
    readonly reverse: boolean;
    /** Reads as of this revision, without the changes of this transaction; null: reads the present, with them. */
    readonly revision: number | null;
  }
  /**
   * Changes a number of NUMBER_BYTES bytes, unsigned and little-endian: adds the operand (modulo 2^64), or sets the smaller
   * or the larger of both. On an absent key it sets the operand. The key keeps its lease and the time at which it expires.
   */
  | { readonly kind: "sum" | "min" | "max"; readonly key: Uint8Array; readonly operand: Uint8Array }
  | ({ readonly kind: "transaction" } & Branches);

/** Conditions, and what is done if all of them hold (`then`), or if not (`else`). Each of the three may be empty. */
export interface Branches {
  readonly conditions: readonly Condition[];
  readonly then: readonly Operation[];
  readonly else: readonly Operation[];
}

/** The full form of a transaction. */
export interface BranchingTransaction extends Branches {
  /** Discriminates the command. */
  readonly kind: "branchingTransaction";
  /** Null for a write that is sent at most once and never retried. */
  readonly session: SessionStamp | null;
}

/** The result of one operation. */
export type OperationOutcome =
  /** Of put, sum, min and max. `previous` is what was there before, null if the key was absent, omitted unless requested. */
  | {
    readonly kind: "put";
    readonly createRevision: number;
    readonly version: number;
    readonly previous: KeyValue | null | "omitted";
  }
  /** `previous` is what was there, in key order; empty unless requested. */
  | { readonly kind: "delete"; readonly deleted: number; readonly previous: readonly KeyValue[] }
  /** `more`: the range has keys after the last entry. `count`: keys of the whole range. */
  | {
    readonly kind: "get";
    readonly entries: readonly KeyValue[];
    readonly more: boolean;
    readonly count: number;
  }
  | {
    readonly kind: "transaction";
    readonly succeeded: boolean;
    readonly outcomes: readonly OperationOutcome[];
  };

/** Reason for which a transaction fails when it is executed. */
export type TransactionFailure =
  /**
   * Its ranges have more than MAX_TRANSACTION_KEYS keys, it reads past MAX_TRANSACTION_VERSIONS later versions, or its
   * conditions compare more than MAX_TRANSACTION_COMPARED_BYTES with values of ranges.
   */
  | "tooManyKeys"
  /** Its result has more than MAX_TRANSACTION_RESULT_BYTES of keys and values. */
  | "resultTooLarge"
  /** The value that `sum`, `min` or `max` found is not of NUMBER_BYTES bytes. */
  | "notANumber"
  /** The key whose value a put was to keep is absent. */
  | "keyNotFound"
  /** The history of the revision that a get was to read is compacted. */
  | "compacted"
  /** The revision that a get was to read is above the present one. */
  | "futureRevision"
  /** The lease to which a put was to attach its key does not exist. */
  | "leaseNotFound"
  /** The lease to which a put was to attach its key would have more than MAX_LEASE_KEYS keys. */
  | "tooManyLeaseKeys";
