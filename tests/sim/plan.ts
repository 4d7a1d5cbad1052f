/**
 * The plan of a run, drawn from its seed before anything happens: the cluster, its environment, and the faults.
 *
 * Faults are data and independent of each other, so that a run can be repeated without some of them to reduce a failure.
 * Each seed draws from a random subset of the kinds (swarm testing): if all faults always occurred together, they would
 * hide failures that only a few of them cause.
 */
import type { ReadMode } from "../../lib/server/config/config.ts";
import { LEASE_LIMITS, type LeaseLimits } from "../../lib/kv/mod.ts";
import { SERVER_LIMITS, type ServerLimits } from "../../lib/server/config/server_limits.ts";
import { PEER_AUTH_MODES, type PeerAuthMode } from "../../lib/transport/handshake/peer_authentication.ts";
import { SeededRandom } from "../support/seeded_random.ts";

/** The target of a fault: a node, or the leader at that time. */
export type Target = number | "leader";

/** The kinds of faults. */
export type FaultKind =
  /** kill -9 of a node, and its restart. */
  | "kill"
  /** A machine loses its power, and restarts. */
  | "powerLoss"
  /** All machines lose their power at once. */
  | "powerLossOfAll"
  /** A process dies within one of its next disk operations. */
  | "deathInDiskOperation"
  /** A server is stopped cleanly and started again. */
  | "orderlyRestart"
  /** A process is paused. */
  | "pause"
  | "pauseOfAll"
  /** A machine's clock jumps ahead, as after a suspension. */
  | "clockJump"
  /** The nodes are cut into two groups. */
  | "partition"
  /** A node is cut off from all others, in one direction or both. */
  | "isolation"
  | "deafness"
  | "muteness"
  /** One link between two nodes is cut, in one direction. */
  | "oneWayCut"
  /** Two nodes are cut off from each other, but not from the others. */
  | "partialCut"
  /** As partialCut, repeatedly. */
  | "flapping"
  | "slowLink"
  /** All connections between two nodes break, at once. */
  | "reset"
  /** Connections of the clients to a node break. */
  | "clientReset"
  | "slowDisk"
  | "stuckDisk"
  | "fullDisk"
  | "failingWrite"
  | "failingSync"
  /** A machine has no file descriptor left: it opens no file and accepts no connection. */
  | "noDescriptors"
  /** A client requests much and reads nothing. */
  | "unreadClient"
  /** A great number of sessions is opened, one with many writes in flight. */
  | "sessionFlood"
  /** A member's connection carries terms that no election reaches. */
  | "termLeap"
  /** An operator transfers leadership. */
  | "transfer"
  /** An operator makes a node take a snapshot. */
  | "takeSnapshot"
  /** A bit of a snapshot flips while its node is down. */
  | "rottenSnapshot"
  /** A fault strikes a node in a rare state (see ambush.ts). */
  | "ambush"
  /** A node dies after it has received a complete snapshot and before it installs it. */
  | "deathBeforeInstall"
  /** A node's disk is lost, and it restarts under its old id with an empty one. */
  | "wipe"
  /** An operator changes the membership. */
  | "addNode"
  | "removeNode"
  | "promoteNode"
  | "demoteNode"
  | "replaceNode"
  | "updateNode";

/** All kinds. */
export const FAULT_KINDS: readonly FaultKind[] = [
  "kill",
  "powerLoss",
  "powerLossOfAll",
  "deathInDiskOperation",
  "orderlyRestart",
  "pause",
  "pauseOfAll",
  "clockJump",
  "partition",
  "isolation",
  "deafness",
  "muteness",
  "oneWayCut",
  "partialCut",
  "flapping",
  "slowLink",
  "reset",
  "clientReset",
  "slowDisk",
  "stuckDisk",
  "fullDisk",
  "failingWrite",
  "failingSync",
  "noDescriptors",
  "unreadClient",
  "sessionFlood",
  "termLeap",
  "transfer",
  "takeSnapshot",
  "rottenSnapshot",
  "ambush",
  "deathBeforeInstall",
  "wipe",
  "addNode",
  "removeNode",
  "promoteNode",
  "demoteNode",
  "replaceNode",
  "updateNode",
];

/** One fault. */
export interface Fault {
  /** Its number in the plan. */
  readonly id: number;
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly durationMs: number;
  readonly target: Target;
  /** A second node, where the kind needs one. */
  readonly other: number;
  /** A number in [0, 1), for other choices of the kind. */
  readonly chance: number;
}

/** Permanent faults of a node, while the others are healed. */
export type BreakageKind =
  /** Its process has ended. */
  | "dead"
  /** Its process is paused; its machine still accepts connections and data. */
  | "paused"
  /** It receives nothing, and all others receive its messages: it campaigns again and again. */
  | "deaf"
  /** It receives all messages, and no other node receives its messages. */
  | "mute"
  /** It reaches only one other node. */
  | "cornered"
  /** Its links fail and recover repeatedly. */
  | "flapping"
  /** A bit of its data directory flips. It detects that at its start and refuses, or the bit has no effect. */
  | "damaged";

