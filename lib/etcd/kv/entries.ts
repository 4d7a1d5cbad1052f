/** Entries of the store as they are in answers to reads. */
import type { KeyValue } from "../../kv/command.ts";
import type { EtcdKeyValueGiven } from "../messages/common.ts";
import { type RangeRequest, SORT_TARGET } from "../messages/kv.ts";
import { etcdKeyValue } from "../revisions.ts";

/** Returns the entries as a read asks for them. Without values they have no lease either, unless they are sorted by value. */
export function answeredEntries(
  entries: readonly KeyValue[],
  { keysOnly, sortTarget }: RangeRequest,
): EtcdKeyValueGiven[] {
  if (!keysOnly) return entries.map((entry) => etcdKeyValue(entry));
  return entries.map((entry) => {
    const given = etcdKeyValue(entry, { keysOnly });
    return sortTarget === SORT_TARGET.value ? given : { ...given, lease: undefined };
  });
}
