/**
 * What an operator does to files and folders while no server runs on them: look into them, restore a backup as a new
 * cluster, make a cluster of the last survivor.
 */
import type { Random } from "../../platform/clock.ts";
import type { Disk } from "../../storage/mod.ts";
import { inspect } from "./inspect.ts";
import { recover } from "./recover.ts";
import { restore } from "./restore.ts";
import type { ServerTools } from "./tools_port.ts";

/** The tools, on this disk. */
export function serverTools(platform: { readonly disk: Disk; readonly random: Random }): ServerTools {
  return {
    inspect: (path) => inspect(path, platform),
    restore: (request) => restore(request, platform),
    recover: (request) => recover(request, platform),
  };
}
