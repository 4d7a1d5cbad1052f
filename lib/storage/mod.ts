/**
 * Storage: what a node must find again after a crash.
 *
 * It holds the data directory (one owner, one process at a time) and in it the write-ahead log with the hard state in
 * the same stream. Everything goes through the `Disk` interface, so that a simulator can lose, tear and damage what
 * was written; `DenoDisk` is the real one.
 *
 *     disk.ts, deno_disk.ts      files and directories, as the rest of the room uses them
 *     data_directory.ts          set-up, lock, identity
 *     record.ts                  a record's bytes
 *     segment.ts                 segment files and their preparation
 *     batch.ts                   what one append writes, and in which order
 *     log_state.ts               what the log says so far; the one place where an entry overrides others
 *     recovery.ts, torn_tail.ts  reading the log back; torn or damaged
 *     log_reader.ts              entries for peers that are far behind
 *     slab.ts                    owned copies of what was read
 *     wal.ts                     the open log
 *
 * What it leaves out, and why:
 *
 * - Snapshots, and with them the removal of old segments: the log begins at index 1. Each segment's header already has
 *   the hard state that would otherwise go with the segments before it.
 * - Repair. A damaged log is refused whole: which entries were acknowledged is known to the peers, not to this file.
 * - Protection against a disk that loses what it reported synced, as long as nothing is left to tell by: if the whole
 *   last batch and the sync mark behind it are gone, the log simply ends before them.
 */
export type { Disk, DiskFile, DiskLock, OpenMode } from "./disk.ts";
export { DenoDisk } from "./deno_disk.ts";
export { DataDirectory } from "./data_directory.ts";
export type { DataDirectoryOptions } from "./data_directory.ts";
export type { Identity } from "./identity.ts";
export {
  DEFAULT_SEGMENT_BYTES,
  MAX_BATCH_BYTES,
  MAX_SEGMENT_BYTES,
  MIN_SEGMENT_BYTES,
  WriteAheadLog,
} from "./wal.ts";
export type { RecoveredLog, WriteAheadLogOptions } from "./wal.ts";
export { MAX_ENTRY_DATA_BYTES } from "./record.ts";
export type { PersistBatch } from "./batch.ts";
export type { CutTail } from "./recovery.ts";
export * from "./errors.ts";
