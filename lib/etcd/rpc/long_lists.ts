/**
 * Messages with long lists, encoded in steps: a list of 250,000 leases as one text would hold up every other request of the
 * process for most of a second.
 */
import type { Clock } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import { EtcdError } from "./status.ts";

/** Elements of a list that are encoded in one step. */
export const STEP_ELEMENTS = 1_000;

/** Lets other work in between steps. Rejects with EtcdError if the client has gone. */
export type YieldToOthers = () => Promise<void>;

/** Returns what lets other work in while the answer to a call is made. */
export function yieldOf(
  { clock, signal }: { readonly clock: Pick<Clock, "after">; readonly signal: AbortSignal },
): YieldToOthers {
  return async () => {
    await pause(0, { clock, signal });
    if (signal.aborted) throw new EtcdError("cancelled", "the client has gone");
  };
}

/** A message in parts. */
export interface CutMessage<G> {
  /** The message with the first elements of its lists. */
  readonly head: G;
  /** The other elements: messages that have a few of one list and no other field. */
  readonly rest: readonly G[];
}

/** Cuts the lists of a message into steps. */
export function cutLists<G>(message: G): CutMessage<G> {
  const rest: G[] = [];
  let head = message;
  for (const [property, list] of Object.entries(message ?? {})) {
    if (!Array.isArray(list) || list.length <= STEP_ELEMENTS) continue;
    head = { ...head, [property]: list.slice(0, STEP_ELEMENTS) };
    for (let from = STEP_ELEMENTS; from < list.length; from += STEP_ELEMENTS) {
      // All fields of a message may be absent, and this one has a part of its own value.
      rest.push({ [property]: list.slice(from, from + STEP_ELEMENTS) } as G);
    }
  }
  return { head, rest };
}
