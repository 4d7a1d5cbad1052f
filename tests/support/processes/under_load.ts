/** The frame of every test that disturbs a cluster under load and then checks all acknowledged writes. */
import { type ClusterOptions, TestCluster } from "./cluster.ts";
import { CheckedWorkload } from "./checked_workload.ts";
import { Workload } from "./workload.ts";

/** Acknowledged writes that show that the cluster makes progress. */
const PROGRESS_WRITES = 200;
const SEED = 1;

/** Options of the cluster and its load. */
export interface SceneOptions extends ClusterOptions {
  /** Whether additional clients run, whose history must be linearizable. Default false. */
  readonly checked?: boolean;
  /** Watchers of the additional clients' keys, which must see every change. Default 0. */
  readonly watchers?: number;
}

/** The cluster and its progress, for a test to disturb. */
export interface Scene {
  readonly cluster: TestCluster;
  /** Waits until some hundred more writes are acknowledged. */
  readonly progress: () => Promise<void>;
}

/**
 * Starts a cluster with writers, calls `disturb`, and then checks that every acknowledged write is in the store, once
 * and in order, and that all replicas are equal. Every node must run and be reachable at the end. The clients get only
 * the addresses of the initial nodes.
 */
export async function underLoad(
  { checked = false, watchers = 0, ...options }: SceneOptions,
  disturb: (scene: Scene) => Promise<void>,
): Promise<void> {
  await using cluster = await TestCluster.start(options);
  await using client = await cluster.connect();
  await using workload = Workload.start(client);
  await using clients = checked ? await CheckedWorkload.start(cluster, { seed: SEED, watchers }) : null;
  const progress = async (): Promise<void> => {
    await workload.progress(PROGRESS_WRITES, cluster.logs);
    await clients?.progress(PROGRESS_WRITES, cluster.logs);
  };
  await progress();
  await disturb({ cluster, progress });
  await progress();
  await clients?.stopAndCheck(client);
  await workload.stopAndVerify();
  await cluster.waitForEqualStates();
}
