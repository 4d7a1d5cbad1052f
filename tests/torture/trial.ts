/**
 * One trial: a new cluster of real processes, clients at work on it, an adversary, and at the end the questions. Is
 * the history linearizable? Is every acknowledged write there, once and in order? Are all replicas equal?
 */
import { check, CHECK_LIMITS, type History, type Operation } from "../../lib/check/mod.ts";
import type { KvClient } from "../../lib/mod.ts";
import { DenoClock } from "../../lib/net/deno_clock.ts";
import { DEFAULT_MIX, type Figures, figuresOf, perform, Workload } from "../../lib/workload/mod.ts";
import { TestCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { Workload as Writers } from "../support/workload.ts";
import { Adversary, DISK_NODE, type Fault } from "./adversary.ts";
import { SmallDisk } from "./small_disk.ts";

const CLIENTS = 5;
const KEYS = 12;
const PREFIX = "check/";
/** Short enough that an outage brings unknown outcomes. */
const TIMEOUT_MS = 1_500;
/** Small, so that the log of a trial has many segments. */
const SEGMENT_BYTES = 256 * 1024;
/** Answered writes after which the healed cluster has been seen to go on. */
const PROGRESS_WRITES = 50;
/** Longest time between two things that the adversary does. */
const MAX_LINGER_MS = 1_500;

/** How to run one. */
export interface TrialOptions {
  readonly nodes: number;
  /** Decides which faults strike and what the clients do; not what comes when, which is up to real processes. */
  readonly seed: number;
  /** Whether to go on, given the time since the beginning and whether every kind of fault has struck. */
  readonly goesOn: (sofar: { readonly elapsedMs: number; readonly hasStruckAll: boolean }) => boolean;
  /** Takes what happens, as sentences. */
  readonly tell: (line: string) => void;
}

/** What a trial came to. */
export interface TrialReport {
  readonly figures: Figures;
  /** Numbered writes that were acknowledged, and found. */
  readonly acknowledged: number;
  readonly struck: ReadonlyMap<Fault, number>;
}

/** A trial in which something was not as promised. */
export class TrialError extends Error {
  override readonly name = "TrialError";
  /** What every process printed. */
  readonly logs: string;
  readonly history: History;

  constructor(cause: unknown, { logs, history }: { readonly logs: string; readonly history: History }) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.logs = logs;
    this.history = history;
  }
}

/** Runs a trial. Throws {@link TrialError}. */
export async function runTrial(options: TrialOptions): Promise<TrialReport> {
  const { nodes, seed, tell } = options;
  const mounted: { disk: SmallDisk | null } = { disk: null };
  await using cluster = await TestCluster.start({
    nodes,
    proxied: true,
    flags: ["--segment-bytes", `${SEGMENT_BYTES}`],
    prepare: async (cluster) => {
      const disk = await SmallDisk.mount(cluster.dataFolder(DISK_NODE));
      if (disk instanceof SmallDisk) return mounted.disk = disk;
      tell(`skipped: a disk that fills, since none can be mounted here (${disk})`);
      return null;
    },
  });
  await using atWork = new AsyncDisposableStack();
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => cluster.connect()));
  for (const client of clients) atWork.use(client);
  const writers = atWork.use(Writers.start(atWork.use(await cluster.connect())));
  const workload = Workload.start({
    clients,
    seed,
    mix: DEFAULT_MIX,
    prefix: PREFIX,
    keys: KEYS,
    timeoutMs: TIMEOUT_MS,
    clock: new DenoClock(),
  });
  const ended = workload.finished.catch(() => {});
  atWork.defer(() => {
    workload.abort();
    return ended;
  });
  try {
    const random = new SeededRandom(seed);
    const adversary = new Adversary({ cluster, random, disk: mounted.disk, tell });
    return await torment(options, { cluster, workload, writers, adversary, random });
  } catch (cause) {
    throw new TrialError(cause, { logs: cluster.logs(), history: workload.history });
  }
}

/** Who takes part in a trial. */
interface Cast {
  readonly cluster: TestCluster;
  readonly workload: Workload;
  readonly writers: Writers;
  readonly adversary: Adversary;
  readonly random: SeededRandom;
}

async function torment({ goesOn, tell }: TrialOptions, cast: Cast): Promise<TrialReport> {
  const { cluster, workload, writers, adversary, random } = cast;
  await cluster.waitForLeader();
  const startedAt = performance.now();
  const sofar = (): { elapsedMs: number; hasStruckAll: boolean } => ({
    elapsedMs: performance.now() - startedAt,
    hasStruckAll: adversary.hasStruckAll,
  });
  while (goesOn(sofar())) {
    await adversary.step();
    await linger(random.below(MAX_LINGER_MS));
  }
  tell("everything is healed");
  await adversary.heal();
  await cluster.waitForLeader();
  await writers.progress(PROGRESS_WRITES, cluster.logs);
  const goal = workload.answeredWrites + PROGRESS_WRITES;
  await eventually("the clients' writes are answered", () => {
    return workload.answeredWrites >= goal || workload.isFull ? true : null;
  }, { explain: cluster.logs });
  workload.stop();
  await workload.finished;
  const figures = figuresOf(workload.history, {
    startedAt: workload.startedAt,
    endedAt: performance.now(),
  });
  await writers.stopAndVerify();
  await cluster.waitForEqualStates();
  await using reader = await cluster.connect();
  requireLinearizable([...workload.history, await lookAtAll(reader)]);
  return { figures, acknowledged: writers.acknowledged, struck: adversary.struck };
}

async function linger(durationMs: number): Promise<void> {
  const until = performance.now() + durationMs;
  await eventually("the adversary has waited long enough", () => performance.now() >= until ? true : null);
}

/** What the keys are in the end: a last operation, which must fit too. */
async function lookAtAll(reader: KvClient): Promise<Operation> {
  const range = { prefix: PREFIX, start: null, end: null, after: null, reverse: false };
  const calledAt = performance.now();
  const request = { kind: "list", range, limit: KEYS } as const;
  const ended = await perform(reader, { request, options: {} });
  return { ...ended, client: CLIENTS + 1, calledAt, returnedAt: performance.now() };
}

function requireLinearizable(history: History): void {
  const verdict = check(history, { ...CHECK_LIMITS, now: () => performance.now() });
  if (verdict.kind === "linearizable") return;
  throw new Error(`the history is not shown to be linearizable: ${verdict.kind}, ${JSON.stringify(verdict)}`);
}
