/**
 * A connection that carries frames: its reader and its writer, and the reason for which it was closed.
 */
import { assert } from "../platform/assert.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Connection, ConnectionSecurity } from "../platform/network.ts";
import { FRAME_CHECK_INTERVAL_MS, FRAME_CHECKS, MAX_HELLO_BYTES } from "../protocol/limits.ts";
import { describeEnd, type FrameLimits, FrameReader, type StreamEnd, type Traffic } from "./frame_reader.ts";
import { type EncodePayload, FrameWriter } from "./frame_writer.ts";
import type { InProcessUse } from "./in_process.ts";
import type { RequestTurns } from "./request_turns.ts";
import type { MemoryShare, WaitingMemory } from "./waiting_memory.ts";

/** Sizes of a channel's buffers. */
export interface ChannelSizes {
  /** Size of the read buffer at rest. */
  readonly readBytes: number;
  /** Buffers that grew beyond this are given back after the burst. */
  readonly retainedBytes: number;
  /** Bytes that may wait to be sent. */
  readonly maxQueuedBytes: number;
}

/** Options of a {@link FrameChannel}. */
export interface FrameChannelOptions {
  readonly clock: Clock;
  readonly sizes: ChannelSizes;
  /**
   * Called when a frame could not be encoded, for example because it is too large: the channel was closed, and {@link
   * FrameChannel.send} returns false. Without this handler `send` throws the error, and the channel stays open.
   */
  readonly onFault?: ((error: unknown) => void) | null;
  /** Counts the channel's waiting bytes, and may close the channel because of them; null counts nothing. */
  readonly memory?: WaitingMemory | null;
  /** The use of a connection whose both ends are in this process. Default null: it is another connection. */
  readonly inProcess?: InProcessUse | null;
}

/** Frames in both directions over one connection, which it owns. Until {@link allow}, only frames as long as a hello are received. */
export class FrameChannel {
  /** The other end, for logs. */
  readonly remote: string;
  /** The protection of the connection, and the certificate of the other end. */
  readonly security: ConnectionSecurity;
  /** The use of the connection by a front end of this node; null for one from outside of the process. */
  readonly inProcess: InProcessUse | null;
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #onFault: ((error: unknown) => void) | null;
  #closeReason: string | null = null;
  #finishing: Promise<void> | null = null;
  #share: MemoryShare | null;
  #heldBytes = 0;
  /** Sent bytes and received frames at the last report to #share. */
  #reportedBytesOut = 0;
  #reportedFrames = 0;
  /** Bytes sent and frames received at the last {@link check}. */
  #bytesAtCheck = 0;
  #framesAtCheck = 0;
  #idleChecks = 0;
  #checks = 0;
  #onProgress: () => void = () => {};

