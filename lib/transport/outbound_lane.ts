/**
 * A lane to a peer: a connection that this node dials, keeps open, and sends on.
 *
 * Messages go from the dialling node to the accepting one; in return come the welcome and the answers to pings. A lane that
 * cannot send drops the message and reports it: the core retransmits what it needs.
 *
 * The kernel detects a dead peer only after minutes, so the lane sends pings: after PEER_UNANSWERED_PINGS intervals without
 * an answer and without a byte written it reconnects. Intervals are counted, not time, so that a suspended process does not
 * take its own pause for the peer's silence.
 */
import { assertNever } from "../platform/assert.ts";
import { errorMessage, NetworkError, shortened } from "../platform/errors.ts";
import { formatAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";
import { pause } from "../platform/promise.ts";
import { withoutValues } from "../protocol/command.ts";
import { DecodeError, HandshakeError } from "../protocol/errors.ts";
import type { ChannelSizes, FrameChannel } from "./frame_channel.ts";
import { dial } from "./dial.ts";
import {
  type Authenticated,
  NOT_AUTHENTICATED,
  type PeerAuthentication,
  SECRET_REPLACED,
  wrongNode,
} from "./handshake/peer_authentication.ts";
import type { PeerAuthenticatedBy } from "../protocol/messages.ts";
import { FIRST_FEATURE_LEVEL } from "../kv/feature_level.ts";
import { olderVersion, type PeerCaller, type Welcome } from "../protocol/hello.ts";
import {
  PEER_CONNECT_TIMEOUT_MS,
  PEER_PING_INTERVAL_MS,
  PEER_QUEUE_MAX_BYTES,
  PEER_QUEUE_OMIT_BYTES,
  PEER_RETRY_MAX_MS,
  PEER_RETRY_MIN_MS,
  PEER_RETRY_REFUSED_MS,
  PEER_UNANSWERED_PINGS,
} from "../protocol/limits.ts";
import type { Network } from "../platform/network.ts";
import type { Traffic } from "./frame_reader.ts";
import { decodePeerFrame, encodePeerFrame, type PeerMessage, type Ping } from "../protocol/peer_frames.ts";

const SIZES: ChannelSizes = {
  readBytes: 1_024,
  // A few batches of large values: growing to that each time was 4 % of a leader with values of 64 KiB (profile).
  retainedBytes: 4_194_304,
  maxQueuedBytes: PEER_QUEUE_MAX_BYTES,
};
const PING: Ping = { kind: "ping" };

/** A change of a lane's state. */
export type LaneEvent =
  | { readonly kind: "connected" }
  /** The connection was lost, with the messages queued on it. */
  | { readonly kind: "disconnected"; readonly reason: string }
  /** An attempt to connect failed; it tries again. `isUnreachable`: the machine refuses connections at this address. */
  | { readonly kind: "failed"; readonly reason: string; readonly isUnreachable: boolean }
  /**
   * The node at the address refused this one, or is another node than expected; it tries again, at longer intervals if
   * only an operator can help.
   */
  | { readonly kind: "refused"; readonly code: HandshakeError["code"]; readonly reason: string };

/** Options of an {@link OutboundLane}. */
export interface OutboundLaneOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  /** The caller of its hello. */
  readonly caller: PeerCaller;
  readonly peer: NodeAddress;
  /** The peer secret; null without one. */
  readonly peerAuthentication: PeerAuthentication | null;
  /** Returns the feature level of the cluster's state: a node that does not know it is not used. */
  readonly featureLevel: () => number;
  /** Counts the bytes after the hello; null for no counting. */
  readonly traffic: Traffic | null;
  /** Not called after {@link OutboundLane.close}. */
  readonly onEvent: (event: LaneEvent) => void;
  /** Called for an unexpected error; its connection has ended, and the lane dials again. */
  readonly onFault: (error: unknown) => void;
}

/** A lane to a peer. It connects from its construction until it is closed. */
export class OutboundLane {
  readonly #options: OutboundLaneOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** The open connection, or null. */
  #channel: FrameChannel | null = null;
  /** The highest feature level that the node at the other end of the open connection knows. */
  #peerFeatureLevel = FIRST_FEATURE_LEVEL;
  /** How the ends of the open connection know each other. */
  #authenticated: Authenticated = NOT_AUTHENTICATED;
  #pings: Pings | null = null;
  #failures = 0;
  /** Ends the wait for the next attempt; null while not waiting. */
  #endWait: (() => void) | null = null;

