/** How much a server may hold: the bounds of its core and of the sessions in its state machine. */
import { SESSION_LIMITS, type SessionLimits, type StateMachineOptions } from "../../kv/mod.ts";
import { MAX_SNAPSHOT_CHUNK_DATA_BYTES } from "../../protocol/limits.ts";
import { DEFAULT_LIMITS, type RaftLimits } from "../../raft/mod.ts";
import { SNAPSHOT_LIMITS, type SnapshotLimits } from "../snapshot/snapshots.ts";

/** The bounds of one server. */
export interface ServerLimits {
  readonly raft: RaftLimits;
  /** The same on every node of a cluster, or replicas part. */
  readonly sessions: SessionLimits;
  readonly snapshots: SnapshotLimits;
  /** Bytes that may wait for slow connections in all. Default MAX_WAITING_BYTES. */
  readonly waitingBytes?: number;
  /** Bytes of a snapshot that go to another node at a time. */
  readonly snapshotChunkBytes: number;
}

/** What every server runs with; only tests use others, to meet each bound within seconds. */
export const SERVER_LIMITS: ServerLimits = {
  raft: DEFAULT_LIMITS,
  sessions: SESSION_LIMITS,
  snapshots: SNAPSHOT_LIMITS,
  snapshotChunkBytes: MAX_SNAPSHOT_CHUNK_DATA_BYTES,
};

/** The state machine's part of the limits. */
export function stateMachineOptionsOf({ sessions }: ServerLimits): StateMachineOptions {
  return { ...sessions, sessionTtlMs: sessions.ttlMs };
}
