/** Inspects a snapshot file or a data directory, and reports its content. Changes nothing. */
import { FIRST_FEATURE_LEVEL, type StateMachine } from "../../kv/mod.ts";
import { decodeConfiguration } from "../../protocol/configuration.ts";
import { DecodeError } from "../../protocol/errors.ts";
import type { Configuration } from "../../raft/mod.ts";
import {
  type DataDirectoryReport,
  type Disk,
  FORMAT_VERSION,
  inspectDataDirectory,
  readSnapshotStream,
  SnapshotDamagedError,
  type SnapshotReport,
  withSnapshotFile,
} from "../../storage/mod.ts";
import { foundingConfiguration, membersOf } from "../membership/members.ts";
import { readStateHeader } from "../snapshot/state_codec.ts";
import { type StateFile, withStateFile } from "../startup/state_file.ts";
import { checkStructure, figuresOf, loadDirectoryState } from "./loaded_state.ts";
import type {
  DirectorySnapshotReport,
  InspectReport,
  NodeDirectoryReport,
  SnapshotFileReport,
} from "./tools_port.ts";

/** There is nothing to inspect. */
export class NothingThereError extends Error {
  override readonly name = "NothingThereError";
  /** Stable name of this error. */
  readonly code = "nothingThere";
}

/** Options of {@link inspect}. */
export interface InspectOptions {
  readonly disk: Disk;
  /** Whether the state is loaded and its structure checked. */
  readonly isDeep: boolean;
}

/** Inspects the file or directory at `path`. */
export async function inspect(path: string, options: InspectOptions): Promise<InspectReport> {
  const { disk } = options;
  switch (disk.stat(path)) {
    case "file":
    case "stream":
      return await inspectFile(path, options);
    case "directory":
      requireDataDirectory(path, disk);
      return await inspectDirectory(path, options);
    case null:
      throw new NothingThereError(
        `Cannot inspect ${path}: there is nothing. Name a backup or a data directory, such as ./data/node-1.`,
      );
  }
}

/** Names of files and directories, at least one of which a data directory has. */
const DIRECTORY_NAMES = ["identity", "wal", "snapshots"];

/** Refuses an empty directory, and one without kvraft's files: a failed copy must not count as undamaged. */
function requireDataDirectory(path: string, disk: Disk): void {
  const names = disk.list(path);
  if (names.some((name) => DIRECTORY_NAMES.includes(name))) return;
  throw new NothingThereError(
    `Cannot inspect ${path}: ${
      names.length === 0 ? "it is empty, and thus" : "it is"
    } no data directory, which would hold ${DIRECTORY_NAMES.join(", ")}. Name a backup or a ` +
      "data directory, such as ./data/node-1.",
  );
}

/** Inspects a snapshot. Damage after the header is part of the report; without a header nothing can be reported. */
async function inspectFile(path: string, { disk, isDeep }: InspectOptions): Promise<SnapshotFileReport> {
  return await withStateFile({ disk, path }, async (file) => {
    const { state: _, ...report } = await inspectState(path, file, { isDeep });
    return report;
  });
}

/** Inspects an open file; returns its state too, null when damage prevented reading it. */
export async function inspectState(
  path: string,
  file: StateFile,
  { isDeep }: { readonly isDeep: boolean },
): Promise<SnapshotFileReport & { readonly state: StateMachine | null }> {
  const { formatVersion, clusterId, index, term, revision } = file.header;
  const { state, contents, structure, damage } = await contentsOf(file, { isDeep });
  const members = membersOf(file.configuration);
  const head = { kind: "snapshot", path, formatVersion, clusterId, index, term, revision } as const;
  return { ...head, bytes: file.bytes, contents, structure, members, damage, state };
}

async function contentsOf(
  file: StateFile,
  { isDeep }: { readonly isDeep: boolean },
): Promise<
  Pick<SnapshotFileReport, "contents" | "structure" | "damage"> & { readonly state: StateMachine | null }
> {
  try {
    const state = await file.load();
    const { state: structure, damage } = isDeep ? checkStructure(state) : { state: null, damage: [] };
    return { state, contents: figuresOf(state), structure, damage };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { state: null, contents: null, structure: null, damage: [error.message] };
  }
}

function isDamage(error: unknown): error is SnapshotDamagedError | DecodeError {
  return error instanceof SnapshotDamagedError || error instanceof DecodeError;
}

async function inspectDirectory(
  path: string,
  { disk, isDeep }: InspectOptions,
): Promise<NodeDirectoryReport> {
  const report = await inspectDataDirectory({ disk, path });
  const snapshots = [];
  for (const snapshot of report.snapshots) snapshots.push(await snapshotReport(snapshot, disk));
  const { state, damage } = isDeep ? await loadDirectoryState(report, disk) : { state: null, damage: [] };
  return directoryReport(report, { snapshots, state, damage });
}

async function snapshotReport(
  { index, term, bytes, file, damage }: SnapshotReport,
  disk: Disk,
): Promise<DirectorySnapshotReport> {
  if (damage !== null) return { index, term, bytes, state: null };
  const state = await withSnapshotFile({ disk, file }, async (source) => {
    try {
      const { chunks } = await readSnapshotStream(source);
      const [, , revision, , , featureLevel = FIRST_FEATURE_LEVEL, compactedRevision = revision] =
        await readStateHeader(chunks());
      return { revision, compactedRevision, featureLevel };
    } catch (error) {
      if (isDamage(error)) return null;
      throw error;
    }
  });
  return { index, term, bytes, state };
}

function directoryReport(
  report: DataDirectoryReport,
  { snapshots, state, damage: found }: Pick<NodeDirectoryReport, "snapshots" | "state" | "damage">,
): NodeDirectoryReport {
  const { path, identity, refusal, segments, log } = report;
  const damage = [...report.snapshots.map((one) => one.damage), ...segments.map((one) => one.damage)]
    .filter((sentence) => sentence !== null);
  if (refusal !== null && !damage.includes(refusal)) damage.unshift(refusal);
  damage.push(...found);
  const configuration = newestConfiguration(report);
  return {
    kind: "dataFolder",
    path,
    identity: identity === null ? null : { formatVersion: FORMAT_VERSION, ...identity },
    term: log?.hardState.term ?? 0,
    vote: log?.hardState.vote ?? null,
    commitIndex: log?.hardState.commitIndex ?? 0,
    log: {
      firstIndex: (log?.compacted.index ?? 0) + 1,
      lastIndex: log?.lastIndex ?? 0,
      lastTerm: log?.lastTerm ?? 0,
      segments: segments.length,
      bytes: segments.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
    },
    snapshots,
    state,
    members: membersOf(configuration),
    removedIds: configuration.removedIds,
    damage,
  };
}

/** Returns the newest configuration of the log; else that of the newest snapshot; else the first one of the cluster. */
function newestConfiguration({ log, snapshots, identity }: DataDirectoryReport): Configuration {
  const inLog = log?.configurations.at(-1)?.data;
  const inSnapshot = snapshots.find(({ damage }) => damage === null)?.header?.configuration;
  const data = inLog ?? inSnapshot;
  return data === undefined ? foundingConfiguration(identity?.founders ?? []) : decodeConfiguration(data);
}
