/** Converts the conditions of etcd's transactions to those of the store. */
import type { Comparison, Condition, KeySet } from "../../../kv/branching_command.ts";
import { MAX_VALUE_BYTES } from "../../../kv/command.ts";
import { type Compare, COMPARE_RESULT, COMPARE_TARGET, type CompareUnion } from "../../messages/kv.ts";
import { storeLeaseId, storeRevision } from "../../revisions.ts";
import { etcdError } from "../../rpc/status.ts";
import { keySetOf } from "../keys.ts";

/** A number of a condition, with the comparison that holds for the store's numbers if and only if etcd's holds. */
interface NumberComparison {
  readonly comparison: Comparison;
  readonly number: number;
}

const NEVER: NumberComparison = { comparison: "less", number: 0 };
/** For any key, and for none. */
const ALWAYS: NumberComparison = { comparison: "greater", number: -1 };

/** Returns the conditions for one of etcd: none for one that always holds. Throws EtcdError. */
export function conditionsOf(compare: Compare): readonly Condition[] {
  const keys = keySetOf(compare);
  const { target, targetUnion } = compare;
  const comparison = comparisonOf(compare.result);
  switch (target) {
    case COMPARE_TARGET.value:
      return [valueCondition(keys, comparison, bytesOf(targetUnion))];
    case COMPARE_TARGET.version:
      return numberCondition("version", keys, plain(comparison, numberOf(targetUnion, "version")));
    case COMPARE_TARGET.create:
      return numberCondition(
        "createRevision",
        keys,
        ofRevision(comparison, numberOf(targetUnion, "createRevision")),
      );
    case COMPARE_TARGET.mod:
      return numberCondition(
        "modRevision",
        keys,
        ofRevision(comparison, numberOf(targetUnion, "modRevision")),
      );
    case COMPARE_TARGET.lease:
      return numberCondition("lease", keys, ofLease(comparison, leaseOf(targetUnion)));
    default:
      // A target that does not exist is equal to anything.
      return numberCondition("version", keys, comparison === null || comparison === "equal" ? ALWAYS : NEVER);
  }
}

/** Returns the comparison of a number; null for one that does not exist, which always holds. */
function comparisonOf(result: number): Comparison | null {
  switch (result) {
    case COMPARE_RESULT.equal:
      return "equal";
    case COMPARE_RESULT.notEqual:
      return "notEqual";
    case COMPARE_RESULT.less:
      return "less";
    case COMPARE_RESULT.greater:
      return "greater";
    default:
      return null;
  }
}

/** A comparison of values holds for no absent key, in the store as in etcd. */
function valueCondition(keys: KeySet, comparison: Comparison | null, value: Uint8Array): Condition {
  if (comparison === null) return { kind: "version", keys, comparison: "notEqual", number: 0 };
  if (value.length > MAX_VALUE_BYTES) throw etcdError("requestTooLarge");
  return { kind: "value", keys, comparison, value };
}

function numberCondition(
  kind: "version" | "createRevision" | "modRevision" | "lease",
  keys: KeySet,
  { comparison, number }: NumberComparison,
): readonly Condition[] {
  return comparison === ALWAYS.comparison && number < 0 ? [] : [{ kind, keys, comparison, number }];
}

/** Returns the comparison of a number that is never negative. */
function plain(comparison: Comparison | null, number: number): NumberComparison {
  if (comparison === null) return ALWAYS;
  if (number >= 0) return { comparison, number };
  return comparison === "greater" || comparison === "notEqual" ? ALWAYS : NEVER;
}

/** Returns the comparison of a revision of a key: 0 for none, which is 0 in the store, or from 2 on, which is one less there. */
function ofRevision(comparison: Comparison | null, revision: number): NumberComparison {
  if (comparison === null || revision <= 0) return plain(comparison, revision);
  if (revision > 1) return { comparison, number: storeRevision(revision) };
  switch (comparison) {
    case "equal":
      return NEVER;
    case "notEqual":
      return ALWAYS;
    case "less":
      return { comparison: "equal", number: 0 };
    case "greater":
      return { comparison: "greater", number: 0 };
  }
}

/** Returns the comparison of the id of a lease, which may be one that no lease of the store can have. */
function ofLease(comparison: Comparison | null, lease: bigint): NumberComparison {
  if (comparison === null || lease <= 0n) return plain(comparison, lease === 0n ? 0 : -1);
  const leaseId = storeLeaseId(lease);
  if (leaseId !== null) return { comparison, number: leaseId };
  return comparison === "less" || comparison === "notEqual" ? ALWAYS : NEVER;
}

/** Returns the number of a union; 0 if it has another member. */
function numberOf(union: CompareUnion | null, kind: "version" | "createRevision" | "modRevision"): number {
  return union !== null && union.kind === kind ? union.value : 0;
}

function leaseOf(union: CompareUnion | null): bigint {
  return union?.kind === "lease" ? union.value : 0n;
}

function bytesOf(union: CompareUnion | null): Uint8Array {
  return union?.kind === "value" ? union.value : new Uint8Array(0);
}
