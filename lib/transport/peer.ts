/** Both lanes to one node, and their log lines: one when they are connected, one when they fail. */
import { FEATURE_LEVEL } from "../kv/feature_level.ts";
import { assertNever } from "../platform/assert.ts";
import type { NodeId } from "../raft/types.ts";
import { formatAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { HandshakeError } from "../protocol/errors.ts";
import { logConnectionFault } from "../platform/fault.ts";
import type { PeerAuthentication } from "./handshake/peer_authentication.ts";
import { leastOf, type PeerAuthenticatedBy } from "../protocol/messages.ts";
import type { Lane, PeerCaller } from "../protocol/hello.ts";
import { PEER_FAILURE_LOG_INTERVAL_MS, PEER_START_QUIET_MS } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";
import type { Network } from "../platform/network.ts";
import type { PeerMessage } from "../protocol/peer_frames.ts";
import type { Traffic } from "./frame_reader.ts";
import { type LaneEvent, OutboundLane } from "./outbound_lane.ts";

/** The lanes that stay connected. */
export type LastingLane = Exclude<Lane, "probe">;

/** A lane's change of state. */
export interface LaneChange {
  readonly id: NodeId;
  readonly lane: LastingLane;
  readonly connected: boolean;
}

/** A hello that was not answered by the welcome of the expected node. */
export interface PeerRefusal {
  /** The expected node. */
  readonly id: NodeId;
  readonly code: HandshakeError["code"];
  /** The error message. */
  readonly message: string;
}

/** Options of a {@link Peer}. */
export interface PeerOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly self: NodeId;
  readonly clusterId: string;
  /** Id of this node's data directory. */
  readonly dataId: number;
  /** Address at which others dial this node. */
  readonly address: string;
  /** The peer secret; null, the default, without one. */
  readonly peerAuthentication?: PeerAuthentication | null;
  /** Counts the bytes of all lanes after their hello; null for no counting. */
  readonly traffic?: Traffic | null;
  /** Returns the feature level of the cluster's state, as this node has applied it. */
  readonly featureLevel: () => number;
  /** Where this node serves etcd's clients; null, the default, where it does not. */
  readonly etcdUrl?: string | null;
  /** Called when a lane was connected or lost, with the messages queued on it. */
  readonly onStateChange: (change: LaneChange) => void;
  /** Called for each attempt at which a node's machine refused the connection: its process has ended. */
  readonly onUnreachable: (id: NodeId) => void;
  /** Called for each attempt at which a node refused this one, or is not the expected one. */
  readonly onRefused: (refusal: PeerRefusal) => void;
}

/** Both lanes to one node. */
export class Peer {
  readonly #peer: NodeAddress;
  readonly #options: PeerOptions;
  readonly #lanes: Readonly<Record<LastingLane, OutboundLane>>;
  /** Until then failures are not logged: nodes that start together reach each other within moments. */
  readonly #startingUntil: number;
  /** Time of the last logged failure; null since both lanes were connected. */
  #loggedFailureAt: number | null = null;
  #failures = 0;
  /** Code of the last refusal since both lanes were connected; null without one. */
  #refusedWith: PeerRefusal["code"] | null = null;

  /** Begins to connect. */
  constructor(peer: NodeAddress, options: PeerOptions) {
    this.#peer = peer;
    this.#options = options;
    this.#startingUntil = options.clock.now() + PEER_START_QUIET_MS;
    this.#lanes = { control: this.#open("control"), bulk: this.#open("bulk") };
  }

