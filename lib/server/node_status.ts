/** A node's description of itself: its status, which clients can request, and its condition, for metrics. */
import type { Authentication } from "./auth/authentication.ts";
import type { LiveSettings } from "./config/config.ts";
import type { DiskState, Member, MemberUrl, NodeStatus, PeerAuthenticatedBy } from "../protocol/messages.ts";
import type { NodeId, Raft } from "../raft/mod.ts";
import type { Logger } from "../platform/logger.ts";
import { StateEvents } from "./diagnostics/state_events.ts";
import type { Driver } from "./driver.ts";
import { membersOf } from "./membership/members.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { Replica } from "./replica.ts";
import type { StartingPoint } from "./startup/recovered_state.ts";
import type { SnapshotExchange } from "./snapshot/exchange.ts";
import type { SnapshotFigures, Snapshots } from "./snapshot/snapshots.ts";
import type { WatchFigures, WatchHub } from "./watch/watch_hub.ts";
import deno from "../../deno.json" with { type: "json" };

/** The version of this program, as deno.json has it. */
export const VERSION: string = deno.version;

/** The internal state of a node, for metrics; see {@link NodeStatus} for the rest. */
export interface NodeCondition {
  /** Whether the last write to the log failed because the disk was full. */
  readonly isDiskFull: boolean;
  /** Whether the disk has no space for another file. */
  readonly isDiskNearlyFull: boolean;
  /** Bytes of the log. */
  readonly logBytes: number;
  /** Number of proposals of this node that wait to be applied. */
  readonly waitingWrites: number;
  /** Whether this node answers linearizable reads under a lease now. */
  readonly holdsLease: boolean;
  /** Bytes of earlier versions of keys, and the revision from which on they are kept. */
  readonly historyBytes: number;
  readonly compactedRevision: number;
  readonly watches: WatchFigures;
  /** The newest snapshot. */
  readonly snapshot: SnapshotFigures;
  /** Number of leases, and of those that ended in time since the start of this node. */
  readonly leases: number;
  readonly endedLeases: number;
  /** Whether requests need a user, and the number of users. */
  readonly isAuthEnabled: boolean;
  readonly users: number;
  /** Returns the numbers of clients' connections by what names their users. */
  readonly clients: Authentication["clients"];
}

/** The leadership that a node knows of, and the newest index and revision that it has applied. */
export type NodeSummary = Pick<NodeStatus, "leader" | "term" | "appliedIndex" | "revision">;

/** The parts of a node that its description is read from. */
export interface DescribedNode {
  readonly raft: Raft;
  readonly driver: Driver;
  readonly replica: Replica;
  readonly watches: WatchHub;
  readonly log: StartingPoint["log"];
  readonly diskSpace: { readonly isNearlyFull: boolean };
  readonly authentication: Pick<Authentication, "clients">;
  readonly snapshots: Snapshots;
  readonly exchange: SnapshotExchange;
  /** Duration of a tick of the core. */
  readonly tickMs: number;
  readonly live: Pick<LiveSettings, "quotaBytes">;
  readonly logger: Logger;
  readonly metrics: Metrics | null;
  /** Where the members serve etcd's clients. */
  readonly etcdUrls: { of(members: readonly Member[]): readonly MemberUrl[] };
  /** Its connections to other nodes. */
  readonly peers: { authenticatedBy(node: NodeId): PeerAuthenticatedBy | null };
}

/** Describes one node. */
export class NodeDescription {
  /** The changes of the state that are logged. */
  readonly events: StateEvents;
  readonly #node: DescribedNode;

  constructor(node: DescribedNode) {
    this.#node = node;
    this.events = new StateEvents({ ...node, recoveredIndex: node.raft.status().lastIndex });
  }

  /** The space on this node's disk. */
  get disk(): DiskState {
    const { driver, diskSpace } = this.#node;
    if (driver.isDiskFull) return "full";
    return diskSpace.isNearlyFull ? "nearlyFull" : "ok";
  }

  /** Returns the parts of its view that belong to every answer of a front end and every welcome: less work than all of it. */
  summary(): NodeSummary {
    const { raft, replica: { stateMachine: { appliedIndex, revision } } } = this.#node;
    return { leader: raft.leader, term: raft.term, appliedIndex, revision };
  }

  /** Returns this node's view of itself. */
  status(): NodeStatus {
    const { raft, replica, snapshots, exchange, tickMs, live: { quotaBytes }, peers: connected } = this.#node;
    const members = membersOf(raft.committedConfiguration);
    const { id, role, term, leader, commitIndex, lastIndex, firstIndex, peers } = raft.status();
    const { appliedIndex, revision, keyCount, sessionCount, stateBytes, featureLevel } = replica.stateMachine;
    return {
      id,
      role,
      term,
      leader,
      commitIndex,
      appliedIndex,
      lastLogIndex: lastIndex,
      firstLogIndex: firstIndex,
      snapshotIndex: snapshots.newestIndex,
      revision,
      keys: keyCount,
      sessions: sessionCount,
      stateBytes,
      version: VERSION,
      members,
      peers: peers.map(({ id, matchIndex, kind, ticksSinceContact, hasDiskSpace }) => {
        const sending = exchange.statusOf(id);
        return {
          id,
          matchIndex,
          state: kind,
          lastContactMs: ticksSinceContact === null ? null : Math.round(ticksSinceContact * tickMs),
          snapshotSentBytes: sending?.sentBytes ?? 0,
          snapshotTotalBytes: sending?.totalBytes ?? 0,
          hasDiskSpace,
        };
      }),
      disk: this.disk,
      links: raft.committedConfiguration.members.flatMap(({ id: member }) => {
        const authenticatedBy = member === id ? null : connected.authenticatedBy(member);
        return authenticatedBy === null ? [] : [{ id: member, authenticatedBy }];
      }),
      quotaBytes,
      etcdUrls: this.#node.etcdUrls.of(members),
      featureLevel,
    };
  }

  /** Returns the internal state of this node. */
  condition(): NodeCondition {
    const { raft, driver, replica, watches, log, diskSpace, snapshots, authentication } = this.#node;
    const { historyBytes, compactedRevision, leaseCount, auth } = replica.stateMachine;
    return {
      isDiskFull: driver.isDiskFull,
      isDiskNearlyFull: diskSpace.isNearlyFull,
      logBytes: log.bytesSince(0),
      waitingWrites: replica.waitingWrites,
      holdsLease: raft.holdsLease,
      historyBytes,
      compactedRevision,
      watches: watches.figures,
      snapshot: snapshots.figures,
      leases: leaseCount,
      endedLeases: replica.endedLeases,
      isAuthEnabled: auth.enabled,
      users: auth.userCount,
      clients: () => authentication.clients(),
    };
  }
}
