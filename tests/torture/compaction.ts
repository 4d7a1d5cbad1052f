/**
 * kill -9 during snapshots and compaction, repeatedly: of one node, or of all at once.
 *
 * The moment is drawn in file system events after the snapshot's unfinished file appears: while it is written, before and
 * after it is renamed, while older snapshots and segments of the log are removed.
 */
import { TestCluster } from "../support/processes/cluster.ts";
import { within } from "../support/eventually.ts";
import { CheckedWorkload } from "../support/processes/checked_workload.ts";
import { SeededRandom } from "../support/seeded_random.ts";

/** Small, so that snapshots are frequent, and each removes segments. */
const FLAGS = ["--snapshot-log-bytes", "8192", "--segment-bytes", "8192", "--history-bytes", "8192"];
/** Kills per cluster; then a new one begins, so that a history stays short enough to be checked. */
const KILLS_OF_A_ROUND = 40;
/** File system events after the beginning of a snapshot among which the moment is drawn. */
const MAX_EVENTS = 24;
const ALL_AT_ONCE_SHARE = 0.25;
/** Answered writes that show progress after a round. */
const PROGRESS_WRITES = 50;

/** Options of a run. */
export interface CompactionOptions {
  readonly kills: number;
  readonly seed: number;
  /** Called with a sentence for each event. */
  readonly tell: (line: string) => void;
}

/** Kills this often. Throws when a node does not restart, a history is not linearizable, or replicas differ. */
export async function killInCompactions({ kills, seed, tell }: CompactionOptions): Promise<void> {
  for (let done = 0; done < kills; done += KILLS_OF_A_ROUND) {
    const round = { kills: Math.min(KILLS_OF_A_ROUND, kills - done), seed: seed + done, tell };
    await runRound(round);
    tell(`${done + round.kills} of ${kills} kills: linearizable, replicas equal`);
  }
}

async function runRound({ kills, seed, tell }: CompactionOptions): Promise<void> {
  const random = new SeededRandom(seed);
  await using cluster = await TestCluster.start({ flags: FLAGS });
  await using workload = await CheckedWorkload.start(cluster, { seed });
  await workload.progress(PROGRESS_WRITES, cluster.logs);
  for (let kill = 0; kill < kills; kill++) {
    const node = random.pick(cluster.ids);
    const victims = random.chance(ALL_AT_ONCE_SHARE) ? cluster.ids : [node];
    const events = random.below(MAX_EVENTS);
    tell(`kill -9 of ${victims.join(", ")}, ${events} file events into a snapshot of node ${node}`);
    await within(`node ${node} takes a snapshot`, waitForCompaction(cluster.dataFolder(node), events), {
      explain: cluster.logs,
    });
    await Promise.all(victims.map((id) => cluster.kill(id)));
    await cluster.startNodes(victims);
  }
  await cluster.waitForLeader();
  await workload.progress(PROGRESS_WRITES, cluster.logs);
  await using reader = await cluster.connect();
  await workload.stopAndCheck(reader);
  await cluster.waitForEqualStates();
}

/** Waits for the beginning of a snapshot in the data directory, and then for so many file system events in it. */
async function waitForCompaction(dataFolder: string, events: number): Promise<void> {
  using watcher = Deno.watchFs(dataFolder);
  let left: number | null = null;
  for await (const { paths } of watcher) {
    if (left === null && paths.some((path) => path.endsWith(".snap.new"))) left = events;
    else if (left !== null) left -= 1;
    if (left !== null && left <= 0) return;
  }
}
