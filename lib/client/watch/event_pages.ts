/**
 * Pages of the events of keys: for a program that reads the history at its own pace, as a watch of many keys does whose
 * own reader is slow.
 */
import type { KeySet } from "../../kv/branching_command.ts";
import type { ServerFrame } from "../../protocol/client_frames.ts";
import type { ClientCore } from "../core.ts";
import type { CallOptions } from "../types.ts";

/** The events that a page is to have. */
export interface EventQuery {
  readonly keys: KeySet;
  /** The first revision, above the compacted one; null for no events, but the present revision. */
  readonly from: number | null;
  /** Events of that revision that are known already. */
  readonly skip: number;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly previous: boolean;
}

/**
 * Events of ascending revisions: all up to the revision `next` (excluded), and the first `skip` ones of `next`. The last page
 * has the `next` after `revision`, the present one.
 */
export type EventPage = ServerFrame<"eventsResult">["page"];

/** Returns one page, linearizable. Rejects with CompactedError if the history does not reach back to `from`. */
export async function readEvents(
  core: ClientCore,
  query: EventQuery,
  options: CallOptions,
): Promise<EventPage> {
  const request = { kind: "readEvents", ...query, consistency: "linearizable" } as const;
  const note = { kind: "read", action: "read events", context: core.context(options) } as const;
  const { message } = await core.call(request, note);
  return message.page;
}
