/**
 * What the frames of this protocol hold at most, and that all of it fits into one. The inequalities are checked when the
 * program starts: a limit that is raised without the others ends it at once, not when the first large frame is sent.
 *
 * Bounds are on the bytes as they are stored and sent, before anything in them is decoded: an array may have further
 * elements at its end that this version does not know, and those count as well.
 */
import { assert } from "../platform/assert.ts";
import {
  LIST_PAGE_BYTES,
  MAX_COMMAND_BYTES,
  MAX_KEY_BYTES,
  MAX_LIST_ENTRIES,
  MAX_TRANSACTION_OPERATIONS,
  MAX_VALUE_BYTES,
} from "../kv/command.ts";
import { DEFAULT_LIMITS } from "../raft/config.ts";
import { MAX_FRAME_BYTES, MAX_SNAPSHOT_CHUNK_DATA_BYTES, MAX_SNAPSHOT_PART_BYTES } from "./limits.ts";

/** Bytes of any frame beside the data that it carries: up to ten integers of 9 bytes, and the heads of its arrays. */
const ENVELOPE_BYTES = 128;
/** The same of each entry in an AppendEntries: two integers, its kind, and two heads. */
const ENTRY_ENVELOPE_BYTES = 25;
/** What the core counts for each entry beside its data (entryBytes in lib/raft/log.ts). */
const ENTRY_SHARE_BYTES = 32;
/** Bytes of a key-value beside key and value: three integers, and the heads of the array and of both. */
const KEY_VALUE_ENVELOPE_BYTES = 36;
/** Bytes of one outcome or failed check in a result, with room for what later versions add. */
const OUTCOME_BYTES = 32;

/**
 * Bytes of an entry's data in a frame from another node. A longer one is refused as undecodable: this node could not
 * send it on. No leader makes one above MAX_COMMAND_BYTES; logs of older versions may hold what lies between.
 */
export const MAX_PEER_ENTRY_BYTES = MAX_FRAME_BYTES - ENVELOPE_BYTES - ENTRY_ENVELOPE_BYTES;
/** Bytes of a configuration in a frame from another node: 16 members and 16,384 removed ids are less than 160 KiB. */
export const MAX_CONFIGURATION_BYTES = 256 * 1024;
/**
 * Bytes of an encoded result: a key-value and what became of each operation. An answer with more is refused as
 * undecodable, by the node that passed the write on and by the client.
 */
export const MAX_RESULT_BYTES = ENVELOPE_BYTES + KEY_VALUE_ENVELOPE_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES +
  MAX_TRANSACTION_OPERATIONS * OUTCOME_BYTES;

const LARGEST: Readonly<Record<string, number>> = {
  "a command on its way to the leader": MAX_COMMAND_BYTES,
  "an entry with the largest command": ENTRY_ENVELOPE_BYTES + MAX_COMMAND_BYTES,
  "an entry from another node": ENTRY_ENVELOPE_BYTES + MAX_PEER_ENTRY_BYTES,
  "a batch of entries": DEFAULT_LIMITS.appendBytes,
  "a result": MAX_RESULT_BYTES,
  "a page of a listing": LIST_PAGE_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES +
    MAX_LIST_ENTRIES * KEY_VALUE_ENVELOPE_BYTES,
  "a piece of a snapshot": Math.max(MAX_SNAPSHOT_CHUNK_DATA_BYTES, MAX_SNAPSHOT_PART_BYTES),
};
for (const [what, bytes] of Object.entries(LARGEST)) {
  assert(bytes + ENVELOPE_BYTES <= MAX_FRAME_BYTES, `${what} fits into a frame`);
}
assert(ENTRY_ENVELOPE_BYTES <= ENTRY_SHARE_BYTES, "the core counts at least what an entry takes in a frame");
