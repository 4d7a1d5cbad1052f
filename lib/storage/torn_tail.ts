/** Looks through what stands behind the last valid record: is it nothing, a torn tail, or proof that the log is damaged? */
import type { DiskFile } from "./disk.ts";
import { MAGIC, MAGIC_AT } from "./record.ts";
import type { RecordScanner, ScannedRecord } from "./record_scanner.ts";

/** Bytes searched at a time, at most. */
const SEARCH_WINDOW_BYTES = 1024 * 1024;
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** What stands behind the valid records. */
export interface Rest {
  /** Where it ends, the zeros of preallocation not counted; `from` when there is nothing else. */
  readonly end: number;
  /** A valid record that says that `from` was durable when it was written, or null. */
  readonly vouchedBy: ScannedRecord | null;
}

/**
 * Examines the file from `from` on, where no valid record stands.
 *
 * Every offset is tried, since a damaged header no longer says where the next record begins. Valid records that
 * don't vouch for `from` prove nothing: of several sectors written and not yet synced, a crash may keep the later and
 * lose the earlier.
 */
export async function examineRest(
  options: { file: DiskFile; scanner: RecordScanner; from: number },
): Promise<Rest> {
  const { file, scanner, from } = options;
  // Whole words, by which it is compared with zero.
  const words = Math.ceil(Math.min(SEARCH_WINDOW_BYTES, scanner.fileBytes - from) / WORD_BYTES);
  const window = new Uint8Array(words * WORD_BYTES);
  const overlap = MAGIC.length - 1;
  let end = from;
  for (let start = from; start < scanner.fileBytes; start += SEARCH_WINDOW_BYTES - overlap) {
    window.fill(0);
    await file.read(window, start);
    const used = usedBytes(window);
    if (used === 0) continue;
    end = start + used;
    for (const position of magicPositions(window.subarray(0, used))) {
      const offset = start + position - MAGIC_AT;
      if (offset <= from) continue;
      const found = await scanner.recordAt(offset);
      if (found !== null && found.syncedOffset > from) return { end, vouchedBy: found };
    }
  }
  return { end, vouchedBy: null };
}

/** Bytes up to the last that is not zero. */
function usedBytes(bytes: Uint8Array<ArrayBuffer>): number {
  const words = new Int32Array(bytes.buffer);
  let used = words.length;
  while (used > 0 && words[used - 1] === 0) used -= 1;
  let end = used * WORD_BYTES;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

function* magicPositions(bytes: Uint8Array): Generator<number> {
  const [first = 0] = MAGIC;
  for (let at = bytes.indexOf(first); at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (MAGIC.every((byte, position) => bytes[at + position] === byte)) yield at;
  }
}
