/**
 * Names of the files of scheduled backups: `<cluster>-<time>-r<revision>-n<node>.snap`. They sort by time within a cluster,
 * and each node knows its own.
 */
import { secretBytes } from "../../platform/secrets.ts";

/** The parts of a name. */
export interface BackupName {
  readonly clusterName: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly atMs: number;
  readonly revision: number;
  readonly nodeId: number;
}

const NAME = /^([A-Za-z0-9._-]{1,64})-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-r(\d{1,16})-n(\d{1,16})\.snap$/;
/** Suffixes of a file that is being written, and of one whose removal a crash interrupted. */
const UNFINISHED = /(?:\.[0-9a-f]{16})?\.new(?:\.removed)?$|\.removed$/;
/** Random bytes in the name of a file that is being written. */
const UNFINISHED_BYTES = 8;

/** Returns the file name of a backup. */
export function backupName({ clusterName, atMs, revision, nodeId }: BackupName): string {
  const time = `${new Date(atMs).toISOString().replaceAll(/[-:]/g, "").slice(0, 15)}Z`;
  return `${clusterName}-${time}-r${revision}-n${nodeId}.snap`;
}

/** Returns the name under which a backup is written: a new one, which other users of its directory cannot take before. */
export function unfinishedName(name: string): string {
  return `${name}.${secretBytes(UNFINISHED_BYTES).toHex()}.new`;
}

/** Returns the backup with this file name; null for another file. */
export function parseBackupName(name: string): BackupName | null {
  const [, clusterName, year, month, day, hour, minute, second, revision, nodeId] = NAME.exec(name) ?? [];
  if (clusterName === undefined) return null;
  const atMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  const parsed = { clusterName, atMs, revision: Number(revision), nodeId: Number(nodeId) };
  return Number.isNaN(atMs) || backupName(parsed) !== name ? null : parsed;
}

/** Returns the backup that a crash left unfinished under this name, or whose removal it interrupted; null for another file. */
export function parseUnfinishedName(name: string): BackupName | null {
  return UNFINISHED.test(name) ? parseBackupName(name.replace(UNFINISHED, "")) : null;
}
