/** The body of an answer between the handler and a connection. */
import { assert } from "../platform/assert.ts";
import { withResolvers } from "../platform/promise.ts";
import { checkFields } from "./fields.ts";
import type { HeldAccount } from "./held.ts";
import type { Output } from "./output.ts";
import type { Delivery, WebHeaders, WebStream } from "./types.ts";

/** The connection's side of an answer's body. */
export interface AnswerSink {
  /** Called when there is more to send. */
  answerReady(): void;
  /** Called when the handler has ended the answer too early. */
  answerAborted(): void;
  /** As in {@link WebStream.isReaderBehind}. */
  readonly isReaderBehind: boolean;
  /** Called when the handler waits until the client has read more; {@link AnswerBody.readerMoved} is called then. */
  readerAwaited(): void;
}

/** Options of {@link AnswerBody}. */
export interface AnswerBodyOptions {
  readonly sink: AnswerSink;
  readonly output: Output;
  readonly held: HeldAccount;
  readonly maxUnsentBytes: number;
}

/** Parts that wait for the connection or its flow control. */
export class AnswerBody implements WebStream {
  readonly #options: AnswerBodyOptions;
  #chunks: Uint8Array[] = [];
  /** Bytes of #chunks. */
  #pendingBytes = 0;
  /** Bytes that were passed to the output, and the output's position behind them. */
  #passedBytes = 0;
  #passedUntil = 0;
  #isEnding = false;
  #trailers: WebHeaders | null = null;
  #delivery: Delivery | null = null;
  #closed: PromiseWithResolvers<Delivery> | null = null;
  #waiters: (() => void)[] = [];
  #readWaiters: (() => void)[] = [];

  /** Nothing is written yet. */
  constructor(options: AnswerBodyOptions) {
    this.#options = options;
  }

  /** Bytes that wait for the connection. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Bytes of the first write that waits, without what was taken of it. */
  get nextBytes(): number {
    return this.#chunks[0]?.length ?? 0;
  }

  /** Whether nothing will be written any more. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Fields behind the body, or null. */
  get trailers(): WebHeaders | null {
    return this.#trailers;
  }

  get unsentBytes(): number {
    return this.#pendingBytes +
      Math.min(this.#passedBytes, Math.max(0, this.#passedUntil - this.#options.output.writtenBytes));
  }

  get closed(): Promise<Delivery> {
    if (this.#closed === null) {
      this.#closed = withResolvers();
      if (this.#delivery !== null) this.#closed.resolve(this.#delivery);
    }
    return this.#closed.promise;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#delivery !== null) return true;
    assert(!this.#isEnding, "nothing is written behind the end of an answer");
    if (bytes.length > 0) {
      this.#chunks.push(bytes);
      this.#pendingBytes += bytes.length;
      this.#options.held.add(bytes.length);
      this.#options.sink.answerReady();
    }
    return this.unsentBytes <= this.#options.maxUnsentBytes;
  }

  whenWritable(): Promise<void> {
    if (this.#delivery !== null || this.unsentBytes === 0) return Promise.resolve();
    const { promise, resolve } = withResolvers<void>();
    this.#waiters.push(resolve);
    if (this.#pendingBytes === 0) this.#wakeWhenWritten();
    return promise;
  }

  get isReaderBehind(): boolean {
    return this.#delivery === null && this.#options.sink.isReaderBehind;
  }

  whenRead(): Promise<void> {
    if (!this.isReaderBehind) return Promise.resolve();
    const { promise, resolve } = withResolvers<void>();
    this.#readWaiters.push(resolve);
    this.#options.sink.readerAwaited();
    return promise;
  }

  /** Notes that the client has read more of the answer or of others; returns whether nothing waits for that any more. */
  readerMoved(): boolean {
    if (this.isReaderBehind) return false;
    const waiters = this.#readWaiters;
    this.#readWaiters = [];
    for (const wake of waiters) wake();
    return true;
  }

  end(trailers?: WebHeaders): void {
    if (this.#isEnding || this.#delivery !== null) return;
    if (trailers !== undefined) checkFields(trailers);
    this.#isEnding = true;
    this.#trailers = trailers ?? null;
    this.#options.sink.answerReady();
  }

  abort(): void {
    if (this.#delivery === null) this.#options.sink.answerAborted();
  }

  /** Returns the next bytes, at most `maxBytes`, which the caller appends to the output. */
  take(maxBytes: number): Uint8Array {
    const [first] = this.#chunks;
    assert(first !== undefined, "bytes are taken where some are pending");
    const part = first.length <= maxBytes ? first : first.subarray(0, maxBytes);
    if (part === first) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(maxBytes);
    this.#pendingBytes -= part.length;
    this.#options.held.remove(part.length);
    return part;
  }

  /** Notes that so many bytes were appended to the output. */
  passed(bytes: number): void {
    const { output } = this.#options;
    this.#passedBytes = (this.#passedUntil <= output.writtenBytes ? 0 : this.#passedBytes) + bytes;
    this.#passedUntil = output.position;
    if (this.#pendingBytes === 0 && this.#waiters.length > 0) this.#wakeWhenWritten();
  }

  /** Ends the answer for the handler. */
  finish(delivery: Delivery): void {
    if (this.#delivery !== null) return;
    this.#delivery = delivery;
    this.#options.held.remove(this.#pendingBytes);
    this.#chunks = [];
    this.#pendingBytes = 0;
    this.#closed?.resolve(delivery);
    this.#wake();
    this.readerMoved();
  }

  #wakeWhenWritten(): void {
    this.#options.output.whenWritten(() => {
      if (this.unsentBytes === 0 || this.#delivery !== null) this.#wake();
    });
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
