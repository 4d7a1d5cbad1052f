/** Both lanes to one node, and what the log says of them: one line when they are up, one when they fail. */
import { assertNever } from "../platform/assert.ts";
import type { NodeId } from "../raft/types.ts";
import { formatAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { HandshakeError } from "../protocol/errors.ts";
import { logConnectionFault } from "./fault.ts";
import type { Lane, PeerCaller } from "../protocol/hello.ts";
import { PEER_FAILURE_LOG_INTERVAL_MS, PEER_START_QUIET_MS } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";
import type { Network } from "../platform/network.ts";
import type { PeerMessage } from "../protocol/peer_frames.ts";
import type { Traffic } from "./frame_reader.ts";
import { type LaneEvent, OutboundLane } from "./outbound_lane.ts";

/** The lanes that last. */
export type LastingLane = Exclude<Lane, "probe">;

/** A lane's change of state. */
export interface LaneChange {
  readonly id: NodeId;
  readonly lane: LastingLane;
  readonly connected: boolean;
}

/** Somebody answered a hello with something else than the welcome of the node that was meant. */
export interface PeerRefusal {
  /** The node that was meant. */
  readonly id: NodeId;
  readonly code: HandshakeError["code"];
  /** A sentence for a person. */
  readonly message: string;
}

/** What the links to any node are made from. */
export interface PeerOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly self: NodeId;
  readonly clusterId: string;
  /** Which data folder is this node's. */
  readonly dataId: number;
  /** Where others dial this node. */
  readonly address: string;
  /** Counts the bytes of all links, from their hello on; null counts none. */
  readonly traffic?: Traffic | null;
  /** A lane came up or went down; with it went what was queued on it. */
  readonly onStateChange: (change: LaneChange) => void;
  /** Nobody listens at a node's address (the machine there says so itself: its process is gone); told of each attempt. */
  readonly onUnreachable: (id: NodeId) => void;
  /** A node won't have this one, or is not the one that was meant; told of each attempt. */
  readonly onRefused: (refusal: PeerRefusal) => void;
}

/** Both lanes to one node. */
export class Peer {
  readonly #peer: NodeAddress;
  readonly #options: PeerOptions;
  readonly #lanes: Readonly<Record<LastingLane, OutboundLane>>;
  /** Nodes that are started together find each other within moments; until then silence is not worth a line. */
  readonly #startingUntil: number;
  /** When a failure was last logged; null since both lanes were up. */
  #loggedFailureAt: number | null = null;
  #failures = 0;
  /** How the node was refused last since both lanes were up; null when it was not. */
  #refusedWith: PeerRefusal["code"] | null = null;

  /** Begins to connect. */
  constructor(peer: NodeAddress, options: PeerOptions) {
    this.#peer = peer;
    this.#options = options;
    this.#startingUntil = options.clock.now() + PEER_START_QUIET_MS;
    this.#lanes = { control: this.#open("control"), bulk: this.#open("bulk") };
  }

  /** Where it is dialled. */
  get address(): string {
    return formatAddress(this.#peer.address);
  }

  /** Whether both lanes are up. */
  get isConnected(): boolean {
    return this.#lanes.control.isConnected && this.#lanes.bulk.isConnected;
  }

  /** How long the last ping of the control lane took there and back; null while none has come back. */
  get roundTripMs(): number | null {
    return this.#lanes.control.roundTripMs;
  }

  /** Queues a message; false when it was dropped. */
  send(message: PeerMessage): boolean {
    return this.#lanes[laneOf(message)].send(message);
  }

  /** The node has called, so it runs: lanes that wait for their next attempt make it now. */
  hurry(): void {
    this.#lanes.control.hurry();
    this.#lanes.bulk.hurry();
  }

  /** Ends both lanes without telling of it; resolves when nothing is left of them. */
  async close(): Promise<void> {
    await Promise.all([this.#lanes.control.close(), this.#lanes.bulk.close()]);
  }

  /** The same, telling of each lane that was up: the rest of this node goes on, and must know what it has lost. */
  async drop(): Promise<void> {
    const { id } = this.#peer;
    const lost = (["control", "bulk"] as const).filter((lane) => this.#lanes[lane].isConnected);
    const closed = this.close();
    for (const lane of lost) this.#options.onStateChange({ id, lane, connected: false });
    await closed;
  }

  #open(lane: LastingLane): OutboundLane {
    const { network, clock, random, self, clusterId, dataId, address, traffic = null } = this.#options;
    const caller: PeerCaller = { role: "peer", clusterId, nodeId: self, lane, dataId, address };
    const onEvent = (event: LaneEvent): void => this.#onEvent(lane, event);
    const onFault = (error: unknown): void => {
      logConnectionFault(this.#options.logger, error, { ...this.#fields(), lane });
    };
    return new OutboundLane({ network, clock, random, caller, peer: this.#peer, traffic, onEvent, onFault });
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
        if (event.isNobodyThere) this.#options.onUnreachable(id);
        if (this.#options.clock.now() < this.#startingUntil) break;
        this.#logFailure("Cannot reach a node; trying again", event.reason);
        break;
      case "refused":
        this.#failures += 1;
        // Against most refusals only an operator helps, who is to see a new one at once.
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
    this.#options.logger.info("Connected to a node", this.#fields());
    this.#loggedFailureAt = null;
    this.#failures = 0;
    this.#refusedWith = null;
  }

  /** The first failure, then one line for all of an interval. */
  #logFailure(what: string, reason: string): void {
    const now = this.#options.clock.now();
    if (this.#loggedFailureAt !== null && now - this.#loggedFailureAt < PEER_FAILURE_LOG_INTERVAL_MS) return;
    this.#loggedFailureAt = now;
    this.#options.logger.warn(what, { ...this.#fields(), reason, failures: this.#failures });
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
      return "bulk";
    default:
      return assertNever(message);
  }
}
