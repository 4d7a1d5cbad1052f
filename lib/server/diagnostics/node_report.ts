/** Makes a node's report about itself from what its parts measure. */
import { FEATURE_LEVEL } from "../../kv/mod.ts";
import type { Clock } from "../../platform/clock.ts";
import type {
  HeardFrom,
  NodeCounters,
  NodeLatency,
  NodeMemory,
  NodeReport,
} from "../../protocol/diagnostics/report.ts";
import type { NodeStatus } from "../../protocol/messages.ts";
import type { NodeId } from "../../raft/mod.ts";
import type { PeerConnectionView } from "../../transport/peers.ts";
import type { ServerConfig } from "../config/config.ts";
import { type Metrics, type RequestCount, type RequestGroup, requestGroupOf } from "../metrics/metrics.ts";
import type { NodeCondition } from "../node_status.ts";
import type { ConnectionBudget } from "../startup/descriptors.ts";
import type { EventLog } from "./events.ts";
import { sharedSettings } from "./shared_settings.ts";

/** The process that a server runs in. */
export interface Runtime {
  /** The version of Deno. */
  readonly version: string;
  /** Random text of this process. */
  readonly instance: string;
  /** Returns its memory. */
  memory(): NodeMemory;
}

/** The parts of a server that a report is made from. */
export interface ReportSources {
  readonly config: ServerConfig;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly events: EventLog;
  readonly runtime: Runtime | null;
  readonly metrics: Metrics | null;
  readonly budget: ConnectionBudget;
  /** Returns how many more files and sockets may be opened, at most `upTo`. */
  readonly freeDescriptors: ((upTo: number) => number) | null;
  /** When the certificate of this node ends; null without TLS. */
  readonly certificateExpiresAtMs: () => number | null;
  readonly status: () => NodeStatus;
  readonly condition: () => NodeCondition;
  readonly featureLevel: () => number;
  /** The connections to the members. */
  readonly links: () => readonly PeerConnectionView[];
  /** Returns the time of a node's last ping; null while it has no connection to this one. */
  readonly heardAtMs: (id: NodeId) => number | null;
  readonly clientCount: () => number;
  /** The scheduled backups; null without them. */
  readonly backup: () => NodeReport["backup"];
}

/** Most descriptors that are counted: each takes 7 µs. */
const COUNTED_DESCRIPTORS = 256;
/** Interval in which they are counted once, however often a report is asked for. */
const DESCRIPTORS_REST_MS = 1_000;

/** Makes the reports of one server. */
export class NodeReporter {
  readonly #sources: ReportSources;
  readonly #startedAtMs: number;
  readonly #beganMs: number;
  /** The last count of free descriptors; null before the first. */
  #descriptors: { readonly free: number; readonly atMs: number } | null = null;

  constructor(sources: ReportSources) {
    this.#sources = sources;
    this.#startedAtMs = Math.round(sources.wallClock());
    this.#beganMs = sources.clock.now();
  }

