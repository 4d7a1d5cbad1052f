/** Transactions with branches over a plain list of entries, which is sorted and filtered again for every read. */
import type {
  Branches,
  Comparison,
  Condition,
  KeySet,
  Operation,
  OperationOutcome,
  TransactionFailure,
} from "../../../lib/kv/branching_command.ts";
import type { Attachment, KeyValue } from "../../../lib/kv/command.ts";
import { compareBytes } from "./naive_bytes.ts";

/** The state on which a transaction is executed. */
export interface NaiveState {
  readonly keys: readonly KeyValue[];
  readonly revision: number;
  readonly compactedRevision: number;
  /** The keys as of a revision. */
  readonly at: (revision: number) => readonly KeyValue[];
  /** The ids of all leases. */
  readonly leaseIds: readonly number[];
  readonly maxLeaseKeys: number;
}

/** A put (with a value) or the deletion of an existing key (null). */
export interface PlainChange {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
  readonly attachment: Attachment;
}

/** The changes of a transaction and its outcomes, or why it fails. */
export type NaiveExecution =
  | {
    readonly succeeded: boolean;
    readonly outcomes: readonly OperationOutcome[];
    readonly changes: readonly PlainChange[];
  }
  | { readonly reason: TransactionFailure; readonly position: readonly number[] };

class Failed extends Error {
  readonly reason: TransactionFailure;
  readonly position: readonly number[];

  constructor(reason: TransactionFailure, position: readonly number[]) {
    super(reason);
    this.reason = reason;
    this.position = position;
  }
}

/** Executes a transaction, within its limits. */
export function executeNaively(branches: Branches, state: NaiveState): NaiveExecution {
  const executor = new NaiveExecutor(state);
  try {
    return { ...executor.run(branches, []), changes: executor.changes };
  } catch (error) {
    if (error instanceof Failed) return { reason: error.reason, position: error.position };
    throw error;
  }
}

class NaiveExecutor {
  readonly changes: PlainChange[] = [];
  readonly #state: NaiveState;
  #present: readonly KeyValue[];

  constructor(state: NaiveState) {
    this.#state = state;
    this.#present = state.keys;
  }

  /** Conditions, those of nested transactions too, are about the state before the first operation. */
  run(
    { conditions, then, else: otherwise }: Branches,
    place: readonly number[],
  ): { readonly succeeded: boolean; readonly outcomes: readonly OperationOutcome[] } {
    const succeeded = conditions.every((condition) => holds(condition, this.#state.keys));
    const [operations, offset] = succeeded ? [then, 0] : [otherwise, then.length];
    const outcomes = operations.map((operation, index) =>
      this.#execute(operation, [...place, offset + index])
    );
    return { succeeded, outcomes };
  }

  #execute(operation: Operation, place: readonly number[]): OperationOutcome {
    switch (operation.kind) {
      case "put": {
        const before = this.#find(operation.key);
        const { leaseId, expiresAtMs } = operation;
        const attachment = {
          leaseId: leaseId === "keep" ? before?.leaseId : leaseId ?? undefined,
          expiresAtMs: expiresAtMs === "keep" ? before?.expiresAtMs : expiresAtMs ?? undefined,
        };
        const failure = attachFailure(operation.key, attachment.leaseId, {
          ...this.#state,
          keys: this.#present,
        });
        if (failure !== null) throw new Failed(failure, place);
        const value = operation.value ?? before?.value;
        if (value === undefined) throw new Failed("keyNotFound", place);
        return this.#put(
          { key: operation.key, value, attachment: present(attachment) },
          operation.returnPrevious ? before : "omitted",
        );
      }
      case "delete": {
        const found = chosen(this.#present, operation.keys);
        for (const { key } of found) this.#change(key, null);
        return { kind: "delete", deleted: found.length, previous: operation.returnPrevious ? found : [] };
      }
      case "get":
        return this.#get(operation, place);
      case "sum":
      case "min":
      case "max": {
        const before = this.#find(operation.key);
        if (before !== null && before.value.length !== 8) throw new Failed("notANumber", place);
        const [a = 0n, b = 0n] = [before?.value ?? operation.operand, operation.operand].map(number);
        const results = { sum: (a + b) % 2n ** 64n, min: a < b ? a : b, max: a < b ? b : a };
        const value = before === null ? operation.operand : eightBytes(results[operation.kind]);
        const { leaseId, expiresAtMs } = before ?? {};
        return this.#put(
          { key: operation.key, value, attachment: present({ leaseId, expiresAtMs }) },
          "omitted",
        );
      }
      case "transaction":
        return { kind: "transaction", ...this.run(operation, place) };
    }
  }

