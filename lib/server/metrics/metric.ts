/** The type of a metric, its sources, and the helpers that the table of metrics (metric_table.ts) is written with. */
import type { NodeStatus } from "../../protocol/messages.ts";
import type { ConnectionCounts } from "../../transport/listener.ts";
import type { PeerConnectionView } from "../../transport/peers.ts";
import type { DoublingHistogram, Metrics } from "./metrics.ts";
import type { FrontEndCounts } from "../../denokv/front_end.ts";
import type { EtcdCounts } from "../../etcd/counts.ts";
import type { NodeCondition } from "../node_status.ts";

/** The resources that the process uses. */
export interface Resources {
  /** Resident memory. */
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly heapTotalBytes: number;
  /** Buffers outside of the heap, among them those of reads and writes. */
  readonly externalBytes: number;
  /** CPU time of the process so far. */
  readonly cpuMs: number;
}

/** The figures of a node about TLS. */
export interface TlsFigures {
  /** Failed handshakes and refused certificates so far, by reason. */
  readonly failures: ReadonlyMap<string, number>;
  /** Days until the node's certificate expires; negative afterwards. */
  readonly daysLeft: number;
}

/** The sources of metrics. */
export interface MetricSources {
  readonly clusterId: string;
  readonly status: NodeStatus;
  readonly condition: NodeCondition;
  readonly metrics: Metrics;
  readonly connections: ConnectionCounts;
  readonly links: readonly PeerConnectionView[];
  /** Null without TLS. */
  readonly tls: TlsFigures | null;
  /** Null without `--denokv`. */
  readonly denokv: FrontEndCounts | null;
  /** Null without `--etcd`. */
  readonly etcd: EtcdCounts | null;
  readonly resources: Resources;
  /** Time since the process began. */
  readonly uptimeMs: number;
}

/** The labels that distinguish the samples of one metric. */
export type Labels = Readonly<Record<string, string | number>>;

/** One value of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** The scale of a histogram of microseconds, whose metric is in seconds. */
export const SECONDS_PER_MICRO = 1e-6;

/** A histogram; `scale` converts its numbers to the metric's unit. */
export interface Histogram {
  readonly labels: Labels;
  readonly histogram: DoublingHistogram;
  readonly scale: number;
}

/** The description of a metric. */
interface Description {
  readonly name: string;
  /** Heading of its section in the docs. */
  readonly group: string;
  /** Empty if the metric has none. */
  readonly unit: string;
  readonly labels: readonly string[];
  /** A sentence. */
  readonly help: string;
  /** The file that measures it. */
  readonly measured: string;
}

/** A row of the table. */
export type Metric =
  | Description & {
    readonly type: "counter" | "gauge";
    read(sources: MetricSources): readonly Sample[];
  }
  | Description & { readonly type: "histogram"; read(sources: MetricSources): readonly Histogram[] };

type Given<T> = Omit<Description, "name" | "group" | "labels"> & {
  readonly labels?: readonly string[];
  readonly read: (sources: MetricSources) => readonly T[];
};

/** Makes a metric that goes up and down. */
export function gauge(name: string, given: Given<Sample>): Metric {
  return { labels: [], ...given, name, group: "", type: "gauge" };
}

/** Makes a metric that only grows. */
export function counter(name: string, given: Given<Sample>): Metric {
  return { labels: [], ...given, name, group: "", type: "counter" };
}

/** Makes a metric of the distribution of numbers. */
export function histogram(name: string, given: Given<Histogram>): Metric {
  return { labels: [], ...given, name, group: "", type: "histogram" };
}

/** Assigns metrics to a heading of the documentation. */
export function grouped(group: string, metrics: readonly Metric[]): readonly Metric[] {
  return metrics.map((metric) => ({ ...metric, group }));
}

/** Returns a value with its labels. */
export function sample(labels: Labels, value: number): Sample {
  return { labels, value };
}

/** Returns the only value of a metric. */
export function one(value: number): readonly Sample[] {
  return [sample({}, value)];
}

/** Returns values by a label. */
export function counts(label: string, values: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(values).map(([text, value]) => sample({ [label]: text }, value));
}

/** Returns a state as values: 1 for the current one, 0 for all others. */
export function oneOf(
  label: string,
  states: readonly string[],
  holds: string,
  labels: Labels = {},
): readonly Sample[] {
  return states.map((state) => sample({ ...labels, [label]: state }, state === holds ? 1 : 0));
}

/** Returns milliseconds as seconds, to the microsecond. */
export function seconds(durationMs: number): number {
  return Math.round(durationMs * 1_000) / 1e6;
}
