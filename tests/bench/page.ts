/** Generates docs/benchmarks/README.md from measurements; nothing in it is written by hand. */
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

/** From this share of a core on, the generator may have limited the throughput. */
const BOUND_SHARE = 0.9;

/** The results of a run. */
export interface Results {
  readonly date: string;
  readonly command: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly machine: Machine;
  readonly peers: readonly { readonly name: PeerName; readonly what: string; readonly version: string }[];
  readonly measurements: readonly Measurement[];
}

/** Returns the page. */
export function page(results: Results, workloads: readonly Workload[]): string {
  const { machine, command, date, rounds, seconds, peers } = results;
  return [
    `# kvraft compared with ${comparedWith(results)}`,
    "",
    "<!-- Written by `deno task bench`; do not edit. -->",
    "",
    `Measured on ${date} with \`${command}\`: ${rounds} rounds of ${seconds} s for each workload and store, one after ` +
    "the other on the same machine and disk.",
    "",
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${
      gigabytes(machine.memoryBytes)
    } memory, ${machine.system}; ` +
    `one fdatasync takes ${number(machine.syncMs)} ms; load average before the run ${
      number(machine.loadAverage)
    }.`,
    ...peers.map(({ name, what, version }) => `- ${name} (${version}): ${what}.`),
    "",
    "A ratio is kvraft's throughput divided by that of the other store in the same round: the median of the rounds, with",
    "the smallest and the largest in brackets. Only ratios can be compared with those of other machines.",
    "",
    summary(results, workloads),
    "",
    "## Goals",
    "",
    ...goalTable(results, workloads),
    "",
    "[profile.md](profile.md) analyses the goals that are not reached. [situations.md](situations.md) has failures,",
    "overload, idle nodes and growth; [snapshots.md](snapshots.md) has the cost of a snapshot, [store.md](store.md) the",
    "figures of the store.",
    "",
    "![latency against throughput](put.svg)",
    "",
    "## Times and rates",
    "",
    "Medians of the rounds. The last columns are the CPU time of the leader and of all nodes per request, the share of a",
    "core that the generator used (from 90 % on it may limit the throughput, marked *), and the leader's memory after the",
    "workload.",
    "",
    ...detailTable(results, workloads),
    "",
    ...methodText(results),
    "",
  ].join("\n");
}

/** Returns the other stores with their versions, for the title. */
function comparedWith({ peers }: Results): string {
  const others = peers.filter(({ name }) => name !== "kvraft" && name !== "echo");
  return others.map(nameAndVersion).join(" and ");
}

/** Returns "etcd 3.4.23"; the name alone for the echo server, which has no version. */
function nameAndVersion({ name, version }: Results["peers"][number]): string {
  return name === "echo" ? name : `${name} ${version.split(",")[0]}`;
}

/** Returns the table of ratios, also for the terminal. */
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
  const titles = peers.filter(({ name }) => name !== "kvraft").map((peer) => `× ${nameAndVersion(peer)}`);
  const head = ["workload", "kvraft op/s", "p50 ms", "p99 ms", ...titles];
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
    `- To repeat it: \`${command}\` (about half an hour; \`deno task bench --quick\` measures the main workloads in five`,
    "  minutes). Workloads and goals are in `tests/bench/workloads.ts`, all measurements in results.json in this directory.",
    "- Everything runs on one machine over loopback: the nodes share its cores with each other and with the generator.",
    "  Each store starts once with empty directories, runs for 8 s unmeasured, and runs until the end. In each round each",
    "  workload is measured on one store after the other, in an order that alternates; the other stores are idle.",
    "- One generator (`lib/loadgen`, the one of `kvraft client bench`) runs in its own process for each measurement, with",
    "  as many connections as clients and one request in flight on each unless noted (callers share the connections of their",
    "  clients, and each waits for its answer); keys of 16 bytes, values of 256 bytes",
    "  unless noted, 1 000 keys (200 from 64 KiB on). antietcd writes all of its keys to disk every half second, so more keys",
    "  would be a disadvantage for it; from 64 KiB on, where that blocks all clients, it is omitted and the other stores",
    "  are restarted. The generator connects to the leader.",
    "- kvraft is used through its public client library, with sessions. In the rows in which callers share clients, etcd is",
    "  used through its Go client library, clientv3 (`tests/bench/peers/clientv3`; its column `generator` counts all threads).",
    "  In the other rows, where each client has a connection of its own, a gRPC library would take CPU time from the nodes on",
    "  the same machine; so etcd is used through a small HTTP/2 client (`tests/bench/peers/etcd_client.ts`) that writes all",
    "  requests of a turn at once, as kvraft's client does. antietcd uses HTTP/1.1 with JSON, and has a minimal client",
    "  (`tests/bench/peers/antietcd_client.ts`). The column `generator` shows the cost of each client.",
    "- The echo server returns the bytes of a put (also for gets: an answer has as many). It is one process without disk",
    "  and log.",
  ];
}

function ratioText(ratio: Spread | null): string {
  return ratio === null ? "–" : `${number(ratio.median)} (${number(ratio.least)}–${number(ratio.greatest)})`;
}

function rate(measurements: readonly Measurement[]): string {
  const spread = spreadOf(measurements.map(({ throughput }) => throughput));
  return spread === null ? "–" : Math.round(spread.median).toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Returns a number with three significant digits. */
export function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function gigabytes(bytes: number): string {
  return `${Math.round(bytes / 1e9)} GB`;
}

/** Returns a Markdown table with aligned columns. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0))
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)];
}
