/** A server: opens the data directory, the log, the listener, the connections to other nodes, and the node, and closes them again. */
import { errorMessage } from "../platform/errors.ts";
import { assert } from "../platform/assert.ts";
import type { NodeAddress } from "../protocol/node_list.ts";
import type { ClientConnection, ClientHandlers } from "../transport/client_connection.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";
import { MAX_WAITING_BYTES } from "../protocol/limits.ts";
import { type ConnectionHandlers, ConnectionListener } from "../transport/listener.ts";
import type { Logger } from "../platform/logger.ts";
import { scryptOf } from "../platform/secrets.ts";
import type { Address, Network } from "../platform/network.ts";
import { Peers } from "../transport/peers.ts";
import { DataDirectory, type Disk, type Identity } from "../storage/mod.ts";
import { auditTo, type AuditWriter } from "./auth/audit_log.ts";
import type { Scrypt } from "./auth/password_checks.ts";
import type { ServerConfig } from "./config/config.ts";
import { type ConnectionBudget, fitConnections } from "./startup/descriptors.ts";
import { establishIdentity, requireOrigin } from "./startup/identity.ts";
import { openPeerSecret, type PeerSecretFile } from "./startup/peer_secret_file.ts";
import type { ReadPrivateFile } from "../platform/private_file.ts";
import type { PeerAuthentication } from "../transport/handshake/peer_authentication.ts";
import { addressesOf, authorizePeer, membersOf } from "./membership/members.ts";
import { EtcdUrls, ownEtcdUrl } from "./membership/etcd_urls.ts";
import { MemberProbe } from "./membership/member_probe.ts";
import { type Diagnostics, diagnosticsOf } from "./diagnostics/diagnostics.ts";
import { type ScheduledBackups, scheduledBackupsOf } from "./backups/scheduled_backups.ts";
import { EventLog } from "./diagnostics/events.ts";
import type { Runtime } from "./diagnostics/node_report.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Monitor, type MonitoringPlatform } from "./metrics/monitor.ts";
import { pageSourceOf } from "./status_page/page_source.ts";
import { FrontEnds, type WebNetworks } from "./front_ends.ts";
import { Node } from "./node.ts";
import { Readiness } from "./metrics/readiness.ts";
import type { ServerTls } from "./startup/server_tls.ts";
import { recoverState, type StartingPoint } from "./startup/recovered_state.ts";
import {
  SERVER_LIMITS,
  type ServerLimits,
  stateMachineOptionsOf,
  withConfig,
} from "./config/server_limits.ts";

/** The cluster refuses this node: it was removed, or its data directory is not the one that the cluster knows. */
export class NodeRefusedError extends Error {
  override readonly name = "NodeRefusedError";
  /** Stable name of this error. */
  readonly code = "nodeRefused";
}

/** The platform of a server; a simulator implements its own. */
export interface ServerPlatform {
  readonly disk: Disk;
  readonly network: Network;
  readonly clock: Clock;
  /** Returns milliseconds since 1970. Keys with `expiresAtMs` are deleted by it; nothing else depends on it. */
  readonly wallClock: () => number;
  readonly random: Random;
  /** Returns so many unpredictable bytes, for the proofs of the peer secret. Default: from the operating system. */
  readonly randomBytes?: (count: number) => Uint8Array;
  /** Reads the file of `--peer-secret-file`. */
  readonly readPrivateFile?: ReadPrivateFile;
  readonly logger: Logger;
  /** Takes audit lines. Default: the logger does, as information. */
  readonly audit?: AuditWriter;
  /** Computes the hashes of passwords. Default: {@link scryptOf}. */
  readonly scrypt?: Scrypt;
  /** Default {@link SERVER_LIMITS}. */
  readonly limits?: ServerLimits;
  /** Returns how many more files and sockets the process may open, at most `upTo`. Default: enough. */
  readonly freeDescriptors?: (upTo: number) => number;
  /** The TLS of `network`; without it, connections are plain. */
  readonly tls?: ServerTls | null;
  /** The process, for reports; without it, the node reports less and counts with `--http` only. */
  readonly runtime?: Runtime;
  /** The platform of `--http`. */
  readonly monitoring?: MonitoringPlatform;
  /** Listen for the clients of front ends. */
  readonly webNetworks?: WebNetworks;
  /** Called once the data directory exists: from then on only what the configuration names is read and written. */
  readonly onDirectoryOpen?: () => void;
  /** Ends a start that is in progress, which then rejects with its reason; no effect on a running server. */
  readonly signal?: AbortSignal;
}

