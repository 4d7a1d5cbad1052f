/**
 * Accepts connections, has their hello answered, and passes on what follows: messages of peers, and connections of
 * clients.
 *
 * A connection without a hello takes a socket and a small buffer for at most HELLO_TIMEOUT_MS, and is closed earlier when
 * others wait (pending_hellos.ts), so silent connections cannot exclude others; a client beyond the limits is refused with
 * `busy`, or takes the place of an idle one (connected_clients.ts). A newer connection of a peer's lane replaces the older one; beyond MAX_PEER_LANES the oldest lane of a non-member
 * is closed. The server decides which nodes may connect as peers: it knows the members, the removed nodes, and their data
 * directories.
 *
 * An error while a connection is served ends that connection and nothing else (fault.ts).
 */
import { hostOf } from "../platform/address.ts";
import { assert } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Connection, Listener, Network } from "../platform/network.ts";
import type { PeerCaller } from "../protocol/hello.ts";
import {
  CLIENT_IDLE_CHECKS,
  CLIENT_QUEUE_MAX_BYTES,
  MAX_FRAME_BYTES,
  MAX_PEER_LANES,
  MAX_PENDING_HELLOS,
  MAX_WAITING_BYTES,
} from "../protocol/limits.ts";
import type { PeerAuthenticatedBy } from "../protocol/messages.ts";
import type { PeerMessage } from "../protocol/peer_frames.ts";
import type { NodeId } from "../raft/types.ts";
import { acceptConnections } from "../platform/accept_loop.ts";
import { ClientConnection, type ClientHandlers } from "./client_connection.ts";
import { ConnectedClients } from "./connected_clients.ts";
import { logConnectionFault } from "../platform/fault.ts";
import { type ChannelSizes, FrameChannel, FrameDeadlines } from "./frame_channel.ts";
import type { Traffic } from "./frame_reader.ts";
import { AcceptingHandshake, type HandshakeHandlers, type Welcomed } from "./handshake/accepting.ts";
import {
  type Authenticated,
  type PeerAuthentication,
  type ProofFailures,
  SECRET_REPLACED,
} from "./handshake/peer_authentication.ts";
import type { CertificateRules } from "./handshake/certificate_rules.ts";
import { IN_PROCESS_REMOTE, inProcessPair, type InProcessUse } from "./in_process.ts";
import { InboundLane } from "./inbound_lane.ts";
import { PendingHellos } from "./pending_hellos.ts";
import { RequestTurns } from "./request_turns.ts";
import { TwinCallers } from "./twin_callers.ts";
import { WaitingMemory } from "./waiting_memory.ts";

const SIZES: ChannelSizes = {
  readBytes: 16_384,
  retainedBytes: 131_072, // a frame with a value of 64 KiB
  maxQueuedBytes: CLIENT_QUEUE_MAX_BYTES,
};
/** Of a front end of this node, which reads long listings page by page. Its buffers are freed once it is idle. */
const IN_PROCESS_SIZES: ChannelSizes = { ...SIZES, retainedBytes: 4_194_304 };
const PEER_RETAINED_BYTES = 1_048_576;

/** Options of a {@link ConnectionListener}. */
export interface ConnectionListenerOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Address to listen on. */
  readonly bind: Address;
  readonly self: NodeId;
  readonly clusterId: string;
  /** Id of this node's data directory, part of the welcome. */
  readonly dataId: number;
  /** Maximum number of clients. */
  readonly maxConnections: number;
  /** Maximum number of clients from one source address; null, the default, for a share of `maxConnections`. */
  readonly maxConnectionsPerAddress?: number | null;
  /** Maximum number of connections without a hello. Default MAX_PENDING_HELLOS. */
  readonly maxPendingHellos?: number;
  /** Maximum bytes of a value, part of the welcome. */
  readonly maxValueBytes: number;
  /** Bytes that may wait for slow connections in total. Default {@link MAX_WAITING_BYTES}. */
  readonly maxWaitingBytes?: number;
  /** The peer secret; null where none is configured. */
  readonly peerAuthentication?: PeerAuthentication | null;
  /** The certificates that are demanded; null, the default, without TLS. */
  readonly tls?: { readonly rules: CertificateRules } | null;
  /** Counts the bytes of clients and of peers after their hello; null for no counting. */
  readonly traffic?: { readonly clients: Traffic; readonly peers: Traffic } | null;
}

