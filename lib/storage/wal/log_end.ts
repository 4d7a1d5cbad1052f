/**
 * The end of the log at its last clean stop, in the file `end` beside the segments. Everything before it was durable, and
 * durable bytes of a log are never cut, so a log that ends earlier was shortened from outside: by a tool, a repaired file
 * system, or a copy that was not complete. The log alone cannot tell, because what is left looks like a shorter log.
 *
 * The position only rises, so the file need not be removed when the log continues. It is not written after a crash.
 *
 *     offset  bytes  field
 *          0      4  checksum of everything after it
 *          4      8  "kvrend 1"
 *         12      8  number of the last segment
 *         20      4  offset in it at which the records end
 */
import { crc32 } from "node:zlib";
import type { Disk } from "../../platform/disk.ts";
import type { LogPosition } from "./log_state.ts";
import { getInteger, putInteger } from "./record.ts";

const NAME = "end";
const NEW_NAME = "end.new";
const MAGIC = new TextEncoder().encode("kvrend 1");
const MAGIC_AT = 4;
const SEGMENT_AT = 12;
const OFFSET_AT = 20;
const BYTES = 24;

/** The log's directory. */
interface Place {
  readonly disk: Disk;
  readonly directory: string;
}

/** Writes the end of a log of which everything is durable, durably and atomically. Throws the disk's errors. */
export function writeLogEnd({ disk, directory }: Place, { segment, offset }: LogPosition): void {
  const bytes = new Uint8Array(BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC, MAGIC_AT);
  putInteger(view, SEGMENT_AT, segment);
  view.setUint32(OFFSET_AT, offset);
  view.setUint32(0, crc32(bytes.subarray(MAGIC_AT)));
  const file = disk.open(`${directory}/${NEW_NAME}`, "create");
  try {
    file.write(bytes, 0);
    file.syncNow();
  } finally {
    file.close();
  }
  disk.rename(`${directory}/${NEW_NAME}`, `${directory}/${NAME}`);
  disk.syncDirectory(directory);
}

/**
 * Returns the end of the log at its last clean stop; null when it is unknown. A damaged file says nothing, and is no
 * reason to refuse a log.
 */
export async function readLogEnd({ disk, directory }: Place): Promise<LogPosition | null> {
  if (disk.stat(`${directory}/${NAME}`) !== "file") return null;
  const file = disk.open(`${directory}/${NAME}`, "read");
  try {
    const bytes = new Uint8Array(BYTES);
    if (await file.read(bytes, 0) < BYTES) return null;
    const view = new DataView(bytes.buffer);
    if (view.getUint32(0) !== crc32(bytes.subarray(MAGIC_AT))) return null;
    if (MAGIC.some((byte, position) => bytes[MAGIC_AT + position] !== byte)) return null;
    const segment = getInteger(view, SEGMENT_AT);
    return segment === null ? null : { segment, offset: view.getUint32(OFFSET_AT) };
  } finally {
    file.close();
  }
}
