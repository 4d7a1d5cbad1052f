/**
 * The tools of an operator for files and directories of stopped servers: inspect them, restore a backup as a new cluster, make
 * a cluster out of the last survivor.
 */
import { DATABASE_LEVEL, type StateMachine } from "../../kv/mod.ts";
import type { Random } from "../../platform/clock.ts";
import { MAX_SNAPSHOT_INDEX } from "../../protocol/limits.ts";
import type { Disk } from "../../storage/mod.ts";
import { resolve } from "@std/path";
import { confinedDisk } from "../../platform/named_paths.ts";
import { inspect, inspectState } from "./inspect.ts";
import { recover } from "./recover.ts";
import type {
  RecoverReport,
  RestoreCheck,
  RestoreReport,
  RestoreRequest,
  ServerTools,
} from "./tools_port.ts";
import { formatAddress } from "../../platform/address.ts";
import { clusterIdOf, neighboursOf } from "../startup/identity.ts";
import { foundingConfiguration } from "../membership/members.ts";
import { makeDirectory } from "../startup/new_directory.ts";
import { writeState } from "../snapshot/state_codec.ts";
import { withStateFile } from "../startup/state_file.ts";

/** Revisions between that of a backup and the first one after its restore: more than a cluster makes in 300 years. */
export const RESTORED_REVISION_STEP = 1_000_000_000_000;

/** A backup was restored, and the copy backed up, so often that there are no revisions left. */
export class RevisionsUsedUpError extends Error {
  override readonly name = "RevisionsUsedUpError";
  /** Stable name of this error. */
  readonly code = "cannotRestore";
}

/** Returns the tools on a disk. */
export function serverTools(platform: { readonly disk: Disk; readonly random: Random }): ServerTools {
  const { random } = platform;
  const diskFor = (reads: readonly string[], writes: readonly string[]): Disk =>
    confinedDisk(platform.disk, {
      reads: reads.map((path) => resolve(path)),
      writes: writes.map((path) => resolve(path)),
    });
  return {
    inspect: (path, { isDeep = false } = {}) => inspect(path, { disk: diskFor([path], []), isDeep }),
    restore: (request) => restore(request, { disk: diskFor([request.from], [request.dataDir]), random }),
    checkRestore: (from) => checkRestore(from, diskFor([from], [])),
    recover(request): Promise<RecoverReport | null> {
      const { old, fresh } = neighboursOf(resolve(request.dataDir));
      return recover(request, { disk: diskFor([], [request.dataDir, old, fresh]), random });
    },
  };
}

/**
 * Restores a backup into a new directory. The new cluster has its own id, so that nodes of the old one are refused; the id is
 * made from the file, the members and the cluster's name, so that all nodes' directories get the same one.
 *
 * The file is read once, as a stream, and completely before anything is made.
 */
export async function restore(
  { from, nodeId, members, dataDir, clusterName, disablesAuth }: RestoreRequest,
  { disk, random }: { readonly disk: Disk; readonly random: Random },
): Promise<RestoreReport> {
  return await withStateFile({ disk, path: from }, async ({ header, load }) => {
    const state = await load();
    if (disablesAuth) state.auth.change({ kind: "setEnabled", enabled: false });
    renumber(state);
    using view = state.snapshot();
    const { index, term, revision } = header;
    const origin = [header.clusterId, String(index), String(term), String(revision)];
    // Directories that were made with it and without are of different states, and so of different clusters.
    if (disablesAuth) origin.push("without authentication");
    const founders = members.map(({ id, address }) => ({ id, address: formatAddress(address) }));
    const clusterId = clusterIdOf(clusterName, members, ["restored from", ...origin]);
    await makeDirectory({
      disk,
      random,
      path: dataDir,
      identity: { clusterId, clusterName, nodeId, founders },
      index,
      term,
      revision: state.revision,
      formatVersion: header.formatVersion,
      configuration: foundingConfiguration(founders),
      advice:
        "Run the same `kvraft server restore …` again: it starts from the beginning. Or remove this directory.",
      isNamedLater: false,
      writeChunks: (write) => writeState(view, { write, yieldToEventLoop: () => Promise.resolve() }),
    });
    return { clusterId, revision: state.revision, keys: state.keyCount };
  });
}

/** Does all of {@link restore} but writes nothing. */
async function checkRestore(path: string, disk: Disk): Promise<RestoreCheck> {
  return await withStateFile({ disk, path }, async (file) => {
    const { state, ...report } = await inspectState(path, file, { isDeep: true });
    if (state === null || report.damage.length > 0) return { file: report, restored: null };
    renumber(state);
    using view = state.snapshot();
    let bytes = 0;
    await writeState(view, {
      write: (chunk) => void (bytes += chunk.length),
      yieldToEventLoop: () => Promise.resolve(),
    });
    return { file: report, restored: { revision: state.revision, bytes } };
  });
}

/**
 * Continues a backup at a revision that its cluster cannot have reached after it: revisions, fencing tokens and the
 * versionstamps of databases that clients of that cluster know are never given again. The history is dropped, since the
 * lost cluster may have had other states at revisions above that of the backup. At feature level 1 nothing changes: version
 * 0.1.0 would not read the state.
 */
function renumber(state: StateMachine): void {
  if (state.featureLevel < DATABASE_LEVEL) return;
  if (state.revision > MAX_SNAPSHOT_INDEX - RESTORED_REVISION_STEP) {
    throw new RevisionsUsedUpError(
      `Cannot restore the backup: its revision ${state.revision} is too high. Copy its keys into a new cluster.`,
    );
  }
  state.advanceRevision(RESTORED_REVISION_STEP);
}
