/**
 * Storage: the state that survives a crash of a node.
 *
 * It has the data directory (one owner, one process at a time) and in it the write-ahead log, whose stream of records
 * includes the hard state. All access goes through the `Disk` interface (lib/platform), so that a simulator can lose,
 * tear and damage written bytes.
 *
 *     data_directory.ts        set-up, lock, identity
 *     identity.ts              the identity file
 *     inspection.ts            the content of a data directory, read only
 *     wal/record.ts            encoding of a record
 *     wal/segment.ts           segment files: names, preparation, removal
 *     wal/active_segment.ts    the segment that is written to
 *     wal/batch.ts             the records of one append, and their order
 *     wal/log_state.ts         the content of the log without data; the only code by which an entry overrides others
 *     wal/recovery.ts          reading the log back
 *     wal/log_end.ts           the end of the log at its last clean stop
 *     wal/torn_tail.ts, wal/span_checksums.ts   distinguishing a torn tail from damage
 *     wal/reader.ts            reading records, for recovery and for peers that are far behind
 *     wal/wal.ts               the open log
 *     snapshot/format.ts       encoding of a snapshot
 *     snapshot/reader.ts       reading and verifying one from any source
 *     snapshot/writer.ts, snapshot/receiver.ts   writing one of this node's state; receiving one from a peer
 *     snapshot/store.ts        the snapshots of a data directory
 *
 * Two rules connect a snapshot and the log. A snapshot is durable before the log is compacted or reset to it; and the
 * caller that opens the log passes the snapshot from which the state machine begins, so that the two are compared. A
 * restore of a backup creates a node's log in these steps: open it without a snapshot, append
 * `{ snapshot, hardState, entries: [] }` with the snapshot's index and term, sync; found the directory last.
 *
 * Outside its scope:
 *
 * - The meaning of a snapshot's content and configuration. lib/kv and lib/protocol decode them; here they are bytes.
 * - Repair. A damaged log is refused: only the peers know which entries were acknowledged.
 * - Full protection against a disk that loses synced bytes: if the complete last batch and the sync mark after it are
 *   lost in a crash, the log ends before them without a trace.
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
export { readEntries } from "./wal/reader.ts";
export { inspectDataDirectory } from "./inspection.ts";
export type { DataDirectoryReport, LogReport, SegmentReport, SnapshotReport } from "./inspection.ts";
export * from "./errors.ts";
