/** The frame of every test that disturbs a cluster: writers run, something happens, and then nothing may be missing. */
import { type ClusterOptions, TestCluster } from "./cluster.ts";
import { JudgedWorkload } from "./judged_workload.ts";
import { Workload } from "./workload.ts";

/** Acknowledged writes after which a test has seen that the cluster goes on. */
const PROGRESS_WRITES = 200;
const SEED = 1;

/** What is disturbed, and under which load. */
export interface SceneOptions extends ClusterOptions {
  /** Whether more clients are at work, whose history must be linearizable. Default false. */
  readonly judged?: boolean;
}

/** What a test disturbs. */
export interface Scene {
  readonly cluster: TestCluster;
  /** Waits until the writers have been told of some hundred more writes. */
  readonly progress: () => Promise<void>;
}

/**
 * Starts a cluster with writers, has `disturb` do its worst, and then shows that every write the writers were told of
 * is there, once and in order, and that all replicas are equal. Every node must run and be reachable at the end. The
 * clients are told of the nodes that there are at the beginning, and of no others.
 */
export async function underLoad(
  { judged = false, ...options }: SceneOptions,
  disturb: (scene: Scene) => Promise<void>,
): Promise<void> {
  await using cluster = await TestCluster.start(options);
  await using client = await cluster.connect();
  await using workload = Workload.start(client);
  await using clients = judged ? await JudgedWorkload.start(cluster, SEED) : null;
  const progress = async (): Promise<void> => {
    await workload.progress(PROGRESS_WRITES, cluster.logs);
    await clients?.progress(PROGRESS_WRITES, cluster.logs);
  };
  await progress();
  await disturb({ cluster, progress });
  await progress();
  await clients?.stopAndJudge(client);
  await workload.stopAndVerify();
  await cluster.waitForEqualStates();
}
