/** Targets in the data directory: for any bytes in its files, a start fails with a named error or continues a valid log. */
import { crc32 } from "node:zlib";
import { assert, assertEquals } from "@std/assert";
import type { Entry } from "../../lib/raft/types.ts";
import {
  DataDirectory,
  DataDirectoryError,
  type Founder,
  LogDamagedError,
  NewerFormatError,
  type RecoveredLog,
  SnapshotMissingError,
  WriteAheadLog,
} from "../../lib/storage/mod.ts";
import type { EntryId } from "../../lib/raft/mod.ts";
import { readFrame, RECORD_HEADER_BYTES, segmentSeed } from "../../lib/storage/wal/record.ts";
import { recover } from "../../lib/storage/wal/recovery.ts";
import { segmentName } from "../../lib/storage/wal/segment.ts";
import { MemoryDisk } from "../support/fakes/memory_disk.ts";
import { IDENTITY, WAL } from "../support/storage.ts";
import { joined } from "./mutator.ts";
import { type FuzzTarget, texts, unrepaired } from "./target.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Separator of the segments of a log in one input. */
export const SEGMENT_MARK = new TextEncoder().encode("\n=== segment ===\n");
const CHECKSUM_BYTES = 4;
/** Offset of the number in a segment's header. */
const NUMBER_AT = RECORD_HEADER_BYTES + 4;
const TWO_TO_32 = 2 ** 32;
const ALL_BYTES = 1 << 24;

function segmentsOf(input: Bytes): { number: number; bytes: Bytes }[] {
  const segments: { number: number; bytes: Bytes }[] = [];
  let rest = input;
  for (let at = indexOf(rest, SEGMENT_MARK); at !== -1; at = indexOf(rest, SEGMENT_MARK)) {
    segments.push(numbered(rest.slice(0, at), segments.length));
    rest = rest.slice(at + SEGMENT_MARK.length);
  }
  return [...segments, numbered(rest, segments.length)];
}

/** A segment with the number in its header, so that names match unchanged headers. */
function numbered(bytes: Bytes, position: number): { number: number; bytes: Bytes } {
  if (bytes.length < NUMBER_AT + 8) return { number: position + 1, bytes };
  const view = new DataView(bytes.buffer);
  const number = view.getUint32(NUMBER_AT) * TWO_TO_32 + view.getUint32(NUMBER_AT + 4);
  return { number: Number.isSafeInteger(number) && number > 0 ? number : position + 1, bytes };
}

function indexOf(bytes: Bytes, part: Uint8Array): number {
  const [first = 0] = part;
  for (let at = bytes.indexOf(first); at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (part.every((byte, offset) => bytes[at + offset] === byte)) return at;
  }
  return -1;
}

/** Corrects the checksum of every record that the lengths lead to. */
function rechecked(input: Bytes): Bytes {
  const segments = segmentsOf(input).map(({ number, bytes }) => {
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + RECORD_HEADER_BYTES <= bytes.length;) {
      const frame = readFrame(view, at, at);
      const end = at + RECORD_HEADER_BYTES + (frame?.bodyBytes ?? bytes.length);
      if (frame === null || end > bytes.length) break;
      view.setUint32(at, crc32(bytes.subarray(at + CHECKSUM_BYTES, end), (segmentSeed(number) ^ at) >>> 0));
      at = end;
    }
    return bytes;
  });
  return joined(...segments.flatMap((bytes, at) => at === 0 ? [bytes] : [SEGMENT_MARK, bytes]));
}

async function openFolder(files: ReadonlyMap<string, Bytes>): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open({ disk, path: "/data" });
  directory.found(IDENTITY);
  directory.close();
  for (const [path, bytes] of files) {
    disk.open(path, "create").close();
    disk.edit(path, () => bytes);
  }
  return disk;
}

/** Opens the log after `snapshot`; returns null when that failed with a named error and changed nothing. */
async function openedOrRefused(
  disk: MemoryDisk,
  snapshot: EntryId | null,
): Promise<{ log: WriteAheadLog; recovered: RecoveredLog } | null> {
  const before = disk.contents();
  try {
    const options = {
      disk,
      directory: WAL,
      identity: IDENTITY,
      segmentBytes: 512,
      entryCacheBytes: ALL_BYTES,
    };
    return await WriteAheadLog.open({ ...options, snapshot });
  } catch (error) {
    const isNamed = error instanceof LogDamagedError || error instanceof NewerFormatError ||
      error instanceof SnapshotMissingError;
    if (!isNamed) throw error;
    assertEquals(disk.contents(), before, "a refusal changes nothing");
    return null;
  }
}

