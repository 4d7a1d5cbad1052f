/**
 * One trial: a new cluster of real processes with clients, watchers and a nemesis. At the end it checks that the history
 * is linearizable, that watchers saw every change, that every acknowledged write is in the store, once and in order, and
 * that all replicas are equal.
 */
import type { WatchedRun, WatchFigures } from "../../lib/lincheck/mod.ts";
import { assert } from "@std/assert";
import { CompactedError, type KvClient } from "../../lib/mod.ts";
import type { ReadMode } from "../../lib/server/config/config.ts";
import type { Figures } from "../../lib/loadgen/mod.ts";
import { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { CheckedWorkload } from "../support/processes/checked_workload.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { Workload as Writers } from "../support/processes/workload.ts";
import { DISK_NODE, type Fault, Nemesis } from "./nemesis.ts";
import { ChangingRights, type RightsFigures } from "./rights.ts";
import { SmallDisk } from "./small_disk.ts";

/** Small, so that the log of a trial has many segments, and is compacted often. */
const SEGMENT_BYTES = 65_536;
const SNAPSHOT_LOG_BYTES = 65_536;
/**
 * Bounds of the history by turns, so that consecutive seeds have different ones, and each of them occurs with each number
 * of nodes and each read mode: compaction with nearly every write, often, every few seconds, and never.
 */
const HISTORY_FLAGS: readonly (readonly string[])[] = [
  ["--history-bytes", "2048"],
  ["--history-bytes", "65536"],
  ["--history-seconds", "2"],
  [],
  ["--history-bytes", "0"],
];
/** Answered writes that show progress of the healed cluster. */
const PROGRESS_WRITES = 50;
const WATCHERS = 8;
/** Longest pause between two actions of the nemesis. */
const MAX_LINGER_MS = 1_500;

/** Options of a trial. */
export interface TrialOptions {
  readonly nodes: number;
  /** Decides the faults and the clients' operations, but not their timing, which depends on real processes. */
  readonly seed: number;
  /** Whether clients sign in, and the right of one user changes. Default false. */
  readonly hasUsers?: boolean;
  /** Whether to go on, given the time since the beginning and whether every kind of fault has struck. */
  readonly goesOn: (sofar: { readonly elapsedMs: number; readonly hasStruckAll: boolean }) => boolean;
  /** Called with a sentence for each event. */
  readonly tell: (line: string) => void;
}

/** The result of a trial. */
export interface TrialReport {
  readonly figures: Figures;
  readonly watching: WatchFigures;
  /** Numbered writes that were acknowledged and found. */
  readonly acknowledged: number;
  readonly struck: ReadonlyMap<Fault, number>;
  /** Null without users. */
  readonly rights: RightsFigures | null;
}

/** The error of a failed trial. */
export class TrialError extends Error {
  override readonly name = "TrialError";
  /** Output of every process. */
  readonly logs: string;
  readonly run: WatchedRun;

  constructor(cause: unknown, { logs, run }: { readonly logs: string; readonly run: WatchedRun }) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.logs = logs;
    this.run = run;
  }
}

/** Runs a trial. Throws {@link TrialError}. */
export async function runTrial(options: TrialOptions): Promise<TrialReport> {
  const { nodes, seed, tell, hasUsers = false } = options;
  // Seeds in pairs, since the sizes of clusters alternate.
  const readMode: ReadMode = Math.floor(seed / 2) % 2 === 0 ? "lease" : "read-index";
  const mounted: { disk: SmallDisk | null } = { disk: null };
  await using cluster = await TestCluster.start({
    nodes,
    proxied: true,
    flags: [
      ...["--segment-bytes", `${SEGMENT_BYTES}`, "--snapshot-log-bytes", `${SNAPSHOT_LOG_BYTES}`],
      ...["--read-mode", readMode],
      ...HISTORY_FLAGS[seed % HISTORY_FLAGS.length] ?? [],
    ],
    prepare: async (cluster) => {
      const disk = await SmallDisk.mount(cluster.dataFolder(DISK_NODE));
      if (disk instanceof SmallDisk) return mounted.disk = disk;
      tell(`skipped: a disk that fills, since none can be mounted here (${disk})`);
      return null;
    },
  });
  await using rights = hasUsers ? await ChangingRights.start(cluster) : null;
  await using client = await cluster.connect();
  await using writers = Writers.start(client);
  await using workload = await CheckedWorkload.start(cluster, { seed, watchers: WATCHERS });
  try {
    const random = new SeededRandom(seed);
    const nemesis = new Nemesis({ cluster, random, disk: mounted.disk, tell });
    return await torment(options, { cluster, workload, writers, nemesis, random, rights });
  } catch (cause) {
    throw new TrialError(cause, { logs: cluster.logs(), run: workload.run });
  }
}

/** The participants of a trial. */
interface Cast {
  readonly cluster: TestCluster;
  readonly workload: CheckedWorkload;
  readonly writers: Writers;
  readonly nemesis: Nemesis;
  readonly random: SeededRandom;
  readonly rights: ChangingRights | null;
}

async function torment({ goesOn, tell }: TrialOptions, cast: Cast): Promise<TrialReport> {
  const { cluster, workload, writers, nemesis, random, rights } = cast;
  await cluster.waitForLeader();
  const startedAt = performance.now();
  const sofar = (): { elapsedMs: number; hasStruckAll: boolean } => ({
    elapsedMs: performance.now() - startedAt,
    hasStruckAll: nemesis.hasStruckAll,
  });
  while (goesOn(sofar())) {
    await nemesis.step();
    await linger(random.below(MAX_LINGER_MS));
  }
  tell("everything is healed");
  await nemesis.heal();
  await cluster.waitForLeader();
  await writers.progress(PROGRESS_WRITES, cluster.logs);
  await workload.progress(PROGRESS_WRITES, cluster.logs);
  await using reader = await cluster.connect();
  const figures = await workload.stopAndCheck(reader);
  const { watching } = workload;
  assert(watching !== null, "a trial has watchers");
  await writers.stopAndVerify();
  const rightsFigures = await rights?.stopAndCheck(cluster.logs) ?? null;
  tell(`the history begins at revision ${await compactedRevisionOf(reader)}`);
  await cluster.waitForEqualStates();
  return {
    figures,
    watching,
    acknowledged: writers.acknowledged,
    struck: nemesis.struck,
    rights: rightsFigures,
  };
}

async function compactedRevisionOf(client: KvClient): Promise<number> {
  try {
    await client.get("a key", { revision: 0 });
    return 0;
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
    return error.compactedRevision;
  }
}

async function linger(durationMs: number): Promise<void> {
  const until = performance.now() + durationMs;
  await eventually("the nemesis has waited long enough", () => performance.now() >= until ? true : null);
}
