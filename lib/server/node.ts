/**
 * One node of the cluster without its sockets: the core with its driver, the state machine, writes, reads, snapshots and
 * changes of membership. Messages come from and go to server.ts.
 */
import { assert } from "../platform/assert.ts";
import type { NodeStatus, PeerAuthenticatedBy } from "../protocol/messages.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { LiveSettings, ReadMode } from "./config/config.ts";
import { CONFIGURATION_CODEC } from "../protocol/configuration.ts";
import { DecodeError } from "../protocol/errors.ts";
import type { Logger } from "../platform/logger.ts";
import type { NodeMessage } from "../protocol/peer_frames.ts";
import { type Configuration, type NodeId, Raft } from "../raft/mod.ts";
import { Authentication, type UserOptions } from "./auth/authentication.ts";
import type { ConnectionIdentity, IdentifiedConnection } from "./auth/connection_identity.ts";
import { ClientService, ClientWork, type ClientWorkOptions } from "./client_service.ts";
import { ConfirmedReads, Replica } from "./replica.ts";
import type { Diagnostics } from "./diagnostics/diagnostics.ts";
import { DiskSpaceMonitor, type DiskSpaceMonitorOptions } from "./disk_space_monitor.ts";
import { Driver, type DriverEvents } from "./driver.ts";
import { Forwarding } from "./forwarding.ts";
import { LeaderWork } from "./leader/leader_work.ts";
import { LeadershipWatch } from "./leadership.ts";
import { LeadershipTransfers } from "./leadership_transfer.ts";
import { FeatureLevels } from "./membership/feature_levels.ts";
import { isMember, membersOf } from "./membership/members.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { EtcdUrls } from "./membership/etcd_urls.ts";
import { Membership, type MembershipOptions } from "./membership/membership.ts";
import { NodeDescription } from "./node_status.ts";
import { Quota } from "./write_admission.ts";
import type { StartingPoint } from "./startup/recovered_state.ts";
import type { ServerLimits } from "./config/server_limits.ts";
import { type DownloadTotals, SnapshotDownloads } from "./snapshot/downloads.ts";
import { type PeerSender, SnapshotExchange } from "./snapshot/exchange.ts";
import { Snapshots } from "./snapshot/snapshots.ts";
import { TermGuard } from "./term_guard.ts";
import { CommitRequests } from "./watch/commit_requests.ts";
import type { WatchConnection } from "./watch/connection_watches.ts";
import { WatchHub } from "./watch/watch_hub.ts";
import { WatchRequests } from "./watch/watch_requests.ts";
import { whenUpToDate } from "./up_to_date.ts";
import { Writes } from "./writes.ts";
import type { YieldToEventLoop } from "./yield_to_event_loop.ts";

/**
 * Ticks of the core between two heartbeats: enough for election timeouts that differ between nodes, and no more, since an
 * idle node costs mostly wake-ups (5 ticks: 98 to 125 a second, 2 ticks: 83 to 93).
 */
const TICKS_PER_HEARTBEAT = 2;
/** Rest after each slice of a snapshot, which takes 0.3 ms with 256 B values: requests get nine tenths of the time. */
const SNAPSHOT_REST_MS = 2;
/** Election timeouts without a known leader after which watches end: an election should have ended by then. */
const LEADERLESS_TIMEOUTS = 2.5;
/** Election timeouts that a change of membership may take until it is answered. */
const MEMBERSHIP_TIMEOUTS = 10;

/** The dependencies of a node. */
export interface NodeOptions extends UserOptions {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly dataId: number;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly readMode: ReadMode;
  readonly maxValueBytes: number;
  readonly live: LiveSettings;
  readonly limits: ServerLimits;
  readonly start: StartingPoint;
  readonly clock: Clock;
  /** Returns milliseconds since 1970, by which keys with a time expire. */
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Counts events; null counts none. */
  readonly metrics: Metrics | null;
  readonly peers: NodePeers;
  /** Knows where the members serve etcd's clients. */
  readonly etcdUrls: EtcdUrls;
  readonly disk: DiskSpaceMonitorOptions["disk"];
  readonly dataDir: string;
  /** Asks which node answers at an address (see {@link MembershipOptions}). */
  readonly probe: MembershipOptions["probe"];
  /** Returns reports about nodes. */
  readonly describe: Diagnostics["describe"];
}

