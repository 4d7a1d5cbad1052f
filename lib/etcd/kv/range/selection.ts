/** The entries of a range that an answer has, and their order: etcd's filters, sort orders and limits. */
import type { KeyValue } from "../../../kv/command.ts";
import { compareKeys } from "../../../kv/keys.ts";
import { type RangeRequest, SORT_ORDER, SORT_TARGET } from "../../messages/kv.ts";
import { etcdRevision } from "../../revisions.ts";

/** Whether an answer has its entries in the order of the keys, or in the reverse order. Other targets are sorted always. */
export function isKeyOrder({ sortTarget }: RangeRequest): boolean {
  return sortTarget === SORT_TARGET.key;
}

/** Whether an answer begins with the last key. */
export function isReverse({ sortOrder, sortTarget }: RangeRequest): boolean {
  return sortTarget === SORT_TARGET.key && sortOrder === SORT_ORDER.descend;
}

/** Whether an answer leaves out entries for their revisions. */
export function hasFilters(
  { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision }: RangeRequest,
): boolean {
  return minModRevision !== 0 || maxModRevision !== 0 || minCreateRevision !== 0 || maxCreateRevision !== 0;
}

/** Whether an entry is not left out for its revisions. */
export function passes(request: RangeRequest, entry: KeyValue): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  const [mod, create] = [etcdRevision(entry.modRevision), etcdRevision(entry.createRevision)];
  return (minModRevision === 0 || mod >= minModRevision) && (maxModRevision === 0 || mod <= maxModRevision) &&
    (minCreateRevision === 0 || create >= minCreateRevision) &&
    (maxCreateRevision === 0 || create <= maxCreateRevision);
}

/** Returns the order of the entries of an answer; entries that are equal in it keep the order of their keys. */
export function orderOf({ sortOrder, sortTarget }: RangeRequest): (a: KeyValue, b: KeyValue) => number {
  const compare = comparisonOf(sortTarget);
  return sortOrder === SORT_ORDER.descend ? (a, b) => compare(b, a) : compare;
}

function comparisonOf(target: number): (a: KeyValue, b: KeyValue) => number {
  switch (target) {
    case SORT_TARGET.version:
      return (a, b) => a.version - b.version;
    case SORT_TARGET.create:
      return (a, b) => a.createRevision - b.createRevision;
    case SORT_TARGET.mod:
      return (a, b) => a.modRevision - b.modRevision;
    case SORT_TARGET.value:
      return (a, b) => compareKeys(a.value, b.value);
    default:
      return (a, b) => compareKeys(a.key, b.key);
  }
}
