/**
 * The sending side of a connection: what is queued in one turn of the event loop leaves in one write, or in several of
 * {@link EARLY_BYTES}, and no write begins before the last one has ended.
 */
import type { Clock } from "../platform/clock.ts";
import type { Connection } from "../platform/network.ts";
import { withResolvers } from "../platform/promise.ts";
import { ByteQueue } from "./byte_queue.ts";

/**
 * Bytes that leave before the end of the turn. A client with many requests in flight sends new ones when it gets answers: it
 * works on the first answers while the others are made. Were all sent at once, the client and the server would wait for each
 * other in turn: 64 callers of Deno KV got a sixth fewer answers a second.
 */
const EARLY_BYTES = 4_096;

/** Memory that each of the two buffers keeps while nothing is queued. */
const RETAINED_BYTES = 16_384;
/**
 * Memory that a buffer keeps for the next bytes while others are queued: that of a connection's share of a large answer. New
 * buffers for each write of one made the garbage collector run for a third of the time that it took.
 */
const RETAINED_BUSY_BYTES = 262_144;

/** Options of {@link Output}. */
export interface OutputOptions {
  readonly clock: Clock;
  /** Called after bytes were written. */
  readonly onProgress: () => void;
  /** Called once, when a write fails. */
  readonly onFailed: () => void;
}

/** Called when everything before a position was written (true), or cannot be (false). */
type Callback = (isWritten: boolean) => void;

/** The bytes that wait for a connection. */
export class Output {
  readonly #connection: Connection;
  readonly #options: OutputOptions;
  #gathering = new ByteQueue();
  #leaving = new ByteQueue();
  /** Bytes of #leaving that were written. */
  #sentBytes = 0;
  #writtenBytes = 0;
  /** Whether what is queued leaves at the end of the turn. */
  #isScheduled = false;
  #isWriting = false;
  #isStopped = false;
  /** The callbacks of positions, in their order; those before #firstMark were called. */
  #marks: { readonly position: number; readonly callback: Callback }[] = [];
  #firstMark = 0;
  #progress: PromiseWithResolvers<void> | null = null;

  /** Sends nothing. */
  constructor(connection: Connection, options: OutputOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Bytes that the operating system has not taken yet. */
  get queuedBytes(): number {
    return this.#gathering.length + this.#leaving.length - this.#sentBytes;
  }

  /** Bytes that the operating system has taken since the beginning. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Position behind what is queued: {@link writtenBytes} once all of it is written. */
  get position(): number {
    return this.#writtenBytes + this.queuedBytes;
  }

  /** Whether no more bytes will be written. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The queue to append to, until the next call. What is appended leaves at the end of the turn, or before. */
  queue(): ByteQueue {
    if (this.#isStopped) {
      this.#gathering.clear(0);
    } else if (!this.#isWriting) {
      if (this.#gathering.length >= EARLY_BYTES) this.#writeGathered();
      else if (!this.#isScheduled) this.#schedule();
    }
    return this.#gathering;
  }

  /** Calls `callback` once everything that is queued now was written, or cannot be. */
  whenWritten(callback: Callback): void {
    if (this.#isStopped) callback(false);
    else if (this.queuedBytes === 0) callback(true);
    else this.#marks.push({ position: this.position, callback });
  }

  /** Resolves once everything that is queued now was written (true), or cannot be (false). */
  drained(): Promise<boolean> {
    const { promise, resolve } = withResolvers<boolean>();
    this.whenWritten(resolve);
    return promise;
  }

  /** Resolves after the next write, or once no more bytes will be written. */
  progress(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#progress ??= withResolvers();
    return this.#progress.promise;
  }

  /** Begins no further write; drops what is queued. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#gathering = new ByteQueue();
    this.#callMarks();
  }

  #schedule(): void {
    this.#isScheduled = true;
    this.#options.clock.endOfTurn(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#isScheduled = false;
    if (!this.#isWriting) this.#writeGathered();
  };

  #writeGathered(): void {
    if (this.#gathering.length === 0 || this.#isStopped) return;
    [this.#gathering, this.#leaving] = [this.#leaving, this.#gathering];
    this.#sentBytes = 0;
    this.#write();
  }

  #write(): void {
    this.#isWriting = true;
    this.#connection.write(this.#leaving.view(this.#sentBytes)).then(this.#onWritten, this.#onFailed);
  }

  readonly #onWritten = (count: number): void => {
    if (this.#isStopped) return;
    if (count === 0) return this.#onFailed();
    this.#sentBytes += count;
    this.#writtenBytes += count;
    const isSent = this.#sentBytes === this.#leaving.length;
    if (isSent) {
      this.#leaving.clear(RETAINED_BUSY_BYTES);
      this.#sentBytes = 0;
      this.#isWriting = false;
    }
    this.#callMarks();
    this.#options.onProgress();
    if (this.#isStopped) return;
    if (!isSent) this.#write();
    else if (!this.#isWriting && !this.#isScheduled) this.#writeGathered();
    if (this.queuedBytes === 0) this.#shrink();
  };

  /** Frees what the buffers have beyond {@link RETAINED_BYTES}: nothing is queued. */
  #shrink(): void {
    this.#gathering.clear(RETAINED_BYTES);
    this.#leaving.clear(RETAINED_BYTES);
  }

  readonly #onFailed = (): void => {
    if (this.#isStopped) return;
    this.stop();
    this.#options.onFailed();
  };

  #callMarks(): void {
    this.#progress?.resolve();
    this.#progress = null;
    for (;;) {
      const mark = this.#marks[this.#firstMark];
      if (mark === undefined || (mark.position > this.#writtenBytes && !this.#isStopped)) break;
      this.#firstMark += 1;
      mark.callback(mark.position <= this.#writtenBytes);
    }
    if (this.#firstMark === this.#marks.length) {
      this.#marks = [];
      this.#firstMark = 0;
    }
  }
}
