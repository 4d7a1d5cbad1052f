/**
 * Examines the bytes after the last valid record: whether they are zeros, a torn tail, or proof that the log is damaged.
 *
 * The work is linear in the bytes searched, for every content: a client may have stored a value that resembles many
 * record headers, each of which announces a long body.
 */
import type { DiskFile } from "../../platform/disk.ts";
import { checksumSeed, MAGIC, MAGIC_AT, MAX_RECORD_BYTES, readFrame, RECORD_HEADER_BYTES } from "./record.ts";
import { SpanChecksums } from "./span_checksums.ts";

/** Bytes searched at a time, at most. */
const SEARCH_WINDOW_BYTES = 1024 * 1024;
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** The content after the valid records. */
export interface Rest {
  /** Offset at which it ends, without the zeros of preallocation; `from` when there is nothing else. */
  readonly end: number;
  /** A valid record that says that `from` was durable when it was written, or null. */
  readonly vouchedBy: { readonly offset: number; readonly syncedOffset: number } | null;
  /** Bytes read and checksummed. */
  readonly workBytes: number;
}

/**
 * Examines the file, a segment with this seed, from `from` on, where there is no valid record.
 *
 * Every offset is tried, since a damaged header no longer has the offset of the next record. Valid records whose
 * `syncedOffset` is not beyond `from` prove nothing: of several sectors that were not synced, a crash may keep the later
 * and lose the earlier.
 */
export async function examineRest(
  { file, seed, from }: { file: DiskFile; seed: number; from: number },
): Promise<Rest> {
  const fileBytes = file.size();
  const checksums = new SpanChecksums({ file, maxSpanBytes: MAX_RECORD_BYTES });
  // A multiple of the words that are compared with zero.
  const words = Math.ceil(Math.min(SEARCH_WINDOW_BYTES, fileBytes - from) / WORD_BYTES);
  const window = new Uint8Array(words * WORD_BYTES);
  const view = new DataView(window.buffer);
  // Windows overlap, so that every header is complete in one of them.
  const step = SEARCH_WINDOW_BYTES - RECORD_HEADER_BYTES + 1;
  let [end, readBytes] = [from, 0];
  for (let start = from; start < fileBytes; start += step) {
    window.fill(0);
    const count = await file.read(window, start);
    readBytes += count;
    const used = usedBytes(window);
    if (used === 0) continue;
    end = start + used;
    for (const position of headerPositions(window.subarray(0, used))) {
      const offset = start + position;
      if (offset <= from || position + RECORD_HEADER_BYTES > count) continue;
      const frame = readFrame(view, position, offset);
      if (frame === null) continue;
      const { syncedOffset, bodyBytes } = frame;
      const vouches = syncedOffset > from && await checksums.holds({
        from: offset + MAGIC_AT,
        to: offset + RECORD_HEADER_BYTES + bodyBytes,
        seed: checksumSeed({ seed, offset }),
        checksum: view.getUint32(position),
      });
      const workBytes = readBytes + checksums.workBytes;
      if (vouches) return { end, vouchedBy: { offset, syncedOffset }, workBytes };
    }
  }
  return { end, vouchedBy: null, workBytes: readBytes + checksums.workBytes };
}

/** Returns the number of bytes up to the last that is not zero. */
function usedBytes(bytes: Uint8Array<ArrayBuffer>): number {
  const words = new Int32Array(bytes.buffer);
  let used = words.length;
  while (used > 0 && words[used - 1] === 0) used -= 1;
  let end = used * WORD_BYTES;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

/** Yields the positions in `bytes` at which a header with the magic bytes may begin. */
function* headerPositions(bytes: Uint8Array): Generator<number> {
  const [first = 0] = MAGIC;
  for (let at = bytes.indexOf(first, MAGIC_AT); at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (MAGIC.every((byte, position) => bytes[at + position] === byte)) yield at - MAGIC_AT;
  }
}