const BREAKAGES: readonly BreakageKind[] = [
  "dead",
  "paused",
  "deaf",
  "mute",
  "cornered",
  "flapping",
  "damaged",
  "damaged",
];

/** A node that stays broken. */
export interface Breakage {
  readonly node: number;
  readonly kind: BreakageKind;
  /** Time of the damage of a folder; the other permanent faults begin when the temporary ones end. */
  readonly atMs: number;
}

/** The clients of a run besides those that read and write. */
export interface Coordination {
  /** Watchers that choose their nodes. */
  readonly watchers: number;
  /** Watchers through the client library. */
  readonly libraryWatchers: number;
  /** Clients that hold leases. */
  readonly holders: number;
  /** Clients that share a lock. */
  readonly lockUsers: number;
  /** Clients that write to a database. */
  readonly databaseUsers: number;
}

/** A run with readers and writers alone. */
export const NO_COORDINATION: Coordination = {
  watchers: 0,
  libraryWatchers: 0,
  holders: 0,
  lockUsers: 0,
  databaseUsers: 0,
};

/** The peer secret of a run. */
export interface PeerSecretPlan {
  readonly peerAuth: PeerAuthMode;
  /** Whether every second node has none, which nodes that require it would not take. */
  readonly isPartial: boolean;
  /** Time from which on the secret is replaced, one node after the other; null if it stays. */
  readonly replacedAtMs: number | null;
}

/** Most by which the wall clock of a machine is ahead or behind. */
export const MAX_WALL_OFFSET_MS = 2_000;

/** The users of a run with authentication. */
export interface UsersPlan {
  /** Users whose rights change; each has a client. */
  readonly restricted: number;
  /** Longest time between two changes. */
  readonly changeMs: number;
  /** Whether authentication is disabled and enabled again; if not, the last user with the role root is to be removed. */
  readonly isSwitched: boolean;
  /** Longest life of a token of a restricted user; null if tokens do not expire. */
  readonly tokenLifeMs: number | null;
}

/** All decisions of a seed that are drawn before the run. */
export interface Plan {
  readonly seed: number;
  /** Number of founding nodes. */
  readonly nodes: number;
  /** Spare machines for new nodes. */
  readonly spares: number;
  readonly clients: number;
  readonly coordination: Coordination;
  /** Null for a run without a peer secret. */
  readonly peerSecret: PeerSecretPlan | null;
  /** Null for a run without authentication. */
  readonly users: UsersPlan | null;
  /** Calls that a client has in flight at a time. */
  readonly callsPerClient: number;
  readonly keys: number;
  readonly maxValueBytes: number;
  readonly segmentBytes: number;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly readMode: ReadMode;
  /** Time between a client's calls. */
  readonly thinkMs: number;
  /** Time in which faults begin and clients make calls. */
  readonly chaosMs: number;
  /** Speeds of the nodes' clocks, by node from 1. */
  readonly clockSpeeds: readonly number[];
  readonly latencyMs: number;
  readonly bytesPerMs: number;
  readonly capacityBytes: number;
  readonly pieceBytes: number;
  readonly syncMs: number;
  /** Limits of every node, so small that a run reaches states that usually take gigabytes or an hour. */
  readonly limits: ServerLimits;
  readonly faults: readonly Fault[];
  /** Every node's term before its first start. */
  readonly firstTerm: number;
  /** A minority with permanent faults. */
  readonly breakages: readonly Breakage[];
}

/**
 * Whether transactions read past revisions and compare revisions by < and >. Only a checker that knows the order of all
 * writes can check such a history, so that the others do not see it.
 */
export function readsPastInTransactions({ seed }: Pick<Plan, "seed">): boolean {
  return seed % 3 === 0;
}

/** Approximate number of calls of all clients of a run; more would reach no new states. */
const MAX_OPERATIONS = 500;

/** Time between two nodes that get the next secret, and for which each accepts both: all have got it before. */
const SECRET_STEP_MS = 300;
const SECRET_OVERLAP_MS = 8_000;