/** A running server. */
export interface RunningServer {
  /** Where it listens. */
  readonly address: Address;
  /** The cluster it belongs to. */
  readonly clusterId: string;
  /** Resolves when it has ended: to null after `stop()`, to the error that ended it otherwise. */
  readonly finished: Promise<unknown>;
  /**
   * Stops it in good order: transfers leadership, answers or refuses the requests in progress, syncs, closes. Takes at
   * most a few election timeouts. May be called again without effect.
   */
  stop(): Promise<void>;
}

/**
 * Opens the data directory, reads snapshot and log back, and begins to serve. A new node that joins a cluster first asks
 * which cluster that is.
 *
 * @throws {ConfigError} if nothing says what the node is to belong to
 * @throws the named errors of lib/storage if the directory is locked, damaged or of another node: nothing is changed
 * @throws {JoinError} if no node says which cluster it is
 * @throws {NetworkError} if an address is in use, or not local
 */
export async function startServer(config: ServerConfig, machine: ServerPlatform): Promise<RunningServer> {
  const platform = { audit: auditTo(machine.logger), ...machine, logger: new EventLog(machine) };
  const { disk, clock, logger, signal = new AbortController().signal } = platform;
  const { maxConnections } = config;
  // What is opened here is closed, in the opposite order, where the start fails.
  await using opened = new AsyncDisposableStack();
  opened.defer(() => platform.tls?.close());
  const peerSecret = openPeerSecret(config, platform);
  const monitor = openMonitor(config, platform);
  opened.defer(() => monitor?.close());
  const metrics = monitor?.metrics ?? (platform.runtime === undefined ? null : new Metrics(clock));
  const limits = withConfig(platform.limits ?? SERVER_LIMITS, config);
  await requireOrigin(config, disk);
  const directory = opened.adopt(await openDirectory(config, platform), (directory) => directory.close());
  const connections = fitConnections({ maxConnections, logger, freeDescriptors: platform.freeDescriptors });
  if (config.join.length > 0) {
    monitor?.show({ reason: "joining", message: "This node asks the cluster for its members." });
  }
  const identity = await establishIdentity({ ...platform, config, directory, peerSecret, signal });
  monitor?.show({ reason: "starting", message: "This node reads its snapshot and log back." });
  const start = await recoverState({
    disk,
    directory,
    identity,
    segmentBytes: config.segmentBytes,
    entryCacheBytes: limits.raft.entryCacheBytes,
    stateMachineOptions: stateMachineOptionsOf(limits),
    logger,
    yieldToEventLoop: async () => {
      // No client is served yet: a turn of the event loop is enough for signals. Timers made a start take three times as long.
      await new Promise<void>((resolve) => clock.endOfTurn(resolve));
      signal.throwIfAborted();
    },
  });
  opened.defer(() => start.log.close());
  signal.throwIfAborted();
  const frontEnds = opened.adopt(FrontEnds.listen(config, platform), (frontEnds) => frontEnds.close());
  const peerAuthentication = peerSecret?.authenticationFor(identity.clusterId) ?? null;
  const listener = opened.adopt(
    new ConnectionListener({
      ...platform,
      ...config,
      ...identity,
      ...connections,
      self: config.nodeId,
      peerAuthentication,
      maxWaitingBytes: limits.waitingBytes ?? MAX_WAITING_BYTES,
      traffic: metrics && { clients: metrics.clientTraffic, peers: metrics.peerTraffic },
    }),
    (listener) => listener.close(),
  );
  const server = new Server(config, {
    ...platform,
    limits,
    metrics,
    connections,
    directory,
    identity,
    start,
    monitor,
    listener,
    peerSecret,
    peerAuthentication,
    frontEnds,
  });
  opened.move();
  server.start();
  await server.openFrontEnds();
  return server;
}

