/**
 * Encoding of a snapshot, in data directories and in backups.
 *
 *     header   8 "kvrsnap" and a line feed
 *              4 format version
 *              4 bytes of the body
 *              4 checksum of the 16 bytes before it and the body
 *              … body: index 8, term 8, revision 8, bytes of the cluster id 4, cluster id (UTF-8) …, configuration …
 *     chunk    4 checksum of the rest of the chunk
 *              4 bytes of content, 1 to 1 MiB
 *              … content
 *     …
 *     footer   4 checksum of the rest of the footer
 *              4 zero, which distinguishes it from a chunk
 *              8 number of chunks
 *              8 bytes of all content
 *              4 checksum of every byte of the file before the footer
 *
 * The file ends after the footer. Integers are big-endian and unsigned, checksums the CRC-32 of IEEE 802.3. Those of
 * chunks and footer are seeded with the header's and with their offsets, so that a chunk of another snapshot, or of this
 * one at another offset, is invalid. This module does not interpret the content and the configuration.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../platform/assert.ts";
import { getInteger, putInteger } from "../wal/record.ts";

/** The newest version of the format that this kvraft knows; what the content means depends on it. */
export const SNAPSHOT_FORMAT_VERSION = 2;
/** Maximum bytes of one chunk's content. */
export const MAX_SNAPSHOT_CHUNK_BYTES = 2 * 1024 * 1024;
/** Maximum bytes of a configuration in a header. */
export const MAX_SNAPSHOT_CONFIGURATION_BYTES = 256 * 1024;
/** Bytes of a header before its body. */
export const SNAPSHOT_PREAMBLE_BYTES = 20;
/** Bytes of a chunk before its content. */
export const CHUNK_FRAME_BYTES = 8;
/** Bytes of the footer. */
export const FOOTER_BYTES = 28;

const MAGIC = new TextEncoder().encode("kvrsnap\n");
const BODY_FIXED_BYTES = 28;
const MAX_CLUSTER_ID_BYTES = 1024;
const MAX_BODY_BYTES = BODY_FIXED_BYTES + MAX_CLUSTER_ID_BYTES + MAX_SNAPSHOT_CONFIGURATION_BYTES;
const TWO_TO_32 = 2 ** 32;

/** The header of a snapshot file. */
export interface SnapshotHeader {
  /** Version of the format it is written in. */
  readonly formatVersion: number;
  /** The cluster whose state it is. */
  readonly clusterId: string;
  /** Index of the last entry that is in it. */
  readonly index: number;
  /** Term of that entry. */
  readonly term: number;
  /** The store's revision. */
  readonly revision: number;
  /** The configuration at `index`, as lib/protocol encodes it. */
  readonly configuration: Uint8Array;
}

/** An encoded header, and the seed of the checksums after it. */
export interface EncodedSnapshotHeader {
  readonly bytes: Uint8Array;
  /** Seed of all checksums after it. */
  readonly seed: number;
}

/** Encodes a header. */
export function encodeSnapshotHeader(header: SnapshotHeader): EncodedSnapshotHeader {
  const clusterId = new TextEncoder().encode(header.clusterId);
  const { configuration } = header;
  assert(clusterId.length <= MAX_CLUSTER_ID_BYTES, "a cluster's id is short");
  assert(
    header.formatVersion >= 1 && header.formatVersion <= SNAPSHOT_FORMAT_VERSION,
    "a snapshot is written in a version that is known",
  );
  assert(configuration.length <= MAX_SNAPSHOT_CONFIGURATION_BYTES, "a configuration is in bounds");
  const bodyBytes = BODY_FIXED_BYTES + clusterId.length + configuration.length;
  const bytes = new Uint8Array(SNAPSHOT_PREAMBLE_BYTES + bodyBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, header.formatVersion);
  view.setUint32(12, bodyBytes);
  putInteger(view, SNAPSHOT_PREAMBLE_BYTES, header.index);
  putInteger(view, SNAPSHOT_PREAMBLE_BYTES + 8, header.term);
  putInteger(view, SNAPSHOT_PREAMBLE_BYTES + 16, header.revision);
  view.setUint32(SNAPSHOT_PREAMBLE_BYTES + 24, clusterId.length);
  bytes.set(clusterId, SNAPSHOT_PREAMBLE_BYTES + BODY_FIXED_BYTES);
  bytes.set(configuration, SNAPSHOT_PREAMBLE_BYTES + BODY_FIXED_BYTES + clusterId.length);
  const seed = headerChecksum(bytes);
  view.setUint32(16, seed);
  return { bytes, seed };
}

/** Returns the bytes of the body that a preamble announces, or null when it is no preamble. */
export function bodyBytesOf(preamble: Uint8Array): number | null {
  if (preamble.length < SNAPSHOT_PREAMBLE_BYTES) return null;
  if (!MAGIC.every((byte, at) => preamble[at] === byte)) return null;
  const bytes = viewOf(preamble).getUint32(12);
  return bytes >= BODY_FIXED_BYTES && bytes <= MAX_BODY_BYTES ? bytes : null;
}

