/** The report of a node about itself, for diagnosis: figures of one moment, and its newest notable events. */
import type { NodeStatus } from "../messages.ts";

/** Which nodes a request for reports is about: the one that is asked, or all members, which it asks in turn. */
export type DescribedNodes = "self" | "all";

/** The connections of a node with another member. */
export interface HeardFrom {
  /** The other member. */
  readonly id: number;
  /** Milliseconds since its last ping arrived, which it sends every second; null without a connection from it. */
  readonly agoMs: number | null;
  /** Whether the other member has a connection to this node. */
  readonly connectedFrom: boolean;
  /** Whether this node has both of its connections to the other member. */
  readonly connectedTo: boolean;
  /** Microseconds that the last ping and its answer took; null before the first. */
  readonly roundTripMicros: number | null;
}

/** Counts of a node since its process started. */
export interface NodeCounters {
  /** Reads of its clients that were answered, with or without success. */
  readonly reads: number;
  /** Writes of its clients that were answered. */
  readonly writes: number;
  /** Other requests of its clients that were answered. */
  readonly otherRequests: number;
  /** Those of all of them that were answered with an error. */
  readonly failedRequests: number;
  /** Writes that it took into the log as the leader. */
  readonly proposals: number;
  /** Writes that it refused as the leader, because the quota or the disk was full or too many waited. */
  readonly refusedProposals: number;
  /** Changes of leader that it has seen. */
  readonly leaderChanges: number;
  /** Snapshots that it took. */
  readonly snapshotsTaken: number;
  /** Snapshots that it received from a leader. */
  readonly snapshotsReceived: number;
  /** Attempts to take a snapshot that failed. */
  readonly snapshotFailures: number;
  /** Watches that ended, or could not begin, because their history was compacted. */
  readonly compactedWatches: number;
}

/**
 * Latencies of the last 5 to 10 s, in microseconds. Quantiles are estimated from buckets that double in width; null where
 * nothing was measured. A request is measured from its arrival to its answer, by the node that its client uses.
 */
export interface NodeLatency {
  /** Median of the writes of clients. */
  readonly writeP50Micros: number | null;
  /** 99th percentile of these. */
  readonly writeP99Micros: number | null;
  /** Median of the reads of one key. */
  readonly getP50Micros: number | null;
  /** 99th percentile of these. */
  readonly getP99Micros: number | null;
  /** Median of the syncs of the log. */
  readonly syncP50Micros: number | null;
  /** 99th percentile of these. */
  readonly syncP99Micros: number | null;
  /** The slowest of these. */
  readonly syncMaxMicros: number | null;
  /** 99th percentile of how late the timers of the event loop were. */
  readonly loopDelayP99Micros: number | null;
  /** The longest such delay. */
  readonly loopDelayMaxMicros: number | null;
}

/** The memory of a node's process. */
export interface NodeMemory {
  /** Memory that is resident. */
  readonly residentBytes: number;
  /** The used part of the JavaScript heap, without its young generation. */
  readonly heapBytes: number;
  /** Buffers outside of the heap, where the keys are. */
  readonly externalBytes: number;
  /** The size at which the heap is full and the process ends; null where that is not known. */
  readonly heapLimitBytes: number | null;
}

/** A notable event of a node. */
export interface NotableEvent {
  /** When it happened last, in milliseconds since 1970 by the node's clock. */
  readonly atMs: number;
  /** Its stable name; docs/operations.md lists them. */
  readonly name: string;
  /** The line of the log: a sentence with its fields. */
  readonly text: string;
  /** How often it has happened in succession. */
  readonly times: number;
  /** The other node that it is about; null without one. */
  readonly node: number | null;
}

/** One setting of a node. */
export interface NodeSetting {
  /** The name of its flag, without dashes. */
  readonly name: string;
  /** Its value as text; secrets are reported as present or absent. */
  readonly value: string;
}

