/**
 * One short text for a whole state, by which replicas are compared: same log, same hash.
 */
import { createHash } from "node:crypto";
import type { StateRecord } from "../kv/record.ts";
import type { StateView } from "../kv/state_machine.ts";

/** Bytes and records that are hashed before others get their turn (well under a millisecond of either). */
const SLICE_BYTES = 262_144;
const SLICE_RECORDS = 256;

/** What hashing takes from its surroundings. */
export interface HashStateOptions {
  /** A record's canonical bytes, from which their own end can be told (as with MessagePack). */
  readonly encode: (record: StateRecord) => Uint8Array;
  /** Resolves after everything else that waits had its turn. */
  readonly pause: () => Promise<void>;
}

/** SHA-256, in hexadecimal, of the bytes of all records in their order. The event loop goes on meanwhile. */
export async function hashState(view: StateView, options: HashStateOptions): Promise<string> {
  const hash = createHash("sha256");
  let bytesInSlice = 0;
  let recordsInSlice = 0;
  for (const record of view.records()) {
    const bytes = options.encode(record);
    hash.update(bytes);
    bytesInSlice += bytes.length;
    recordsInSlice++;
    if (bytesInSlice < SLICE_BYTES && recordsInSlice < SLICE_RECORDS) continue;
    await options.pause();
    bytesInSlice = 0;
    recordsInSlice = 0;
  }
  return hash.digest("hex");
}