  /** Becomes the owner of the connection. */
  constructor(connection: Connection, options: FrameChannelOptions) {
    const { clock, sizes, onFault = null, memory = null, inProcess = null } = options;
    this.inProcess = inProcess;
    this.#onFault = onFault;
    this.remote = connection.remote;
    const { security, certificate, binding } = connection;
    this.security = { security, certificate, binding };
    this.#connection = connection;
    this.#clock = clock;
    this.#reader = new FrameReader(connection, {
      bufferBytes: sizes.readBytes,
      retainedBytes: sizes.retainedBytes,
      maxFrameBytes: MAX_HELLO_BYTES,
    });
    this.#writer = new FrameWriter(connection, {
      clock,
      maxQueuedBytes: sizes.maxQueuedBytes,
      retainedBytes: sizes.retainedBytes,
      onProgress: () => {
        this.#account();
        this.#onProgress();
      },
      onFailed: (error) => this.close(describeEnd({ kind: "failed", error })),
    });
    this.#share = memory?.share(this) ?? null;
    if (this.#share !== null) this.#reader.onHeld(() => this.#account());
  }

  /** The reason for which this node closed it; null if it did not. */
  get closeReason(): string | null {
    return this.#closeReason;
  }

  /** Whether frames are still sent: it is neither closed nor closing. */
  get isOpen(): boolean {
    return this.#closeReason === null && this.#finishing === null;
  }

  /** Number of {@link check}s. */
  get checks(): number {
    return this.#checks;
  }

  /** Number of consecutive {@link check}s before which nothing was sent and no frame received. */
  get idleChecks(): number {
    return this.#idleChecks;
  }

  /** Queued bytes. */
  get queuedBytes(): number {
    return this.#writer.queuedBytes;
  }

  /** Sent bytes. */
  get bytesOut(): number {
    return this.#writer.bytesOut;
  }

  /** Bytes passed to the network; see {@link FrameWriter.bytesWritten}. */
  get bytesWritten(): number {
    return this.#writer.bytesWritten;
  }

  /** Calls `listener` whenever queued bytes were sent. */
  onProgress(listener: () => void): void {
    this.#onProgress = listener;
  }

  /** Changes the limits on received frames. */
  allow(limits: FrameLimits): void {
    this.#reader.allow(limits);
  }

  /** Delivers frames only in these turns from now on. */
  shareTurns(turns: RequestTurns): void {
    this.#reader.shareTurns(turns);
  }

  /** Counts all bytes from now on in `traffic`. */
  countIn(traffic: Traffic): void {
    this.#reader.countIn(traffic);
    this.#writer.countIn(traffic);
  }

  /** Queues a frame for the end of the turn; returns false if it is refused. Throws only without `onFault`. */
  send<T>(encode: EncodePayload<T>, message: T): boolean {
    try {
      const isTaken = this.#writer.send(encode, message);
      this.#account();
      return isTaken;
    } catch (error) {
      if (this.#onFault === null) throw error;
      // An answer that cannot be encoded must end its connection, not the node.
      this.fail(error);
      return false;
    }
  }

  /** Closes the connection because of an unexpected error, and calls `onFault`. */
  fail(error: unknown): void {
    this.close(`a fault in kvraft ended it: ${describeEnd({ kind: "failed", error })}`);
    this.#onFault?.(error);
  }

  /** Sets the bytes held elsewhere because the other end does not read. */
  hold(bytes: number): void {
    this.#heldBytes = bytes;
    this.#account();
  }

  /** Frees the buffers of an idle channel, and counts {@link idleChecks}. See {@link FrameReader.checkFrame}. */
  check(): number {
    const { bytesWritten } = this.#writer;
    const { frames } = this.#reader;
    this.#checks += 1;
    const hasSent = bytesWritten !== this.#bytesAtCheck;
    if (!hasSent) this.#writer.release();
    this.#idleChecks = hasSent || frames !== this.#framesAtCheck ? 0 : this.#idleChecks + 1;
    this.#bytesAtCheck = bytesWritten;
    this.#framesAtCheck = frames;
    return this.#reader.checkFrame();
  }

  /** Reads one frame; see {@link FrameReader.readFrame}. */
  readFrame(): Promise<{ readonly kind: "frame"; readonly payload: Uint8Array } | StreamEnd> {
    return this.#reader.readFrame();
  }

  /** Reads frames until the stream ends, then closes; resolves to the reason. See {@link FrameReader.readFrames}. */
  async readFrames(onFrame: (payload: Uint8Array) => void): Promise<string> {
    const end = await this.#reader.readFrames(onFrame);
    if (this.#finishing !== null) await this.#finishing;
    this.close(describeEnd(end));
    return this.#closeReason ?? "";
  }

  /** Delivers no further frames until {@link resumeReading}; the other end is blocked once the buffers are full. */
  pauseReading(): void {
    this.#reader.pause();
  }

  /** Continues after {@link pauseReading}. */
  resumeReading(): void {
    this.#reader.resume();
  }

  /** Closes at once; queued frames are lost. The first reason counts. */
  close(reason: string): void {
    if (this.#closeReason !== null) return;
    this.#closeReason = reason;
    this.#reader.stop();
    this.#writer.stop();
    this.#connection.close();
    this.#share?.end();
  }

  /** Writes a few bytes that are no frame, in place of the first frame, and closes. */
  async endWith(bytes: Uint8Array, reason: string): Promise<void> {
    assert(this.queuedBytes === 0, "nothing was sent");
    await this.#connection.write(bytes).catch(() => 0); // closed by the other end: the bytes are for nothing
    this.close(reason);
  }

  /** Removes it from the memory budget: its memory is bounded otherwise. */
  leaveMemory(): void {
    const share = this.#share;
    this.#share = null;
    share?.end();
  }

  /** Reports held bytes. Incoming frames do not count as progress while the other end does not read its answers. */
  #account(): void {
    if (this.#share === null) return;
    const { queuedBytes, bytesOut } = this.#writer;
    const { heldBytes, frames } = this.#reader;
    const hasMoved = queuedBytes > 0 ? bytesOut !== this.#reportedBytesOut : frames !== this.#reportedFrames;
    this.#reportedBytesOut = bytesOut;
    this.#reportedFrames = frames;
    this.#share.set(queuedBytes + heldBytes + this.#heldBytes, hasMoved);
  }

  /** Accepts no further frames in either direction, and closes once the queued ones are sent, or after `timeoutMs`. */
  finish(reason: string, timeoutMs: number): Promise<void> {
    this.#finishing ??= this.#finishNow(reason, timeoutMs);
    return this.#finishing;
  }

  async #finishNow(reason: string, timeoutMs: number): Promise<void> {
    this.#reader.stop();
    const timer = this.#clock.after(
      timeoutMs,
      () => this.close(`${reason} (and the last frames were not taken)`),
    );
    await this.#writer.finish();
    timer.cancel();
    this.close(reason);
  }
}

/**
 * Checks accepted connections at intervals. It closes a connection on which a frame does not end, since the bytes of a
 * partial frame stay in memory as long as the connection, and frees the buffers of a connection on which nothing was sent.
 *
 * Frames have no timers of their own: most end within the read that began them. Checks are counted, not time, so that a
 * suspended process does not take its own pause for the peer's silence. The timer exists only while channels do.
 */
export class FrameDeadlines {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #channels = new Set<FrameChannel>();
  #timer: Timer | null = null;

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Adds a channel. */
  add(channel: FrameChannel): void {
    this.#channels.add(channel);
    this.#timer ??= this.#clock.after(FRAME_CHECK_INTERVAL_MS, this.#check);
  }

  /** Removes a channel. */
  remove(channel: FrameChannel): void {
    this.#channels.delete(channel);
    if (this.#channels.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  readonly #check = (): void => {
    this.#timer = this.#clock.after(FRAME_CHECK_INTERVAL_MS, this.#check);
    for (const channel of [...this.#channels]) {
      if (channel.check() <= FRAME_CHECKS) continue;
      const { remote } = channel;
      this.#logger.info("Closed a connection on which a frame did not end", { remote });
      channel.close(`a frame did not end within ${FRAME_CHECKS * FRAME_CHECK_INTERVAL_MS} ms`);
    }
  };
}
