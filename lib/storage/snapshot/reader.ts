/**
 * Reads a snapshot from any source of bytes: a file of the data directory, a backup, a file just received. Each returned
 * chunk was verified; only after the last one is the snapshot known to be complete.
 */
import { errorMessage } from "../../platform/errors.ts";
import { crc32 } from "node:zlib";
import { assert } from "../../platform/assert.ts";
import type { Disk } from "../../platform/disk.ts";
import {
  NewerSnapshotError,
  NotASnapshotError,
  SnapshotDamagedError,
  SnapshotUnreadableError,
} from "../errors.ts";
import {
  bodyBytesOf,
  CHUNK_FRAME_BYTES,
  chunkHolds,
  contentBytesOf,
  decodeFooter,
  decodeSnapshotHeader,
  FOOTER_BYTES,
  SNAPSHOT_FORMAT_VERSION,
  SNAPSHOT_PREAMBLE_BYTES,
  type SnapshotHeader,
  type SnapshotTotals,
} from "./format.ts";

/** A source of bytes with random access. */
export interface SnapshotSource {
  /** Its name in messages. */
  readonly file: string;
  /** Number of bytes; infinite if it is known only at their end. */
  readonly bytes: number;
  /** Reads from `offset` on into `into`; resolves to the number of bytes, fewer than asked only at the end. */
  read(into: Uint8Array, offset: number): Promise<number>;
}

/** A snapshot that is being read. */
export interface SnapshotStream {
  /** Its verified header. */
  readonly header: SnapshotHeader;
  /**
   * Yields the chunks in order, each verified and owned by the caller. It ends once the footer was verified, too: only
   * then may the chunks be used. Throws {@link SnapshotDamagedError}.
   */
  chunks(): AsyncGenerator<Uint8Array, SnapshotTotals>;
  /** Reads all of it and keeps none. Throws {@link SnapshotDamagedError}. */
  verify(): Promise<SnapshotTotals>;
}

/** Reads a snapshot's header, and the rest when asked. Throws {@link SnapshotDamagedError} or {@link NewerSnapshotError}. */
export async function readSnapshotStream(source: SnapshotSource): Promise<SnapshotStream> {
  const { header, seed, bytes } = await readHeader(source);
  const chunks = (): AsyncGenerator<Uint8Array, SnapshotTotals> =>
    readChunks(source, { seed, header: bytes });
  return { header, chunks, verify: () => drain(chunks()) };
}

async function drain<T>(reading: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await reading.next();
    if (next.done === true) return next.value;
  }
}

/** Runs `use` on a file as a source of snapshot bytes. */
export async function withSnapshotFile<T>(
  { disk, file }: { readonly disk: Disk; readonly file: string },
  use: (source: SnapshotSource) => Promise<T>,
): Promise<T> {
  const open = disk.open(file, "read");
  try {
    return await use({ file, bytes: open.size(), read: (into, offset) => open.read(into, offset) });
  } finally {
    open.close();
  }
}

async function readHeader(
  source: SnapshotSource,
): Promise<{ header: SnapshotHeader; seed: number; bytes: Uint8Array }> {
  const { file } = source;
  const preamble = await readAt(source, 0, SNAPSHOT_PREAMBLE_BYTES);
  const bodyBytes = bodyBytesOf(preamble);
  if (bodyBytes === null) {
    throw new NotASnapshotError(file);
  }
  const bytes = await readAt(source, 0, SNAPSHOT_PREAMBLE_BYTES + bodyBytes);
  if (bytes.length < SNAPSHOT_PREAMBLE_BYTES + bodyBytes) {
    throw new SnapshotDamagedError({ file, offset: bytes.length, reason: "the file ends within its header" });
  }
  const decoded = decodeSnapshotHeader(bytes);
  switch (decoded.kind) {
    case "header":
      return { header: decoded.header, seed: decoded.seed, bytes };
    case "newerFormat": {
      const { formatVersion } = decoded;
      throw new NewerSnapshotError(file, { formatVersion, known: SNAPSHOT_FORMAT_VERSION });
    }
    case "damaged":
      throw new SnapshotDamagedError({ file, offset: 0, reason: decoded.reason });
  }
}

