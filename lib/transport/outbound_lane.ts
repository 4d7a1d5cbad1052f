/**
 * One lane to one peer: a connection that this node dials, keeps open, and sends on.
 *
 * Messages go from the dialling node to the accepting one only; what comes back is the welcome and the answers to
 * pings. A lane that can't send drops what it is given and says so: the core sends again what matters.
 *
 * The kernel notices a dead other end after minutes, so the lane asks: after PEER_UNANSWERED_PINGS intervals without
 * an answer and without a byte written it starts over. Intervals are counted, not time, so that this process being
 * paused does not look like the other end's silence.
 */
import { assertNever } from "../platform/assert.ts";
import { errorMessage, NetworkError, shortened } from "../platform/errors.ts";
import type { NodeId } from "../raft/types.ts";
import { formatAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";
import { pause } from "../platform/promise.ts";
import { withoutCurrent } from "../protocol/command.ts";
import { DecodeError, HandshakeError } from "../protocol/errors.ts";
import type { ChannelSizes, FrameChannel } from "./frame_channel.ts";
import { dial } from "./dial.ts";
import type { PeerCaller } from "../protocol/hello.ts";
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
  // A few batches of large values: growing to that anew each time was 4 % of a leader with values of 64 KiB (profile).
  retainedBytes: 4_194_304,
  maxQueuedBytes: PEER_QUEUE_MAX_BYTES,
};
const PING: Ping = { kind: "ping" };

/** What a lane tells of itself. */
export type LaneEvent =
  | { readonly kind: "connected" }
  /** It was connected and is no more; what it had queued is lost. */
  | { readonly kind: "disconnected"; readonly reason: string }
  /** An attempt to connect failed; it goes on trying. `isNobodyThere`: the machine is, but no process listens. */
  | { readonly kind: "failed"; readonly reason: string; readonly isNobodyThere: boolean }
  /**
   * Somebody answered who won't have this node, or is not the one that was meant; it goes on trying, seldom where only
   * an operator can help.
   */
  | { readonly kind: "refused"; readonly code: HandshakeError["code"]; readonly reason: string };

/** What a lane is made from. */
export interface OutboundLaneOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  /** As whom it calls. */
  readonly caller: PeerCaller;
  readonly peer: NodeAddress;
  /** Counts the bytes from the hello on; null counts none. */
  readonly traffic: Traffic | null;
  /** Not called any more once {@link OutboundLane.close} was. */
  readonly onEvent: (event: LaneEvent) => void;
  /** Something threw that nothing foresaw; the connection it was thrown for has ended, and the lane dials anew. */
  readonly onFault: (error: unknown) => void;
}

/** One lane to one peer. It connects when it is made and goes on until it is closed. */
export class OutboundLane {
  readonly #options: OutboundLaneOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** The connection in use; null while there is none. */
  #channel: FrameChannel | null = null;
  #pings: Pings | null = null;
  #failures = 0;
  /** Ends the wait for the next attempt; null while there is none. */
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

  /** How long the last ping took there and back; null while none has come back on this connection. */
  get roundTripMs(): number | null {
    return this.#pings?.roundTripMs ?? null;
  }