/** The links to other nodes. */
export interface NodePeers extends PeerSender {
  /** Whether messages can be sent to a node. */
  isConnected(node: NodeId): boolean;
  /** Returns how the connections between this node and another are authenticated; null without one. */
  authenticatedBy(node: NodeId): PeerAuthenticatedBy | null;
}

/** The events of a node. None of the handlers may throw or wait. */
export interface NodeEvents {
  /** The configuration that decides, the newest that is committed, or the feature level has changed. */
  readonly configurationChanged: () => void;
  /** The node cannot continue. */
  readonly failed: (error: unknown) => void;
}

/** The connection of a client. */
export interface ClientConnectionOptions
  extends
    Omit<ClientWorkOptions, "identity" | "reads" | "downloads" | "watches">,
    Omit<WatchConnection, "access"> {
  readonly connection: IdentifiedConnection;
}

/** The configuration in force, the newest committed one, and what this node has applied. */
interface KnownConfigurations {
  readonly newest: Configuration;
  readonly committed: Configuration;
  readonly applied: Configuration;
  /** The feature level that it has applied. */
  readonly level: number;
}

/** A running node. */
export class Node {
  readonly clients: ClientService;
  readonly leadership: LeadershipWatch;
  readonly membership: Membership;
  readonly description: NodeDescription;
  readonly authentication: Authentication;
  readonly snapshots: Snapshots;
  readonly #options: NodeOptions;
  readonly #raft: Raft;
  readonly #driver: Driver;
  readonly #replica: Replica;
  readonly #watches: WatchHub;
  readonly #commitRequests: CommitRequests;
  readonly #forwarding: Forwarding;
  readonly #writes: Writes;
  readonly #leaderWork: LeaderWork;
  readonly #exchange: SnapshotExchange;
  readonly #diskSpace: DiskSpaceMonitor;
  readonly #termGuard: TermGuard;
  readonly #levels: FeatureLevels;
  readonly #downloadTotals: DownloadTotals = { open: 0, reads: 0 };
  readonly #transfers: LeadershipTransfers;
  /** The configurations after the batch before. */
  #reported: KnownConfigurations;