/** Opens the data directory, and warns of one that others may read. */
async function openDirectory(
  { dataDir: path }: ServerConfig,
  { disk, logger, onDirectoryOpen }: ServerPlatform,
): Promise<DataDirectory> {
  const directory = await DataDirectory.open({ disk, path });
  onDirectoryOpen?.();
  if (!directory.isPrivate) {
    const remedy = `chmod -R go= ${path}`;
    logger.warn("other users of this machine can read the data directory", { path, remedy });
  }
  return directory;
}

/** Listens for HTTP requests; returns null where the configuration names no address for them. */
function openMonitor({ http, nodeId }: ServerConfig, platform: ServerPlatform): Monitor | null {
  if (http === null) return null;
  const { monitoring, clock, logger } = platform;
  assert(monitoring !== undefined, "a platform that is configured to serve HTTP can do so");
  return new Monitor({ ...monitoring, nodeId, address: http, clock, logger });
}

/** The parts of a server that are opened before it is made. */
interface Opened extends ServerPlatform {
  readonly limits: ServerLimits;
  readonly logger: EventLog;
  readonly audit: AuditWriter;
  readonly metrics: Metrics | null;
  readonly connections: ConnectionBudget;
  readonly directory: DataDirectory;
  readonly identity: Identity;
  readonly start: StartingPoint;
  readonly monitor: Monitor | null;
  readonly listener: ConnectionListener;
  readonly peerSecret: PeerSecretFile | null;
  readonly peerAuthentication: PeerAuthentication | null;
  readonly frontEnds: FrontEnds;
}

/**
 * A node with its sockets. The constructor makes the parts from the bottom up (listener, peers, node); {@link start}
 * then connects their events, which run upward.
 */
class Server implements RunningServer {
  readonly clusterId: string;
  readonly #config: ServerConfig;
  readonly #opened: Opened;
  readonly #peers: Peers;
  readonly #probe: MemberProbe;
  readonly #etcdUrls = new EtcdUrls();
  readonly #node: Node;
  readonly #diagnostics: Diagnostics;
  readonly #backups: ScheduledBackups | null;
  readonly #clients = new Set<ClientConnection>();
  readonly #finished = Promise.withResolvers<unknown>();
  #stopping: Promise<void> | null = null;
  /** Stops this node after it was removed from the cluster. */
  #leaving: Timer | null = null;

