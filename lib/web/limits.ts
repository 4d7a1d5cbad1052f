/** The default limits of a web server. */
import type { WebLimits } from "./types.ts";

/** Limits where the options of a server name no others. */
export const DEFAULT_LIMITS: WebLimits = {
  maxConnections: 4_096,
  maxConnectionsPerAddress: 1_024,
  maxStreamsPerConnection: 10_000,
  maxHeadBytes: 32_768,
  maxBodyBytes: 1_300_000,
  maxUnsentBytes: 262_144,
  maxRequests: 65_536,
  maxInWork: 256,
  maxHeldBytes: 268_435_456,
  headTimeoutMs: 10_000,
  bodyTimeoutMs: 60_000,
  progressTimeoutMs: 30_000,
  idleTimeoutMs: 180_000,
  closeTimeoutMs: 2_000,
};
