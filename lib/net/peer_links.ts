/**
 * The links to all other nodes: two lanes to each, so that heartbeats and votes never wait behind entries.
 *
 * control: votes, heartbeats, read indexes, TimeoutNow and their answers. bulk: AppendEntries, forwarded writes and
 * their answers.
 */
import { assertNever } from "../assert.ts";
import type { NodeId } from "../raft/types.ts";
import { formatAddress, type NodeAddress } from "./address.ts";
import type { Clock, Random } from "./clock.ts";
import type { Lane } from "./hello_codec.ts";
import { PEER_FAILURE_LOG_INTERVAL_MS, PEER_START_QUIET_MS } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Network } from "./network.ts";
import type { PeerMessage } from "./peer_codec.ts";
import { type LinkEvent, PeerLink } from "./peer_link.ts";

/** What the links are made from. */
export interface PeerLinksOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly self: NodeId;
  readonly clusterId: string;
  /** All nodes; this one among them or not. */
  readonly members: readonly NodeAddress[];
  /** A lane came up or went down; with it went what was queued on it. Not called once {@link PeerLinks.close} was. */
  readonly onStateChange: (change: LinkChange) => void;
}

/** A lane's change of state. */
export interface LinkChange {
  readonly id: NodeId;
  readonly lane: Lane;
  readonly connected: boolean;
}

/** Sends to every other node of the cluster. */
export class PeerLinks {
  readonly #peers = new Map<NodeId, Peer>();

  /** Begins to connect to every other node. */
  constructor(options: PeerLinksOptions) {
    for (const member of options.members) {
      if (member.id !== options.self) this.#peers.set(member.id, new Peer(member, options));
    }
  }

  /**
   * Queues a message for the end of the turn. False when it was dropped: not connected, too much is queued, or no
   * such node. The core sends again what matters.
   */
  send(message: PeerMessage, to: NodeId): boolean {
    return this.#peers.get(to)?.send(message) ?? false;
  }

  /** Whether both lanes to a node are up. */
  isConnected(id: NodeId): boolean {
    return this.#peers.get(id)?.isConnected ?? false;
  }

  /** Ends every link; resolves when nothing is left of them. */
  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
  }
}

/** Both lanes to one node, and what the log says of them: one line when they are up, one when they fail. */
class Peer {
  readonly #peer: NodeAddress;
  readonly #options: PeerLinksOptions;
  readonly #lanes: Readonly<Record<Lane, PeerLink>>;
  /** Nodes that are started together find each other within moments; until then silence is not worth a line. */
  readonly #startingUntil: number;
  /** When a failure was last logged; null since both lanes were up. */
  #loggedFailureAt: number | null = null;
  #failures = 0;

  constructor(peer: NodeAddress, options: PeerLinksOptions) {
    this.#peer = peer;
    this.#options = options;
    this.#startingUntil = options.clock.now() + PEER_START_QUIET_MS;
    this.#lanes = { control: this.#open("control"), bulk: this.#open("bulk") };
  }

  get isConnected(): boolean {
    return this.#lanes.control.isConnected && this.#lanes.bulk.isConnected;
  }

  send(message: PeerMessage): boolean {
    return this.#lanes[laneOf(message)].send(message);
  }

  async close(): Promise<void> {
    await Promise.all([this.#lanes.control.close(), this.#lanes.bulk.close()]);
  }

  #open(lane: Lane): PeerLink {
    const { network, clock, random, self, clusterId } = this.#options;
    const onEvent = (event: LinkEvent): void => this.#onEvent(lane, event);
    return new PeerLink({ network, clock, random, self, clusterId, peer: this.#peer, lane, onEvent });
  }

  #onEvent(lane: Lane, event: LinkEvent): void {
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
        if (event.needsOperator || this.#options.clock.now() >= this.#startingUntil) {
          this.#logFailure("Cannot reach a node; trying again", event.reason);
        }
        break;
      default:
        assertNever(event);
    }
  }

  #logConnected(): void {
    this.#options.logger.info("Connected to a node", this.#fields());
    this.#loggedFailureAt = null;
    this.#failures = 0;
  }

  /** The first failure, then one line for all of an interval. */
  #logFailure(what: string, reason: string): void {
    const now = this.#options.clock.now();
    if (this.#loggedFailureAt !== null && now - this.#loggedFailureAt < PEER_FAILURE_LOG_INTERVAL_MS) return;
    this.#loggedFailureAt = now;
    this.#options.logger.warn(what, { ...this.#fields(), reason, failures: this.#failures });
  }

  #fields(): { readonly peer: NodeId; readonly address: string } {
    return { peer: this.#peer.id, address: formatAddress(this.#peer.address) };
  }
}

function laneOf(message: PeerMessage): Lane {
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
      return "bulk";
    default:
      return assertNever(message);
  }
}