/** Returns the plan of a seed. */
export function planOf(seed: number): Plan {
  const random = new SeededRandom(seed * 2_654_435_761);
  const nodes = random.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7]);
  const chaosMs = random.pick([4_000, 10_000, 20_000, 40_000]);
  const electionTimeoutMs = random.pick([500, 1_000, 1_000, 2_000]);
  const clients = random.pick([1, 2, 3, 5]);
  const callsPerClient = random.pick([1, 1, 2, 4]);
  const maxValueBytes = random.pick([16, 16, 100, 2_000, 20_000]);
  const drift = random.pick([0, 0, 0.01, 0.1, 0.3]);
  const plan: Plan = {
    seed,
    nodes,
    spares: random.pick([1, 2, 4]),
    clients,
    coordination: drawCoordination(seed),
    peerSecret: drawPeerSecret(seed, chaosMs),
    users: drawUsers(seed),
    callsPerClient,
    keys: random.pick([1, 3, 8, 20]),
    maxValueBytes,
    segmentBytes: random.pick([4_096, 8_192, 65_536, 262_144]),
    electionTimeoutMs,
    heartbeatMs: electionTimeoutMs / 10,
    thinkMs: Math.max(random.pick([2, 20, 100, 400]), clients * callsPerClient * chaosMs / MAX_OPERATIONS),
    chaosMs,
    clockSpeeds: Array.from({ length: nodes }, () => 1 + drift * (2 * random.next() - 1)),
    latencyMs: random.pick([0.1, 1, 10, 40]),
    bytesPerMs: random.pick([1_000, 100_000]),
    // A kernel's buffers hold more than a round trip carries: with less the network could not carry the load.
    capacityBytes: Math.max(random.pick([4_096, 65_536, 1_000_000]), 20 * maxValueBytes),
    // Otherwise the run would consist of tiny pieces of large values.
    pieceBytes: Math.max(random.pick([7, 100, 1_460, 65_536]), maxValueBytes / 20),
    syncMs: random.pick([0.1, 2, 10]),
    limits: { ...drawLimits(random, maxValueBytes), leases: drawLeaseLimits(seed) },
    faults: drawFaults(random, { nodes, chaosMs, electionTimeoutMs }),
    breakages: drawBreakages(random, { nodes, chaosMs }),
    firstTerm: random.pick([0, 0, 0, 0, 2 ** 31 - 3, 2 ** 32 - 3, 2 ** 53 - 1_000_000]),
    readMode: random.pick(["read-index", "read-index", "lease"]),
  };
  return plan.readMode === "lease" ? withTrustedClocks(plan) : plan;
}

/** Share of the seeds with watchers, holders of leases or users of a lock, which cost more than the others. */
const COORDINATED_SHARE = 0.7;

/** Draws the clients that coordinate, from numbers of their own: the rest of a seed's plan is the same without them. */
function drawCoordination(seed: number): Coordination {
  const random = new SeededRandom(seed * 2_246_822_519 + 1);
  if (!random.chance(COORDINATED_SHARE)) return NO_COORDINATION;
  return {
    watchers: random.pick([0, 0, 1, 2]),
    libraryWatchers: random.pick([0, 0, 0, 1, 2]),
    holders: random.pick([0, 0, 0, 1, 2]),
    lockUsers: random.pick([0, 0, 0, 0, 0, 2]),
    databaseUsers: random.pick([0, 0, 1, 2]),
  };
}

/** Draws the peer secret, from numbers of its own, too. */
function drawPeerSecret(seed: number, chaosMs: number): PeerSecretPlan | null {
  const random = new SeededRandom(seed * 668_265_263 + 3);
  if (random.chance(0.4)) return null;
  const peerAuth = random.pick(PEER_AUTH_MODES);
  return {
    peerAuth,
    isPartial: peerAuth === "accept" && random.chance(0.5),
    replacedAtMs: random.chance(0.5) ? chaosMs * random.next() / 2 : null,
  };
}

/** Draws the users, from numbers of their own, too. */
function drawUsers(seed: number): UsersPlan | null {
  const random = new SeededRandom(seed * 374_761_393 + 5);
  if (!random.chance(0.25)) return null;
  return {
    restricted: random.pick([1, 2, 3]),
    changeMs: random.pick([100, 400, 1_000]),
    isSwitched: random.chance(0.5),
    tokenLifeMs: random.pick([null, 2_000, 6_000]),
  };
}

/** Returns the content of a node's file with the secret at a time. */
export function peerSecretAt({ replacedAtMs }: PeerSecretPlan, node: number, nowMs: number): string {
  const [old, next] = ["the secret that the nodes have at first", "the secret that the nodes have at last"]
    .map((text) => text.replaceAll(" ", "-"));
  const sinceMs = replacedAtMs === null ? -1 : nowMs - replacedAtMs - node * SECRET_STEP_MS;
  if (sinceMs < 0) return `${old}`;
  return sinceMs < SECRET_OVERLAP_MS ? `${next}\n${old}` : `${next}`;
}

/** Draws limits that few leases reach. */
function drawLeaseLimits(seed: number): LeaseLimits {
  const random = new SeededRandom(seed * 3_266_489_917 + 2);
  return {
    maxLeases: random.pick([LEASE_LIMITS.maxLeases, 4]),
    maxLeaseKeys: random.pick([LEASE_LIMITS.maxLeaseKeys, 2]),
    maxEndedKeys: random.pick([LEASE_LIMITS.maxEndedKeys, 2]),
  };
}