/** The result of decoding a header. */
export type DecodedSnapshotHeader =
  | { readonly kind: "header"; readonly header: SnapshotHeader; readonly seed: number }
  | { readonly kind: "newerFormat"; readonly formatVersion: number }
  | { readonly kind: "damaged"; readonly reason: string };

/** Decodes a header, preamble and body. The configuration is a copy. */
export function decodeSnapshotHeader(bytes: Uint8Array): DecodedSnapshotHeader {
  const view = viewOf(bytes);
  const seed = view.getUint32(16);
  if (seed !== headerChecksum(bytes)) {
    return { kind: "damaged", reason: "the header's checksum does not hold" };
  }
  const formatVersion = view.getUint32(8);
  if (formatVersion > SNAPSHOT_FORMAT_VERSION) return { kind: "newerFormat", formatVersion };
  const index = getInteger(view, SNAPSHOT_PREAMBLE_BYTES);
  const term = getInteger(view, SNAPSHOT_PREAMBLE_BYTES + 8);
  const revision = getInteger(view, SNAPSHOT_PREAMBLE_BYTES + 16);
  const begin = SNAPSHOT_PREAMBLE_BYTES + BODY_FIXED_BYTES;
  const end = begin + view.getUint32(SNAPSHOT_PREAMBLE_BYTES + 24);
  const clusterId = end > bytes.length ? null : textOf(bytes.subarray(begin, end));
  if (index === null || term === null || revision === null || clusterId === null || formatVersion === 0) {
    return { kind: "damaged", reason: "the header makes no sense" };
  }
  const header = { formatVersion, clusterId, index, term, revision, configuration: bytes.slice(end) };
  return { kind: "header", header, seed };
}

/** Returns the text that these bytes encode; null when they are not its only UTF-8 encoding. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Returns a chunk's frame, for content at `offset + CHUNK_FRAME_BYTES`. */
export function encodeChunkFrame(content: Uint8Array, place: { seed: number; offset: number }): Uint8Array {
  assert(content.length >= 1 && content.length <= MAX_SNAPSHOT_CHUNK_BYTES, "a chunk is in bounds");
  const frame = new Uint8Array(CHUNK_FRAME_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint32(4, content.length);
  view.setUint32(0, crc32(content, crc32(frame.subarray(4), seedAt(place))));
  return frame;
}

/** Returns the bytes of content that a frame announces: 0 for the footer, null when it is neither a chunk nor a footer. */
export function contentBytesOf(frame: Uint8Array): number | null {
  if (frame.length < CHUNK_FRAME_BYTES) return null;
  const bytes = viewOf(frame).getUint32(4);
  return bytes <= MAX_SNAPSHOT_CHUNK_BYTES ? bytes : null;
}

/** Returns whether the checksum of a chunk at this offset is right. */
export function chunkHolds(
  frame: Uint8Array,
  content: Uint8Array,
  place: { seed: number; offset: number },
): boolean {
  return viewOf(frame).getUint32(0) === crc32(content, crc32(frame.subarray(4, 8), seedAt(place)));
}

/** The totals in a footer. */
export interface SnapshotTotals {
  /** Number of chunks. */
  readonly chunks: number;
  /** Bytes of their content. */
  readonly contentBytes: number;
  /** Checksum of every byte before the footer. */
  readonly checksum: number;
}

/** Encodes the footer. */
export function encodeFooter(totals: SnapshotTotals, place: { seed: number; offset: number }): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(bytes.buffer);
  putInteger(view, 8, totals.chunks);
  putInteger(view, 16, totals.contentBytes);
  view.setUint32(24, totals.checksum);
  view.setUint32(0, crc32(bytes.subarray(4), seedAt(place)));
  return bytes;
}

/** Decodes the footer at this offset; null when it is none. */
export function decodeFooter(
  bytes: Uint8Array,
  place: { seed: number; offset: number },
): SnapshotTotals | null {
  if (bytes.length !== FOOTER_BYTES) return null;
  const view = viewOf(bytes);
  if (view.getUint32(0) !== crc32(bytes.subarray(4), seedAt(place))) return null;
  const chunks = getInteger(view, 8);
  const contentBytes = getInteger(view, 16);
  if (view.getUint32(4) !== 0 || chunks === null || contentBytes === null) return null;
  return { chunks, contentBytes, checksum: view.getUint32(24) };
}

function headerChecksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(SNAPSHOT_PREAMBLE_BYTES), crc32(bytes.subarray(0, 16)));
}

/** Includes both halves of the offset, since snapshots may be larger than 4 GiB. */
function seedAt({ seed, offset }: { seed: number; offset: number }): number {
  return (seed ^ (offset % TWO_TO_32) ^ Math.floor(offset / TWO_TO_32)) >>> 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
