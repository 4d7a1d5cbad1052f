/**
 * Writes a backup, which is the file of a snapshot, to a path outside of a data directory. It gets its name once it is
 * complete, verified and durable: a file with that name is always a whole backup.
 */
import { dirname } from "@std/path";
import type { HeaderRecord } from "../../kv/mod.ts";
import type { Disk, DiskFile } from "../../platform/disk.ts";
import { DecodeError } from "../../protocol/errors.ts";
import { MessagePackReader } from "../../protocol/msgpack_reader.ts";
import { readSnapshotStream, type SnapshotHeader, withSnapshotFile } from "../../storage/mod.ts";
import { StateRecordReader } from "../snapshot/state_reader.ts";
import { SliceBudget, type YieldToEventLoop } from "../yield_to_event_loop.ts";

/** Bytes of a backup that may wait in the page cache, so that its sync delays that of a node's log little. */
const FLUSH_BYTES = 262_144;

/** The content of a verified backup. */
export interface BackupSummary {
  readonly header: SnapshotHeader;
  /** Size of the file. */
  readonly bytes: number;
  readonly keys: number;
}

/** The source and the target of {@link writeBackup}. */
export interface BackupToWrite {
  readonly disk: Disk;
  readonly path: string;
  /** A path in the same directory that no other process uses. */
  readonly temporaryPath: string;
  /** The file's bytes, in order. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Called before the file gets its name; an error that it throws leaves no file. */
  readonly beforeRename?: (summary: BackupSummary) => void;
  /** Yields between slices of the work. */
  readonly yieldToEventLoop: YieldToEventLoop;
}

/**
 * Writes a backup and replaces what was at its path. Rejects with the disk's errors, those of `chunks`, and those of
 * {@link verifyBackup}; nothing of the new file is left then, and what was at the path is as before, unless only the sync
 * of the directory failed.
 */
export async function writeBackup(
  { disk, path, temporaryPath, chunks, beforeRename = () => {}, yieldToEventLoop }: BackupToWrite,
): Promise<BackupSummary> {
  try {
    await writeDurably(disk.open(temporaryPath, "create"), { chunks, yieldToEventLoop });
    const summary = await verifyBackup({ disk, path: temporaryPath, yieldToEventLoop });
    beforeRename(summary);
    disk.rename(temporaryPath, path);
    disk.syncDirectory(dirname(path));
    return summary;
  } catch (error) {
    removeIfThere(disk, temporaryPath);
    throw error;
  }
}

/**
 * Reads a whole backup and keeps none of it: every checksum must hold, and every record must be one that can follow those
 * before it. Rejects with SnapshotDamagedError, NewerSnapshotError, and DecodeError.
 */
export async function verifyBackup(
  { disk, path, yieldToEventLoop }: Pick<BackupToWrite, "disk" | "path" | "yieldToEventLoop">,
): Promise<BackupSummary> {
  return await withSnapshotFile({ disk, file: path }, async (source) => {
    const { header, chunks } = await readSnapshotStream(source);
    const keys = await countKeys(chunks(), { header, yieldToEventLoop });
    return { header, bytes: source.bytes, keys };
  });
}

async function writeDurably(
  file: DiskFile,
  { chunks, yieldToEventLoop }: Pick<BackupToWrite, "chunks" | "yieldToEventLoop">,
): Promise<void> {
  try {
    let written = 0;
    let flushed = 0;
    for await (const chunk of chunks) {
      file.write(chunk, written);
      written += chunk.length;
      if (written - flushed < FLUSH_BYTES) continue;
      await file.syncData();
      flushed = written;
      await yieldToEventLoop();
    }
    await file.syncData();
  } finally {
    file.close();
  }
}

/** Decodes all records of a state and returns the number of its keys. */
async function countKeys(
  chunks: AsyncIterable<Uint8Array>,
  { header, yieldToEventLoop }: {
    readonly header: SnapshotHeader;
    readonly yieldToEventLoop: YieldToEventLoop;
  },
): Promise<number> {
  const budget = new SliceBudget(yieldToEventLoop);
  const reader = new StateRecordReader();
  let keys = 0;
  for await (const chunk of chunks) {
    const input = new MessagePackReader(chunk, { what: "a chunk of a snapshot", copies: false });
    const records = input.open("the chunk");
    for (let position = 0; position < records; position++) {
      const record = reader.read(input);
      if (record[0] === "key") keys += 1;
      if (record[0] === "header") requireSameMoment(record, header);
      if (budget.spend(Math.ceil(chunk.length / records))) await budget.yield();
    }
    input.close();
    input.end();
  }
  return keys;
}

/** Throws DecodeError unless a state has the index and the revision that the header of its file says. */
function requireSameMoment(
  [, appliedIndex, revision]: HeaderRecord,
  header: SnapshotHeader,
): void {
  if (appliedIndex === header.index && revision === header.revision) return;
  throw new DecodeError(
    `Cannot use the snapshot at ${header.index}: its state is of index ${appliedIndex} and revision ${revision}, not ` +
      `of revision ${header.revision} as its header says.`,
  );
}

function removeIfThere(disk: Disk, path: string): void {
  try {
    disk.remove(path);
  } catch {
    // It was never created, or was renamed; else what made it unremovable has made the backup fail as well.
  }
}