/** A lease is safe as long as clocks differ in speed by no more than a tenth, and none jumps ahead. */
function withTrustedClocks(plan: Plan): Plan {
  const clockSpeeds = plan.clockSpeeds.map((speed) => Math.min(1.04, Math.max(0.96, speed)));
  return { ...plan, clockSpeeds, faults: plan.faults.filter(({ kind }) => kind !== "clockJump") };
}

function drawLimits(random: SeededRandom, maxValueBytes: number): ServerLimits {
  const { raft, sessions, snapshots } = SERVER_LIMITS;
  return {
    raft: {
      ...raft,
      appendBytes: random.pick([raft.appendBytes, 200, 5_000]),
      inflightMessages: random.pick([raft.inflightMessages, 1, 3]),
      uncommittedBytes: random.pick([raft.uncommittedBytes, raft.uncommittedBytes, 500]),
      entryCacheBytes: random.pick([raft.entryCacheBytes, 0, 1_000]),
      applyBytes: random.pick([raft.applyBytes, 100, 2_000]),
      pendingReads: random.pick([raft.pendingReads, raft.pendingReads, 2]),
    },
    sessions: {
      ttlMs: random.pick([sessions.ttlMs, 10_000]),
      maxSessions: random.pick([sessions.maxSessions, sessions.maxSessions, 2, 4]),
      maxAnswersBytes: random.pick([sessions.maxAnswersBytes, sessions.maxAnswersBytes, 1_000]),
    },
    // An entry of a small write is some hundred bytes: a snapshot every 5 entries, every 20, or seldom.
    snapshots: {
      logBytes: random.pick([snapshots.logBytes, 500, 500, 2_000, 2_000, 10_000]),
      logRatio: random.pick([0, 0, 0.5, 1]),
      tailEntries: random.pick([snapshots.tailEntries, 0, 0, 5, 50]),
      tailBytes: random.pick([snapshots.tailBytes, 0, 1_000]),
      // Only the log of a few snapshots, so that compaction overtakes slow transfers.
      sendingBytes: 10_000,
    },
    historyBytes: random.pick([SERVER_LIMITS.historyBytes, 0, 500, 5_000]),
    // Many chunks, but not thousands.
    snapshotChunkBytes: Math.max(random.pick([SERVER_LIMITS.snapshotChunkBytes, 50, 200]), maxValueBytes),
  };
}

/** Draws an ambush. */
const AMBUSH_TIMES = 5;

function drawFaults(
  random: SeededRandom,
  simulation: { readonly nodes: number; readonly chaosMs: number; readonly electionTimeoutMs: number },
): Fault[] {
  const share = random.pick([0.1, 0.2, 0.4, 0.8]);
  const kinds = FAULT_KINDS.filter(() => random.chance(share));
  if (kinds.length === 0) return [];
  const meanGapMs = random.pick([300, 1_000, 3_000, 8_000]);
  const leaderShare = random.pick([0, 0.3, 0.8]);
  const faults: Fault[] = [];
  for (let atMs = random.next() * 2_000; atMs < simulation.chaosMs;) {
    const target = random.chance(leaderShare) ? "leader" : 1 + random.below(simulation.nodes);
    const durationMs = simulation.electionTimeoutMs * random.pick([0.05, 0.5, 1.5, 3, 6]) *
      (0.5 + random.next());
    const kind = random.pick(kinds);
    faults.push({
      id: faults.length + 1,
      kind,
      atMs,
      durationMs: kind === "ambush" || kind === "deathBeforeInstall" ? AMBUSH_TIMES * durationMs : durationMs,
      target,
      other: 1 + random.below(simulation.nodes),
      chance: random.next(),
    });
    atMs += meanGapMs * (0.1 + 1.8 * random.next());
  }
  return faults;
}

/** Draws the permanent faults: of at most a minority, often of none. */
function drawBreakages(
  random: SeededRandom,
  { nodes, chaosMs }: { readonly nodes: number; readonly chaosMs: number },
): Breakage[] {
  const minority = Math.floor((nodes - 1) / 2);
  const count = random.below(minority + 1);
  const first = random.below(nodes);
  return Array.from({ length: count }, (_, position) => ({
    node: 1 + (first + position) % nodes,
    kind: random.pick(BREAKAGES),
    atMs: chaosMs * random.next(),
  }));
}

/** Returns a fault as a line of a trace. */
export function faultText({ id, kind, atMs, durationMs, target, other }: Fault): string {
  return `fault ${id}: ${kind} of ${target} (${other}) at ${Math.round(atMs)} ms for ${
    Math.round(durationMs)
  } ms`;
}
