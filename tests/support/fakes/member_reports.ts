/** Reports of a healthy cluster of three nodes, which tests change: as doctor, top and the status page receive them. */
import type { NodeDescription } from "../../../lib/client/types.ts";
import type { MemberReport, NodeReport } from "../../../lib/protocol/diagnostics/report.ts";
import type { Member, NodeStatus } from "../../../lib/protocol/messages.ts";
import type { ClusterView } from "../../../lib/server/status_page/status_page.ts";

/** The time of all reports. */
export const NOW_MS = 1_790_000_000_000;

/** The members of the healthy cluster; node 2 leads. */
const MEMBERS: readonly Member[] = [1, 2, 3].map((id) => (
  { id, address: addressOf(id), role: "voter" }
));

function addressOf(id: number): string {
  return `127.0.0.1:700${id}`;
}

const PEER = { state: "replicate", lastContactMs: 40, snapshotSentBytes: 0, snapshotTotalBytes: 0 } as const;

function othersOf(id: number): readonly number[] {
  return MEMBERS.map((member) => member.id).filter((other) => other !== id);
}

function statusOf(id: number): NodeStatus {
  return {
    id,
    role: id === 2 ? "leader" : "follower",
    term: 5,
    leader: 2,
    commitIndex: 90_000,
    appliedIndex: 90_000,
    lastLogIndex: 90_000,
    revision: 80_000,
    keys: 10,
    sessions: 1,
    version: "0.2.0",
    members: MEMBERS,
    firstLogIndex: 1,
    snapshotIndex: 0,
    stateBytes: 700,
    peers: id === 2
      ? othersOf(id).map((other) => ({ ...PEER, id: other, matchIndex: 90_000, hasDiskSpace: true }))
      : [],
    disk: "ok",
    links: [],
    quotaBytes: 1_000,
    etcdUrls: [],
    featureLevel: 2,
  };
}

/** Returns the report of a node that is well, with what a test changes. */
export function nodeReport(id: number, changes: Partial<NodeReport> = {}): NodeReport {
  return {
    status: statusOf(id),
    instance: `instance ${id}`,
    startedAtMs: NOW_MS - 86_400_000,
    wallClockMs: NOW_MS,
    uptimeMs: 86_400_000,
    featureLevel: 2,
    knownFeatureLevel: 2,
    denoVersion: "2.9.6",
    heardFrom: othersOf(id).map((other) => (
      { id: other, agoMs: 400, connectedFrom: true, connectedTo: true, roundTripMicros: 300 }
    )),
    counters: {
      reads: 100,
      writes: 50,
      otherRequests: 5,
      failedRequests: 0,
      proposals: 50,
      refusedProposals: 0,
      leaderChanges: 1,
      snapshotsTaken: 0,
      snapshotsReceived: 0,
      snapshotFailures: 0,
      compactedWatches: 0,
    },
    latency: {
      writeP50Micros: 1_000,
      writeP99Micros: 4_000,
      getP50Micros: 50,
      getP99Micros: 200,
      syncP50Micros: 500,
      syncP99Micros: 2_000,
      syncMaxMicros: 9_000,
      loopDelayP99Micros: 900,
      loopDelayMaxMicros: 5_000,
    },
    memory: { residentBytes: 9e7, heapBytes: 2e7, externalBytes: 1e7, heapLimitBytes: 4e9 },
    descriptors: { free: 256 },
    log: { bytes: 5_000_000, firstIndex: 1, lastIndex: 90_000 },
    snapshot: { index: 0, bytes: 0, ageMs: null, lastFailure: null },
    quota: { usedBytes: 700, limitBytes: 1_000 },
    history: { bytes: 1_000, limitBytes: 67_108_864, compactedRevision: 0 },
    leases: 3,
    watches: { open: 4, behind: 0 },
    connections: { clients: 9, maxClients: 4_096, configuredClients: 4_096 },
    auth: { enabled: false, users: 0 },
    tls: { enabled: false, certificateExpiresAtMs: null },
    config: [{ name: "election-timeout-ms", value: "1000" }, { name: "quota-bytes", value: "1000" }],
    events: [],
    backup: null,
    ...changes,
  };
}

/** Returns a member that has answered. */
export function reachable(report: NodeReport): MemberReport {
  const { id } = report.status;
  return {
    kind: "reachable",
    id,
    address: addressOf(id),
    roundTripMicros: 400,
    clockOffsetMs: 0,
    report,
  };
}

/** Returns a member that has not answered. */
export function unreachable(id: number): MemberReport {
  return { kind: "unreachable", id, address: addressOf(id), reason: "node 1 has no connection to it" };
}

/** Returns what the status page of node 1 shows: these members, and the others of the cluster in good health. */
export function clusterView(...members: readonly MemberReport[]): ClusterView {
  const given = new Map(members.map((member) => [member.id, member]));
  return {
    cluster: "7f3a9b21c4d5e6f7",
    node: 1,
    atMs: NOW_MS,
    members: MEMBERS.map(({ id }) => given.get(id) ?? reachable(nodeReport(id))),
  };
}

/** Changes the report of a node. */
export type Change = (report: NodeReport) => NodeReport;

/** Returns the answers of the nodes; those without a report do not answer. */
export function answersOf(reports: ReadonlyMap<number, NodeReport | null>): readonly NodeDescription[] {
  const members = [...reports].map(([id, own]) => own === null ? unreachable(id) : reachable(own));
  return [...reports].map(([id, own]): NodeDescription => {
    const address = addressOf(id);
    return own === null
      ? { kind: "silent", id, address, state: "unreachable", reason: "nothing listens there" }
      : { kind: "answered", id, address, members };
  });
}

/** Returns the report with the connections to some nodes lost. */
function without(own: NodeReport, lost: readonly number[]): NodeReport {
  const down = { agoMs: null, connectedFrom: false, connectedTo: false };
  return {
    ...own,
    heardFrom: own.heardFrom.map((link) => lost.includes(link.id) ? { ...link, ...down } : link),
  };
}

/** Returns the answers of the healthy cluster with the changed reports of some nodes; null: the node is down. */
export function answersWith(changes: Readonly<Record<number, Change | null>>): readonly NodeDescription[] {
  const ids = MEMBERS.map(({ id }) => id);
  const lost = ids.filter((id) => changes[id] === null);
  return answersOf(
    new Map(ids.map((id) => {
      const change = changes[id];
      if (change === null) return [id, null];
      const own = without(nodeReport(id), lost);
      return [id, change === undefined ? own : change(own)];
    })),
  );
}
