/** The faults that a cluster is put through while stock clients use it. */
import { assertNotEquals } from "@std/assert";
import { eventually } from "../../../support/eventually.ts";
import { DenokvCluster } from "../../../support/denokv/cluster.ts";
import { Programs, RecordedClients, type Result, type Runtime } from "./clients.ts";

const PAUSE_MS = 4_000;
const PROGRESS_WRITES = 40;
const PROGRESS_OF_EACH = 2;

/** Options of {@link faultsUnder}. */
export interface FaultsOptions {
  /** The clients of each process. */
  readonly runtimes: readonly Runtime[];
  readonly programsOfEach: number;
  /** How often each fault happens. Default 1. */
  readonly rounds?: number;
  readonly say?: (text: string) => void;
}

/** The reports of the clients. */
export interface FaultsReport {
  readonly results: readonly Result[];
  readonly operations: number;
  readonly sums: number;
}

/**
 * Kills and freezes leaders, restarts the nodes one after the other, and kills all of them, while clients set, count and
 * watch; throws if a client lost anything.
 */
export async function faultsUnder(
  { runtimes, programsOfEach, rounds = 1, say = (): void => {} }: FaultsOptions,
): Promise<FaultsReport> {
  await using served = await DenokvCluster.start();
  const { cluster } = served;
  await using owner = new AsyncDisposableStack();
  const leader = await cluster.waitForLeader();
  const steady = cluster.ids.find((id) => id !== leader) ?? leader;
  const others = cluster.ids.filter((id) => id !== steady);
  const urls = cluster.ids.map((id) => served.url(id));
  const programs = runtimes.map((runtime, position) => {
    const options = { name: `p${position}`, runtime, count: programsOfEach, urls, explain: cluster.logs };
    return owner.use(new Programs(options));
  });
  const recordedUrls = [steady, ...others].map((id) => served.url(id));
  const recorded = owner.use(new RecordedClients(recordedUrls, cluster.logs));
  const scene: Scene = { served, programs, say };
  await progressOfEach(scene);
  await recorded.begun();

  for (let round = 0; round < rounds; round++) await loseLeaders(scene, steady);
  say("the recorded clients end");
  const { operations, sums } = await recorded.verify();
  for (let round = 0; round < rounds; round++) await restartAll(scene);
  say("the programs end");
  const results = await Promise.all(programs.map((one) => one.verify()));
  await cluster.waitForEqualStates();
  return { results, operations, sums };
}

/** A cluster with its clients. */
interface Scene {
  readonly served: DenokvCluster;
  readonly programs: readonly Programs[];
  readonly say: (text: string) => void;
}

/** Kills a leader, and freezes the next one, neither of which is the node `steady`. */
async function loseLeaders(scene: Scene, steady: number): Promise<void> {
  const { served, say } = scene;
  const { cluster } = served;
  say("the leader is killed");
  const killed = await otherLeader(served, steady);
  await cluster.kill(killed);
  await someProgress(scene);
  await cluster.startNode(killed);
  await progressOfEach(scene);

  say("the leader is frozen");
  const frozen = await otherLeader(served, steady);
  const frozenAt = performance.now();
  cluster.pause(frozen);
  assertNotEquals(await cluster.waitForLeader(cluster.ids.filter((id) => id !== frozen)), frozen);
  await someProgress(scene);
  await eventually(
    "the leader was frozen long enough",
    () => performance.now() - frozenAt >= PAUSE_MS ? true : null,
  );
  cluster.resume(frozen);
  await progressOfEach(scene);
}

/** Restarts the nodes one after the other, and then kills all of them at once. */
async function restartAll(scene: Scene): Promise<void> {
  const { say, served: { cluster } } = scene;
  say("the nodes are restarted one after the other");
  for (const id of cluster.ids) {
    await cluster.stop(id);
    await cluster.startNode(id);
    await cluster.waitForLeader();
  }
  await progressOfEach(scene);

  say("all nodes are killed");
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  await cluster.startNodes(cluster.ids);
  await progressOfEach(scene);
}

async function someProgress({ programs }: Scene): Promise<void> {
  await Promise.all(programs.map((one) => one.progress(PROGRESS_WRITES, "any")));
}

async function progressOfEach({ programs }: Scene): Promise<void> {
  await Promise.all(programs.map((one) => one.progress(PROGRESS_OF_EACH, "each")));
}

/** Returns the leader, which is another node than `steady`: if that leads, it transfers its leadership first. */
async function otherLeader({ cluster }: DenokvCluster, steady: number): Promise<number> {
  return await eventually(`a node other than ${steady} leads`, async () => {
    const leader = await cluster.waitForLeader();
    if (leader !== steady) return leader;
    await cluster.client(["transfer-leader"]);
    return null;
  }, { explain: cluster.logs });
}
