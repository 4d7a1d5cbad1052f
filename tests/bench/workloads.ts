/** The workloads of the comparison, and their goals. */
import type { Load } from "../../lib/loadgen/mod.ts";

/** Names of the measured stores. */
export const PEER_NAMES = ["kvraft", "etcd", "antietcd", "echo"] as const;
/** One of {@link PEER_NAMES}. */
export type PeerName = typeof PEER_NAMES[number];

/** A goal of kvraft. */
export type Goal =
  /** At least so many times the throughput of another store. */
  | { readonly kind: "ratio"; readonly against: PeerName; readonly atLeast: number }
  /** A p50 of at most so many times one fdatasync of 4 KiB. */
  | { readonly kind: "p50WithinSyncs"; readonly syncs: number }
  /** A p99 of at most the p50 of another store. */
  | { readonly kind: "p99WithinP50"; readonly of: PeerName };

/** A workload. */
export interface Workload {
  readonly name: string;
  /** Connections that the clients share. */
  readonly connections: number;
  /** Whether etcd is used through clientv3, its Go client, as programs use it, instead of the client of this benchmark. */
  readonly usesClientv3: boolean;
  readonly load: Omit<Load, "warmupMs" | "durationMs" | "ratePerSecond">;
  readonly goals: readonly Goal[];
  /** Whether `--quick` runs it. */
  readonly isMain: boolean;
  /** Whether it is a point of the plot. */
  readonly isPlotted: boolean;
}

/** Bounded for antietcd, which rewrites all of its keys every half second. */
const KEY_COUNT = 1_000;
/** For large values, so that all of them fit into memory several times. */
const FEW_KEYS = 200;
const PUTS = { put: 1, get: 0 };
const GETS = { put: 0, get: 1 };
const BASE = {
  inFlight: 1,
  mix: PUTS,
  valueBytes: 256,
  keyCount: KEY_COUNT,
  distribution: "uniform",
} as const;

const atLeast = (against: PeerName, ratio: number): Goal => ({ kind: "ratio", against, atLeast: ratio });
const P99_WITHIN_P50_OF_ETCD: Goal = { kind: "p99WithinP50", of: "etcd" };

function clients(
  count: number,
  what: string,
  { load, ...rest }: Partial<Omit<Workload, "load">> & { readonly load?: Partial<Workload["load"]> },
): Workload {
  return {
    name: `${what}, ${count} ${count === 1 ? "client" : "clients"}`,
    connections: count,
    usesClientv3: false,
    load: { ...BASE, clients: count, ...load },
    goals: [],
    isMain: false,
    isPlotted: false,
    ...rest,
  };
}

/** Callers that share client libraries: what programs do. */
function callers(
  count: number,
  what: string,
  { sharedClients, ratio, load }: {
    readonly sharedClients: number;
    /** The goal, times etcd. */
    readonly ratio: number;
    readonly load?: Partial<Workload["load"]>;
  },
): Workload {
  const who = `${count} ${count === 1 ? "caller" : "callers"} of ${sharedClients}`;
  return {
    name: `${what}, ${who} ${sharedClients === 1 ? "client" : "clients"}`,
    connections: sharedClients,
    usesClientv3: true,
    load: { ...BASE, clients: count, ...load },
    goals: [atLeast("etcd", ratio)],
    isMain: true,
    isPlotted: false,
  };
}

/**
 * Workloads with values from this size on run in a second group, with freshly started peers and without antietcd, which
 * rewrites all of its keys every half second: with large values that takes disk and CPU time from all peers.
 */
export const LARGE_VALUE_BYTES = 65_536;

/** The warm-up of every peer after its start, which is not counted. */
export const WARM_UP: Workload = clients(64, "warm-up", { load: { inFlight: 16, mix: { put: 1, get: 1 } } });
/** Until the slowest to warm up, kvraft, stops becoming faster. */
export const WARM_UP_SECONDS = 8;

/** All workloads, in the order in which they run and are shown. */
export const WORKLOADS: readonly Workload[] = [
  callers(64, "put", { sharedClients: 1, ratio: 5 }),
  callers(64, "get", { sharedClients: 1, ratio: 6, load: { mix: GETS } }),
  callers(64, "put", { sharedClients: 8, ratio: 4 }),
  callers(1, "put", { sharedClients: 1, ratio: 2 }),
  clients(1, "put", {
    goals: [atLeast("etcd", 2.5), { kind: "p50WithinSyncs", syncs: 3 }],
    isMain: true,
    isPlotted: true,
  }),
  clients(4, "put", { isPlotted: true }),
  clients(16, "put", { isPlotted: true }),
  clients(64, "put", {
    goals: [atLeast("etcd", 5), atLeast("antietcd", 1.5), atLeast("echo", 0.4), P99_WITHIN_P50_OF_ETCD],
    isMain: true,
    isPlotted: true,
  }),
  clients(256, "put", { isPlotted: true }),
  clients(1_000, "put", {
    goals: [atLeast("etcd", 5), P99_WITHIN_P50_OF_ETCD],
    isMain: true,
    isPlotted: true,
  }),
  {
    ...clients(64, "put", { load: { inFlight: 16 }, goals: [atLeast("echo", 0.12)], isMain: true }),
    name: "put, 64 connections × 16 in flight",
  },
  clients(64, "get", {
    load: { mix: GETS },
    goals: [atLeast("etcd", 8), atLeast("antietcd", 1), atLeast("echo", 0.6)],
    isMain: true,
  }),
  clients(1_000, "get", {
    load: { mix: GETS },
    goals: [atLeast("etcd", 8), atLeast("antietcd", 1), atLeast("echo", 0.6)],
  }),
  clients(64, "put and get 50/50, zipf keys", {
    load: { mix: { put: 1, get: 1 }, distribution: "zipf" },
    goals: [atLeast("etcd", 5)],
    isMain: true,
  }),
  clients(64, "put of 4 KiB", { load: { valueBytes: 4_096 }, goals: [atLeast("etcd", 1)] }),
  clients(16, "put of 64 KiB", {
    load: { valueBytes: 65_536, keyCount: FEW_KEYS },
    goals: [atLeast("etcd", 1)],
  }),
  clients(4, "put of 1 MiB", {
    load: { valueBytes: 1_048_576, keyCount: FEW_KEYS },
    goals: [atLeast("etcd", 1)],
  }),
];
