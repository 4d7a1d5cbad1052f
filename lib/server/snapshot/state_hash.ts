/**
 * One short text for a whole state, by which replicas are compared: same log, same hash.
 */
import { createHash } from "node:crypto";
import type { StateRecord } from "../../kv/record.ts";
import type { StateView } from "../../kv/state_machine.ts";
import { type Pause, Slices } from "../slices.ts";

/** What hashing takes from its surroundings. */
export interface HashStateOptions {
  /** A record's canonical bytes, from which their own end can be told (as with MessagePack). */
  readonly encode: (record: StateRecord) => Uint8Array;
  readonly pause: Pause;
}

/** SHA-256, in hexadecimal, of the bytes of all records in their order. The event loop goes on meanwhile. */
export async function hashState(view: StateView, options: HashStateOptions): Promise<string> {
  const hash = createHash("sha256");
  const slices = new Slices(options.pause);
  for (const record of view.records()) {
    const bytes = options.encode(record);
    hash.update(bytes);
    if (slices.add(bytes.length)) await slices.pause();
  }
  return hash.digest("hex");
}