  constructor(options: NodeOptions) {
    const { clock, logger, electionTimeoutMs, start, peers } = options;
    this.#options = options;
    this.#termGuard = new TermGuard(clock);
    const raft = this.#raft = makeRaft(options);
    this.#levels = new FeatureLevels({ self: options.id, raft, peers });
    this.leadership = new LeadershipWatch(raft, logger);
    const timeoutMs = 2 * electionTimeoutMs;
    const { stateMachine } = start;
    const leaderlessMs = LEADERLESS_TIMEOUTS * electionTimeoutMs;
    this.#watches = new WatchHub({ clock, stateMachine, leaderlessMs });
    const confirmed = new ConfirmedReads({ clock, timeoutMs });
    const replica = new Replica(stateMachine, start.metadata, { confirmed, observer: this.#watches });
    this.#replica = replica;
    this.#reported = this.#knownConfigurations();
    const driver = this.#driver = new Driver({ ...options, raft, log: start.log, tickMs: tickMsOf(options) });
    this.authentication = new Authentication(options, {
      stateMachine: () => replica.stateMachine,
      whenUpToDate: (answer) => whenUpToDate({ driver, replica }, answer),
    });
    this.#commitRequests = new CommitRequests({ clock, hub: this.#watches, raft, driver });
    const yieldToEventLoop: YieldToEventLoop = () => new Promise((resolve) => clock.after(0, resolve));
    const store = start.snapshots;
    this.#exchange = new SnapshotExchange({ ...options, store, raft, driver, replica, yieldToEventLoop });
    const exchange = this.#exchange;
    const snapshots = this.snapshots = this.#makeSnapshots();
    this.#diskSpace = new DiskSpaceMonitor(start.log, { ...options, snapshots, exchange });
    this.description = new NodeDescription({
      ...options,
      raft,
      driver,
      replica,
      watches: this.#watches,
      log: start.log,
      snapshots,
      exchange,
      diskSpace: this.#diskSpace,
      authentication: this.authentication,
      tickMs: tickMsOf(options),
    });
    this.#forwarding = new Forwarding({
      clock,
      firstId: Math.floor(options.random() * 2 ** 48),
      timeoutMs,
      send: (to, message) => peers.send(message, to),
    });
    this.#transfers = new LeadershipTransfers({
      driver,
      leadership: this.leadership,
      clock,
      logger,
      timeoutMs,
      members: () => membersOf(raft.committedConfiguration),
      hasDiskSpace: () => !driver.isDiskFull && !start.log.isNearlyFull,
    });
    this.#leaderWork = new LeaderWork({ ...options, raft, driver, replica });
    this.#writes = this.#makeWrites();
    this.membership = this.#makeMembership();
    this.clients = this.#makeClients(yieldToEventLoop);
    this.leadership.onChange(({ leader, term }) => {
      this.#replica.abandonWrites(leader === this.#options.id ? term : null);
      this.#watches.leaderChanged(leader);
      if (leader !== null) this.#forwarding.leaderKnown(leader);
      if (leader === this.#options.id) return this.membership.start();
      this.membership.leadershipLost();
      this.#exchange.leadershipLost();
    });
  }

  /** The newest configuration in the log, committed or not. */
  get configuration(): Configuration {
    return this.#raft.configuration;
  }

  /** The configuration that this node has applied. */
  get appliedConfiguration(): Configuration {
    return this.#replica.applied.configuration;
  }

  /** The newest configuration that is known to be committed. */
  get committedConfiguration(): Configuration {
    return this.#raft.committedConfiguration;
  }

  /** The feature level of the state that this node has applied. */
  get featureLevel(): number {
    return this.#replica.stateMachine.featureLevel;
  }

  /** Begins to take part in the cluster. */
  start(events: NodeEvents): void {
    this.#driver.start(this.#driverEvents(events));
    this.#leaderWork.start();
    this.#diskSpace.start();
  }

  /** Whether requests of a connection are refused until it signs in. */
  mustSignIn(identity: ConnectionIdentity): boolean {
    const { auth } = this.authentication.access;
    return auth.enabled && !identity.isOfDatabases && identity.user(auth) === null;
  }

  /** Opens the work of a client's connection; its owner closes it. */
  openWork(options: ClientConnectionOptions): ClientWork {
    const { start, clock } = this.#options;
    const downloads = new SnapshotDownloads({
      snapshots: this.snapshots,
      store: start.snapshots,
      clock,
      totals: this.#downloadTotals,
    });
    const { identity, access } = this.authentication.identify(options.connection);
    const watches = this.#watches.connect({ ...options, access });
    const work = new ClientWork({ ...options, identity, reads: this.clients.reads, downloads, watches });
    work.onClosed(this.authentication.count(identity));
    return work;
  }

  /** Transfers leadership if this node has it; resolves when another node leads, or after `timeoutMs`. */
  leave(timeoutMs: number): Promise<void> {
    return this.#transfers.leave(timeoutMs);
  }

  /** Stops taking part: ends every wait, and resolves once the write in progress is durable. */
  async stop(): Promise<void> {
    this.clients.stop();
    this.membership.stop();
    this.#leaderWork.stop();
    this.#diskSpace.stop();
    this.#forwarding.close();
    this.#commitRequests.stop();
    this.#replica.close();
    this.authentication.close();
    await this.#driver.stop();
    await Promise.all([this.snapshots.stop(), this.#exchange.close()]);
  }

  /** Takes a message of another node. Throws DecodeError, with no effect, for a term that no correct node sends. */
  receive(from: NodeId, message: NodeMessage): void {
    if ("term" in message && !this.#termGuard.allows(message.term, this.#raft.term)) {
      throw new DecodeError(
        `Cannot take a ${message.kind} of term ${message.term}: this node is in term ${this.#raft.term}, and no ` +
          "elections make up for that.",
      );
    }
    switch (message.kind) {
      case "forward": {
        const { forwardId, command } = message;
        return this.clients.handleForwarded(command, from, (body) => {
          this.#options.peers.send({ kind: "forwardResult", forwardId, body }, from);
        });
      }
      case "forwardResult":
        return this.#forwarding.answered(from, message);
      case "snapshotChunk":
        return this.#exchange.chunk(from, message);
      case "snapshotProgress": {
        const suspect = this.#exchange.progressed(from, message);
        if (suspect !== null) void this.snapshots.verify(suspect);
        return;
      }
      default:
        this.#driver.step(message);
    }
  }

  /** Notes that the lane for entries and writes to `node` came up or went down: messages in flight may be lost. */
  bulkLaneChanged(node: NodeId, connected: boolean): void {
    this.#driver.messagesLost(node);
    if (!connected) this.#forwarding.linkLost(node);
  }

  /** Reports that no process listens at a node's address any more. */
  reportUnreachable(node: NodeId): void {
    this.#driver.reportUnreachable(node);
  }

  /** Returns this node's view of itself. */
  status(): NodeStatus {
    return this.description.status();
  }

  /** Resolves to true once this node could answer a linearizable read, to false when it cannot. */
  whenReadable(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    whenUpToDate({ driver: this.#driver, replica: this.#replica }, resolve);
    return promise;
  }

  /** Returns what the core's outputs lead to. */
  #driverEvents({ configurationChanged, failed }: NodeEvents): DriverEvents {
    const { peers } = this.#options;
    return {
      send: (message) => {
        assert(message.kind !== "installSnapshot", "the core requests snapshots and never sends one");
        peers.send(message, message.to);
      },
      install: (snapshot) => this.#exchange.install(snapshot),
      restore: (snapshot) => {
        this.#exchange.restore(snapshot);
        this.snapshots.received();
        this.#leaderWork.noteApplied();
      },
      sendSnapshot: (request) => this.#exchange.start(request),
      apply: (entries) => {
        this.#replica.apply(entries);
        this.membership.entriesApplied(entries);
        this.#leaderWork.noteApplied();
        this.snapshots.consider();
      },
      read: (read) => this.#replica.confirmRead(read),
      settled: () => {
        if (this.#settle()) configurationChanged();
      },
      failed,
    };
  }

  #makeSnapshots(): Snapshots {
    const { start, clock, logger, clusterId, limits, id, metrics } = this.#options;
    return new Snapshots({
      store: start.snapshots,
      log: start.log,
      replica: this.#replica,
      clock,
      logger,
      clusterId,
      limits: limits.snapshots,
      turn: () => {
        const nodes = this.configuration.members.map((member) => member.id);
        return { position: Math.max(0, nodes.indexOf(id)), nodes: Math.max(1, nodes.length) };
      },
      transfers: this.#exchange,
      compact: (compaction) =>
        this.#driver.ask((raft) => {
          raft.compact(compaction);
          return raft.status().firstIndex - 1;
        }),
      metrics,
      yieldToEventLoop: () => new Promise((resolve) => clock.after(SNAPSHOT_REST_MS, resolve)),
    });
  }

  #makeMembership(): Membership {
    const { id, dataId, clock, logger, heartbeatMs, electionTimeoutMs, peers, probe } = this.#options;
    return new Membership({
      self: id,
      dataId,
      raft: this.#raft,
      driver: this.#driver,
      clock,
      logger,
      intervalMs: heartbeatMs,
      roundTimeoutMs: electionTimeoutMs,
      timeoutMs: MEMBERSHIP_TIMEOUTS * electionTimeoutMs,
      contactTicks: electionTicks(this.#options),
      isConnected: (node) => peers.isConnected(node),
      featureLevel: () => this.featureLevel,
      levels: this.#levels,
      probe,
    });
  }

  #makeWrites(): Writes {
    const { start, maxValueBytes, live, clock, logger, metrics } = this.#options;
    const quota = new Quota({
      live,
      stateMachine: () => this.#replica.stateMachine,
      exceeded: (bytes) => this.description.events.quotaExceeded(bytes),
      isDiskNearlyFull: () => {
        if (!start.log.isNearlyFull) return false;
        // While leadership is transferred, the core refuses the write, and its client retries at the next leader.
        this.#transfers.checkDisk(this.#raft);
        return !this.#raft.isTransferring;
      },
    });
    return new Writes({
      driver: this.#driver,
      replica: this.#replica,
      forwarding: this.#forwarding,
      access: this.authentication.access,
      maxValueBytes,
      quota,
      clock,
      isMember: (node) => isMember(node, [this.configuration, this.committedConfiguration]),
      levels: this.#levels,
      logger,
      countTime: () => this.#leaderWork.logClock.countNow(),
      metrics,
    });
  }

  #makeClients(yieldToEventLoop: YieldToEventLoop): ClientService {
    const parts = { driver: this.#driver, replica: this.#replica, levels: this.#levels };
    return new ClientService({
      ...this.#options,
      ...parts,
      writes: this.#writes,
      leadership: this.leadership,
      transfers: this.#transfers,
      membership: this.membership,
      access: this.authentication.access,
      signIns: this.authentication.signIns,
      watches: new WatchRequests({ hub: this.#watches, ...parts }),
      yieldToEventLoop,
      status: () => this.status(),
      logTimeMs: () => this.#leaderWork.logClock.nowMs,
    });
  }

  /** Follows up a processed batch; returns whether one of the configurations that matter has changed. */
  #settle(): boolean {
    const before = this.#reported;
    const { newest, committed, applied, level } = this.#reported = this.#knownConfigurations();
    // Before the leadership: a leader that is removed steps down with the entry that ends the change.
    if (applied !== before.applied) this.membership.applied(applied);
    this.membership.settled();
    this.leadership.check();
    this.description.events.settled();
    this.#transfers.checkDisk(this.#raft);
    this.#exchange.settled();
    this.#commitRequests.settled();
    const isSame = newest === before.newest && committed === before.committed && applied === before.applied;
    return !isSame || level !== before.level;
  }

  #knownConfigurations(): KnownConfigurations {
    const { configuration: newest, committedConfiguration: committed } = this.#raft;
    return { newest, committed, applied: this.#replica.applied.configuration, level: this.featureLevel };
  }
}

function tickMsOf({ heartbeatMs }: NodeOptions): number {
  return heartbeatMs / TICKS_PER_HEARTBEAT;
}

function electionTicks(options: NodeOptions): number {
  return Math.round(options.electionTimeoutMs / tickMsOf(options));
}

function makeRaft(options: NodeOptions): Raft {
  const { clock, electionTimeoutMs } = options;
  return new Raft({
    id: options.id,
    configurationCodec: CONFIGURATION_CODEC,
    electionTicks: electionTicks(options),
    heartbeatTicks: TICKS_PER_HEARTBEAT,
    random: options.random,
    limits: options.limits.raft,
    recovered: options.start.recovered,
    lease: options.readMode === "lease" ? { durationMs: electionTimeoutMs, now: () => clock.now() } : null,
  });
}