  /** Returns the report of this moment. */
  report(): NodeReport {
    const { config, clock, wallClock, events, runtime, metrics } = this.#sources;
    const status = this.#sources.status();
    const condition = this.#sources.condition();
    return {
      status,
      instance: runtime?.instance ?? "",
      startedAtMs: this.#startedAtMs,
      wallClockMs: Math.round(wallClock()),
      uptimeMs: Math.round(clock.now() - this.#beganMs),
      featureLevel: this.#sources.featureLevel(),
      knownFeatureLevel: FEATURE_LEVEL,
      denoVersion: runtime?.version ?? "",
      heardFrom: this.#sources.links().map((link) => this.#heardFrom(link)),
      counters: countersOf(metrics, condition),
      latency: latencyOf(metrics),
      memory: runtime?.memory() ?? null,
      descriptors: { free: this.#freeDescriptors() },
      log: { bytes: condition.logBytes, firstIndex: status.firstLogIndex, lastIndex: status.lastLogIndex },
      snapshot: condition.snapshot,
      quota: { usedBytes: status.stateBytes, limitBytes: config.quotaBytes },
      history: {
        bytes: condition.historyBytes,
        limitBytes: config.historyBytes,
        compactedRevision: condition.compactedRevision,
      },
      leases: condition.leases,
      watches: { open: condition.watches.watches, behind: condition.watches.behind },
      connections: this.#connections(),
      auth: { enabled: condition.isAuthEnabled, users: condition.users },
      tls: {
        enabled: config.tlsCert !== null,
        certificateExpiresAtMs: this.#sources.certificateExpiresAtMs(),
      },
      config: sharedSettings(config),
      events: events.newest,
      backup: this.#sources.backup(),
    };
  }

  #connections(): NodeReport["connections"] {
    const { config, budget, clientCount } = this.#sources;
    return {
      clients: clientCount(),
      maxClients: budget.maxConnections,
      configuredClients: config.maxConnections,
    };
  }

  #heardFrom({ id, isConnected, roundTripMs }: PeerConnectionView): HeardFrom {
    const heardAtMs = this.#sources.heardAtMs(id);
    return {
      id,
      agoMs: heardAtMs === null ? null : Math.round(this.#sources.clock.now() - heardAtMs),
      connectedFrom: heardAtMs !== null,
      connectedTo: isConnected,
      roundTripMicros: roundTripMs === null ? null : Math.round(roundTripMs * 1_000),
    };
  }

  #freeDescriptors(): number | null {
    const { freeDescriptors, clock } = this.#sources;
    if (freeDescriptors === null) return null;
    const now = clock.now();
    if (this.#descriptors === null || now - this.#descriptors.atMs >= DESCRIPTORS_REST_MS) {
      this.#descriptors = { free: freeDescriptors(COUNTED_DESCRIPTORS), atMs: now };
    }
    return this.#descriptors.free;
  }
}

function countersOf(metrics: Metrics | null, condition: NodeCondition): NodeCounters {
  const requests = (metrics?.requests ?? []).filter(({ kind }) => requestGroupOf(kind) !== "forwarded");
  const of = (group: RequestGroup): readonly RequestCount[] =>
    requests.filter(({ kind }) => requestGroupOf(kind) === group);
  const watching = requests.filter(({ kind }) => kind === "watch" || kind === "readEvents");
  const { accepted = 0, storageFull = 0, busy = 0 } = metrics?.proposals ?? {};
  return {
    reads: answers(of("read")),
    writes: answers(of("write")),
    otherRequests: answers(of("other")),
    failedRequests: answers(requests, (outcome) => outcome !== "ok"),
    proposals: accepted,
    refusedProposals: storageFull + busy,
    leaderChanges: metrics?.leaderChanges ?? 0,
    snapshotsTaken: metrics?.snapshots.taken ?? 0,
    snapshotsReceived: metrics?.snapshots.received ?? 0,
    snapshotFailures: metrics?.snapshots.failed ?? 0,
    compactedWatches: answers(watching, (outcome) => outcome === "compacted") +
      condition.watches.endedByCompaction,
  };
}

function answers(
  requests: readonly RequestCount[],
  counts: (outcome: string) => boolean = () => true,
): number {
  return requests.flatMap(({ answered }) => answered).filter(({ outcome }) => counts(outcome))
    .reduce((sum, { count }) => sum + count, 0);
}

function latencyOf(metrics: Metrics | null): NodeLatency {
  const { write, get, sync, loop } = metrics?.latency() ?? {};
  return {
    writeP50Micros: write?.p50 ?? null,
    writeP99Micros: write?.p99 ?? null,
    getP50Micros: get?.p50 ?? null,
    getP99Micros: get?.p99 ?? null,
    syncP50Micros: sync?.p50 ?? null,
    syncP99Micros: sync?.p99 ?? null,
    syncMaxMicros: sync?.max ?? null,
    loopDelayP99Micros: loop?.p99 ?? null,
    loopDelayMaxMicros: loop?.max ?? null,
  };
}
