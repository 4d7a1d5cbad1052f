/** The metrics of snapshots and of the backups that are made of them. */
import { counter, counts, gauge, histogram, type Metric, one, seconds, SECONDS_PER_MICRO } from "./metric.ts";

/** In the order in which they are shown. */
export const SNAPSHOTS: readonly Metric[] = [
  gauge("kvraft_snapshot_index", {
    unit: "log index",
    help: "Index of the newest snapshot; 0 before the first.",
    measured: "lib/server/snapshot/snapshots.ts",
    read: ({ status }) => one(status.snapshotIndex),
  }),
  counter("kvraft_snapshots_total", {
    unit: "snapshots",
    labels: ["result"],
    help: "Snapshots that this node took, failed to take, and received from a leader.",
    measured: "lib/server/snapshot/snapshots.ts",
    read: ({ metrics }) => counts("result", metrics.snapshots),
  }),
  histogram("kvraft_snapshot_seconds", {
    unit: "seconds",
    help: "Time that each snapshot took.",
    measured: "lib/server/snapshot/snapshots.ts",
    read: ({ metrics }) => [{ labels: {}, histogram: metrics.snapshotMicros, scale: SECONDS_PER_MICRO }],
  }),
  gauge("kvraft_snapshot_bytes", {
    unit: "bytes",
    help: "Size of the snapshot that was taken last since the process began.",
    measured: "lib/server/snapshot/snapshots.ts",
    read: ({ metrics }) => one(metrics.snapshotBytes),
  }),
  counter("kvraft_backups_total", {
    unit: "backups",
    labels: ["result"],
    help: "With --backup-to: backups that this node wrote, found unchanged, and failed to write.",
    measured: "lib/server/backups/scheduled_backups.ts",
    read: ({ metrics }) => counts("result", metrics.backups),
  }),
  gauge("kvraft_backup_interval_seconds", {
    unit: "seconds",
    help: "--backup-every, the time between two backups of this node; 0 without --backup-to.",
    measured: "lib/server/backups/scheduled_backups.ts",
    read: ({ metrics }) => one(seconds(metrics.backupEveryMs)),
  }),
  gauge("kvraft_backup_last_success_timestamp_seconds", {
    unit: "seconds since 1970",
    help: "With --backup-to: when the newest backup of this node was made or found unchanged; 0 before that.",
    measured: "lib/server/backups/scheduled_backups.ts",
    read: ({ metrics }) => one(seconds(metrics.backedUpAtMs)),
  }),
  counter("kvraft_snapshot_transfers_total", {
    unit: "transfers",
    labels: ["result"],
    help: "Snapshots that this node began to send to another, and those that failed.",
    measured: "lib/server/snapshot/sender.ts",
    read: ({ metrics }) => counts("result", metrics.transfers),
  }),
];