  /** Queues a message; false when it was dropped: not connected, or too much is queued. */
  send(message: PeerMessage): boolean {
    if (this.#channel === null) return false;
    const isLean = this.#channel.queuedBytes >= PEER_QUEUE_OMIT_BYTES;
    return this.#channel.send(encodePeerFrame, isLean ? lean(message) : message);
  }

  /** There is reason to believe that the next attempt succeeds: it need not wait. */
  hurry(): void {
    this.#endWait?.();
  }

  /** Ends the connection and all attempts; resolves when nothing is left of it. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#endWait?.();
    this.#channel?.close("the link is not needed any more");
    await this.#running;
  }

  async #run(): Promise<void> {
    // A turn later, so that no event comes before the constructor's caller has the link.
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

  /** One connection from dialling to its end; resolves to how long to wait before the next. */
  async #connectAndServe(): Promise<number> {
    let channel: FrameChannel;
    try {
      channel = await this.#connect();
    } catch (error) {
      if (this.#closing.signal.aborted) return 0;
      const reason = errorMessage(error);
      if (!(error instanceof HandshakeError)) {
        const isNobodyThere = error instanceof NetworkError && error.code === "refused";
        this.#options.onEvent({ kind: "failed", reason, isNobodyThere });
        return this.#retryMs();
      }
      this.#options.onEvent({ kind: "refused", reason, code: error.code });
      return onlyOperatorHelps(error) ? PEER_RETRY_REFUSED_MS : this.#retryMs();
    }
    if (this.#closing.signal.aborted) channel.close("the link is not needed any more");
    else await this.#serve(channel);
    return this.#retryMs();
  }

  async #connect(): Promise<FrameChannel> {
    const { network, clock, caller, peer, onFault } = this.#options;
    const { channel, welcome } = await dial({
      network,
      clock,
      address: peer.address,
      caller,
      sizes: SIZES,
      timeoutMs: PEER_CONNECT_TIMEOUT_MS,
      signal: this.#closing.signal,
      onFault,
    });
    try {
      this.#checkIdentity(welcome);
    } catch (error) {
      channel.close("it is not the node that was meant");
      throw error;
    }
    return channel;
  }

  #checkIdentity(welcome: { readonly nodeId: NodeId; readonly clusterId: string }): void {
    const { peer, caller: { clusterId } } = this.#options;
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
      throw new HandshakeError(
        "wrongNode",
        `Cannot use the node at ${where} as node ${peer.id}: it is node ${welcome.nodeId}. ` +
          "Check --node-id, and the addresses of the cluster's members.",
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
          this.#failures = 0; // a welcome alone does not show that the lane lasts
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

  /** Doubles with each failure in a row, and is drawn from the upper half of that: no two nodes retry in step. */
  #retryMs(): number {
    const fullMs = Math.min(PEER_RETRY_MAX_MS, PEER_RETRY_MIN_MS * 2 ** this.#failures);
    this.#failures += 1;
    return fullMs * (0.5 + this.#options.random() / 2);
  }
}

/** Whether trying again soon is of no use: only another configuration or program helps. */
function onlyOperatorHelps(error: HandshakeError): boolean {
  switch (error.code) {
    case "badHello":
    case "versionMismatch":
    case "wrongCluster":
    case "unknownNode":
    case "removedNode":
    case "otherData":
    case "wrongNode":
    case "notKvraft":
      return true;
    case "busy":
      return false;
    default:
      return assertNever(error.code);
  }
}

/** Finds out whether anybody is at the other end of a channel, and closes it if not. */
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
    // Answers don't say to which ping: with several under way it is not known which of them came back.
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
    // A long queue that is getting shorter is a sign of life too: the ping waits in it.
    if (queuedBytes > 0 && bytesOut > this.#bytesOut) this.#unanswered = 0;
    this.#bytesOut = bytesOut;
    if (this.#unanswered >= PEER_UNANSWERED_PINGS) {
      const silentMs = PEER_UNANSWERED_PINGS * PEER_PING_INTERVAL_MS;
      return this.#channel.close(`the other end has given no sign of life for ${silentMs} ms`);
    }
    this.#unanswered += 1;
    this.#sentAtMs = this.#clock.now();
    this.#channel.send(encodePeerFrame, PING);
    this.#timer = this.#schedule();
  }
}

/** The message without what its receiver can do without: a dropped result would leave the outcome of a write unknown. */
function lean(message: PeerMessage): PeerMessage {
  if (message.kind !== "forwardResult" || message.body.kind !== "result") return message;
  return { ...message, body: { kind: "result", result: withoutCurrent(message.body.result) } };
}
