/** The result of `bench`, as text and as JSON. */
import {
  type GeneratorCost,
  isGeneratorBound,
  LatencyHistogram,
  type Load,
  type Measured,
  REQUEST_KINDS,
  type RequestMix,
} from "../../../loadgen/mod.ts";
import { type Answer, answer } from "../../command.ts";
import { ExitCode } from "../../errors.ts";
import { countOf, errorsText, escapeBytes, perSecond, sizeText, table, withThousands } from "../../text.ts";

/** Columns of the longest bar of the histogram. */
const BAR_COLUMNS = 40;
/** Smaller shares and times are not reported: some requests are always in flight. */
const FEW_UNSENT_SHARE = 0.01;
const MIN_LAG_MS = 5;
/** Percentiles by their names in the document. */
const PERCENTILES = { p50: 0.5, p90: 0.9, p99: 0.99, p999: 0.999 } as const;

/** The options of a run. */
export interface BenchPlan {
  readonly load: Load;
  readonly connections: number;
  readonly consistency: "linearizable" | "stale";
  /** UTF-8. */
  readonly prefix: Uint8Array;
  readonly keepsKeys: boolean;
  /** Deadline of each request. */
  readonly timeoutMs: number;
}

/** The reason why a run ended. */
export type BenchEnd = "duration" | "interrupted";

/** The result of a run. */
export interface BenchReport {
  readonly plan: BenchPlan;
  readonly measured: Measured;
  readonly generator: GeneratorCost;
  readonly end: BenchEnd;
  /** State of its keys; "left": some could not be removed. */
  readonly keys: "removed" | "kept" | "left";
}

/** Returns the answer of a run. */
export function benchAnswer(report: BenchReport): Answer {
  return answer({
    text: () => ({ output: benchText(report), note: "" }),
    json: () => benchDocument(report),
    exitCode: allOf(report.measured).count > 0 ? ExitCode.done : ExitCode.unavailable,
    outcome: "The run came to its end, and its report is lost.",
  });
}

