/** The body of a request between a connection and the handler. */
import { assert } from "../platform/assert.ts";
import { withResolvers } from "../platform/promise.ts";
import { concat } from "@std/bytes";
import type { HeldAccount } from "./held.ts";
import { BodyTooLargeError, WebError } from "./types.ts";

const EMPTY = new Uint8Array(0);
/** Bytes of a body that is too large which its error has. */
const BEGIN_BYTES = 16;

/** The connection's side of a body. */
export interface BodySource {
  /** Called when the handler first asks for the body. */
  bodyWanted(): void;
  /** Called when the client may send so many bytes more. */
  bodyConsumed(bytes: number): void;
}

/** Options of {@link RequestBody}. */
export interface RequestBodyOptions {
  readonly source: BodySource;
  readonly held: HeldAccount;
  readonly maxBytes: number;
  /** By the content-length; null without one. */
  readonly declaredBytes: number | null;
}

/** The handler's pending call: for the whole body, up to `maxBytes`, or for its next part. */
type Reader =
  | { readonly kind: "whole"; readonly maxBytes: number; readonly result: PromiseWithResolvers<Uint8Array> }
  | { readonly kind: "part"; readonly result: PromiseWithResolvers<Uint8Array | null> };

/** Parts that have arrived, and the handler that reads them. */
export class RequestBody {
  readonly #options: RequestBodyOptions;
  #chunks: Uint8Array[] = [];
  /** Bytes of #chunks. */
  #bytes = 0;
  #hasEnded = false;
  #failure: WebError | null = null;
  /** Whether arriving bytes are dropped, because the handler will not read them. */
  #isDiscarded = false;
  #isWanted = false;
  #reader: Reader | null = null;

  /** Nothing has arrived yet. */
  constructor(options: RequestBodyOptions) {
    this.#options = options;
  }

  /** Whether the handler waits for the end of the body. */
  get isEndAwaited(): boolean {
    return this.#reader?.kind === "whole";
  }

  /** Resolves to the whole body. Rejects with {@link WebError}. */
  body(maxBytes = this.#options.maxBytes): Promise<Uint8Array> {
    assert(this.#reader === null, "a body is read once at a time");
    this.#want();
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (Math.max(this.#bytes, this.#options.declaredBytes ?? 0) > maxBytes) {
      const error = this.#tooLarge(maxBytes);
      this.fail(error);
      return Promise.reject(error);
    }
    if (this.#hasEnded) return Promise.resolve(this.#takeAll());
    if (this.#bytes > 0) this.#options.source.bodyConsumed(this.#bytes);
    const result = withResolvers<Uint8Array>();
    this.#reader = { kind: "whole", maxBytes, result };
    return result.promise;
  }

  /** Resolves to the next part, or null at the end. Rejects with {@link WebError}. */
  read(): Promise<Uint8Array | null> {
    assert(this.#reader === null, "a body is read once at a time");
    this.#want();
    const chunk = this.#takeFirst();
    if (chunk !== null) return Promise.resolve(chunk);
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#hasEnded) return Promise.resolve(null);
    const result = withResolvers<Uint8Array | null>();
    this.#reader = { kind: "part", result };
    return result.promise;
  }

  /** Adds bytes that have arrived, which the caller does not change afterwards. */
  push(chunk: Uint8Array): void {
    const { source, held } = this.#options;
    if (this.#isDiscarded) return source.bodyConsumed(chunk.length);
    if (chunk.length === 0) return;
    const reader = this.#reader;
    if (reader?.kind === "part") {
      this.#reader = null;
      source.bodyConsumed(chunk.length);
      return reader.result.resolve(chunk);
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (!held.add(chunk.length)) {
      return this.fail(new WebError(503, "The server holds too much for this connection. Try again.\n"));
    }
    if (reader === null) return;
    if (this.#bytes > reader.maxBytes) this.fail(this.#tooLarge(reader.maxBytes));
    else source.bodyConsumed(chunk.length);
  }

  /** Notes that the body is complete. */
  end(): void {
    this.#hasEnded = true;
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) return;
    if (reader.kind === "part") reader.result.resolve(null);
    else reader.result.resolve(this.#takeAll());
  }

  /** Notes that the body will not be complete, or will not be read; what arrives from now on is dropped. */
  fail(error: WebError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.discard();
    const reader = this.#reader;
    this.#reader = null;
    reader?.result.reject(error);
  }

  /** Drops what has arrived and what will arrive. */
  discard(): void {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    const isCredited = this.#reader?.kind === "whole";
    const bytes = this.#bytes;
    this.#drop();
    if (bytes > 0 && !isCredited && !this.#hasEnded) this.#options.source.bodyConsumed(bytes);
  }

  #want(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    if (!this.#hasEnded) this.#options.source.bodyWanted();
  }

  #tooLarge(maxBytes: number): BodyTooLargeError {
    const begin: number[] = [];
    for (const chunk of this.#chunks) {
      begin.push(...chunk.subarray(0, BEGIN_BYTES - begin.length));
      if (begin.length === BEGIN_BYTES) break;
    }
    return new BodyTooLargeError(maxBytes, Uint8Array.from(begin));
  }

  #takeFirst(): Uint8Array | null {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return null;
    this.#bytes -= chunk.length;
    this.#options.held.remove(chunk.length);
    if (!this.#hasEnded) this.#options.source.bodyConsumed(chunk.length);
    return chunk;
  }

  #takeAll(): Uint8Array {
    const [first = EMPTY, ...others] = this.#chunks;
    const whole = others.length === 0 ? first : concat(this.#chunks);
    this.#drop();
    return whole;
  }

  #drop(): void {
    this.#options.held.remove(this.#bytes);
    this.#chunks = [];
    this.#bytes = 0;
  }
}
