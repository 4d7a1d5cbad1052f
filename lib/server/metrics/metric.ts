/** What a metric is, what it is read from, and the helpers that the table of them (metric_table.ts) is written with. */
import type { NodeStatus } from "../../protocol/messages.ts";
import type { ConnectionCounts } from "../../transport/listener.ts";
import type { PeerConnectionView } from "../../transport/peers.ts";
import type { DoublingHistogram, Metrics } from "./metrics.ts";
import type { NodeCondition } from "../node.ts";

/** What the process uses of the machine. */
export interface Resources {
  /** Memory that is in the machine's RAM. */
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly heapTotalBytes: number;
  /** Buffers outside of the heap, among them all that was read and written. */
  readonly externalBytes: number;
  /** CPU time of the process so far. */
  readonly cpuMs: number;
}

/** All that metrics are read from. */
export interface MetricSources {
  readonly clusterId: string;
  readonly status: NodeStatus;
  readonly condition: NodeCondition;
  readonly metrics: Metrics;
  readonly connections: ConnectionCounts;
  readonly links: readonly PeerConnectionView[];
  readonly resources: Resources;
  /** Since the process began. */
  readonly uptimeMs: number;
}

/** What tells the samples of one metric apart. */
export type Labels = Readonly<Record<string, string | number>>;

/** One number. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** How often numbers of each size came up; `scale` makes the metric's unit of one. */
export interface Histogram {
  readonly labels: Labels;
  readonly histogram: DoublingHistogram;
  readonly scale: number;
}

/** What a metric is called and means. */
interface Description {
  readonly name: string;
  /** Heading of its section in the docs. */
  readonly group: string;
  /** Empty for what is no quantity. */
  readonly unit: string;
  readonly labels: readonly string[];
  /** A sentence. */
  readonly help: string;
  /** The file. */
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

/** A number that goes up and down. */
export function gauge(name: string, given: Given<Sample>): Metric {
  return { labels: [], ...given, name, group: "", type: "gauge" };
}

/** A number that only grows. */
export function counter(name: string, given: Given<Sample>): Metric {
  return { labels: [], ...given, name, group: "", type: "counter" };
}

/** How often numbers of each size came up. */
export function histogram(name: string, given: Given<Histogram>): Metric {
  return { labels: [], ...given, name, group: "", type: "histogram" };
}

/** The metrics under one heading of the docs. */
export function grouped(group: string, metrics: readonly Metric[]): readonly Metric[] {
  return metrics.map((metric) => ({ ...metric, group }));
}

/** A number with its labels. */
export function sample(labels: Labels, value: number): Sample {
  return { labels, value };
}

/** The only number of a metric. */
export function one(value: number): readonly Sample[] {
  return [sample({}, value)];
}

/** Numbers by a label. */
export function counts(label: string, values: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(values).map(([text, value]) => sample({ [label]: text }, value));
}

/** A state as numbers: 1 for the one that holds, 0 for all others. */
export function oneOf(
  label: string,
  states: readonly string[],
  holds: string,
  labels: Labels = {},
): readonly Sample[] {
  return states.map((state) => sample({ ...labels, [label]: state }, state === holds ? 1 : 0));
}

/** Milliseconds as seconds, to the microsecond. */
export function seconds(durationMs: number): number {
  return Math.round(durationMs * 1_000) / 1e6;
}