  /** Address that is dialled. */
  get address(): string {
    return formatAddress(this.#peer.address);
  }

  /** Whether both lanes are connected. */
  get isConnected(): boolean {
    return this.#lanes.control.isConnected && this.#lanes.bulk.isConnected;
  }

  /** How the node has authenticated each lane that is connected. */
  get authentications(): readonly PeerAuthenticatedBy[] {
    const { control, bulk } = this.#lanes;
    return [control.authenticatedBy, bulk.authenticatedBy].filter((by) => by !== null);
  }

  /** Round trip time of the control lane's last ping; null before the first answer. */
  get roundTripMs(): number | null {
    return this.#lanes.control.roundTripMs;
  }

  /** Queues a message; false if it was dropped. */
  send(message: PeerMessage): boolean {
    return this.#lanes[laneOf(message)].send(message);
  }

  /** Starts waiting attempts now, since the node has connected to this one and so runs. */
  retryNow(): void {
    this.#lanes.control.retryNow();
    this.#lanes.bulk.retryNow();
  }

  /** Closes the lanes if the node does not know the cluster's feature level. */
  dropBelowFeatureLevel(): void {
    this.#lanes.control.dropBelowFeatureLevel();
    this.#lanes.bulk.dropBelowFeatureLevel();
  }

  /** See {@link OutboundLane.secretReplaced}. */
  secretReplaced(): void {
    this.#lanes.control.secretReplaced();
    this.#lanes.bulk.secretReplaced();
  }

  /** Closes both lanes without events; resolves once that is done. */
  async close(): Promise<void> {
    await Promise.all([this.#lanes.control.close(), this.#lanes.bulk.close()]);
  }

  /** Closes both lanes with an event for each that was connected, since the rest of this node continues. */
  async drop(): Promise<void> {
    const { id } = this.#peer;
    const lost = (["control", "bulk"] as const).filter((lane) => this.#lanes[lane].isConnected);
    const closed = this.close();
    for (const lane of lost) this.#options.onStateChange({ id, lane, connected: false });
    await closed;
  }

  #open(lane: LastingLane): OutboundLane {
    const { network, clock, random, self, clusterId, dataId, address, traffic = null } = this.#options;
    const caller: PeerCaller = {
      role: "peer",
      clusterId,
      nodeId: self,
      lane,
      dataId,
      address,
      featureLevel: FEATURE_LEVEL,
      etcdUrl: this.#options.etcdUrl ?? null,
      credentials: null,
    };
    const onEvent = (event: LaneEvent): void => this.#onEvent(lane, event);
    const onFault = (error: unknown): void => {
      logConnectionFault(this.#options.logger, error, { ...this.#fields(), lane });
    };
    const { featureLevel, peerAuthentication = null } = this.#options;
    return new OutboundLane({
      network,
      clock,
      random,
      caller,
      peer: this.#peer,
      peerAuthentication,
      featureLevel,
      traffic,
      onEvent,
      onFault,
    });
  }

  #onEvent(lane: LastingLane, event: LaneEvent): void {
    const { id } = this.#peer;
    switch (event.kind) {
      case "connected":
        if (this.isConnected) this.#logConnected();
        this.#options.onStateChange({ id, lane, connected: true });
        break;
      case "disconnected":
        this.#failures += 1;
        this.#logFailure("Lost the connection to a node", event.reason);
        this.#options.onStateChange({ id, lane, connected: false });
        break;
      case "failed":
        this.#failures += 1;
        if (event.isUnreachable) this.#options.onUnreachable(id);
        if (this.#options.clock.now() < this.#startingUntil) break;
        this.#logFailure("Cannot reach a node; trying again", event.reason);
        break;
      case "refused":
        this.#failures += 1;
        // Most refusals need an operator, so a new one is logged at once.
        if (event.code !== this.#refusedWith) this.#loggedFailureAt = null;
        this.#refusedWith = event.code;
        this.#logFailure("Cannot reach a node; trying again", event.reason);
        this.#options.onRefused({ id, code: event.code, message: event.reason });
        break;
      default:
        assertNever(event);
    }
  }

  #logConnected(): void {
    const authenticatedBy = leastOf(this.authentications);
    this.#options.logger.info("Connected to a node", {
      event: "peerConnected",
      ...this.#fields(),
      authenticatedBy,
    });
    this.#loggedFailureAt = null;
    this.#failures = 0;
    this.#refusedWith = null;
  }

  /** Logs the first failure, then at most one in each interval. */
  #logFailure(what: string, reason: string): void {
    const now = this.#options.clock.now();
    if (this.#loggedFailureAt !== null && now - this.#loggedFailureAt < PEER_FAILURE_LOG_INTERVAL_MS) return;
    this.#loggedFailureAt = now;
    this.#options.logger.warn(what, {
      event: "peerUnreachable",
      ...this.#fields(),
      reason,
      failures: this.#failures,
    });
  }

  #fields(): { readonly peer: NodeId; readonly address: string } {
    return { peer: this.#peer.id, address: this.address };
  }
}

function laneOf(message: PeerMessage): LastingLane {
  switch (message.kind) {
    case "preVote":
    case "preVoteResponse":
    case "requestVote":
    case "requestVoteResponse":
    case "heartbeat":
    case "heartbeatResponse":
    case "timeoutNow":
    case "readIndex":
    case "readIndexResponse":
      return "control";
    case "appendEntries":
    case "appendEntriesResponse":
    case "forward":
    case "forwardResult":
    case "snapshotChunk":
    case "snapshotProgress":
    case "describe":
    case "described":
      return "bulk";
    default:
      return assertNever(message);
  }
}