  /** Begins to connect. */
  constructor(options: OutboundLaneOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Whether messages can be sent. */
  get isConnected(): boolean {
    return this.#channel !== null;
  }

  /** How the node at the other end is authenticated; null while not connected. */
  get authenticatedBy(): PeerAuthenticatedBy | null {
    return this.#channel === null ? null : this.#authenticated.by;
  }

  /** Round trip time of the last ping; null before the first answer on this connection. */
  get roundTripMs(): number | null {
    return this.#pings?.roundTripMs ?? null;
  }

  /** Queues a message; false if it was dropped, because it is not connected or too much is queued. */
  send(message: PeerMessage): boolean {
    if (this.#channel === null) return false;
    const isLean = this.#channel.queuedBytes >= PEER_QUEUE_OMIT_BYTES;
    return this.#channel.send(encodePeerFrame, isLean ? lean(message) : message);
  }

  /** Closes the connection to a node that does not know the cluster's feature level. */
  dropBelowFeatureLevel(): void {
    if (this.#peerFeatureLevel < this.#options.featureLevel()) {
      this.#channel?.close("the node does not know the cluster's feature level");
    }
  }

  /** Closes a connection on which a secret was proved that was replaced; without a connection, tries again now. */
  secretReplaced(): void {
    const { peerAuthentication } = this.#options;
    this.retryNow();
    if (peerAuthentication?.isCurrent(this.#authenticated) === false) this.#channel?.close(SECRET_REPLACED);
  }

  /** Starts the next attempt now, as the peer is known to run. */
  retryNow(): void {
    this.#endWait?.();
  }

  /** Closes the connection and stops all attempts; resolves once that is done. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#endWait?.();
    this.#channel?.close("the lane was closed");
    await this.#running;
  }

  async #run(): Promise<void> {
    // One turn later, so that no event occurs before the constructor's caller has the lane.
    await Promise.resolve();
    while (!this.#closing.signal.aborted) {
      await this.#wait(await this.#connectAndServe());
    }
  }

  async #wait(waitMs: number): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const end = new AbortController();
    this.#endWait = (): void => end.abort();
    await pause(waitMs, { clock: this.#options.clock, signal: end.signal });
    this.#endWait = null;
  }

  /** Runs one connection from dialling to its end; resolves to the wait before the next attempt. */
  async #connectAndServe(): Promise<number> {
    let channel: FrameChannel;
    try {
      channel = await this.#connect();
    } catch (error) {
      if (this.#closing.signal.aborted) return 0;
      const reason = errorMessage(error);
      if (!(error instanceof HandshakeError)) {
        const isUnreachable = error instanceof NetworkError && error.code === "refused";
        this.#options.onEvent({ kind: "failed", reason, isUnreachable });
        return this.#retryMs();
      }
      this.#options.onEvent({ kind: "refused", reason, code: error.code });
      return onlyOperatorHelps(error) ? PEER_RETRY_REFUSED_MS : this.#retryMs();
    }
    if (this.#closing.signal.aborted) channel.close("the lane was closed");
    else await this.#serve(channel);
    return this.#retryMs();
  }

  async #connect(): Promise<FrameChannel> {
    const { network, clock, caller, peer, peerAuthentication, onFault } = this.#options;
    const { channel, welcome, authenticated } = await dial({
      network,
      clock,
      address: peer.address,
      caller,
      handshake: peerAuthentication?.dial(peer.id) ?? null,
      sizes: SIZES,
      timeoutMs: PEER_CONNECT_TIMEOUT_MS,
      signal: this.#closing.signal,
      onFault,
    });
    try {
      this.#checkWelcome(welcome);
    } catch (error) {
      channel.close("it is not the expected node");
      throw error;
    }
    this.#peerFeatureLevel = welcome.featureLevel;
    this.#authenticated = authenticated ?? NOT_AUTHENTICATED;
    return channel;
  }

  #checkWelcome(welcome: Welcome): void {
    const { peer, caller: { clusterId }, featureLevel } = this.#options;
    const where = formatAddress(peer.address);
    if (welcome.clusterId !== clusterId) {
      throw new HandshakeError(
        "wrongCluster",
        `Cannot use the node at ${where}: it belongs to cluster ${
          shortened(welcome.clusterId)
        }, this node to ${clusterId}. ` +
          "Check the addresses of the cluster's members.",
      );
    }
    if (welcome.nodeId !== peer.id) {
      throw new HandshakeError("wrongNode", wrongNode(where, peer.id, welcome.nodeId));
    }
    if (welcome.featureLevel < featureLevel()) {
      throw new HandshakeError(
        "versionMismatch",
        `Cannot use the node at ${where}: ${olderVersion(peer.id, welcome.featureLevel, featureLevel())}`,
      );
    }
  }

  /** Sends and pings on `channel` until it ends. */
  async #serve(channel: FrameChannel): Promise<void> {
    const { clock, traffic } = this.#options;
    const pings = new Pings(channel, clock);
    if (traffic !== null) channel.countIn(traffic);
    this.#pings = pings;
    this.#channel = channel;
    this.#options.onEvent({ kind: "connected" });
    let reason: string;
    try {
      reason = await channel.readFrames((payload) => {
        try {
          if (decodePeerFrame(payload).kind !== "pong") return;
          pings.answered();
          this.#failures = 0; // a welcome alone does not show that the connection is stable
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          channel.close(error.message);
        }
      });
    } catch (error) {
      reason = "a fault in kvraft ended it";
      channel.close(reason);
      this.#options.onFault(error);
    }
    pings.stop();
    this.#pings = null;
    this.#channel = null;
    if (!this.#closing.signal.aborted) this.#options.onEvent({ kind: "disconnected", reason });
  }

  /** Returns the next wait: doubled with each consecutive failure, and randomized so that nodes do not retry in step. */
  #retryMs(): number {
    const fullMs = Math.min(PEER_RETRY_MAX_MS, PEER_RETRY_MIN_MS * 2 ** this.#failures);
    this.#failures += 1;
    return fullMs * (0.5 + this.#options.random() / 2);
  }
}

/** Whether retrying soon cannot succeed, because only another configuration or version helps. */
function onlyOperatorHelps(error: HandshakeError): boolean {
  switch (error.code) {
    case "badHello":
    case "versionMismatch":
    case "wrongCluster":
    case "unknownNode":
    case "removedNode":
    case "otherData":
    case "certificateRequired":
    case "certificateRefused":
    case "wrongNode":
    case "notKvraft":
    case "tlsRequired":
      return true;
    case "busy":
    case "peerNotAuthenticated": // until both ends have read the same secret
      return false;
    default:
      return assertNever(error.code);
  }
}

/** Sends pings on a channel, and closes it without answers. */
class Pings {
  readonly #channel: FrameChannel;
  readonly #clock: Clock;
  #timer: Timer;
  #unanswered = 0;
  #bytesOut = 0;
  #sentAtMs = 0;
  #roundTripMs: number | null = null;

  constructor(channel: FrameChannel, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
    this.#timer = this.#schedule();
  }

  get roundTripMs(): number | null {
    return this.#roundTripMs;
  }

  answered(): void {
    // Answers do not identify their ping: with several in flight it is unknown which one was answered.
    if (this.#unanswered === 1) this.#roundTripMs = this.#clock.now() - this.#sentAtMs;
    this.#unanswered = 0;
  }

  stop(): void {
    this.#timer.cancel();
  }

  #schedule(): Timer {
    return this.#clock.after(PEER_PING_INTERVAL_MS, () => this.#ping());
  }

  #ping(): void {
    const { bytesOut, queuedBytes } = this.#channel;
    // A queue that is being sent shows that the peer lives: the ping waits in it.
    if (queuedBytes > 0 && bytesOut > this.#bytesOut) this.#unanswered = 0;
    this.#bytesOut = bytesOut;
    if (this.#unanswered >= PEER_UNANSWERED_PINGS) {
      const silentMs = PEER_UNANSWERED_PINGS * PEER_PING_INTERVAL_MS;
      return this.#channel.close(`the peer has not answered for ${silentMs} ms`);
    }
    this.#unanswered += 1;
    this.#sentAtMs = this.#clock.now();
    this.#channel.send(encodePeerFrame, PING);
    this.#timer = this.#schedule();
  }
}

/** Returns the message without its optional value: a dropped result would leave the outcome of a write unknown. */
function lean(message: PeerMessage): PeerMessage {
  if (message.kind !== "forwardResult" || message.body.kind !== "result") return message;
  return { ...message, body: { kind: "result", result: withoutValues(message.body.result) } };
}