  constructor(config: ServerConfig, opened: Opened) {
    this.#config = config;
    this.#opened = opened;
    const { nodeId: self, bind } = config;
    const { listener, metrics, network, clock, peerAuthentication, identity: { clusterId, dataId } } = opened;
    this.clusterId = clusterId;
    this.#peers = new Peers({
      ...opened,
      self,
      clusterId,
      dataId,
      isCalling: (id) => listener.hasPeer(id),
      callerAuthentications: (id) => listener.authenticationsOf(id),
      featureLevel: () => this.#node.featureLevel,
      traffic: metrics?.peerTraffic ?? null,
    });
    const listening = { host: bind.host, port: listener.address.port };
    const featureLevel = (): number => this.#node.featureLevel;
    const probe = new MemberProbe({
      network,
      clock,
      self,
      clusterId,
      dataId,
      peerAuthentication,
      listening,
      featureLevel,
    });
    this.#probe = probe;
    this.#node = new Node({
      ...opened,
      ...config,
      live: config,
      id: self,
      clusterId,
      dataId,
      scrypt: opened.scrypt ?? scryptOf,
      metrics,
      peers: this.#peers,
      etcdUrls: this.#etcdUrls,
      probe: (change, configuration) => probe.find(change, configuration),
      describe: (nodes) => this.#diagnostics.describe(nodes),
    });
    this.#backups = scheduledBackupsOf(config, { ...opened, node: this.#node });
    this.#diagnostics = diagnosticsOf(config, {
      ...opened,
      backup: () => this.#backups?.figures ?? null,
      events: opened.logger,
      node: this.#node,
      peers: this.#peers,
    });
  }

  /** Begins to serve. */
  start(): void {
    const { listener, monitor, metrics } = this.#opened;
    const node = this.#node;
    const address = this.#probe.ownAddress(node.configuration);
    const etcdUrl = ownEtcdUrl(this.#config, { address, isTls: (this.#opened.tls ?? null) !== null });
    this.#etcdUrls.setOwn(this.#config.nodeId, etcdUrl);
    this.#peers.start({
      address,
      etcdUrl,
      members: this.#linkedAddresses(),
      onStateChange: ({ id, lane, connected }) => {
        if (lane === "bulk") node.bulkLaneChanged(id, connected);
      },
      onUnreachable: (id) => node.reportUnreachable(id),
      onRefused: ({ code, message }) => {
        if (code === "removedNode" || code === "otherData") this.#fail(new NodeRefusedError(message));
      },
    });
    listener.start(this.#connectionHandlers());
    this.#opened.tls?.watch(this.#opened.logger);
    this.#opened.peerSecret?.watch((secrets) => {
      this.#opened.peerAuthentication?.setSecrets(secrets);
      listener.dropPeersOfOldSecrets();
      this.#peers.secretReplaced();
    });
    node.leadership.onChange(({ leader, term }) => {
      if (leader !== null && metrics !== null) metrics.leaderChanges += 1;
      for (const client of this.#clients) client.send({ kind: "leader", leader, term });
    });
    node.start({
      configurationChanged: () => this.#configurationChanged(),
      failed: (error) => this.#fail(error),
    });
    if (monitor !== null) this.#showIn(monitor);
    this.#backups?.start();
  }

  /** Begins to serve the clients of front ends. Called once, after the start. */
  openFrontEnds(): Promise<void> {
    const { listener, network, tls = null, clock, wallClock, random, logger, audit } = this.#opened;
    return this.#opened.frontEnds.open({
      self: this.#config.nodeId,
      clusterId: this.clusterId,
      connect: (use, remote) => listener.connectInProcess(use, remote),
      dialer: network,
      tls,
      node: this.#node,
      clock,
      wallClock,
      random,
      logger,
      audit,
    });
  }

  get address(): Address {
    return this.#opened.listener.address;
  }

  get finished(): Promise<unknown> {
    return this.#finished.promise;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop({ orderly: true }).then(() => this.#finished.resolve(null));
    return this.#stopping;
  }

  #connectionHandlers(): ConnectionHandlers {
    const node = this.#node;
    return {
      members: () => membersOf(node.committedConfiguration),
      situation: () => {
        const { leader, term, appliedIndex } = node.description.summary();
        return { leader, term, appliedIndex };
      },
      authorizePeer: (caller) =>
        authorizePeer(caller, {
          applied: node.appliedConfiguration,
          newest: node.configuration,
          featureLevel: node.featureLevel,
        }),
      onPeerHello: (caller) => {
        node.membership.seen(caller.nodeId, caller);
        this.#etcdUrls.seen(caller);
        this.#peers.introduce(caller.nodeId, caller.address);
      },
      onPeerMessage: (message, from) => {
        if (message.kind === "describe" || message.kind === "described") {
          return this.#diagnostics.receive(from, message);
        }
        node.receive(from, message);
      },
      onClient: (client) => this.#serve(client),
    };
  }

  /** Has the monitor show this node. */
  #showIn(monitor: Monitor): void {
    const node = this.#node;
    node.leadership.onChange(() => monitor.clusterChanged());
    monitor.show({
      readiness: new Readiness({
        clock: this.#opened.clock,
        status: () => node.status(),
        isDiskFull: () => node.description.condition().isDiskFull,
        whenReadable: () => node.whenReadable(),
      }),
      sources: () => ({
        clusterId: this.clusterId,
        status: node.status(),
        condition: node.description.condition(),
        links: this.#peers.views(),
        tls: this.#opened.tls ?? null,
        connections: this.#opened.listener.counts(),
        ...this.#opened.frontEnds.counts(),
      }),
      page: pageSourceOf(this.#config, { ...this.#opened, node, diagnostics: this.#diagnostics }),
    });
  }

  #serve(client: ClientConnection): ClientHandlers {
    this.#clients.add(client);
    const work = this.#node.openWork({
      connection: client,
      send: (answer) => void client.send(answer),
      sendEvents: (events) => void client.sendEvents(events),
      fail: (error) => client.fail(error),
      isHeld: () => client.isBacklogged,
      hold: (bytes) => client.hold(bytes),
    });
    return {
      onRequest: (request) => this.#node.clients.handle(request, work),
      onWritable: () => work.resume(),
      isWatching: () => work.watches.size > 0,
      mustSignIn: () => this.#node.mustSignIn(work.identity),
      onClose: () => {
        this.#clients.delete(client);
        work.close();
      },
    };
  }

  /** Returns the addresses of the members of the newest and of the committed configuration: the leader needs answers of both. */
  #linkedAddresses(): readonly NodeAddress[] {
    const newest = addressesOf(this.#node.configuration);
    const ids = new Set(newest.map(({ id }) => id));
    return [...newest, ...addressesOf(this.#node.committedConfiguration).filter(({ id }) => !ids.has(id))];
  }

  #configurationChanged(): void {
    this.#peers.update(this.#linkedAddresses());
    const { appliedConfiguration, committedConfiguration } = this.#node;
    for (const id of appliedConfiguration.removedIds) this.#opened.listener.dropPeer(id);
    this.#opened.listener.dropPeersBelow(this.#node.featureLevel);
    this.#peers.dropBelowFeatureLevel();
    // A peer that connected when its data directory was not known has to connect again and name it.
    for (const { id, dataId } of this.#node.configuration.members) {
      if (dataId !== null) this.#opened.listener.dropPeer(id, { keptDataId: dataId });
    }
    const members = membersOf(committedConfiguration);
    const { appliedIndex } = this.#node.status();
    for (const client of this.#clients) client.send({ kind: "members", appliedIndex, members });
    if (appliedConfiguration.removedIds.includes(this.#config.nodeId)) this.#removed();
  }

  /** Stops this node, which was removed, after a heartbeat interval in which clients still get their answers. */
  #removed(): void {
    if (this.#leaving !== null || this.#stopping !== null) return;
    const reason = new NodeRefusedError(
      `node ${this.#config.nodeId} was removed from the cluster, and its id cannot be used again. Its data directory is no longer needed.`,
    );
    this.#leaving = this.#opened.clock.after(this.#config.heartbeatMs, () => this.#fail(reason));
  }

  /** Stops after a fatal error: the state in memory cannot be trusted, so everything is closed without a transfer. */
  #fail(error: unknown): void {
    this.#opened.logger.error("this node stops", { event: "nodeStops", reason: errorMessage(error) });
    this.#stopping ??= this.#stop({ orderly: false });
    this.#stopping.then(() => this.#finished.resolve(error), () => this.#finished.resolve(error));
  }

  async #stop({ orderly }: { readonly orderly: boolean }): Promise<void> {
    const { start, directory, listener, logger, monitor, peerSecret, tls, frontEnds } = this.#opened;
    monitor?.show({ reason: "stopping", message: "This node is stopping." });
    try {
      this.#leaving?.cancel();
      peerSecret?.close();
      tls?.close();
      this.#probe.close();
      // While the node still answers. After a failure it does not, and requests in progress are answered 503.
      await frontEnds.close();
      this.#node.clients.stop();
      this.#diagnostics.close();
      await this.#backups?.stop();
      if (orderly) await this.#node.leave(this.#config.electionTimeoutMs);
      await this.#node.stop();
      await listener.close();
      await this.#peers.close();
      await start.log.close();
    } finally {
      directory.close();
      await monitor?.close();
      logger.info("stopped");
    }
  }
}
