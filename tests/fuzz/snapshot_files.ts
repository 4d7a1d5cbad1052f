/** The target of snapshot files, which come from peers, from backups, and from damaged disks. */
import { crc32 } from "node:zlib";
import { assertEquals } from "@std/assert";
import {
  NewerSnapshotError,
  SnapshotDamagedError,
  type SnapshotReader,
  SnapshotStore,
} from "../../lib/storage/mod.ts";
import {
  bodyBytesOf,
  CHUNK_FRAME_BYTES,
  contentBytesOf,
  decodeSnapshotHeader,
  encodeChunkFrame,
  encodeFooter,
  FOOTER_BYTES,
  SNAPSHOT_PREAMBLE_BYTES,
} from "../../lib/storage/snapshot/format.ts";
import { MemoryDisk } from "../support/fakes/memory_disk.ts";
import { joined } from "./mutator.ts";
import { type FuzzTarget, texts } from "./target.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const DIRECTORY = "/snapshots";
/** Offsets of index and term in a header's body. */
const INDEX_AT = SNAPSHOT_PREAMBLE_BYTES;
const TERM_AT = SNAPSHOT_PREAMBLE_BYTES + 8;
const CHECKSUM_AT = 16;

async function store(): Promise<{ disk: MemoryDisk; store: SnapshotStore }> {
  const disk = new MemoryDisk();
  disk.createDirectory(DIRECTORY);
  return { disk, store: await SnapshotStore.open({ disk, directory: DIRECTORY }) };
}

/** Returns the index and term in a header, valid or not; 1 and 1 when they are no safe integers. */
function announcedBy(input: Bytes): { index: number; term: number } {
  if (input.length < TERM_AT + 8) return { index: 1, term: 1 };
  const view = new DataView(input.buffer);
  const [index, term] = [INDEX_AT, TERM_AT].map((at) => Number(view.getBigUint64(at)));
  const isPosition = Number.isSafeInteger(index) && Number.isSafeInteger(term);
  return isPosition ? { index: index ?? 1, term: term ?? 1 } : { index: 1, term: 1 };
}

/** Corrects the checksums and totals of header, chunks and footer that the lengths lead to. */
function rechecked(input: Bytes): Bytes {
  const bodyBytes = bodyBytesOf(input);
  if (bodyBytes === null || SNAPSHOT_PREAMBLE_BYTES + bodyBytes > input.length) return input;
  const view = new DataView(input.buffer);
  const begin = SNAPSHOT_PREAMBLE_BYTES + bodyBytes;
  const body = input.subarray(SNAPSHOT_PREAMBLE_BYTES, begin);
  const seed = crc32(body, crc32(input.subarray(0, CHECKSUM_AT)));
  view.setUint32(CHECKSUM_AT, seed);
  let [offset, chunks, contentBytes] = [begin, 0, 0];
  for (;;) {
    const bytes = contentBytesOf(input.subarray(offset, offset + CHUNK_FRAME_BYTES));
    const end = offset + CHUNK_FRAME_BYTES + (bytes ?? 0);
    if (bytes === null || end > input.length) return input;
    if (bytes === 0) break;
    input.set(encodeChunkFrame(input.subarray(offset + CHUNK_FRAME_BYTES, end), { seed, offset }), offset);
    [offset, chunks, contentBytes] = [end, chunks + 1, contentBytes + bytes];
  }
  const checksum = crc32(input.subarray(0, offset));
  const footer = encodeFooter({ chunks, contentBytes, checksum }, { seed, offset });
  return joined(input.slice(0, offset), footer, input.slice(offset + FOOTER_BYTES));
}

/** Receives the file; returns null when that failed with a named error. */
async function received(into: SnapshotStore, input: Bytes): Promise<readonly Uint8Array[] | null> {
  const receiver = into.receive({ ...announcedBy(input), totalBytes: input.length });
  receiver.write(0, input);
  let reader: SnapshotReader | null = null;
  try {
    reader = await receiver.finish();
    const chunks: Uint8Array[] = [];
    for await (const chunk of reader.chunks()) chunks.push(chunk);
    receiver.install();
    return chunks;
  } catch (error) {
    if (!(error instanceof SnapshotDamagedError || error instanceof NewerSnapshotError)) throw error;
    reader?.close();
    receiver.discard();
    return null;
  }
}

async function receiveAndRead(input: Bytes): Promise<void> {
  const { disk, store: into } = await store();
  const chunks = await received(into, input.slice());
  assertEquals(disk.openFiles, 0);
  if (chunks === null) {
    assertEquals(disk.list(DIRECTORY), [], "what was refused leaves nothing");
    return;
  }
  const decoded = decodeSnapshotHeader(
    input.subarray(0, SNAPSHOT_PREAMBLE_BYTES + (bodyBytesOf(input) ?? 0)),
  );
  if (decoded.kind !== "header") throw new Error("a header that was read is one");
  const writer = (await store()).store.create(decoded.header);
  for (const chunk of chunks) writer.write(chunk);
  assertEquals(await writer.commit(), into.list()[0], "written again it is the same");
}

/** Files of snapshots. */
export const SNAPSHOT_FILES: FuzzTarget = {
  name: "snapshot_files",
  promise: "a snapshot is refused with a named error and leaves no file, or has the written content",
  tokens: [
    ...texts("kvrsnap\n"),
    new Uint8Array(CHUNK_FRAME_BYTES),
    new Uint8Array(FOOTER_BYTES),
    Uint8Array.of(0, 0x10, 0, 1),
    new Uint8Array(8).fill(0xff),
  ],
  repair: rechecked,
  run: receiveAndRead,
};
