/** Measurements, and their median and spread over the rounds. */
import { type GeneratorCost, LatencyHistogram } from "../../lib/loadgen/mod.ts";
import type { GeneratorAnswer } from "./generator_main.ts";
import type { Goal, PeerName, Workload } from "./workloads.ts";

/** One peer under one workload in one round. */
export interface Measurement {
  readonly round: number;
  readonly workload: string;
  readonly peer: PeerName;
  readonly operations: number;
  /** Operations a second. */
  readonly throughput: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly generator: GeneratorCost;
  /** Resident memory of each node right after the measurement, the leader's first. */
  readonly residentBytes: readonly number[];
  /** CPU time of each node per request, warm-up included: the figure that depends least on other work of the machine. */
  readonly cpuMicroseconds: readonly number[];
}

/** A median, and the range of the rounds around it. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

/** A goal and its result. */
export interface GoalState {
  readonly goal: Goal;
  /** The measured ratio: of throughputs, of p50 to a sync, or of p99 to p50; null when the other peer was not measured. */
  readonly ratio: Spread | null;
  readonly isReached: boolean | null;
}

/** Sums the answers of the generators of one workload into one measurement. */
export function measurementOf(
  answers: readonly GeneratorAnswer[],
  { cpuMs, ...place }: Pick<Measurement, "round" | "workload" | "peer" | "residentBytes"> & {
    readonly cpuMs: readonly number[];
  },
): Measurement {
  const all = new LatencyHistogram();
  const errors: Record<string, number> = {};
  let throughput = 0;
  let sent = 0;
  for (const answer of answers) {
    const own = LatencyHistogram.from(answer.latency.put);
    own.merge(LatencyHistogram.from(answer.latency.get));
    throughput += own.count / answer.elapsedMs * 1_000;
    sent += answer.sent;
    all.merge(own);
    for (const [code, count] of Object.entries(answer.errors)) errors[code] = (errors[code] ?? 0) + count;
  }
  const greatest = (of: (load: GeneratorCost) => number): number =>
    Math.max(...answers.map(({ generator }) => of(generator)));
  return {
    ...place,
    cpuMicroseconds: cpuMs.map((ms) => sent === 0 ? 0 : ms / sent * 1_000),
    operations: all.count,
    throughput,
    p50Ms: all.percentileMs(0.5),
    p90Ms: all.percentileMs(0.9),
    p99Ms: all.percentileMs(0.99),
    p999Ms: all.percentileMs(0.999),
    maxMs: all.maxMs,
    errors,
    generator: {
      cpuShare: greatest(({ cpuShare }) => cpuShare),
      lagP99Ms: greatest(({ lagP99Ms }) => lagP99Ms),
      lagMaxMs: greatest(({ lagMaxMs }) => lagMaxMs),
    },
  };
}

/** Returns the spread of some numbers; null when there are none. */
export function spreadOf(values: readonly number[]): Spread | null {
  const sorted = [...values].sort((a, b) => a - b);
  const [least, greatest] = [sorted[0], sorted.at(-1)];
  if (least === undefined || greatest === undefined) return null;
  const upper = sorted[Math.floor(sorted.length / 2)] ?? greatest;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? least;
  return { median: (lower + upper) / 2, least, greatest };
}

/** Returns the measurements of one peer under one workload. */
export function measurementsOf(
  measurements: readonly Measurement[],
  { workload, peer }: { readonly workload: string; readonly peer: PeerName },
): readonly Measurement[] {
  return measurements.filter((one) => one.workload === workload && one.peer === peer);
}

/** Divides a figure of kvraft by one of another peer, round by round: a disturbance of a round affects both. */
export function ratioOf(
  measurements: readonly Measurement[],
  { workload, against, own, other }: {
    readonly workload: string;
    readonly against: PeerName;
    readonly own: (measurement: Measurement) => number;
    readonly other: (measurement: Measurement) => number;
  },
): Spread | null {
  const others = measurementsOf(measurements, { workload, peer: against });
  return spreadOf(
    measurementsOf(measurements, { workload, peer: "kvraft" }).flatMap((mine) => {
      const theirs = others.find(({ round }) => round === mine.round);
      return theirs === undefined || other(theirs) === 0 ? [] : [own(mine) / other(theirs)];
    }),
  );
}

/** Returns the results for the goals of a workload, where one fdatasync takes `syncMs`. */
export function goalStates(
  { name, goals }: Workload,
  { measurements, syncMs }: { readonly measurements: readonly Measurement[]; readonly syncMs: number },
): readonly GoalState[] {
  const throughput = (one: Measurement): number => one.throughput;
  return goals.map((goal) => {
    if (goal.kind === "ratio") {
      const ratio = ratioOf(measurements, {
        workload: name,
        against: goal.against,
        own: throughput,
        other: throughput,
      });
      return { goal, ratio, isReached: ratio === null ? null : ratio.median >= goal.atLeast };
    }
    if (goal.kind === "p50WithinSyncs") {
      const own = measurementsOf(measurements, { workload: name, peer: "kvraft" });
      const ratio = spreadOf(own.map(({ p50Ms }) => p50Ms / syncMs));
      return { goal, ratio, isReached: ratio === null ? null : ratio.median <= goal.syncs };
    }
    const ratio = ratioOf(measurements, {
      workload: name,
      against: goal.of,
      own: ({ p99Ms }) => p99Ms,
      other: ({ p50Ms }) => p50Ms,
    });
    return { goal, ratio, isReached: ratio === null ? null : ratio.median <= 1 };
  });
}
