/**
 * Sends frames on a connection: the frames of one turn of the event loop are sent in one write.
 *
 * There are two buffers: one is written while the other collects frames. There is one write at a time and each
 * continues where the last one ended, so frames never interleave. The queued bytes are bounded.
 */
import { assert } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import { FRAME_HEADER_BYTES, type Traffic } from "./frame_reader.ts";
import { MAX_FRAME_BYTES } from "../protocol/limits.ts";
import { MessagePackWriter } from "../protocol/msgpack_writer.ts";
import type { Connection } from "../platform/network.ts";
import { withResolvers } from "../platform/promise.ts";

/** Options of a {@link FrameWriter}. */
export interface FrameWriterOptions {
  readonly clock: Clock;
  /** Number of queued bytes from which on frames are refused. The bound in memory is one frame more. */
  readonly maxQueuedBytes: number;
  /** Size beyond which a buffer is freed once its bytes are sent. */
  readonly retainedBytes: number;
  /** Called when queued bytes were sent. */
  readonly onProgress: () => void;
  /** Called once when a write failed: nothing more can be sent. */
  readonly onFailed: (error: unknown) => void;
}

/** Writes the payload of one frame. */
export type EncodePayload<T> = (out: MessagePackWriter, message: T) => void;

/** Writes the frames of one connection; the only writer on it. */
export class FrameWriter {
  readonly #connection: Connection;
  readonly #options: FrameWriterOptions;
  #gathering = new MessagePackWriter();
  #leaving = new MessagePackWriter();
  /** Bytes of #leaving that are not sent yet. */
  #leavingBytes = 0;
  #bytesOut = 0;
  #bytesWritten = 0;
  #isBusy = false;
  #traffic: Traffic | null = null;
  /** finishing: refuses frames, and sends the queued ones. stopped: does neither. */
  #state: "open" | "finishing" | "stopped" = "open";
  readonly #drained = withResolvers<void>();

  /** Sends nothing. */
  constructor(connection: Connection, options: FrameWriterOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Queued bytes. */
  get queuedBytes(): number {
    return this.#gathering.length + this.#leavingBytes;
  }

  /** Bytes sent since the connection began. */
  get bytesOut(): number {
    return this.#bytesOut;
  }

  /** Bytes passed to the network, which may not have confirmed them yet. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Counts the bytes written from now on in `traffic`. */
  countIn(traffic: Traffic): void {
    this.#traffic = traffic;
  }

  /** Queues a frame for the end of the turn; returns false if too many bytes are queued or the writer is stopped. */
  send<T>(encode: EncodePayload<T>, message: T): boolean {
    if (this.#state !== "open" || this.queuedBytes >= this.#options.maxQueuedBytes) return false;
    const header = this.#gathering.reserveUint32();
    try {
      encode(this.#gathering, message);
      const bytes = this.#gathering.length - header - FRAME_HEADER_BYTES;
      assert(bytes <= MAX_FRAME_BYTES, `a frame fits into ${MAX_FRAME_BYTES} bytes`);
      this.#gathering.setUint32(header, bytes);
    } catch (error) {
      this.#gathering.truncate(header); // half a frame would end the connection
      throw error;
    }
    if (!this.#isBusy) {
      this.#isBusy = true;
      this.#options.clock.endOfTurn(this.#writeGathered);
    }
    return true;
  }

  /** Frees both buffers if they are empty. They grow again with the next frames. */
  release(): void {
    if (this.#isBusy) return;
    this.#gathering.clear(0);
    this.#leaving.clear(0);
  }

  /** Accepts no further frames; resolves once the queued ones are sent, or cannot be. */
  finish(): Promise<void> {
    if (this.#state === "open") this.#state = "finishing";
    if (!this.#isBusy) this.#drained.resolve();
    return this.#drained.promise;
  }

  /** Accepts no further frames and begins no further write; called before the connection is closed. */
  stop(): void {
    this.#state = "stopped";
  }

  /**
   * Begins a write of all gathered frames, if there are any. Handlers of one promise and no async functions: this runs
   * for every connection in every turn, and the promises of two async functions took a third of its time.
   */
  readonly #writeGathered = (): void => {
    if (this.#gathering.length === 0 || this.#state === "stopped") return this.#rest();
    [this.#gathering, this.#leaving] = [this.#leaving, this.#gathering];
    const bytes = this.#leaving.view();
    this.#leavingBytes = bytes.length;
    this.#bytesWritten += bytes.length;
    this.#write(bytes);
  };

  #write(bytes: Uint8Array): void {
    this.#connection.write(bytes).then(this.#onWritten, this.#onFailed);
  }

  /** Continues after `count` bytes were sent. */
  readonly #onWritten = (count: number): void => {
    try {
      if (count === 0) throw new Error("the connection takes no more bytes");
      this.#leavingBytes -= count;
      this.#bytesOut += count;
      if (this.#traffic !== null) this.#traffic.bytesOut += count;
      const left = this.#leavingBytes;
      if (left === 0) this.#leaving.clear(this.#options.retainedBytes);
      this.#options.onProgress();
      if (left === 0) this.#writeGathered();
      else this.#write(this.#leaving.view().subarray(this.#leaving.length - left));
    } catch (error) {
      this.#onFailed(error);
    }
  };

  readonly #onFailed = (error: unknown): void => {
    this.#state = "stopped";
    this.#options.onFailed(error);
    this.#rest();
  };

  #rest(): void {
    this.#isBusy = false;
    if (this.#state !== "open") this.#drained.resolve();
  }
}
