/**
 * A server, put together and taken apart: the data folder, the log, the node, its links to the others, its listener.
 *
 * Whatever is opened here is closed here, in the opposite order, also when something in between fails.
 */
import { errorMessage, shortened } from "../platform/errors.ts";
import { assert } from "../platform/assert.ts";
import { formatAddress, isDialable, parseAddress } from "../platform/address.ts";
import type { NodeAddress } from "../protocol/node_list.ts";
import type { ClientConnection, ClientHandlers } from "../transport/client_connection.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";
import type { Welcome } from "../protocol/hello.ts";
import { MAX_WAITING_BYTES } from "../protocol/limits.ts";
import { ConnectionListener } from "../transport/listener.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Network } from "../platform/network.ts";
import { PeerLinks } from "../transport/peer_links.ts";
import { probeAny, probePeer } from "../transport/probe.ts";
import { DataDirectory, type Disk, type Identity } from "../storage/mod.ts";
import type { ServerConfig } from "./config/config.ts";
import { type ConnectionBudget, fitConnections } from "./startup/descriptors.ts";
import { establishIdentity, requireOrigin } from "./startup/identity.ts";
import { addressesOf, authorizePeer, membersOf } from "./membership/members.ts";
import type { AddressedChange } from "./membership/membership.ts";
import type { JoiningNode } from "./membership/membership_change.ts";
import { Monitor, type MonitoringPlatform } from "./metrics/monitor.ts";
import { Node } from "./node.ts";
import { Readiness } from "./metrics/readiness.ts";
import { recoverState, type StartingPoint } from "./startup/recovered_state.ts";
import { SERVER_LIMITS, type ServerLimits, stateMachineOptionsOf } from "./config/server_limits.ts";

/** The cluster won't have this node: it was removed, or its data folder is not the one it is known by. */
export class NodeRefusedError extends Error {
  override readonly name = "NodeRefusedError";
  /** Stable name of this error. */
  readonly code = "nodeRefused";
}

/** What a server takes from its surroundings; a simulator brings its own. */
export interface ServerPlatform {
  readonly disk: Disk;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Default {@link SERVER_LIMITS}. */
  readonly limits?: ServerLimits;
  /** Returns how many more files and sockets the process may open, at most `upTo`. Without it, enough are assumed. */
  readonly freeDescriptors?: (upTo: number) => number;
  /** What `--http` needs; a server without it can't be told to serve HTTP. */
  readonly monitoring?: MonitoringPlatform;
  /** Ends a start that is under way, which then rejects with its reason; without effect on a server that serves. */
  readonly signal?: AbortSignal;
}

/** A server that serves. */
export interface RunningServer {
  /** Where it listens. */
  readonly address: Address;
  /** The cluster it belongs to. */
  readonly clusterId: string;
  /** Resolves when it has ended: to null after `stop()`, to the error that ended it otherwise. */
  readonly finished: Promise<unknown>;
  /**
   * Ends it in good order: hands leadership over, answers or refuses what is under way, syncs, closes. Takes no longer
   * than a few election timeouts. May be called again without effect.
   */
  stop(): Promise<void>;
}

/**
 * Opens the data folder, reads snapshot and log back, and begins to serve. A new node that joins a cluster asks first
 * which it is.
 *
 * Throws ConfigError (nothing says what the node is to belong to), the named errors of lib/storage (a foreign, locked
 * or damaged folder: nothing is changed), JoinError (nobody says which cluster it is) and NetworkError (the address is
 * taken, or not local).
 */
export async function startServer(config: ServerConfig, platform: ServerPlatform): Promise<RunningServer> {
  const monitor = openMonitor(config, platform);
  try {
    return await start(config, platform, monitor);
  } catch (error) {
    await monitor?.close();
    throw error;
  }
}

/** Listens for those who watch over the node; null where that is not wanted. */
function openMonitor({ http, nodeId }: ServerConfig, platform: ServerPlatform): Monitor | null {
  if (http === null) return null;
  const { monitoring, clock, logger } = platform;
  assert(monitoring !== undefined, "who is told to serve HTTP can");
  return new Monitor({ ...monitoring, nodeId, address: http, clock, logger });
}

