/**
 * One short text for a whole state, by which replicas are compared: same log, same hash.
 */
import { createHash } from "node:crypto";
import type { StateRecord } from "../../kv/record.ts";
import type { StateView } from "../../kv/state_machine.ts";
import { SliceBudget, type YieldToEventLoop } from "../yield_to_event_loop.ts";

/** What hashing takes from its surroundings. */
export interface HashStateOptions {
  /** A record's canonical bytes, from which their own end can be told (as with MessagePack). */
  readonly encode: (record: StateRecord) => Uint8Array;
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** SHA-256, in hexadecimal, of the bytes of all records in their order. The event loop goes on meanwhile. */
export async function hashState(view: StateView, options: HashStateOptions): Promise<string> {
  const hash = createHash("sha256");
  const budget = new SliceBudget(options.yieldToEventLoop);
  for (const record of view.records()) {
    const bytes = options.encode(record);
    hash.update(bytes);
    if (budget.spend(bytes.length)) await budget.yield();
  }
  return hash.digest("hex");
}
