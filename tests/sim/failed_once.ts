/**
 * Runs that failed once, each shrunk to the faults that it took, kept for good. They are data and no seeds: what a seed
 * means changes with the generator of plans.
 */
import type { Plan } from "./plan.ts";

/** One such run. */
export interface FailedOnce {
  /** What was wrong, and the commit that mended it. */
  readonly what: string;
  readonly plan: Plan;
}

/** All of them, the oldest first. */
export const FAILED_ONCE: readonly FailedOnce[] = [
  {
    what:
      "A transfer of leadership went on while its server stopped: timers of it outlived the server (2d61641).",
    plan: {
      seed: 20,
      nodes: 3,
      clients: 3,
      callsPerClient: 4,
      keys: 3,
      maxValueBytes: 16,
      segmentBytes: 262144,
      electionTimeoutMs: 2000,
      heartbeatMs: 200,
      thinkMs: 240,
      chaosMs: 30000,
      clockSpeeds: [1.0342413346283137, 1.0807531174272298, 0.9678000062704086],
      latencyMs: 0.1,
      bytesPerMs: 100000,
      capacityBytes: 4096,
      pieceBytes: 7,
      syncMs: 2,
      limits: {
        raft: {
          appendBytes: 200,
          inflightMessages: 3,
          inflightBytes: 8388608,
          uncommittedBytes: 67108864,
          tailBytes: 1000,
          applyBytes: 2000,
          pendingReads: 2,
        },
        sessions: { ttlMs: 60000, maxSessions: 2, maxAnswersBytes: 67108864 },
      },
      faults: [{
        id: 33,
        kind: "orderlyRestart",
        atMs: 26557.83357862383,
        durationMs: 7998.255813494325,
        target: 3,
        other: 2,
        chance: 0.8731068018823862,
      }, {
        id: 34,
        kind: "partialCut",
        atMs: 27261.08046877198,
        durationMs: 4326.231163227931,
        target: 2,
        other: 1,
        chance: 0.9430381583515555,
      }, {
        id: 35,
        kind: "transfer",
        atMs: 28686.37797543779,
        durationMs: 2903.4482350107282,
        target: 3,
        other: 2,
        chance: 0.3472666507586837,
      }, {
        id: 36,
        kind: "orderlyRestart",
        atMs: 29025.829522730783,
        durationMs: 82.49808326363564,
        target: 1,
        other: 2,
        chance: 0.38583179260604084,
      }],
      breakages: [],
      firstTerm: 0,
    },
  },
  {
    what: "The same, in a server that was stopped before any other led (2d61641).",
    plan: {
      seed: 83,
      nodes: 3,
      clients: 5,
      callsPerClient: 2,
      keys: 3,
      maxValueBytes: 20000,
      segmentBytes: 262144,
      electionTimeoutMs: 1000,
      heartbeatMs: 100,
      thinkMs: 200,
      chaosMs: 30000,
      clockSpeeds: [1.0005816526710987, 1.0021587001578882, 1.0095330438343808],
      latencyMs: 10,
      bytesPerMs: 1000,
      capacityBytes: 400000,
      pieceBytes: 1000,
      syncMs: 2,
      limits: {
        raft: {
          appendBytes: 1048576,
          inflightMessages: 1,
          inflightBytes: 8388608,
          uncommittedBytes: 500,
          tailBytes: 1000,
          applyBytes: 2000,
          pendingReads: 65536,
        },
        sessions: { ttlMs: 3600000, maxSessions: 10000, maxAnswersBytes: 67108864 },
      },
      faults: [{
        id: 4,
        kind: "deathInDiskOperation",
        atMs: 863.0418363632634,
        durationMs: 938.1497270660475,
        target: 1,
        other: 3,
        chance: 0.2055687860120088,
      }, {
        id: 5,
        kind: "transfer",
        atMs: 1217.62225584127,
        durationMs: 7618.243209086359,
        target: 3,
        other: 1,
        chance: 0.15139233320951462,
      }, {
        id: 6,
        kind: "orderlyRestart",
        atMs: 1686.9622624479234,
        durationMs: 631.8552340380847,
        target: 3,
        other: 3,
        chance: 0.7517585642635822,
      }],
      breakages: [],
      firstTerm: 0,
    },
  },
];