async function start(
  config: ServerConfig,
  platform: ServerPlatform,
  monitor: Monitor | null,
): Promise<RunningServer> {
  const { disk, clock, logger, limits: platformLimits = SERVER_LIMITS } = platform;
  const { signal = new AbortController().signal } = platform;
  const limits = withConfig(platformLimits, config);
  const { maxConnections } = config;
  const connections = fitConnections({ maxConnections, logger, freeDescriptors: platform.freeDescriptors });
  await requireOrigin(config, disk);
  const directory = await DataDirectory.open({ disk, path: config.dataDir });
  try {
    if (!directory.isPrivate) {
      logger.warn("other users of this machine can read the data folder", {
        path: config.dataDir,
        remedy: `chmod -R go= ${config.dataDir}`,
      });
    }
    if (config.join.length > 0) {
      monitor?.show({ reason: "joining", message: "This node asks the cluster who belongs to it." });
    }
    const identity = await establishIdentity({ ...platform, config, directory, signal });
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
        // Nobody is served yet: a turn of the event loop is enough for signals. Timers made a start three times as long.
        await new Promise<void>((resolve) => clock.endOfTurn(resolve));
        signal.throwIfAborted();
      },
    });
    try {
      signal.throwIfAborted();
      return new Server(config, { ...platform, limits, connections, directory, identity, start, monitor });
    } catch (error) {
      await start.log.close();
      throw error;
    }
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** What was opened before the server could be made. */
interface Opened extends ServerPlatform {
  readonly limits: ServerLimits;
  readonly connections: ConnectionBudget;
  readonly directory: DataDirectory;
  readonly identity: Identity;
  readonly start: StartingPoint;
  readonly monitor: Monitor | null;
}

class Server implements RunningServer {
  readonly clusterId: string;
  readonly #config: ServerConfig;
  readonly #opened: Opened;
  readonly #listener: ConnectionListener;
  readonly #links: PeerLinks;
  readonly #node: Node;
  readonly #clients = new Set<ClientConnection>();
  readonly #finished = Promise.withResolvers<unknown>();
  readonly #stopProbes = new AbortController();
  #stopping: Promise<void> | null = null;
  /** Runs once this node is no member any more. */
  #leaving: Timer | null = null;