/** Returns a snapshot that matches the log, if it needs one, at an entry whose term the log has. */
async function fittingSnapshot(disk: MemoryDisk, choice: number): Promise<EntryId | null> {
  const beyond = { index: Number.MAX_SAFE_INTEGER, term: 1 };
  const read = recover({ disk, directory: WAL, identity: IDENTITY, snapshot: beyond, entryCacheBytes: 0 });
  const state = (await read.catch(() => null))?.state ?? null;
  if (state === null || (state.compacted.index === 0 && choice % 2 === 0)) return null;
  const index = state.compacted.index + choice % (state.lastIndex - state.compacted.index + 1);
  const term = state.termAt(index) ?? 0;
  return index === 0 ? null : { index, term };
}

/** Returns the recovered state that a start depends on. */
function promisesOf({ hardState, compacted, lastIndex, termRanges, cachedEntries }: RecoveredLog): unknown {
  return { hardState, compacted, lastIndex, termRanges, cachedEntries };
}

async function openAndGoOn(input: Bytes): Promise<void> {
  const files = segmentsOf(input).map(({ number, bytes }): [string, Bytes] => [
    `${WAL}/${segmentName(number)}`,
    bytes,
  ]);
  const disk = await openFolder(new Map(files));
  const snapshot = await fittingSnapshot(disk, input.length);
  const opened = await openedOrRefused(disk, snapshot);
  if (opened === null) return;
  const { log, recovered } = opened;
  const { hardState, compacted, lastIndex } = recovered;
  assertEquals(recovered.cachedEntries.length, lastIndex - compacted.index, "recovery returns every entry");
  if (lastIndex > compacted.index) {
    assertEquals(await log.readEntries(compacted.index + 1, ALL_BYTES), recovered.cachedEntries);
  }
  const term = Math.max(hardState.term, 1);
  const next: Entry = { index: lastIndex + 1, term, kind: "command", data: new TextEncoder().encode("next") };
  const vote = term === hardState.term ? hardState.vote : null;
  log.append({ snapshot: null, hardState: { ...hardState, term, vote }, entries: [next] });
  await log.sync();
  const again = await openedOrRefused(disk.crash(() => false), snapshot);
  assert(again !== null, "a continued log opens again");
  assertEquals(promisesOf(again.recovered), {
    hardState: { ...hardState, term, vote },
    compacted,
    lastIndex: lastIndex + 1,
    termRanges: recovered.termRanges.at(-1)?.term === term
      ? recovered.termRanges
      : [...recovered.termRanges, { firstIndex: next.index, term }],
    cachedEntries: [...recovered.cachedEntries, next],
  });
  await Promise.all([log.close(), again.log.close()]);
  assertEquals(disk.openFiles, 0);
}

async function openOwned(input: Bytes): Promise<void> {
  const disk = await openFolder(new Map([["/data/identity", input]]));
  const before = disk.contents();
  let directory: DataDirectory;
  try {
    directory = await DataDirectory.open({ disk, path: "/data" });
  } catch (error) {
    if (!(error instanceof DataDirectoryError)) throw error;
    assertEquals(disk.contents(), before, "a refusal changes nothing");
    return;
  }
  directory.close();
  const fields = JSON.parse(new TextDecoder().decode(input));
  const founders = fields.founders.map(({ id, address }: Founder) => ({ id, address }));
  const { clusterId, clusterName, nodeId, dataId } = fields;
  const said = { clusterId, clusterName, nodeId, dataId, founders };
  assertEquals(directory.identity, said, "it is whose the file says");
}

/** The write-ahead log: one or more segments. */
export const LOG_FILES: FuzzTarget = {
  name: "log_files",
  promise: "a log is refused with a named error and not changed, or is continued and read back completely",
  tokens: [SEGMENT_MARK, ...texts("kvr", "\0\0\0\0kvr\x03", "\0\0\0\0kvr\x04\0\0\0\0\0\0\0\0")],
  repair: rechecked,
  run: openAndGoOn,
};

/** The file with the identity of the node and the cluster. */
export const IDENTITY_FILE: FuzzTarget = {
  name: "identity_file",
  promise: "a folder is refused with a named error and not changed, or belongs to this node",
  tokens: texts(
    '"formatVersion":',
    '"clusterId":',
    '"nodeId":',
    "1e308",
    "9007199254740993",
    "-0",
    "null",
    '{"__proto__":{',
    "[[[[[[[[",
    "\\ud800",
    "\uFEFF",
  ),
  repair: unrepaired,
  run: openOwned,
};
