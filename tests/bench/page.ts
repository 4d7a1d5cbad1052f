/** docs/benchmarks/README.md, made from what was measured; nothing in it is written by hand. */
import type { Machine } from "./machine.ts";
import {
  type GoalState,
  goalStates,
  type Measurement,
  measurementsOf,
  ratioOf,
  type Spread,
  spreadOf,
} from "./measurements.ts";
import type { PeerName, Workload } from "./workloads.ts";

/** The share of a core from which a generator may have been the bound. */
const BOUND_SHARE = 0.9;

/** Everything about a run. */
export interface Results {
  readonly date: string;
  readonly command: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly machine: Machine;
  readonly peers: readonly { readonly name: PeerName; readonly what: string; readonly version: string }[];
  readonly measurements: readonly Measurement[];
}

/** The page. */
export function page(results: Results, workloads: readonly Workload[]): string {
  const { machine, command, date, rounds, seconds, peers } = results;
  return [
    "# kvraft beside others",
    "",
    "<!-- Written by `deno task bench`; do not edit. -->",
    "",
    `Measured on ${date} with \`${command}\`: ${rounds} rounds of ${seconds} s for each row and peer, one after the ` +
    "other on the same machine and disk.",
    "",
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${
      gigabytes(machine.memoryBytes)
    } memory, ${machine.system}; ` +
    `one fdatasync takes ${number(machine.syncMs)} ms; load average before the run ${
      number(machine.loadAverage)
    }.`,
    ...peers.map(({ name, what, version }) => `- ${name} (${version}): ${what}.`),
    "",
    "Ratios are of throughput, kvraft's by the other's in the same round: the median of the rounds, and in brackets the",
    "least and the greatest. Only ratios mean anything beyond this machine.",
    "",
    summary(results, workloads),
    "",
    "## Goals",
    "",
    ...goalTable(results, workloads),
    "",
    "What stands in the way of those that are not reached, and what it would take: [profile.md](profile.md). Where",
    "things fail, stand still or grow: [situations.md](situations.md). What a snapshot costs:",
    "[snapshots.md](snapshots.md).",
    "",
    "![latency against throughput](put.svg)",
    "",
    "## Times and rates",
    "",
    "Medians of the rounds. The last columns: CPU time of the leader, and of all nodes, for one request; how busy the",
    "generator was (from 90 % of a core on it may be the bound, then marked *); the memory of the leader after the row.",
    "",
    ...detailTable(results, workloads),
    "",
    ...methodText(results),
    "",
  ].join("\n");
}

/** The table of ratios, also for the terminal. */
export function summary({ peers, measurements }: Results, workloads: readonly Workload[]): string {
  const others = peers.map(({ name }) => name).filter((name) => name !== "kvraft");
  const rows = workloads.map(({ name }) => {
    const own = measurementsOf(measurements, { workload: name, peer: "kvraft" });
    const median = (of: (one: Measurement) => number): string => number(spreadOf(own.map(of))?.median ?? 0);
    const ratios = others.map((against) =>
      ratioText(
        ratioOf(measurements, {
          workload: name,
          against,
          own: ({ throughput }) => throughput,
          other: ({ throughput }) => throughput,
        }),
      )
    );
    return [name, rate(own), median(({ p50Ms }) => p50Ms), median(({ p99Ms }) => p99Ms), ...ratios];
  });
  const head = ["workload", "kvraft op/s", "p50 ms", "p99 ms", ...others.map((name) => `× ${name}`)];
  return markdownTable(head, rows).join("\n");
}

function goalTable({ measurements, machine: { syncMs } }: Results, workloads: readonly Workload[]): string[] {
  const rows = workloads.flatMap((workload) =>
    goalStates(workload, { measurements, syncMs }).map((state) => [
      workload.name,
      goalText(state),
      ratioText(state.ratio),
      state.isReached === null ? "not measured" : state.isReached ? "reached" : "**not reached**",
    ])
  );
  return markdownTable(["workload", "goal", "measured", ""], rows);
}

function goalText({ goal }: GoalState): string {
  switch (goal.kind) {
    case "ratio":
      return `≥ ${goal.atLeast} × ${goal.against}`;
    case "p50WithinSyncs":
      return `p50 ≤ ${goal.syncs} × one fdatasync`;
    case "p99WithinP50":
      return `p99 ≤ 1 × p50 of ${goal.of}`;
  }
}

function detailTable({ peers, measurements }: Results, workloads: readonly Workload[]): string[] {
  const rows = workloads.flatMap((workload) =>
    peers.flatMap(({ name }) => {
      const own = measurementsOf(measurements, { workload: workload.name, peer: name });
      if (own.length === 0) return [];
      const median = (of: (one: Measurement) => number): number => spreadOf(own.map(of))?.median ?? 0;
      const cpuShare = median(({ generator }) => generator.cpuShare);
      const failed = own.flatMap(({ errors }) => Object.values(errors)).reduce(
        (sum, count) => sum + count,
        0,
      );
      const megabytes = median(({ throughput }) => throughput) * workload.load.valueBytes / 1e6;
      return [[
        workload.name,
        name,
        rate(own),
        number(megabytes),
        number(median(({ p50Ms }) => p50Ms)),
        number(median(({ p99Ms }) => p99Ms)),
        number(median(({ p999Ms }) => p999Ms)),
        number(median(({ maxMs }) => maxMs)),
        String(failed),
        number(median(({ cpuMicroseconds }) => cpuMicroseconds[0] ?? 0)),
        number(median(({ cpuMicroseconds }) => cpuMicroseconds.reduce((sum, one) => sum + one, 0))),
        `${Math.round(cpuShare * 100)} %${cpuShare >= BOUND_SHARE ? " *" : ""}`,
        `${Math.round(median(({ residentBytes }) => residentBytes[0] ?? 0) / 1e6)} MB`,
      ]];
    })
  );
  const head = [
    "workload",
    "peer",
    "op/s",
    "MB/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "errors",
    "CPU µs",
    "of all",
  ];
  return markdownTable([...head, "generator", "memory"], rows);
}

function methodText({ command }: Results): string[] {
  return [
    "## How it was measured",
    "",
    `- Again, on your machine: \`${command}\` (about half an hour; \`deno task bench --quick\` has the main rows within`,
    "  five minutes). Rows, goals and loads stand in `tests/bench/workloads.ts`, all figures in results.json beside this.",
    "- Everything runs on one machine over loopback: the nodes share its cores with each other and with the generator.",
    "  Everybody starts once with empty folders, works for 8 s uncounted, and runs to the end; in each round each row is",
    "  measured on one peer after the other, the order reversed from row to row. Those who are not measured stand by idle.",
    "- One generator for all (`lib/loadgen`, that of `kvraft client bench`), in a process of its own for each measurement:",
    "  as many connections as clients, one request at a time on each unless the row says otherwise; keys of 16 bytes,",
    "  values of 256 unless the row says otherwise, 1 000 keys (200 from 64 KiB on). antietcd writes all of its keys anew",
    "  every half second: more of them would be held against it, and from 64 KiB on, where that holds up everybody, it is",
    "  left out and the others are started anew. The generator dials the leader.",
    "- kvraft is driven through its public client library, sessions and all. etcd's own benchmark tool is in no package",
    "  of Debian, and whatever a general gRPC library costs beyond the need, the nodes beside it would lack; so etcd is",
    "  driven through its gRPC by a small client of HTTP/2 made for this (`tests/bench/peers/etcd_client.ts`), which writes all",
    "  requests of a turn at once as kvraft's does. antietcd speaks HTTP/1.1 with JSON; its client",
    "  (`tests/bench/peers/antietcd_client.ts`) does no more than that needs. The column of the generator shows what each costs.",
    "- The echo sends back the bytes of a put (for gets too: an answer carries as many). It is one process without a disk",
    "  and without a log.",
  ];
}

function ratioText(ratio: Spread | null): string {
  return ratio === null ? "–" : `${number(ratio.median)} (${number(ratio.least)}–${number(ratio.greatest)})`;
}

function rate(measurements: readonly Measurement[]): string {
  const spread = spreadOf(measurements.map(({ throughput }) => throughput));
  return spread === null ? "–" : Math.round(spread.median).toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Three digits that count. */
export function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function gigabytes(bytes: number): string {
  return `${Math.round(bytes / 1e9)} GB`;
}

/** Padded, so that it can be read as it is. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0))
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)];
}
