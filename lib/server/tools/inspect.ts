/** Inspects a snapshot file or a data folder, and reports its content. Changes nothing. */
import type { StateMachine } from "../../kv/mod.ts";
import { decodeConfiguration } from "../../protocol/configuration.ts";
import { DecodeError } from "../../protocol/errors.ts";
import type { Configuration } from "../../raft/mod.ts";
import {
  type DataDirectoryReport,
  type Disk,
  FORMAT_VERSION,
  inspectDataDirectory,
  SnapshotDamagedError,
} from "../../storage/mod.ts";
import { foundingConfiguration, membersOf } from "../membership/members.ts";
import { type StateFile, withStateFile } from "../startup/state_file.ts";
import type { DataFolderReport, InspectReport, SnapshotFileReport, StateFigures } from "./tools_port.ts";

/** There is nothing to inspect. */
export class NothingThereError extends Error {
  override readonly name = "NothingThereError";
  /** Stable name of this error. */
  readonly code = "nothingThere";
}

/** Inspects the file or folder at `path`. */
export async function inspect(path: string, { disk }: { readonly disk: Disk }): Promise<InspectReport> {
  switch (disk.stat(path)) {
    case "file":
    case "stream":
      return await inspectFile(path, disk);
    case "directory":
      requireDataFolder(path, disk);
      return folderReport(await inspectDataDirectory({ disk, path }));
    case null:
      throw new NothingThereError(
        `Cannot inspect ${path}: there is nothing. Name a backup or a data folder, such as ./data/node-1.`,
      );
  }
}

/** Names of files and folders, at least one of which a data folder has. */
const FOLDER_NAMES = ["identity", "wal", "snapshots"];

/** Refuses an empty folder, and one without kvraft's files: a failed copy must not count as undamaged. */
function requireDataFolder(path: string, disk: Disk): void {
  const names = disk.list(path);
  if (names.some((name) => FOLDER_NAMES.includes(name))) return;
  throw new NothingThereError(
    `Cannot inspect ${path}: ${
      names.length === 0 ? "it is empty, and thus" : "it is"
    } no data folder, which would hold ${FOLDER_NAMES.join(", ")}. Name a backup or a ` +
      "data folder, such as ./data/node-1.",
  );
}

/** Inspects a snapshot. Damage after the header is part of the report; without a header nothing can be reported. */
async function inspectFile(path: string, disk: Disk): Promise<SnapshotFileReport> {
  return await withStateFile({ disk, path }, async (file) => {
    const { formatVersion, clusterId, index, term, revision } = file.header;
    const { contents, damage } = await figuresOf(file);
    const members = membersOf(file.configuration);
    const head = { kind: "snapshot", path, formatVersion, clusterId, index, term, revision } as const;
    return { ...head, bytes: file.bytes, contents, members, damage };
  });
}

async function figuresOf(
  file: StateFile,
): Promise<{ readonly contents: StateFigures | null; readonly damage: readonly string[] }> {
  try {
    return { contents: countsOf(await file.load()), damage: [] };
  } catch (error) {
    if (!(error instanceof SnapshotDamagedError || error instanceof DecodeError)) throw error;
    return { contents: null, damage: [error.message] };
  }
}

function countsOf(state: StateMachine): StateFigures {
  let keyBytes = 0;
  using view = state.snapshot();
  for (const record of view.records()) if (record[0] === "key") keyBytes += record[1].length;
  const { keyCount: keys, sessionCount: sessions, stateBytes } = state;
  return { keys, sessions, keyBytes, valueBytes: stateBytes - keyBytes };
}

function folderReport(report: DataDirectoryReport): DataFolderReport {
  const { path, identity, refusal, segments, log, snapshots } = report;
  const damage = [...snapshots.map((snapshot) => snapshot.damage), ...segments.map((one) => one.damage)]
    .filter((sentence) => sentence !== null);
  if (refusal !== null && !damage.includes(refusal)) damage.unshift(refusal);
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
    snapshots: snapshots.map(({ index, term, bytes }) => ({ index, term, bytes })),
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
