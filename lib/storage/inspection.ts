/**
 * The inspection of a data directory for operators: read only, without a lock. While a process uses the directory the
 * report may be out of date; if the process interferes (it removed a segment, or a batch is partly written), the
 * inspection reads again.
 */
import { errorCode, errorMessage } from "../platform/errors.ts";
import type { EntryId, HardState } from "../raft/types.ts";
import { readIdentity } from "./data_directory.ts";
import type { Disk } from "../platform/disk.ts";
import { DataDirectoryError, LogDamagedError, LogMissingError, SnapshotMissingError } from "./errors.ts";
import type { Identity, LogOwner } from "./identity.ts";
import {
  type CutTail,
  recover,
  type RecoveredConfiguration,
  type Recovery,
  RECOVERY_WINDOW_BYTES,
} from "./wal/recovery.ts";
import type { Checkpoint } from "./wal/log_state.ts";
import { segmentSeed } from "./wal/record.ts";
import { RecordScanner } from "./wal/reader.ts";
import { segmentName, segmentNumber } from "./wal/segment.ts";
import { snapshotName, type SnapshotPosition, snapshotPosition } from "./snapshot/writer.ts";
import type { SnapshotHeader, SnapshotTotals } from "./snapshot/format.ts";
import { readSnapshotStream, withSnapshotFile } from "./snapshot/reader.ts";
import { damageOf } from "./snapshot/store.ts";

/** A segment file. */
export interface SegmentReport {
  /** Its path. */
  readonly file: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Where its valid records end. */
  readonly usedBytes: number;
  /** Lowest index of an entry in it, whether or not it was overridden since; null when it has none. */
  readonly firstIndex: number | null;
  /** Highest index of an entry in it. */
  readonly lastIndex: number | null;
  /** Whether the log is reset after it, so that it is no longer used. */
  readonly isDead: boolean;
  /** Its known damage, or null. */
  readonly damage: string | null;
}

/** The log as a start would find it. */
export interface LogReport {
  readonly hardState: HardState;
  /** The entry before the first. */
  readonly compacted: EntryId;
  readonly lastIndex: number;
  /** Term of the last entry. */
  readonly lastTerm: number;
  /** The torn tail that a start would cut, or null. */
  readonly cut: CutTail | null;
  /** Whether a start would reset the log to the newest snapshot. */
  readonly isReset: boolean;
  /** Configuration entries behind the newest valid snapshot. */
  readonly configurations: readonly RecoveredConfiguration[];
  /** Where its entries are, for {@link readEntries}. */
  readonly checkpoints: readonly Checkpoint[];
}

/** A snapshot file, all of which was read. */
export interface SnapshotReport extends SnapshotPosition {
  /** Its path. */
  readonly file: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Its header; null when that cannot be read. */
  readonly header: SnapshotHeader | null;
  /** Its chunks; null when it is damaged. */
  readonly totals: SnapshotTotals | null;
  /** Its damage, or null. */
  readonly damage: string | null;
}

/** The content of a data directory. */
export interface DataDirectoryReport {
  readonly path: string;
  /** Its identity; null without one, or when that cannot be read. */
  readonly identity: Identity | null;
  /** The reason for which a start would refuse it, as a sentence; null when it would not. */
  readonly refusal: string | null;
  readonly segments: readonly SegmentReport[];
  /** Null when a start would refuse it. */
  readonly log: LogReport | null;
  /** Newest first. */
  readonly snapshots: readonly SnapshotReport[];
}

/** Number of attempts before damage is reported, since a running process may cause its appearance. */
const LOOKS = 3;

/** Reports the content of a data directory. Changes nothing. Throws the disk's errors. */
export async function inspectDataDirectory(
  options: { readonly disk: Disk; readonly path: string },
): Promise<DataDirectoryReport> {
  for (let looks = 1;; looks += 1) {
    try {
      const report = await look(options);
      if (report.refusal === null || looks >= LOOKS) return report;
    } catch (error) {
      // A listed file was removed meanwhile.
      if (errorCode(error) !== "ENOENT" || looks >= LOOKS) throw error;
    }
  }
}

