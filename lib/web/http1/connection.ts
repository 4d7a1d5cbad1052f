/**
 * One connection of HTTP/1.1, as a server (RFC 9112): one request after the other. While a request is handled the
 * connection is read on, which shows that the client has closed it, up to what the buffer holds.
 */
import { withResolvers } from "../../platform/promise.ts";
import type { Input } from "../input.ts";
import { Output } from "../output.ts";
import {
  type ConnectionContext,
  Linger,
  type ProtocolConnection,
  StallTimer,
} from "../protocol_connection.ts";
import { runHandler } from "../run_handler.ts";
import { appendSimpleAnswer } from "./answer_head.ts";
import { Http1Exchange } from "./exchange.ts";
import { HeadReader } from "./head_reader.ts";
import { framingOf, type HeadProblem, isKeptAlive, parseRequestHead } from "./request_head.ts";

/** A connection whose first bytes are in the input. */
export class Http1Connection implements ProtocolConnection {
  readonly output: Output;
  readonly #context: ConnectionContext;
  readonly #input: Input;
  readonly #heads: HeadReader;
  #exchange: Http1Exchange | null = null;
  /** Whether nothing more arrives. */
  #hasEnded = false;
  /** closing: the present request is the last one. ending: everything is sent, and what arrives is dropped. */
  #state: "open" | "closing" | "ending" = "open";
  #problem: string | null = null;
  #changed = withResolvers<void>();
  /** Resolved when the input has space again; null while it has. */
  #freed: PromiseWithResolvers<void> | null = null;
  readonly #linger: Linger;
  readonly #partialHead = new StallTimer();
  readonly #idle = new StallTimer();
  readonly #unread = new StallTimer();

  /** Sends nothing. */
  constructor(context: ConnectionContext) {
    this.#context = context;
    this.#linger = new Linger(context);
    const { clock, connection, input, limits } = context;
    this.#input = input;
    this.#heads = new HeadReader(limits.maxHeadBytes);
    this.output = new Output(connection, {
      clock,
      onProgress: () => this.#exchange?.answerReady(),
      onFailed: () => connection.close(),
    });
  }

  get requests(): number {
    return this.#exchange === null ? 0 : 1;
  }

  get problem(): string | null {
    return this.#problem;
  }

  async serve(): Promise<void> {
    const reading = this.#readAll();
    try {
      for (;;) {
        const head = await this.#nextHead();
        if (head === null) break;
        if (!(await this.#answer(head))) break;
      }
      this.#state = "ending";
      this.#input.use(this.#input.length);
      this.#freeReader();
      this.#linger.begin(this.output);
      await reading;
      if (!this.#input.isBroken) await this.output.drained();
    } finally {
      this.#linger.end();
      this.output.stop();
      this.#context.connection.close();
    }
  }

  shutDown(): void {
    if (this.#state === "open") this.#state = "closing";
    this.#exchange?.announceClose();
    this.#wake();
  }

  checkTimes(nowMs: number): void {
    const { limits, connection } = this.#context;
    const { queuedBytes, writtenBytes } = this.output;
    if (this.#unread.check(queuedBytes > 0 ? writtenBytes : null, nowMs) > limits.progressTimeoutMs) {
      this.#problem = "the client does not read";
      return connection.close();
    }
    if (this.#state === "ending") return;
    const isBetween = this.#exchange === null;
    if (
      this.#partialHead.check(isBetween && this.#input.length > 0 ? 0 : null, nowMs) > limits.headTimeoutMs
    ) {
      this.#problem = "the head of a request takes too long";
      return connection.close();
    }
    if (this.#idle.check(isBetween ? 0 : null, nowMs) > limits.idleTimeoutMs) this.shutDown();
    this.#exchange?.checkTimes(nowMs);
  }

  /** Reads the connection to its end, as long as the input has space. */
  async #readAll(): Promise<void> {
    while (!this.#hasEnded) {
      if (this.#state === "ending") this.#input.use(this.#input.length);
      if (this.#input.isFull) {
        this.#freed = withResolvers();
        await this.#freed.promise;
        continue;
      }
      if (!(await this.#input.fill())) this.#hasEnded = true;
      this.#wake();
    }
  }

  /** Resolves to the next head, or null where there is none: a problem was answered then. */
  async #nextHead(): Promise<string | null> {
    for (;;) {
      const head = this.#heads.take(this.#input);
      this.#freeReader();
      if (head === "tooLong") {
        this.#refuse({ status: 431, reason: "its head is too large" }, "");
        return null;
      }
      if (head !== null) return head;
      if (this.#hasEnded || this.#state !== "open") return null;
      await this.#changed.promise;
    }
  }

  /** Handles one request; resolves to whether another one may follow. */
  async #answer(text: string): Promise<boolean> {
    const head = parseRequestHead(text);
    if ("reason" in head) return this.#refuse(head, text);
    const framing = framingOf(head);
    if ("reason" in framing) return this.#refuse(framing, text);
    if (head.method === "CONNECT") {
      return this.#refuse({ status: 501, reason: "this server is no proxy" }, text);
    }
    const { handler, logger } = this.#context;
    const exchange = new Http1Exchange(head, {
      framing,
      isKeptAlive: isKeptAlive(head) && this.#state === "open",
      context: this.#context,
      output: this.output,
      onChanged: () => this.#wake(),
    });
    this.#exchange = exchange;
    exchange.takeBody(this.#input);
    runHandler(exchange, { handler, logger, onSettled: () => {} });
    while (!exchange.isDone) {
      if (this.#input.isBroken) exchange.lost();
      else if (this.#hasEnded) exchange.clientEnded();
      exchange.takeBody(this.#input);
      this.#freeReader();
      if (exchange.isDone) break;
      await this.#changed.promise;
    }
    this.#exchange = null;
    return exchange.mayContinue;
  }

  #refuse(
    { status, reason }: HeadProblem | { readonly status: 431; readonly reason: string },
    head: string,
  ): false {
    this.#problem = reason;
    const body = `Cannot read the request: ${reason}.\n`;
    appendSimpleAnswer(this.output.queue(), { status, body, withBody: !head.startsWith("HEAD ") });
    return false;
  }

  /** Lets the connection be read on, if the input has space. */
  #freeReader(): void {
    if (this.#input.isFull) return;
    this.#freed?.resolve();
    this.#freed = null;
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = withResolvers();
  }
}
