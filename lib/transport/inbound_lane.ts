/** The accepting end of a peer's lane: validates incoming frames, passes messages on, and answers pings. */
import type { NodeId } from "../raft/types.ts";
import { DecodeError, UnknownKindError } from "../protocol/errors.ts";
import type { FrameChannel } from "./frame_channel.ts";
import type { PeerCaller } from "../protocol/hello.ts";
import { MAX_PONG_QUEUE_BYTES } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";
import {
  decodePeerFrame,
  encodePeerFrame,
  type PeerFrame,
  type PeerMessage,
  type Pong,
} from "../protocol/peer_frames.ts";

const PONG: Pong = { kind: "pong" };

/** Options of an {@link InboundLane}. */
export interface InboundLaneOptions {
  /** The peer, as in its hello. */
  readonly peer: PeerCaller;
  readonly self: NodeId;
  readonly logger: Logger;
  /** May throw DecodeError for a message that no correct peer sends: that closes the channel. */
  readonly onPeerMessage: (message: PeerMessage, from: NodeId) => void;
  /** Called for each ping. */
  readonly onPing: () => void;
}

/** One accepted lane. */
export class InboundLane {
  readonly #channel: FrameChannel;
  readonly #options: InboundLaneOptions;
  #hasLoggedUnknownKind = false;

  /** Its owner reads the frames and calls {@link onFrame}. */
  constructor(channel: FrameChannel, options: InboundLaneOptions) {
    this.#channel = channel;
    this.#options = options;
  }

  /** Handles one frame. A frame that no correct peer sends closes the channel. */
  onFrame(payload: Uint8Array): void {
    try {
      this.#take(decodePeerFrame(payload));
    } catch (error) {
      if (error instanceof UnknownKindError) this.#noteUnknownKind(error);
      else if (error instanceof DecodeError) this.#close(error.message);
      else throw error;
    }
  }

  #take(frame: PeerFrame): void {
    const { peer, self, onPeerMessage } = this.#options;
    switch (frame.kind) {
      case "ping":
        this.#options.onPing();
        this.#channel.send(encodePeerFrame, PONG);
        if (this.#channel.queuedBytes > MAX_PONG_QUEUE_BYTES) this.#close("it takes no answers to its pings");
        return;
      case "pong":
        return;
      case "forward":
      case "forwardResult":
      case "snapshotChunk":
      case "snapshotProgress":
      case "describe":
      case "described":
        return onPeerMessage(frame, peer.nodeId);
      default:
        if (frame.from === peer.nodeId && frame.to === self) return onPeerMessage(frame, peer.nodeId);
        this.#close(`it sent a ${frame.kind} from node ${frame.from} to node ${frame.to}`);
    }
  }

  /** Logs an unknown kind of frame, which a newer node may send, once per connection. */
  #noteUnknownKind(error: UnknownKindError): void {
    if (this.#hasLoggedUnknownKind) return;
    this.#hasLoggedUnknownKind = true;
    const { logger, peer } = this.#options;
    const { remote } = this.#channel;
    logger.warn("Ignored a peer's frame of an unknown kind", { remote, peer: peer.nodeId, kind: error.kind });
  }

  #close(reason: string): void {
    const { logger, peer } = this.#options;
    const { remote } = this.#channel;
    logger.warn("Closed a peer's connection", { remote, peer: peer.nodeId, lane: peer.lane, reason });
    this.#channel.close(reason);
  }
}