/** The parts of a server that handle connections. */
export interface ConnectionHandlers extends HandshakeHandlers {
  /** Called when a peer was welcomed, before its first message. */
  readonly onPeerHello: (caller: PeerCaller) => void;
  /**
   * Handles a validated message from `from` to this node. A DecodeError that it throws closes the connection: no correct
   * peer sends such a message.
   */
  readonly onPeerMessage: (message: PeerMessage, from: NodeId) => void;
  /** Called after a client's hello; returns the handlers of its requests. */
  readonly onClient: (client: ClientConnection) => ClientHandlers;
}

/** Numbers of connections. */
export interface ConnectionCounts {
  /** Connected clients. */
  readonly clients: number;
  /** Connected lanes of other nodes. */
  readonly peerLanes: number;
  /** Connections without a hello yet. */
  readonly pending: number;
  /** All accepted connections so far. */
  readonly accepted: number;
  /** Refused hellos so far. */
  readonly refused: number;
  /** Nodes that were not authenticated so far, by reason; null without the peer secret. */
  readonly failedProofs: Readonly<ProofFailures> | null;
  /** Bytes that wait for slow connections. */
  readonly waitingBytes: number;
  /** Connections closed so far because too many bytes waited in total. */
  readonly overloaded: number;
}

/** An accepted lane of a peer. */
interface AcceptedLane {
  readonly nodeId: NodeId;
  /** Data directory id in its hello. */
  readonly dataId: number;
  /** Highest feature level that the node knows. */
  readonly featureLevel: number;
  readonly authenticated: Authenticated;
  /** Whether it was opened for its welcome only. */
  readonly isProbe: boolean;
  /** Time of its last ping, or of its hello. */
  heardAtMs: number;
  readonly channel: FrameChannel;
}

/** Accepts connections from its start until it is closed. */
export class ConnectionListener {
  readonly #options: ConnectionListenerOptions;
  readonly #listener: Listener;
  readonly #closing = new AbortController();
  #accepting: Promise<void> = Promise.resolve();
  /** Null before {@link start}, when nothing is accepted. */
  #startedWith: ConnectionHandlers | null = null;
  readonly #pending: PendingHellos;
  readonly #clients: ConnectedClients<ClientConnection>;
  /** The front ends of this node. */
  readonly #inProcess = new Set<ClientConnection>();
  /** Accepted lanes, by node and lane. */
  readonly #peers = new Map<string, AcceptedLane>();
  readonly #serving = new Set<Promise<void>>();
  readonly #memory: WaitingMemory;
  readonly #turns: RequestTurns;
  readonly #deadlines: FrameDeadlines;
  readonly #twins: TwinCallers;
  readonly #handshake: AcceptingHandshake;
  #accepted = 0;

