/** The messages of a stream over the gateway: JSON values in the request's body, and a line for each message of the answer. */
import { concat } from "@std/bytes";
import { errorMessage } from "../../platform/errors.ts";
import { WebError, type WebRequest, type WebStream } from "../../web/mod.ts";
import type { ByteMessages } from "../rpc/method.ts";
import { EtcdError } from "../rpc/status.ts";
import { httpStatusOf, JSON_HEADERS, streamFailureOf } from "./answers.ts";
import { JsonValues } from "./json_values.ts";

/** Bytes of a value of a stream, whose largest one has two keys. */
const MAX_VALUE_BYTES = 16_384;
const BEFORE = new TextEncoder().encode(`{"result":`);
const AFTER = new TextEncoder().encode("}\n");

/** The messages of a stream. The answer begins with the first one, so that a failure before it has a status of its own. */
export class JsonStream implements ByteMessages {
  readonly #request: WebRequest;
  readonly #values = new JsonValues(MAX_VALUE_BYTES);
  #output: WebStream | null = null;
  #hasEnded = false;
  /** Whether the answer has ended. */
  #isClosed = false;

  /** Sends nothing. */
  constructor(request: WebRequest) {
    this.#request = request;
  }

  get unsentBytes(): number {
    return this.#output?.unsentBytes ?? 0;
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const value = this.#values.take();
      if (value !== null || this.#hasEnded) return value;
      const part = await this.#readPart();
      if (part !== null) {
        this.#values.push(part);
      } else {
        this.#hasEnded = true;
        this.#values.end();
      }
    }
  }

  write(message: Uint8Array): boolean {
    // The client's own mistake may end a stream while other parts of its method still have something to send.
    if (this.#isClosed) return true;
    return this.#begin(200).write(concat([BEFORE, message, AFTER]));
  }

  writeParts(head: Uint8Array, body: Uint8Array): boolean {
    return this.write(concat([head, body]));
  }

  whenWritable(): Promise<void> {
    return this.#output?.whenWritable() ?? Promise.resolve();
  }

  /** Ends the stream; null for success. */
  end(error: EtcdError | null): void {
    this.#isClosed = true;
    if (error === null) {
      this.#begin(200).end();
    } else if (this.#output === null) {
      const status = httpStatusOf(error.status);
      void this.#request.respond({ status, headers: JSON_HEADERS, body: streamFailureOf(error) });
    } else {
      this.#output.write(new TextEncoder().encode(streamFailureOf(error)));
      this.#output.end();
    }
  }

  #begin(status: number): WebStream {
    this.#output ??= this.#request.stream({ status, headers: JSON_HEADERS });
    return this.#output;
  }

  async #readPart(): Promise<Uint8Array | null> {
    try {
      return await this.#request.read();
    } catch (error) {
      if (error instanceof WebError) throw new EtcdError("cancelled", errorMessage(error));
      throw error;
    }
  }
}
