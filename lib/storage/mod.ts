/**
 * Storage: what a node must find again after a crash.
 *
 * It holds the data directory (one owner, one process at a time) and in it the write-ahead log with the hard state in
 * the same stream. Everything goes through the `Disk` interface, so that a simulator can lose, tear and damage what
 * was written; `DenoDisk` is the real one.
 *
 *     disk.ts, deno_disk.ts      files and directories, as the rest of this module uses them
 *     data_directory.ts          set-up, lock, identity
 *     record.ts                  a record's bytes
 *     segment.ts                 segment files and their preparation
 *     active_segment.ts          the segment that is written to
 *     batch.ts                   what one append writes, and in which order
 *     log_state.ts               what the log says so far; the one place where an entry overrides others
 *     recovery.ts, torn_tail.ts  reading the log back; torn or damaged
 *     kept_entries.ts            what of it is kept
 *     log_reader.ts              entries for peers that are far behind
 *     removal.ts                 segments that go
 *     wal.ts                     the open log
 *     snapshot_format.ts         a snapshot's bytes
 *     snapshot_reader.ts         reading and verifying them, wherever they are
 *     snapshot_file.ts           how a snapshot file comes to have its name
 *     snapshot_writer.ts, snapshot_receiver.ts   of this node's state; from a peer
 *     snapshot_store.ts          the snapshots of a data directory
 *     inspection.ts              what is in a data directory, without changing anything
 *
 * Two rules connect a snapshot and the log. A snapshot is durable before the log is compacted or reset to it; and the
 * caller that opens the log passes the snapshot from which the state machine begins, so that the two are compared. A node
 * restored from a backup gets its log so: open it without a snapshot, append `{ snapshot, hardState, entries: [] }`
 * with the snapshot's index and term, sync; the directory is founded last.
 *
 * What it leaves out, and why:
 *
 * - What a snapshot's content and configuration mean. That is for lib/kv and lib/protocol; here they are bytes.
 * - Repair. A damaged log is refused whole: which entries were acknowledged is known to the peers, not to this file.
 * - Protection against a disk that loses what it reported synced, as long as nothing is left to tell by: if the whole
 *   last batch and the sync mark behind it are gone, the log simply ends before them.
 */
export {
  type Disk,
  type DiskFile,
  type DiskLock,
  isOutOfDescriptors,
  type OpenMode,
} from "../platform/disk.ts";
export { DenoDisk } from "../platform/deno_disk.ts";
export { DataDirectory, readIdentity } from "./data_directory.ts";
export type { DataDirectoryOptions } from "./data_directory.ts";
export { FORMAT_VERSION } from "./identity.ts";
export type { Founder, Identity, LogOwner } from "./identity.ts";
export {
  DEFAULT_SEGMENT_BYTES,
  MAX_BATCH_BYTES,
  MAX_SEGMENT_BYTES,
  MIN_SEGMENT_BYTES,
  WriteAheadLog,
} from "./wal/wal.ts";
export type { RecoveredLog, WriteAheadLogOptions } from "./wal/wal.ts";
export { MAX_ENTRY_DATA_BYTES } from "./wal/record.ts";
export type { PersistBatch } from "./wal/batch.ts";
export type { RecoveredConfiguration } from "./wal/recovery.ts";
export type { CutTail } from "./wal/recovery.ts";
export { MAX_SNAPSHOT_CHUNK_BYTES, SNAPSHOT_FORMAT_VERSION } from "./snapshot/format.ts";
export type { SnapshotHeader, SnapshotTotals } from "./snapshot/format.ts";
export { readSnapshotStream, withSnapshotFile } from "./snapshot/reader.ts";
export type { SnapshotSource, SnapshotStream } from "./snapshot/reader.ts";
export type { SnapshotPosition } from "./snapshot/writer.ts";
export { SnapshotStore } from "./snapshot/store.ts";
export type { RawSnapshotReader, SnapshotReader, StoredSnapshot } from "./snapshot/store.ts";
export type { SnapshotWriter } from "./snapshot/writer.ts";
export type { AnnouncedSnapshot, SnapshotReceiver } from "./snapshot/receiver.ts";
export { inspectDataDirectory } from "./inspection.ts";
export type { DataDirectoryReport, LogReport, SegmentReport, SnapshotReport } from "./inspection.ts";
export * from "./errors.ts";