  /** Begins to listen; throws NetworkError if that fails. Connections are accepted after {@link start}. */
  constructor(options: ConnectionListenerOptions) {
    this.#options = options;
    const { clock, logger, maxPendingHellos: maxPending = MAX_PENDING_HELLOS } = options;
    const { maxWaitingBytes: maxBytes = MAX_WAITING_BYTES } = options;
    const { signal } = this.#closing;
    this.#pending = new PendingHellos({ clock, maxPending, signal });
    this.#clients = new ConnectedClients({
      maxClients: options.maxConnections,
      maxClientsPerAddress: options.maxConnectionsPerAddress ?? null,
      idleChecks: CLIENT_IDLE_CHECKS,
    });
    this.#memory = new WaitingMemory({ maxBytes, clock, logger });
    this.#turns = new RequestTurns(clock);
    this.#deadlines = new FrameDeadlines(options);
    this.#twins = new TwinCallers(options);
    this.#handshake = new AcceptingHandshake({
      ...options,
      handlers: () => this.#handlers,
      makeSpaceForClient: (remote) => this.#clients.makeSpace(remote),
    });
    this.#listener = options.network.listen(options.bind);
  }

  /** Begins to accept connections. */
  start(handlers: ConnectionHandlers): void {
    assert(this.#startedWith === null, "a listener starts once");
    this.#startedWith = handlers;
    const { clock, logger } = this.#options;
    const { signal } = this.#closing;
    const take = (connection: Connection): Promise<void> => this.#take(connection);
    const closeIdle = (): void => this.#pending.closeSilent();
    this.#accepting = acceptConnections(this.#listener, { clock, logger, signal, take, closeIdle });
  }

  /**
   * Opens a connection of a client within this process, without the limits on clients. Returns the client's end. `remote`:
   * the address of the client for which it signs in, by which failed attempts count; null for none.
   */
  connectInProcess(use: InProcessUse, remote: string | null = null): Connection {
    const [caller, accepted] = inProcessPair(remote ?? IN_PROCESS_REMOTE);
    const channel = this.#channelOf(accepted, use);
    this.#accept(channel, () => {});
    return caller;
  }

  /** The address it listens on, with the real port if 0 was requested. */
  get address(): Address {
    return this.#listener.address;
  }

  /** Connected clients. */
  get clientCount(): number {
    return this.#clients.size;
  }

  /** Returns the numbers of connections. */
  counts(): ConnectionCounts {
    return {
      clients: this.#clients.size,
      peerLanes: this.#peers.size,
      pending: this.#pending.size,
      accepted: this.#accepted,
      refused: this.#handshake.refused,
      failedProofs: this.#options.peerAuthentication?.failures ?? null,
      waitingBytes: this.#memory.usedBytes,
      overloaded: this.#memory.closedConnections,
    };
  }

  /** Returns the time of the last ping of a node that is connected to this one; null if it is not. */
  heardAtMs(id: NodeId): number | null {
    const lanes = [...this.#peers.values()].filter(({ nodeId, isProbe }) => nodeId === id && !isProbe);
    return lanes.length === 0 ? null : Math.max(...lanes.map(({ heardAtMs }) => heardAtMs));
  }

  /** Whether a node is connected to this one. */
  hasPeer(id: NodeId): boolean {
    for (const { nodeId } of this.#peers.values()) if (nodeId === id) return true;
    return false;
  }

  /**
   * Closes the connections of a node, or those with another data directory than `keptDataId`. The node may connect again,
   * and is authorized again.
   */
  dropPeer(id: NodeId, { keptDataId = null }: { readonly keptDataId?: number | null } = {}): void {
    for (const { nodeId, dataId, channel } of [...this.#peers.values()]) {
      if (nodeId === id && dataId !== keptDataId) channel.close("this node closed the connections of a node");
    }
  }

  /** Closes the connections of nodes that do not know a feature level; they are authorized again when they return. */
  dropPeersBelow(level: number): void {
    for (const { featureLevel, channel } of [...this.#peers.values()]) {
      if (featureLevel < level) channel.close("the node does not know the cluster's feature level");
    }
  }

  /** Closes the connections of peers that have proved a secret which was replaced. */
  dropPeersOfOldSecrets(): void {
    const { peerAuthentication } = this.#options;
    for (const { authenticated, channel } of [...this.#peers.values()]) {
      if (peerAuthentication?.isCurrent(authenticated) === false) channel.close(SECRET_REPLACED);
    }
  }

  /** Returns how a node has authenticated each of its connections to this one. */
  authenticationsOf(id: NodeId): readonly PeerAuthenticatedBy[] {
    const lanes = [...this.#peers.values()].filter(({ nodeId, isProbe }) => nodeId === id && !isProbe);
    return lanes.map(({ authenticated }) => authenticated.by);
  }

  /** Stops listening and closes every connection; those of clients after their answers are sent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#listener.close();
    const reason = "this node is stopping";
    const lanes = [...this.#peers.values()].map(({ channel }) => channel);
    this.#pending.closeAll(reason);
    for (const channel of lanes) channel.close(reason);
    await Promise.all([...this.#clients, ...this.#inProcess].map((client) => client.close(reason)));
    await Promise.all([this.#accepting, ...this.#serving]);
    this.#handshake.stop();
  }

  get #handlers(): ConnectionHandlers {
    assert(this.#startedWith !== null, "connections are accepted after the start");
    return this.#startedWith;
  }

  /** Serves a connection once there is capacity for it. */
  async #take(connection: Connection): Promise<void> {
    this.#accepted += 1;
    const channel = this.#channelOf(connection, null);
    const heard = await this.#pending.add(channel);
    if (heard === null || this.#closing.signal.aborted) return channel.close("this node is stopping");
    this.#accept(channel, heard);
  }

  #channelOf(connection: Connection, inProcess: InProcessUse | null): FrameChannel {
    const { clock, logger } = this.#options;
    const { remote } = connection;
    const onFault = (error: unknown): void => logConnectionFault(logger, error, { remote });
    // Memory that other clients use must not end a front end: it is one connection, with bounded requests.
    const memory = inProcess === null ? this.#memory : null;
    const sizes = inProcess === null ? SIZES : IN_PROCESS_SIZES;
    return new FrameChannel(connection, { clock, sizes, onFault, memory, inProcess });
  }

  /** Answers the hello of a connection and serves it to its end. */
  #accept(channel: FrameChannel, heard: () => void): void {
    const serve = (welcomed: Welcomed): Promise<void> => this.#serve(channel, welcomed);
    const serving = this.#handshake.accept(channel, { heard, serve })
      .catch((error: unknown) => {
        channel.close("a fault in kvraft ended it");
        logConnectionFault(this.#options.logger, error, { remote: channel.remote });
      })
      .finally(() => {
        channel.close("it was served to its end");
        this.#deadlines.remove(channel);
        this.#serving.delete(serving);
      });
    this.#serving.add(serving);
  }

  /** Serves one connection from its welcome to its end. */
  async #serve(channel: FrameChannel, { caller, authenticated }: Welcomed): Promise<void> {
    const traffic = this.#options.traffic?.[caller.role === "client" ? "clients" : "peers"];
    if (traffic !== undefined) channel.countIn(traffic);
    this.#deadlines.add(channel);
    if (caller.role === "client") {
      channel.allow({ maxFrameBytes: MAX_FRAME_BYTES, retainedBytes: SIZES.retainedBytes });
      channel.shareTurns(this.#turns);
      await this.#serveClient(channel);
    } else {
      channel.allow({ maxFrameBytes: MAX_FRAME_BYTES, retainedBytes: PEER_RETAINED_BYTES });
      await this.#servePeer(channel, { peer: caller, authenticated });
    }
  }

  async #serveClient(channel: FrameChannel): Promise<void> {
    const client = new ClientConnection(
      channel,
      this.#options.tls?.rules.identityOf(channel.security) ?? null,
    );
    const handlers = this.#handlers.onClient(client);
    // A front end of this node has no limit, and it is not closed for another client.
    const clients = channel.inProcess === null ? this.#clients : this.#inProcess;
    clients.add(client);
    try {
      const reason = await client.serve(handlers);
      this.#options.logger.debug("A client's connection ended", { remote: client.remote, reason });
    } finally {
      channel.close("it was served to its end");
      clients.delete(client);
      handlers.onClose();
    }
  }

  async #servePeer(
    channel: FrameChannel,
    { peer, authenticated }: { readonly peer: PeerCaller; readonly authenticated: Authenticated },
  ): Promise<void> {
    const key = `${peer.nodeId}/${peer.lane}`;
    const older = this.#peers.get(key)?.channel;
    if (older !== undefined && older.closeReason === null && peer.lane !== "probe") {
      this.#twins.replaced(peer.nodeId, { older: older.remote, newer: channel.remote });
    }
    older?.close("the peer has opened a newer connection");
    this.#peers.delete(key);
    if (this.#peers.size >= MAX_PEER_LANES) this.#closeOldestNonMember();
    const { nodeId, dataId, featureLevel, lane: name } = peer;
    const { self, logger, clock } = this.#options;
    const isProbe = name === "probe";
    const heardAtMs = clock.now();
    const accepted: AcceptedLane = {
      nodeId,
      dataId,
      featureLevel,
      authenticated,
      isProbe,
      heardAtMs,
      channel,
    };
    this.#peers.set(key, accepted);
    const { members, onPeerMessage, onPeerHello } = this.#handlers;
    const onPing = (): void => {
      accepted.heardAtMs = clock.now();
    };
    const lane = new InboundLane(channel, { peer, self, logger, onPeerMessage, onPing });
    if (members().some(({ id }) => id === peer.nodeId)) {
      this.#pending.rememberPeer(hostOf(channel.remote));
      // Memory that clients use must not close a member's lane; there are few members, with one frame in each lane.
      channel.leaveMemory();
    } else {
      channel.shareTurns(this.#turns);
    }
    try {
      onPeerHello(peer);
      const reason = await channel.readFrames((payload) => lane.onFrame(payload));
      this.#options.logger.debug("A peer's connection ended", { peer: peer.nodeId, lane: peer.lane, reason });
    } finally {
      if (this.#peers.get(key) === accepted) this.#peers.delete(key);
    }
  }

  /** Ends the oldest lane of a node that is no member. */
  #closeOldestNonMember(): void {
    const members = new Set(this.#handlers.members().map(({ id }) => id));
    for (const [key, { nodeId, channel }] of this.#peers) {
      if (members.has(nodeId)) continue;
      this.#peers.delete(key);
      return channel.close("too many nodes are connected that are not members");
    }
  }
}
