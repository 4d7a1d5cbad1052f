/** A request to the web server and the stream that answers it, in memory. */
import { setImmediate } from "node:timers";
import { withResolvers } from "../../../lib/platform/promise.ts";
import { PLAIN } from "../../../lib/platform/network.ts";
import type { Delivery, WebHead, WebRequest, WebResponse, WebStream } from "../../../lib/web/mod.ts";

/** The body of an answer, of which the client takes bytes as a test says. */
export class MemoryWebStream implements WebStream {
  /** All bytes that were written, in order. */
  readonly written: Uint8Array[] = [];
  /** Whether the client takes bytes. */
  #isTaking = true;
  #unsentBytes = 0;
  #writable = withResolvers<void>();
  readonly #closed = withResolvers<Delivery>();
  /** Resolves when the client reads on. */
  #reading: PromiseWithResolvers<void> | null = null;
  #isEnded = false;

  /** Whether the answer was ended. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  get closed(): Promise<Delivery> {
    return this.#closed.promise;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isEnded) throw new Error("A stream that was ended is not written to.");
    this.written.push(bytes);
    if (!this.#isTaking) this.#unsentBytes += bytes.length;
    return this.#isTaking;
  }

  async whenWritable(): Promise<void> {
    if (this.#unsentBytes > 0) await this.#writable.promise;
  }

  get isReaderBehind(): boolean {
    return this.#reading !== null && !this.#isEnded;
  }

  async whenRead(): Promise<void> {
    await this.#reading?.promise;
  }

  end(): void {
    this.#isEnded = true;
    if (this.#unsentBytes === 0) this.#closeLater();
  }

  abort(): void {
    this.lose();
  }

  /** The client takes no more bytes. */
  stall(): void {
    this.#isTaking = false;
  }

  /** The client takes bytes and does not read them. */
  stopReading(): void {
    this.#reading = withResolvers();
  }

  /** The client reads again. */
  readOn(): void {
    this.#reading?.resolve();
    this.#reading = null;
  }

  /** The client takes everything. */
  drain(): void {
    this.#isTaking = true;
    this.#unsentBytes = 0;
    this.#writable.resolve();
    this.#writable = withResolvers();
    if (this.#isEnded) this.#closeLater();
  }

  /** The client goes away. */
  lose(): void {
    this.#isEnded = true;
    this.#writable.resolve();
    this.readOn();
    this.#closed.resolve("lost");
  }

  /** The end is sent some turns of the event loop after the last bytes. */
  #closeLater(turns = 5): void {
    if (turns === 0) this.#closed.resolve("delivered");
    else setImmediate(() => this.#closeLater(turns - 1));
  }
}

/** A request that is answered by a stream. */
export class MemoryWebRequest implements WebRequest {
  readonly method = "POST";
  readonly path = "/";
  readonly query = "";
  readonly remote = "127.0.0.1:50000";
  readonly version = "2";
  readonly security = PLAIN;
  readonly #givenUp = new AbortController();
  readonly #isStalled: boolean;
  /** Null until the request is answered. */
  head: WebHead | null = null;
  answer: MemoryWebStream | null = null;

  /** With `isStalled`, the client takes nothing of the answer at first. */
  constructor({ isStalled = false }: { readonly isStalled?: boolean } = {}) {
    this.#isStalled = isStalled;
  }

  get signal(): AbortSignal {
    return this.#givenUp.signal;
  }

  noteWaiting(): void {}

  /** The client gives up. */
  giveUp(): void {
    this.#givenUp.abort();
    this.answer?.lose();
  }

  header(): string | null {
    return null;
  }

  body(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(0));
  }

  read(): Promise<Uint8Array | null> {
    return Promise.resolve(null);
  }

  respond(_response: WebResponse): Promise<Delivery> {
    throw new Error("A watch answers by a stream.");
  }

  stream(head: WebHead): WebStream {
    this.head = head;
    this.answer = new MemoryWebStream();
    if (this.#isStalled) this.answer.stall();
    return this.answer;
  }
}
