/** Reports of members as the status page receives them: of a healthy cluster, with what a test changes. */
import type { MemberReport, NodeReport } from "../../../lib/protocol/diagnostics/report.ts";
import type { ClusterView } from "../../../lib/server/status_page/status_page.ts";
import { START_OF_2026_MS } from "./memory_cluster.ts";

/** Members of each view. */
const IDS = [1, 2, 3];

/** Returns the report of a node of a cluster of three that node 1 leads. */
export function nodeReport(id: number, changes: Partial<NodeReport> = {}): NodeReport {
  return {
    status: statusOf(id),
    instance: `process of node ${id}`,
    startedAtMs: START_OF_2026_MS,
    wallClockMs: START_OF_2026_MS + 60_000,
    uptimeMs: 60_000,
    featureLevel: 1,
    knownFeatureLevel: 1,
    denoVersion: "2.9.6",
    heardFrom: IDS.filter((other) => other !== id).map((other) => ({
      id: other,
      agoMs: 300,
      connectedFrom: true,
      connectedTo: true,
      roundTripMicros: 400,
    })),
    counters: {
      reads: 0,
      writes: 0,
      otherRequests: 0,
      failedRequests: 0,
      proposals: 0,
      refusedProposals: 0,
      leaderChanges: 1,
      snapshotsTaken: 0,
      snapshotsReceived: 0,
      snapshotFailures: 0,
      compactedWatches: 0,
    },
    latency: {
      writeP50Micros: 900,
      writeP99Micros: 2_000,
      getP50Micros: 200,
      getP99Micros: 800,
      syncP50Micros: 400,
      syncP99Micros: 1_500,
      syncMaxMicros: 9_000,
      loopDelayP99Micros: 900,
      loopDelayMaxMicros: 4_000,
    },
    memory: { residentBytes: 80_000_000, heapBytes: 1, externalBytes: 1, heapLimitBytes: null },
    descriptors: { free: 256 },
    log: { bytes: 1_000_000, firstIndex: 1, lastIndex: 5_000 },
    snapshot: { index: 0, bytes: 0, ageMs: null, lastFailure: null },
    quota: { usedBytes: 1_000_000, limitBytes: null },
    history: { bytes: 0, limitBytes: 64_000_000, compactedRevision: 0 },
    leases: 0,
    watches: { open: 0, behind: 0 },
    connections: { clients: 1, maxClients: 1_000, configuredClients: 1_000 },
    auth: { enabled: false, users: 0 },
    tls: { enabled: false, certificateExpiresAtMs: null },
    config: [],
    events: [],
    backup: null,
    ...changes,
  };
}

function statusOf(id: number): NodeReport["status"] {
  return {
    id,
    role: id === 1 ? "leader" : "follower",
    term: 7,
    leader: 1,
    commitIndex: 5_000,
    appliedIndex: 5_000,
    lastLogIndex: 5_000,
    firstLogIndex: 1,
    snapshotIndex: 0,
    revision: 4_990,
    keys: 100,
    sessions: 1,
    stateBytes: 1_000_000,
    version: "0.1.0",
    members: IDS.map((member) => ({ id: member, address: `10.0.0.${member}:7001`, role: "voter" })),
    peers: [],
    disk: "ok",
    links: [],
    quotaBytes: null,
    etcdUrls: [],
  };
}

/** Returns a member that has answered. */
export function reachable(report: NodeReport): MemberReport {
  const { id } = report.status;
  return {
    kind: "reachable",
    id,
    address: `10.0.0.${id}:7001`,
    roundTripMicros: 400,
    clockOffsetMs: 0,
    report,
  };
}

/** Returns a member that has not answered. */
export function unreachable(id: number): MemberReport {
  return { kind: "unreachable", id, address: `10.0.0.${id}:7001`, reason: "node 1 has no connection to it" };
}

/** Returns what node 1 shows: these members, and the others of the cluster in good health. */
export function clusterView(...members: readonly MemberReport[]): ClusterView {
  const given = new Map(members.map((member) => [member.id, member]));
  return {
    cluster: "7f3a9b21c4d5e6f7",
    node: 1,
    atMs: START_OF_2026_MS,
    members: IDS.map((id) => given.get(id) ?? reachable(nodeReport(id))),
  };
}
