/** Mutants of backups: what is written, verified and removed. */
import { CLI, SERVER } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const BACKUP_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/backups/scheduled_backups.ts", [SERVER], [
    {
      id: "M3010",
      title: "a state that has a backup gets another one",
      failure: "the copies of an idle day push every older backup out",
      from: 'if (await this.#isBackedUp(taken)) return "unchanged";',
      to: "await this.#isBackedUp(taken);",
    },
    {
      id: "M3011",
      title: "backups of another cluster with the same name count as this one's",
      failure: "a node removes the backups of another cluster that shares the directory",
      from: "if ((await this.#headerOf(name))?.clusterId === clusterId) kept.push(",
      to: "if ((await this.#headerOf(name))?.clusterId !== clusterId.slice(1)) kept.push(",
    },
    {
      id: "M3012",
      title: "a restart begins the interval of the backups again",
      failure: "a node that restarts often writes a backup each time, or none at all",
      from: "return newest.atMs > wallClock() ? 0 : Math.max(0, newest.atMs + everyMs - wallClock());",
      to: "return 0;",
    },
  ]),
  ...inFile("lib/server/backups/backup_file.ts", [CLI], [
    {
      id: "M3013",
      title: "a backup gets its name without the rename being durable",
      failure: "a backup that was reported is lost after a loss of power",
      from: "disk.syncDirectory(dirname(path));",
      to: "dirname(path);",
    },
    {
      id: "M3014",
      title: "a backup that cannot be completed stays",
      failure: "failed backups fill the disk",
      from: "removeIfThere(disk, temporaryPath);",
      to: "void removeIfThere;",
    },
  ]),
];