/** Returns the report as text. */
function benchText(report: BenchReport): string {
  const { plan, measured, end } = report;
  const all = allOf(measured);
  const took = `${(measured.elapsedMs / 1_000).toFixed(1)} s${
    end === "interrupted" ? ", ended by Ctrl-C" : ""
  }`;
  const lines = [
    `${withThousands(perSecond(all.count, measured.elapsedMs))}/s: ${
      countOf(all.count, "operation")
    } in ${took}; ${workText(plan)}`,
    "",
    ...latencyTable(measured, all),
    ...(all.count === 0 ? [] : ["", ...bars(all)]),
    "",
    `errors: ${measured.errors.size === 0 ? "none" : errorsText(measured.errors)}`,
    ...notes(report),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** Returns the report as a document. */
function benchDocument(report: BenchReport): Readonly<Record<string, unknown>> {
  const { plan, measured, generator } = report;
  const { load } = plan;
  const all = allOf(measured);
  return {
    ...figuresDocument(all, measured),
    errors: Object.fromEntries([...measured.errors].sort()),
    unsent: measured.unsent,
    byKind: Object.fromEntries(
      REQUEST_KINDS.map((kind) => [kind, figuresDocument(measured.latency[kind], measured)]),
    ),
    elapsedMs: Math.round(measured.elapsedMs),
    end: report.end,
    clients: load.clients,
    connections: plan.connections,
    inFlight: load.inFlight,
    valueSize: load.valueBytes,
    keyCount: load.keyCount,
    distribution: load.distribution,
    mix: load.mix,
    rate: load.ratePerSecond,
    warmupMs: load.warmupMs,
    consistency: plan.consistency,
    generator: {
      cpuShare: rounded(generator.cpuShare),
      lagMs: { p99: rounded(generator.lagP99Ms), max: rounded(generator.lagMaxMs) },
      isBound: isGeneratorBound(generator),
    },
    prefix: escapeBytes(plan.prefix),
    keys: report.keys,
  };
}

function allOf({ latency }: Measured): LatencyHistogram {
  const all = new LatencyHistogram();
  for (const kind of REQUEST_KINDS) all.merge(latency[kind]);
  return all;
}

function figuresDocument(
  latency: LatencyHistogram,
  { elapsedMs }: Measured,
): Readonly<Record<string, unknown>> {
  const percentiles = Object.entries(PERCENTILES).map((
    [name, share],
  ) => [name, rounded(latency.percentileMs(share))]);
  return {
    operations: latency.count,
    throughput: rounded(perSecond(latency.count, elapsedMs)),
    latencyMs: { ...Object.fromEntries(percentiles), max: rounded(latency.maxMs) },
  };
}

/** Returns `put=50,get=50`. */
function mixText(mix: RequestMix): string {
  return REQUEST_KINDS.map((kind) => `${kind}=${mix[kind]}`).join(",");
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function workText({ load, connections, consistency }: BenchPlan): string {
  const flight = load.inFlight === 1 ? "" : ` × ${load.inFlight} in flight`;
  return [
    `${countOf(load.clients, "client")}${flight} over ${countOf(connections, "connection")}`,
    `${mixText(load.mix)}${load.mix.get > 0 ? ` (${consistency})` : ""}`,
    `values of ${sizeText(load.valueBytes)}`,
    `${countOf(load.keyCount, "key")}, ${load.distribution}`,
    ...(load.ratePerSecond === null ? [] : [`${withThousands(load.ratePerSecond)}/s due`]),
  ].join(", ");
}

function latencyTable(measured: Measured, all: LatencyHistogram): string[] {
  const row = (name: string, latency: LatencyHistogram): string[] => [
    `  ${name}`,
    withThousands(perSecond(latency.count, measured.elapsedMs)),
    ...Object.values(PERCENTILES).map((share) => msText(latency.percentileMs(share))),
    msText(latency.maxMs),
  ];
  const kinds = REQUEST_KINDS.filter((kind) => measured.latency[kind].count > 0);
  return table([
    ["  ms", "op/s", "p50", "p90", "p99", "p99.9", "max"],
    ...kinds.map((kind) => row(kind, measured.latency[kind])),
    ...(kinds.length === 1 ? [] : [row("all", all)]),
  ]);
}

/** Returns three significant digits: `0.412`, `4.12`, `41.2`, `412`. */
function msText(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3);
}

function bars(latency: LatencyHistogram): string[] {
  const bands = latency.bands();
  const most = Math.max(...bands.map(({ count }) => count));
  return table(bands.map(({ fromMs, toMs, count }) => [
    `  ${msText(fromMs)} – ${msText(toMs)} ms`,
    `${(count / latency.count * 100).toFixed(1)} %`.padStart(7),
    "█".repeat(Math.round(count / most * BAR_COLUMNS)) || (count > 0 ? "▏" : ""),
  ]));
}

function notes({ plan, measured, generator, keys }: BenchReport): string[] {
  const lines: string[] = [];
  const all = allOf(measured);
  if (measured.unsent > FEW_UNSENT_SHARE * all.count) {
    lines.push(
      `${
        countOf(measured.unsent, "request")
      } fell due and had not been sent at the end: the rate is more than ` +
        "the cluster does with so many clients.",
    );
  }
  if (isGeneratorBound(generator)) {
    lines.push(
      `This generator used ${
        Math.round(generator.cpuShare * 100)
      } % of a core: it may be the bound, not the ` +
        "cluster. Run several at the same time, each with a part of the clients, and add up what they say.",
    );
  }
  const { lagP99Ms } = generator;
  if (lagP99Ms > MIN_LAG_MS && lagP99Ms > all.percentileMs(0.5) / 2) {
    lines.push(
      `This generator's timers fired ${
        msText(lagP99Ms)
      } ms late (p99): the cores of its machine are busy, and the ` +
        "latencies have that in them.",
    );
  }
  if (keys === "kept") lines.push(`Its keys were kept; they begin with ${escapeBytes(plan.prefix)}`);
  if (keys === "left") {
    lines.push(`Not all of its keys could be removed; they begin with ${escapeBytes(plan.prefix)}`);
  }
  if (keys === "removed") lines.push("Its keys were removed.");
  return lines;
}
