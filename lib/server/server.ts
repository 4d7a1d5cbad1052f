/**
 * A server, put together and taken apart: the data folder, the log, the node, its links to the others, its listener.
 *
 * Whatever is opened here is closed here, in the opposite order, also when something in between fails.
 */
import { ConnectionListener } from "../net/listener.ts";
import type { ClientConnection, ClientHandlers } from "../net/client_connection.ts";
import type { Clock, Random } from "../net/clock.ts";
import type { Logger } from "../net/logger.ts";
import type { Address, Network } from "../net/network.ts";
import { PeerLinks } from "../net/peer_links.ts";
import type { RecoveredState } from "../raft/mod.ts";
import { DataDirectory, type Disk, type RecoveredLog, WriteAheadLog } from "../storage/mod.ts";
import { clusterIdOf } from "./cluster_id.ts";
import type { ServerConfig } from "./config.ts";
import { Node } from "./node.ts";
import { SERVER_LIMITS, type ServerLimits } from "./server_limits.ts";

/** What a server takes from its surroundings; a simulator brings its own. */
export interface ServerPlatform {
  readonly disk: Disk;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Default {@link SERVER_LIMITS}. */
  readonly limits?: ServerLimits;
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
 * Opens the data folder, reads the log back, and begins to serve.
 *
 * Throws the named errors of lib/storage (a foreign, locked or damaged folder: nothing is changed) and NetworkError
 * (the address is taken, or not local).
 */
export async function startServer(config: ServerConfig, platform: ServerPlatform): Promise<RunningServer> {
  const { disk, logger, limits = SERVER_LIMITS } = platform;
  const identity = { clusterId: clusterIdOf(config.clusterName, config.members), nodeId: config.nodeId };
  const directory = await DataDirectory.open({ disk, path: config.dataDir, identity });
  try {
    const { log, recovered } = await WriteAheadLog.open({
      disk,
      directory: directory.walDirectory,
      identity,
      segmentBytes: config.segmentBytes,
      tailBytes: limits.raft.tailBytes,
    });
    try {
      noteRecovery(logger, recovered);
      const { clusterId } = identity;
      return new Server(config, { ...platform, limits, directory, log, recovered, clusterId });
    } catch (error) {
      await log.close();
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
  readonly directory: DataDirectory;
  readonly log: WriteAheadLog;
  readonly recovered: RecoveredState;
  readonly clusterId: string;
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
  #stopping: Promise<void> | null = null;

  constructor(config: ServerConfig, opened: Opened) {
    this.#config = config;
    this.#opened = opened;
    this.clusterId = opened.clusterId;
    const { clock, random, logger, limits, network, log, recovered } = opened;
    this.#node = new Node({
      id: config.nodeId,
      members: config.members,
      electionTimeoutMs: config.electionTimeoutMs,
      heartbeatMs: config.heartbeatMs,
      maxValueBytes: config.maxValueBytes,
      limits,
      log,
      recovered,
      clock,
      random,
      logger,
      send: (message, to) => this.#links.send(message, to),
      failed: (error) => this.#fail(error),
    });
    this.#listener = this.#listen();
    this.#links = new PeerLinks({
      network,
      clock,
      random,
      logger,
      self: config.nodeId,
      clusterId: opened.clusterId,
      members: config.members,
      onStateChange: ({ id, lane, connected }) => {
        if (lane === "bulk") this.#node.bulkLaneChanged(id, connected);
      },
    });
    this.#node.leadership.onChange(({ leader, term }) => {
      for (const client of this.#clients) client.send({ kind: "leader", leader, term });
    });
    this.#node.start();
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
    const { network, clock, logger } = this.#opened;
    const { bind, nodeId, members, maxConnections, maxValueBytes } = this.#config;
    return new ConnectionListener({
      network,
      clock,
      logger,
      bind,
      self: nodeId,
      clusterId: this.clusterId,
      members,
      maxConnections,
      maxValueBytes,
      situation: () => {
        const { leader, term, appliedIndex } = this.#node.status();
        return { leader, term, appliedIndex };
      },
      onPeerMessage: (message, from) => this.#node.receive(from, message),
      onClient: (client) => this.#serve(client),
      onFault: (error) => this.#fail(error),
    });
  }

  #serve(client: ClientConnection): ClientHandlers {
    this.#clients.add(client);
    return {
      onRequest: (request) => this.#node.clients.handle(request, (answer) => void client.send(answer)),
      onClose: () => void this.#clients.delete(client),
    };
  }

  /** The node can't go on: nothing it holds may be trusted, so it only lets go of what it has open. */
  #fail(error: unknown): void {
    this.#opened.logger.error("this node stops", {
      reason: error instanceof Error ? error.message : String(error),
    });
    this.#stopping ??= this.#stop({ orderly: false });
    this.#stopping.then(() => this.#finished.resolve(error), () => this.#finished.resolve(error));
  }

  async #stop({ orderly }: { readonly orderly: boolean }): Promise<void> {
    const { log, directory, logger } = this.#opened;
    try {
      this.#node.clients.stop();
      if (orderly) await this.#node.handOver(this.#config.electionTimeoutMs);
      await this.#node.stop();
      await this.#listener.close();
      await this.#links.close();
      await log.close();
    } finally {
      directory.close();
      logger.info("stopped");
    }
  }
}

function noteRecovery(logger: Logger, recovered: RecoveredLog): void {
  const { lastIndex, segments, bytes, cut, hardState } = recovered;
  if (cut !== null) {
    logger.warn("cut a torn tail off the log: the last write before the crash was not finished", {
      file: cut.file,
      offset: cut.offset,
      bytes: cut.bytes,
    });
  }
  logger.info("log opened", { lastIndex, term: hardState.term, segments, bytes });
}
