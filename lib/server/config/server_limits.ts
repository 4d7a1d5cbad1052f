/** The bounds of a server: of its core, its sessions, its snapshots and its buffers. */
import {
  LEASE_LIMITS,
  type LeaseLimits,
  SESSION_LIMITS,
  type SessionLimits,
  type StateMachineOptions,
} from "../../kv/mod.ts";
import { MAX_SNAPSHOT_CHUNK_DATA_BYTES } from "../../protocol/limits.ts";
import { DEFAULT_LIMITS, type RaftLimits } from "../../raft/mod.ts";
import { SNAPSHOT_LIMITS, type SnapshotLimits } from "../snapshot/snapshots.ts";
import type { ServerConfig } from "./config.ts";

/** The bounds of one server. */
export interface ServerLimits {
  readonly raft: RaftLimits;
  /** The same on every node of a cluster, or replicas diverge. */
  readonly sessions: SessionLimits;
  /** The same on every node of a cluster, or replicas diverge. Default LEASE_LIMITS. */
  readonly leases?: LeaseLimits;
  readonly snapshots: SnapshotLimits;
  /** Bytes that the history of keys may take before the leader compacts it. */
  readonly historyBytes: number;
  /** Maximum bytes that wait for slow connections. Default MAX_WAITING_BYTES. */
  readonly waitingBytes?: number;
  /** Bytes of a snapshot in one message to another node. */
  readonly snapshotChunkBytes: number;
}

/** The limits of every server; only tests use others, to meet each bound within seconds. */
export const SERVER_LIMITS: ServerLimits = {
  raft: DEFAULT_LIMITS,
  sessions: SESSION_LIMITS,
  snapshots: SNAPSHOT_LIMITS,
  historyBytes: 67_108_864,
  snapshotChunkBytes: MAX_SNAPSHOT_CHUNK_DATA_BYTES,
};

/** Returns the state machine's part of the limits. */
export function stateMachineOptionsOf(
  { sessions, leases = LEASE_LIMITS }: ServerLimits,
): StateMachineOptions {
  return { ...sessions, sessionTtlMs: sessions.ttlMs, leaseLimits: leases };
}

/**
 * Returns the limits with the values of the configuration. The tail of the log that is kept for followers is never larger
 * than the size that causes a snapshot, so that a small log stays small.
 */
export function withConfig(
  limits: ServerLimits,
  { historyBytes, snapshotLogBytes }: ServerConfig,
): ServerLimits {
  const { snapshots } = limits;
  const tailBytes = Math.min(snapshots.tailBytes, snapshotLogBytes);
  return { ...limits, historyBytes, snapshots: { ...snapshots, logBytes: snapshotLogBytes, tailBytes } };
}
