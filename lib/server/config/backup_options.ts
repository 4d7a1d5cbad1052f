/** Options of a server that concern scheduled backups. */
import { isWithin } from "../../platform/named_paths.ts";
import type { ServerConfig } from "./config.ts";
import { ConfigError } from "./config_file.ts";
import type { Contradiction } from "./protection.ts";
import { amountOption, integerOption, nullWhenAbsent, pathOption, SECONDS_IN_MS } from "./option_kinds.ts";

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
  backupEveryMs: amountOption({
    name: "backup-every",
    placeholder: "<time>",
    help: "time between two backups of --backup-to, such as 15m, 1h, 1d",
    units: SECONDS_IN_MS,
    range: { min: 1_000, max: 604_800_000 },
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

/** Yields the options of backups that contradict one another. `originOf` is as in `protectionProblems`. */
export function* backupProblems(
  { backupTo, dataDir }: ServerConfig,
  originOf: (name: string) => string | null,
): Generator<Contradiction> {
  if (backupTo === null) {
    for (const name of NEEDS_DIRECTORY.filter((name) => originOf(name) !== null)) {
      const error = new ConfigError(
        `${
          originOf(name)
        }: it has no effect without --backup-to. Allowed: both, or neither. Example: ${EXAMPLE}`,
      );
      yield { of: [name, "backup-to"], error };
    }
    return;
  }
  if (!isWithin(backupTo, dataDir) && !isWithin(dataDir, backupTo)) return;
  const error = new ConfigError(
    `${
      originOf("backup-to")
    }: ${backupTo} and the data directory, ${dataDir}, are one in the other, so that both are ` +
      `lost together. Allowed: a directory outside of it, best on another disk. Example: ${EXAMPLE}`,
  );
  yield { of: ["backup-to", "data-dir"], error };
}