  #get(operation: Extract<Operation, { readonly kind: "get" }>, place: readonly number[]): OperationOutcome {
    const { revision, limit, reverse, keys } = operation;
    const { revision: present, compactedRevision, at } = this.#state;
    if (revision !== null && revision > present) throw new Failed("futureRevision", place);
    if (revision !== null && revision < compactedRevision) throw new Failed("compacted", place);
    const found = chosen(revision === null ? this.#present : at(revision), keys);
    const entries = (reverse ? found.toReversed() : found).slice(0, limit || Infinity);
    return { kind: "get", entries, more: found.length > entries.length, count: found.length };
  }

  #find(key: Uint8Array): KeyValue | null {
    return chosen(this.#present, { kind: "key", key })[0] ?? null;
  }

  #put(
    { key, value, attachment }: PlainChange & { readonly value: Uint8Array },
    previous: KeyValue | null | "omitted",
  ): OperationOutcome {
    const before = this.#find(key);
    const modRevision = this.#state.revision + 1;
    const createRevision = before?.createRevision ?? modRevision;
    const version = (before?.version ?? 0) + 1;
    this.#change(key, { key, value, createRevision, modRevision, version, ...attachment });
    return { kind: "put", createRevision, version, previous };
  }

  #change(key: Uint8Array, after: KeyValue | null): void {
    const others = this.#present.filter((entry) => compareBytes(entry.key, key) !== 0);
    this.#present = after === null ? others : [...others, after];
    const { leaseId, expiresAtMs } = after ?? {};
    this.changes.push({ key, value: after?.value ?? null, attachment: present({ leaseId, expiresAtMs }) });
  }
}

function chosen(entries: readonly KeyValue[], keys: KeySet): readonly KeyValue[] {
  return entries
    .filter(({ key }) =>
      keys.kind === "key"
        ? compareBytes(key, keys.key) === 0
        : compareBytes(key, keys.start) >= 0 && (keys.end === null || compareBytes(key, keys.end) < 0)
    )
    .toSorted((a, b) => compareBytes(a.key, b.key));
}

const HOLDS: Readonly<Record<Comparison, (order: number) => boolean>> = {
  equal: (order) => order === 0,
  notEqual: (order) => order !== 0,
  less: (order) => order < 0,
  greater: (order) => order > 0,
};

function holds(condition: Condition, entries: readonly KeyValue[]): boolean {
  const found = chosen(entries, condition.keys);
  if (condition.kind === "value") {
    const orders = found.map(({ value }) => compareBytes(value, condition.value));
    return found.length > 0 && orders.every(HOLDS[condition.comparison]);
  }
  const { kind } = condition;
  const numbers = found.length === 0
    ? [0]
    : found.map((entry) => kind === "lease" ? entry.leaseId ?? 0 : entry[kind]);
  return numbers.every((present) => HOLDS[condition.comparison](present - condition.number));
}

/** Why a key cannot be attached to a lease, or null. */
export function attachFailure(
  key: Uint8Array,
  leaseId: number | undefined,
  { keys, leaseIds, maxLeaseKeys }: Pick<NaiveState, "keys" | "leaseIds" | "maxLeaseKeys">,
): "leaseNotFound" | "tooManyLeaseKeys" | null {
  if (leaseId === undefined) return null;
  if (!leaseIds.includes(leaseId)) return "leaseNotFound";
  const others = keys.filter((entry) => entry.leaseId === leaseId && compareBytes(entry.key, key) !== 0);
  return others.length < maxLeaseKeys ? null : "tooManyLeaseKeys";
}

/** An attachment without what is undefined. */
function present(
  { leaseId, expiresAtMs }: Readonly<Record<keyof Attachment, number | undefined>>,
): Attachment {
  return {
    ...(leaseId === undefined ? {} : { leaseId }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function eightBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, position) => Number((value >> BigInt(8 * position)) & 255n));
}