  constructor(config: ServerConfig, opened: Opened) {
    this.#config = config;
    this.#opened = opened;
    this.clusterId = opened.identity.clusterId;
    this.#node = new Node({
      ...opened,
      id: config.nodeId,
      clusterId: this.clusterId,
      dataId: opened.identity.dataId,
      electionTimeoutMs: config.electionTimeoutMs,
      heartbeatMs: config.heartbeatMs,
      readMode: config.readMode,
      maxValueBytes: config.maxValueBytes,
      quotaBytes: config.quotaBytes,
      metrics: opened.monitor?.metrics ?? null,
      send: (message, to) => this.#links.send(message, to),
      isConnected: (id) => this.#links.isConnected(id),
      probe: (change) => this.#probe(change),
      configurationChanged: () => this.#configurationChanged(),
      failed: (error) => this.#fail(error),
    });
    this.#listener = this.#listen();
    this.#links = this.#connect();
    this.#node.leadership.onChange(({ leader, term }) => {
      for (const client of this.#clients) client.send({ kind: "leader", leader, term });
    });
    this.#node.start();
    if (opened.monitor !== null) this.#showIn(opened.monitor);
  }

  get address(): Address {
    return this.#listener.address;
  }

  get finished(): Promise<unknown> {
    return this.#finished.promise;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop({ orderly: true }).then(() => this.#finished.resolve(null));
    return this.#stopping;
  }

  #listen(): ConnectionListener {
    const { network, clock, logger, identity, limits, connections, monitor } = this.#opened;
    const { bind, nodeId, maxValueBytes } = this.#config;
    return new ConnectionListener({
      network,
      clock,
      logger,
      bind,
      self: nodeId,
      clusterId: this.clusterId,
      dataId: identity.dataId,
      members: () => membersOf(this.#node.committedConfiguration),
      ...connections,
      maxValueBytes,
      maxWaitingBytes: limits.waitingBytes ?? MAX_WAITING_BYTES,
      traffic: monitor && { clients: monitor.metrics.clientTraffic, peers: monitor.metrics.peerTraffic },
      situation: () => {
        const { leader, term, appliedIndex } = this.#node.status();
        return { leader, term, appliedIndex };
      },
      authorizePeer: (caller) =>
        authorizePeer(caller, { applied: this.#node.appliedConfiguration, newest: this.#node.configuration }),
      onPeerHello: ({ nodeId, dataId, address }) => {
        this.#node.membership.seen(nodeId, dataId);
        this.#links.introduce(nodeId, address);
      },
      onPeerMessage: (message, from) => this.#node.receive(from, message),
      onClient: (client) => this.#serve(client),
    });
  }

  /** Lets those who watch over it look in. */
  #showIn(monitor: Monitor): void {
    this.#node.leadership.onChange(({ leader }) => {
      if (leader !== null) monitor.metrics.leaders += 1;
    });
    monitor.show({
      readiness: new Readiness({
        clock: this.#opened.clock,
        status: () => this.#node.status(),
        isDiskFull: () => this.#node.condition().isDiskFull,
        whenReadable: () => this.#node.whenReadable(),
      }),
      sources: () => ({
        clusterId: this.clusterId,
        status: this.#node.status(),
        condition: this.#node.condition(),
        links: this.#links.views(),
        connections: this.#listener.counts(),
      }),
    });
  }

  #connect(): PeerLinks {
    const { network, clock, random, logger, identity, monitor } = this.#opened;
    return new PeerLinks({
      network,
      clock,
      random,
      logger,
      self: this.#config.nodeId,
      clusterId: this.clusterId,
      dataId: identity.dataId,
      address: this.#ownAddress(),
      isCalling: (id) => this.#listener.hasPeer(id),
      members: this.#linkedAddresses(),
      traffic: monitor?.metrics.peerTraffic ?? null,
      onStateChange: ({ id, lane, connected }) => {
        if (lane === "bulk") this.#node.bulkLaneChanged(id, connected);
      },
      onUnreachable: (id) => this.#node.reportUnreachable(id),
      onRefused: ({ code, message }) => {
        if (code === "removedNode" || code === "otherData") this.#fail(new NodeRefusedError(message));
      },
    });
  }

  #serve(client: ClientConnection): ClientHandlers {
    this.#clients.add(client);
    const work = this.#node.openWork({
      send: (answer) => void client.send(answer),
      fail: (error) => client.fail(error),
      isHeld: () => client.isBacklogged,
      hold: (bytes) => client.hold(bytes),
    });
    return {
      onRequest: (request) => this.#node.clients.handle(request, work),
      onRoom: () => work.resume(),
      onClose: () => {
        this.#clients.delete(client);
        work.close();
      },
    };
  }

  /**
   * Where others dial this node: as the members know it, or before that where it listens. A node that listens on all
   * addresses can't tell which of them that is; but before it is a member it calls only those who called it there.
   */
  #ownAddress(): string {
    const { nodeId, bind } = this.#config;
    const record = this.#node.configuration.members.find(({ id }) => id === nodeId);
    const host = isDialable(bind) ? bind.host : "localhost";
    return record?.address ?? formatAddress({ host, port: this.#listener.address.port });
  }

  /** Where those are dialled that decide now or did before the newest change: its answers come from both. */
  #linkedAddresses(): readonly NodeAddress[] {
    const newest = addressesOf(this.#node.configuration);
    const ids = new Set(newest.map(({ id }) => id));
    return [...newest, ...addressesOf(this.#node.committedConfiguration).filter(({ id }) => !ids.has(id))];
  }

  #configurationChanged(): void {
    this.#links.update(this.#linkedAddresses());
    const { appliedConfiguration, committedConfiguration } = this.#node;
    for (const id of appliedConfiguration.removedIds) this.#listener.dropPeer(id);
    // Who was let in when its data folder was not known has to say again which it comes with.
    for (const { id, dataId } of this.#node.configuration.members) {
      if (dataId !== null) this.#listener.dropPeer(id, { keptDataId: dataId });
    }
    const members = membersOf(committedConfiguration);
    const { appliedIndex } = this.#node.status();
    for (const client of this.#clients) client.send({ kind: "members", appliedIndex, members });
    if (appliedConfiguration.removedIds.includes(this.#config.nodeId)) this.#removed();
  }

  /** This node is no member any more. Whoever waits gets an answer first. */
  #removed(): void {
    if (this.#leaving !== null || this.#stopping !== null) return;
    const reason = new NodeRefusedError(
      `node ${this.#config.nodeId} was removed from the cluster, and its id is spent. Its data folder is not needed any more.`,
    );
    this.#leaving = this.#opened.clock.after(this.#config.heartbeatMs, () => this.#fail(reason));
  }

  /** Asks which node is at the address of a change; the reason where it is not the one that is meant. */
  async #probe(change: AddressedChange): Promise<JoiningNode | string> {
    const { id, address } = change;
    try {
      const welcome = await this.#welcomeAt(address, { isSelf: id === this.#config.nodeId });
      const { clusterId, nodeId, dataId } = welcome;
      if (clusterId === this.clusterId && nodeId === id) return { id, address, dataId };
      const found = clusterId === this.clusterId
        ? `node ${nodeId}`
        : `a node of cluster ${shortened(clusterId)}`;
      return `${found} answers at ${address}${
        change.kind === "update" ? `. ${adviceForMember(change)}` : ""
      }`;
    } catch (error) {
      const advice = change.kind === "update" ? adviceForMember(change) : this.#adviceForNew(change);
      return `${errorMessage(error).replace(/\.$/, "")}. ${advice}`;
    }
  }

  /** The welcome of the node at an address. A node that calls itself is refused as a peer, and not as a client. */
  #welcomeAt(address: string, { isSelf }: { readonly isSelf: boolean }): Promise<Welcome> {
    const { network, clock, identity: { dataId } } = this.#opened;
    const { nodeId } = this.#config;
    const options = { network, clock, signal: this.#stopProbes.signal };
    if (isSelf) return probeAny([parseAddress(address)], options);
    const caller = { role: "peer", clusterId: this.clusterId, nodeId, dataId } as const;
    return probePeer(parseAddress(address), {
      ...options,
      caller: { ...caller, address: this.#ownAddress() },
    });
  }

  #adviceForNew({ id, address }: AddressedChange): string {
    return `Start the new node first: kvraft server --node-id ${id} --bind ${address} --join ${this.#ownAddress()}`;
  }

  /** The node can't go on: nothing it holds may be trusted, so it only lets go of what it has open. */
  #fail(error: unknown): void {
    this.#opened.logger.error("this node stops", { reason: errorMessage(error) });
    this.#stopping ??= this.#stop({ orderly: false });
    this.#stopping.then(() => this.#finished.resolve(error), () => this.#finished.resolve(error));
  }

  async #stop({ orderly }: { readonly orderly: boolean }): Promise<void> {
    const { start, directory, logger, monitor } = this.#opened;
    monitor?.show({ reason: "stopping", message: "This node is stopping." });
    try {
      this.#leaving?.cancel();
      this.#stopProbes.abort();
      this.#node.clients.stop();
      if (orderly) await this.#node.leave(this.#config.electionTimeoutMs);
      await this.#node.stop();
      await this.#listener.close();
      await this.#links.close();
      await start.log.close();
    } finally {
      directory.close();
      await monitor?.close();
      logger.info("stopped");
    }
  }
}

/**
 * The limits, as far as the configuration says otherwise. Who wants a small log gets one: the tail that is kept for
 * followers is never larger than what calls for a snapshot.
 */
function withConfig(limits: ServerLimits, { snapshotLogBytes }: ServerConfig): ServerLimits {
  const { snapshots } = limits;
  const tailBytes = Math.min(snapshots.tailBytes, snapshotLogBytes);
  return { ...limits, snapshots: { ...snapshots, logBytes: snapshotLogBytes, tailBytes } };
}

/** What to do where a member does not answer at the address at which it is to be dialled. */
function adviceForMember({ id }: AddressedChange): string {
  return `Start node ${id} there first. With --force it is dialled there all the same: while the address is wrong, the ` +
    "cluster has lost touch with it";
}
