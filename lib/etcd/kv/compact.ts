/** Compact. */
import { runCompaction } from "../../client/reads/history.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import type { COMPACTION_REQUEST, COMPACTION_RESPONSE } from "../messages/kv.ts";
import type { GivenOf, MessageOf } from "../protobuf/message.ts";
import { storeRevision } from "../revisions.ts";
import type { Call } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";

/**
 * Drops the history below a revision. The nodes free its memory bit by bit afterwards, also for a `physical` compaction,
 * which etcd answers after that.
 */
export async function compact(
  context: EtcdContext,
  { revision }: MessageOf<typeof COMPACTION_REQUEST>,
  call: Call,
): Promise<GivenOf<typeof COMPACTION_RESPONSE>> {
  if (revision <= 0) throw etcdError("compacted");
  const { before, mayHaveChanged, present } = await runCompaction(call.core, storeRevision(revision), call);
  // A new store is at revision 1 for etcd's clients, where nothing can be dropped: that is no failure.
  const isOfNewStore = revision === 1 && before === 0;
  if (!mayHaveChanged && !isOfNewStore) throw etcdError("compacted");
  return { header: headerOf(context, present) };
}