async function look(
  { disk, path }: { readonly disk: Disk; readonly path: string },
): Promise<DataDirectoryReport> {
  const owner = await orRefusal(() => readIdentity({ disk, path }));
  const snapshots = await snapshotReports(disk, `${path}/snapshots`);
  const directory = `${path}/wal`;
  const segments = await segmentReports(disk, directory);
  const identity = owner.value ?? segments.find(({ owner }) => owner !== null)?.owner ?? null;
  const newest = snapshots.find(({ damage }) => damage === null) ?? null;
  const snapshot = newest === null ? null : { index: newest.index, term: newest.term };
  const log = identity === null
    ? { value: null, refusal: null, error: null }
    : await orRefusal(() => recover({ disk, directory, identity, snapshot, entryCacheBytes: 0 }));
  const dead = new Set((log.value?.dead ?? []).map((number) => `${directory}/${segmentName(number)}`));
  return {
    path,
    identity: owner.value,
    refusal: owner.refusal ?? log.refusal,
    segments: segments.map(({ report }) => ({
      ...report,
      isDead: dead.has(report.file),
      damage: log.error instanceof LogDamagedError && log.error.file === report.file
        ? log.error.message
        : null,
    })),
    log: log.value === null ? null : logReport(log.value),
    snapshots,
  };
}

function logReport(recovery: Recovery): LogReport {
  const { state, last, mustReset, configurations } = recovery;
  const { hardState, compacted, lastIndex, checkpoints } = state;
  const lastTerm = state.termAt(lastIndex) ?? 0;
  const cut = last?.cut ?? null;
  return { hardState, compacted, lastIndex, lastTerm, cut, isReset: mustReset, configurations, checkpoints };
}

/** Returns the error with which a start would fail, as a sentence. */
async function orRefusal<T>(
  action: () => Promise<T>,
): Promise<{ value: T | null; refusal: string | null; error: unknown }> {
  try {
    return { value: await action(), refusal: null, error: null };
  } catch (error) {
    const isNamed = error instanceof DataDirectoryError || error instanceof LogDamagedError ||
      error instanceof LogMissingError || error instanceof SnapshotMissingError;
    if (!isNamed) throw error;
    return { value: null, refusal: errorMessage(error), error };
  }
}

function namesIn(disk: Disk, directory: string): readonly string[] {
  return disk.stat(directory) === "directory" ? disk.list(directory) : [];
}

type FoundSegment = {
  readonly report: Omit<SegmentReport, "isDead" | "damage">;
  readonly owner: LogOwner | null;
};

async function segmentReports(disk: Disk, directory: string): Promise<readonly FoundSegment[]> {
  const found: FoundSegment[] = [];
  for (const name of namesIn(disk, directory)) {
    const number = segmentNumber(name);
    if (number !== null) found.push(await scanSegment(disk, { file: `${directory}/${name}`, number }));
  }
  return found;
}

async function scanSegment(
  disk: Disk,
  { file, number }: { readonly file: string; readonly number: number },
): Promise<FoundSegment> {
  const open = disk.open(file, "read");
  try {
    const seed = segmentSeed(number);
    const scanner = new RecordScanner({ file: open, seed, windowBytes: RECOVERY_WINDOW_BYTES });
    let [usedBytes, firstIndex, lastIndex] = [0, Number.POSITIVE_INFINITY, 0];
    let owner: LogOwner | null = null;
    for (let found = await scanner.recordAt(0); found !== null; found = await scanner.recordAt(usedBytes)) {
      const { record } = found;
      if (record === null || record.kind === "syncMark") break;
      if (record.kind === "segmentHeader") owner = record.header.identity;
      if (record.kind === "entry") {
        firstIndex = Math.min(firstIndex, record.entry.index);
        lastIndex = Math.max(lastIndex, record.entry.index);
      }
      usedBytes = found.end;
    }
    const indexes = lastIndex === 0 ? { firstIndex: null, lastIndex: null } : { firstIndex, lastIndex };
    return { report: { file, bytes: open.size(), usedBytes, ...indexes }, owner };
  } finally {
    open.close();
  }
}

async function snapshotReports(disk: Disk, directory: string): Promise<readonly SnapshotReport[]> {
  const reports: SnapshotReport[] = [];
  for (const name of namesIn(disk, directory)) {
    const position = snapshotPosition(name);
    if (position === null) continue;
    const report = await snapshotReport(disk, directory, position);
    // One that a running process removed meanwhile loses its bytes while it is read.
    if (report.damage === null || disk.stat(report.file) !== null) reports.push(report);
  }
  return reports.reverse();
}

async function snapshotReport(
  disk: Disk,
  directory: string,
  position: SnapshotPosition,
): Promise<SnapshotReport> {
  const file = `${directory}/${snapshotName(position)}`;
  return await withSnapshotFile({ disk, file }, async (source) => {
    const { bytes } = source;
    let header: SnapshotHeader | null = null;
    try {
      const stream = await readSnapshotStream(source);
      header = stream.header;
      const totals = await stream.verify();
      const isNamed = header.index === position.index && header.term === position.term;
      const damage = isNamed ? null : "its name is another snapshot's";
      return { ...position, file, bytes, header, totals, damage };
    } catch (error) {
      const damage = damageOf(error);
      if (damage === null) throw error;
      return { ...position, file, bytes, header, totals: null, damage };
    }
  });
}
