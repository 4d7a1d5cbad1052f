/**
 * The frames in which a snapshot travels from the leader to a node for which the log does not reach back far enough:
 * pieces of the very file, and how far the other has got. The core knows nothing of them; the server streams.
 */
import { FRAME_KIND } from "./kinds.ts";
import { MAX_SNAPSHOT_CHUNK_DATA_BYTES, MAX_SNAPSHOT_INDEX, MAX_TERM } from "./limits.ts";
import type { MessagePackReader } from "./msgpack_reader.ts";
import type { MessagePackWriter } from "./msgpack_writer.ts";

/** Which snapshot a frame is about, and who says so. */
interface SnapshotFrame {
  /** The current term of the node that says this. */
  readonly term: number;
  /** The last log index in the snapshot. */
  readonly index: number;
  /** Term of the entry there. */
  readonly snapshotTerm: number;
  /** Length of its file. */
  readonly totalBytes: number;
}

/** A piece of the file. */
export interface SnapshotChunk extends SnapshotFrame {
  readonly kind: "snapshotChunk";
  /** Where in the file the piece begins. */
  readonly offset: number;
  /** At most MAX_SNAPSHOT_CHUNK_DATA_BYTES; empty to ask how far the other has got. */
  readonly data: Uint8Array;
}

/** The answer to chunks. */
export interface SnapshotProgress extends SnapshotFrame {
  readonly kind: "snapshotProgress";
  /** From where on the file is wanted: everything before is there. */
  readonly nextOffset: number;
}

/** Writes a chunk's payload. */
export function writeSnapshotChunk(out: MessagePackWriter, chunk: SnapshotChunk): void {
  out.array(7);
  out.integer(FRAME_KIND.snapshotChunk);
  writeSnapshot(out, chunk);
  out.integer(chunk.offset);
  out.binary(chunk.data);
}

/** Writes the payload of a progress. */
export function writeSnapshotProgress(out: MessagePackWriter, progress: SnapshotProgress): void {
  out.array(6);
  out.integer(FRAME_KIND.snapshotProgress);
  writeSnapshot(out, progress);
  out.integer(progress.nextOffset);
}

/** Reads what follows a chunk's kind. */
export function readSnapshotChunk(input: MessagePackReader): SnapshotChunk {
  input.setWhat("snapshotChunk");
  const snapshot = readSnapshot(input);
  const offset = input.integer("offset");
  const data = input.binary("data");
  if (data.length > MAX_SNAPSHOT_CHUNK_DATA_BYTES) {
    throw input.error("data", `must not be longer than ${MAX_SNAPSHOT_CHUNK_DATA_BYTES} bytes`);
  }
  if (offset + data.length > snapshot.totalBytes) throw input.error("data", "must end within totalBytes");
  return { kind: "snapshotChunk", ...snapshot, offset, data };
}

/** Reads what follows the kind of a progress. */
export function readSnapshotProgress(input: MessagePackReader): SnapshotProgress {
  input.setWhat("snapshotProgress");
  const snapshot = readSnapshot(input);
  const nextOffset = input.integer("nextOffset");
  if (nextOffset > snapshot.totalBytes) throw input.error("nextOffset", "must not be above totalBytes");
  return { kind: "snapshotProgress", ...snapshot, nextOffset };
}

/** Reads the term of the node that says something. */
export function readTerm(input: MessagePackReader, minimum: number): number {
  const term = input.integer("term", minimum);
  if (term > MAX_TERM) throw input.error("term", `must not be above ${MAX_TERM}`);
  return term;
}

function writeSnapshot(out: MessagePackWriter, frame: SnapshotFrame): void {
  out.integer(frame.term);
  out.integer(frame.index);
  out.integer(frame.snapshotTerm);
  out.integer(frame.totalBytes);
}

function readSnapshot(input: MessagePackReader): SnapshotFrame {
  const term = readTerm(input, 1);
  const index = input.integer("index", 1);
  if (index > MAX_SNAPSHOT_INDEX) throw input.error("index", `must not be above ${MAX_SNAPSHOT_INDEX}`);
  const snapshotTerm = input.integer("snapshotTerm", 1);
  if (snapshotTerm > term) throw input.error("snapshotTerm", "must not be above the message's term");
  return { term, index, snapshotTerm, totalBytes: input.integer("totalBytes", 1) };
}
