/** Options of a server that concern scheduled backups. */
import { isWithin } from "../../platform/named_paths.ts";
import type { ServerConfig } from "./config.ts";
import { ConfigError } from "./config_file.ts";
import { durationOption, integerOption, nullWhenAbsent, pathOption } from "./option_kinds.ts";

/** Options that mean nothing without a directory. */
const NEEDS_DIRECTORY = ["backup-every", "backup-keep"];
const EXAMPLE = "--backup-to /var/backups/kvraft";

/** The options, in the order of the help. */
export const BACKUP_OPTIONS = {
  /** Where this node writes backups; null where it writes none. */
  backupTo: nullWhenAbsent(pathOption({
    name: "backup-to",
    placeholder: "<path>",
    help: "a directory for backups that this node writes by itself; created when missing",
    allowed: "a directory on a local disk, outside of the data directory",
    path: "write",
    fallback: "none",
    example: "/var/backups/kvraft",
  })),
  /** Milliseconds between two backups. */
  backupEveryMs: durationOption({
    name: "backup-every",
    placeholder: "<time>",
    help: "time between two backups of --backup-to, such as 15m, 1h, 1d",
    range: { minMs: 1_000, maxMs: 604_800_000 },
    fallback: "1h",
    example: "1h",
  }),
  /** Number of backups of this node that are kept. */
  backupKeep: integerOption({
    name: "backup-keep",
    placeholder: "<n>",
    help: "backups of this node that are kept in --backup-to; older ones are removed",
    range: { min: 1, max: 10_000 },
    fallback: "24",
    example: "24",
  }),
};

/** Throws {@link ConfigError} for options of backups that contradict one another. `originOf` is as in `checkProtection`. */
export function checkBackups(
  { backupTo, dataDir }: ServerConfig,
  originOf: (name: string) => string | null,
): void {
  const idle = NEEDS_DIRECTORY.find((name) => originOf(name) !== null);
  if (backupTo === null) {
    if (idle === undefined) return;
    throw new ConfigError(
      `${
        originOf(idle)
      }: it has no effect without --backup-to. Allowed: both, or neither. Example: ${EXAMPLE}`,
    );
  }
  if (!isWithin(backupTo, dataDir) && !isWithin(dataDir, backupTo)) return;
  throw new ConfigError(
    `${
      originOf("backup-to")
    }: ${backupTo} and the data directory, ${dataDir}, are one in the other, so that both are ` +
      `lost together. Allowed: a directory outside of it, best on another disk. Example: ${EXAMPLE}`,
  );
}