async function* readChunks(
  source: SnapshotSource,
  { seed, header }: { readonly seed: number; readonly header: Uint8Array },
): AsyncGenerator<Uint8Array, SnapshotTotals> {
  const { file } = source;
  let offset = header.length;
  let [chunks, contentBytes, checksum] = [0, 0, crc32(header)];
  // One read for each chunk: its content, and the frame of the next one or of the footer.
  let frame = await readAt(source, offset, CHUNK_FRAME_BYTES);
  for (;;) {
    const bytes = contentBytesOf(frame);
    if (bytes === null) throw new SnapshotDamagedError({ file, offset, reason: whyNoFrame(frame) });
    if (bytes === 0) break;
    const behind = await readAt(source, offset + CHUNK_FRAME_BYTES, bytes + CHUNK_FRAME_BYTES);
    const content = behind.subarray(0, bytes);
    if (content.length < bytes) {
      throw new SnapshotDamagedError({ file, offset, reason: "the file ends within a chunk" });
    }
    if (!chunkHolds(frame, content, { seed, offset })) {
      throw new SnapshotDamagedError({ file, offset, reason: "the checksum of a chunk does not hold" });
    }
    checksum = crc32(content, crc32(frame, checksum));
    chunks += 1;
    contentBytes += bytes;
    offset += CHUNK_FRAME_BYTES + bytes;
    frame = behind.subarray(bytes);
    yield content;
  }
  const totals = { chunks, contentBytes, checksum };
  await checkFooter(source, { seed, offset, totals });
  return totals;
}

/** Throws unless the footer is at `offset`, agrees with the chunks before it, and ends the file. */
async function checkFooter(
  source: SnapshotSource,
  found: { readonly seed: number; readonly offset: number; readonly totals: SnapshotTotals },
): Promise<void> {
  const { seed, offset, totals } = found;
  const { file } = source;
  const footer = decodeFooter(await readAt(source, offset, FOOTER_BYTES), { seed, offset });
  if (footer === null) {
    throw new SnapshotDamagedError({ file, offset, reason: "the footer is incomplete" });
  }
  const { chunks, contentBytes, checksum } = totals;
  if (footer.chunks !== chunks || footer.contentBytes !== contentBytes || footer.checksum !== checksum) {
    const reason = `the footer tells of ${footer.chunks} chunks with ${footer.contentBytes} bytes, and ` +
      `${chunks} with ${contentBytes} are there`;
    throw new SnapshotDamagedError({ file, offset, reason });
  }
  if ((await readAt(source, offset + FOOTER_BYTES, 1)).length > 0) {
    const reason = "data follows the footer";
    throw new SnapshotDamagedError({ file, offset: offset + FOOTER_BYTES, reason });
  }
}

function whyNoFrame(frame: Uint8Array): string {
  return frame.length < CHUNK_FRAME_BYTES
    ? "the file ends without a footer: it was never finished, or was cut"
    : "there is neither a chunk nor the footer";
}

/** Reads up to `bytes` bytes from `offset` on. Throws {@link SnapshotUnreadableError} when the disk fails. */
async function readAt(source: SnapshotSource, offset: number, bytes: number): Promise<Uint8Array> {
  const wanted = Math.max(0, Math.min(bytes, source.bytes - offset));
  const into = new Uint8Array(wanted);
  try {
    const count = await source.read(into, offset);
    assert(count <= wanted, "no more is read than was asked for");
    return into.subarray(0, count);
  } catch (cause) {
    throw new SnapshotUnreadableError(source.file, { offset, reason: errorMessage(cause), cause });
  }
}