/** A node's report about itself. */
export interface NodeReport {
  /** Its status. */
  readonly status: NodeStatus;
  /** Random text of this start of the process: two processes with one node id have different ones. */
  readonly instance: string;
  /** When the process started, by its clock then: milliseconds since 1970. */
  readonly startedAtMs: number;
  /** Its clock at the time of the report: milliseconds since 1970. */
  readonly wallClockMs: number;
  /** Milliseconds since the process started, by a clock that is never set. */
  readonly uptimeMs: number;
  /** The feature level of the state that it has applied. */
  readonly featureLevel: number;
  /** The highest feature level that its version knows. */
  readonly knownFeatureLevel: number;
  /** The version of Deno that it runs on; empty where there is none. */
  readonly denoVersion: string;
  /** Its connections with the other members, sorted by id. */
  readonly heardFrom: readonly HeardFrom[];
  /** Its counts. */
  readonly counters: NodeCounters;
  /** How long its work took lately. */
  readonly latency: NodeLatency;
  /** Its memory; null where it is not known. */
  readonly memory: NodeMemory | null;
  /** Its file descriptors. */
  readonly descriptors: {
    /** How many more it may open, counted up to 256; null where that is not known. */
    readonly free: number | null;
  };
  /** Its log. */
  readonly log: {
    /** Bytes of its files that are in use. */
    readonly bytes: number;
    /** Index of the first entry. */
    readonly firstIndex: number;
    /** Index of the last entry. */
    readonly lastIndex: number;
  };
  /** Its newest snapshot. */
  readonly snapshot: {
    /** Index of the last entry in it; 0 before the first. */
    readonly index: number;
    /** Bytes of its file; 0 before the first. */
    readonly bytes: number;
    /** Milliseconds since this process took or received it; null for an older one. */
    readonly ageMs: number | null;
    /** Why the last attempt to take one failed; null after a success. */
    readonly lastFailure: string | null;
  };
  /** The bound on keys and values. */
  readonly quota: {
    /** Bytes of keys and values. */
    readonly usedBytes: number;
    /** The bound that it applies while it leads; null for none. */
    readonly limitBytes: number | null;
  };
  /** The earlier versions of keys. */
  readonly history: {
    /** Their bytes. */
    readonly bytes: number;
    /** The bound that it applies while it leads. */
    readonly limitBytes: number;
    /** The revision from which on they are kept. */
    readonly compactedRevision: number;
  };
  /** Leases in its store. */
  readonly leases: number;
  /** The watches of its clients. */
  readonly watches: {
    /** Their number. */
    readonly open: number;
    /** Those that have events in the history which they were not sent yet. */
    readonly behind: number;
  };
  /** The clients that are connected to it. */
  readonly connections: {
    /** Their number. */
    readonly clients: number;
    /** The most that it takes: fewer than configured where descriptors are short. */
    readonly maxClients: number;
    /** The most that is configured. */
    readonly configuredClients: number;
  };
  /** Whether requests need a user, and the number of users. */
  readonly auth: { readonly enabled: boolean; readonly users: number };
  /** The encryption of its connections. */
  readonly tls: {
    /** Whether connections use TLS. */
    readonly enabled: boolean;
    /** When its certificate ends, in milliseconds since 1970; null without TLS. */
    readonly certificateExpiresAtMs: number | null;
  };
  /** The settings that all nodes of a cluster should have alike, sorted by name. */
  readonly config: readonly NodeSetting[];
  /** Its newest notable events, the oldest first. */
  readonly events: readonly NotableEvent[];
  /** The backups that it writes by itself; null without `--backup-to`. */
  readonly backup: {
    /** Milliseconds between two of them. */
    readonly everyMs: number;
    /** When the newest one was made, or found unchanged, in milliseconds since 1970; null before the first. */
    readonly lastSuccessAtMs: number | null;
    /** Why the last attempt failed; null after a success. */
    readonly lastFailure: string | null;
  } | null;
}

/** The report of one member, as the node that was asked has got it. */
export type MemberReport =
  | {
    readonly kind: "reachable";
    /** The member. */
    readonly id: number;
    /** Where others dial it. */
    readonly address: string;
    /** Microseconds from the question to the answer; 0 of the node that was asked. */
    readonly roundTripMicros: number;
    /**
     * How far the member's clock is ahead of the clock of the node that was asked, negative if it is behind. It may be wrong by
     * half of the round trip.
     */
    readonly clockOffsetMs: number;
    /** Its report. */
    readonly report: NodeReport;
  }
  | {
    readonly kind: "unreachable";
    /** The member. */
    readonly id: number;
    /** Where others dial it. */
    readonly address: string;
    /** Why there is no report: a sentence. */
    readonly reason: string;
  };
