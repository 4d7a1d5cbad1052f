/**
 * gRPC over HTTP/2: the frames around messages, deadlines, metadata, and the status in the trailers (the gRPC over HTTP2
 * specification of grpc/grpc).
 */
import { concat } from "@std/bytes";
import { errorMessage } from "../../platform/errors.ts";
import { SlabCopier } from "../../platform/memory/slab.ts";
import type { WebHeaders, WebRequest, WebStream } from "../../web/mod.ts";
import { BodyTooLargeError, constantFields, WebError } from "../../web/mod.ts";
import type { Message } from "../protobuf/message.ts";
import { type ByteMessages, type Format, MAX_CALL_MS, type MessageParts } from "./method.ts";
import { cutLists } from "./long_lists.ts";
import { EtcdError, etcdError } from "./status.ts";

/** Bytes of a request's message, as in etcd: `--max-request-bytes` and half a mebibyte. */
export const MAX_MESSAGE_BYTES = 2_097_152;
/**
 * Bytes of a message of a stream, of which the largest has two keys. A stream lasts as long as its client likes, and so does
 * what has arrived of a message that is not complete.
 */
export const MAX_STREAM_MESSAGE_BYTES = 16_384;
/** Unsent bytes of a stream at which {@link GrpcStream.write} returns false. */
const MAX_UNSENT_BYTES = 262_144;
/** Bytes before a message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
/** Bytes of a part that is sent as it is, and not copied to others. */
const LARGE_PART_BYTES = 16_384;
const NO_BYTES = new Uint8Array(0);
const CONTENT_TYPE = "application/grpc";
const HEAD = { status: 200, headers: constantFields({ "content-type": CONTENT_TYPE }) } as const;
/** Makes the bytes of short answers. */
const FRAMES = new SlabCopier();
/** Milliseconds of the units of `grpc-timeout`. */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Messages of gRPC: protobuf. */
export const PROTOBUF: Format = {
  decode: <T, G>(type: Message<T, G>, body: Uint8Array): T => type.decode(body),
  encode: <T, G>(type: Message<T, G>, message: G): Uint8Array => type.encode(message),
  encodeInSteps: async (type, message, yieldToOthers) => {
    const { head, rest } = cutLists(message);
    const parts = [type.encode(head)];
    for (const part of rest) {
      await yieldToOthers();
      parts.push(type.encode(part));
    }
    // Parts of a message that follow each other are one message.
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : concat(parts);
  },
};

/** Whether a request is one of gRPC. */
export function isGrpc(request: WebRequest): boolean {
  return request.header("content-type")?.startsWith(CONTENT_TYPE) === true;
}

/** Returns the time that the client gives, at most {@link MAX_CALL_MS}, which is that of a client that gives none. */
export function timeoutOf(request: WebRequest): number {
  const [, digits, unit = ""] = /^([0-9]{1,8})([HMSmun])$/.exec(request.header("grpc-timeout") ?? "") ?? [];
  if (digits === undefined) return MAX_CALL_MS;
  return Math.min(MAX_CALL_MS, Math.max(1, Math.floor(Number(digits) * (UNIT_MS[unit] ?? 1))));
}

/**
 * Reads the one message of a request. The web server counts its bytes until it is complete: a client may begin many messages
 * and complete none. Rejects with EtcdError.
 */
export async function readMessage(request: WebRequest): Promise<Uint8Array> {
  let body: Uint8Array;
  try {
    body = await request.body(PREFIX_BYTES + MAX_MESSAGE_BYTES);
  } catch (error) {
    // The beginning of a body that is too large says how large it is.
    if (!(error instanceof BodyTooLargeError && error.begin.length >= PREFIX_BYTES)) {
      throw toReadFailure(error);
    }
    body = error.begin;
  }
  const size = sizeOf(body, { request, maxBytes: MAX_MESSAGE_BYTES });
  if (size !== null && body.length === PREFIX_BYTES + size) return body.subarray(PREFIX_BYTES);
  const isCut = body.length > 0 && body.length < PREFIX_BYTES + (size ?? 0);
  throw new EtcdError(
    "internal",
    isCut ? "grpc: the stream ended within a message" : "grpc: a request with one message was expected",
  );
}

/** Returns the failure of a request whose body does not arrive. A fault is returned as it is. */
function toReadFailure(error: unknown): unknown {
  if (!(error instanceof WebError)) return error;
  return error.status === 503 || error.status === 413
    ? etcdError("tooManyRequests")
    : new EtcdError("cancelled", errorMessage(error));
}

/** Answers with one message. */
export function respond(request: WebRequest, message: Uint8Array): void {
  void request.respond({ ...HEAD, body: framed(message), trailers: OK });
}

/** Answers with one message in parts. */
export function respondInParts(request: WebRequest, { parts, sent }: MessageParts): void {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) {
    respond(request, only);
    return sent();
  }
  const stream = request.stream(HEAD);
  stream.write(prefixOf(parts.reduce((sum, { length }) => sum + length, 0)));
  for (const part of parts) stream.write(part);
  stream.end(OK);
  void stream.closed.then(sent);
}

/** Answers with a status alone. */
export function refuse(request: WebRequest, error: EtcdError): void {
  void request.respond({ status: 200, headers: { ...HEAD.headers, ...statusOf(error) }, body: "" });
}

/**
 * The messages of a stream in both directions. Those that are written without a pause are sent as one part: many small ones,
 * such as the events of the watches of one client, cost little more than one.
 */
export class GrpcStream implements ByteMessages {
  readonly #input: MessageInput;
  readonly #output: WebStream;
  /** Messages that are sent in a microtask, each as two parts, and the bytes of them with their prefixes. */
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #hasEnded = false;

  /** Begins the answer. */
  constructor(request: WebRequest) {
    this.#input = new MessageInput(request);
    this.#output = request.stream(HEAD);
  }

  get unsentBytes(): number {
    return this.#output.unsentBytes + this.#gatheredBytes;
  }

  read(): Promise<Uint8Array | null> {
    return this.#input.next();
  }

  write(message: Uint8Array): boolean {
    return this.writeParts(NO_BYTES, message);
  }

  writeParts(head: Uint8Array, body: Uint8Array): boolean {
    // The client's own mistake may end a stream while other parts of its method still have something to send.
    if (this.#hasEnded) return true;
    if (body.length >= LARGE_PART_BYTES) return this.#writeLarge(head, body);
    if (this.#gathered.length === 0) queueMicrotask(this.#sendGathered);
    this.#gathered.push(head, body);
    this.#gatheredBytes += PREFIX_BYTES + head.length + body.length;
    return this.unsentBytes <= MAX_UNSENT_BYTES;
  }

  #writeLarge(head: Uint8Array, body: Uint8Array): boolean {
    this.#sendGathered();
    const bytes = new Uint8Array(PREFIX_BYTES + head.length);
    bytes.set(head, writePrefix(bytes, 0, head.length + body.length));
    this.#output.write(bytes);
    this.#output.write(body);
    return this.unsentBytes <= MAX_UNSENT_BYTES;
  }

  whenWritable(): Promise<void> {
    this.#sendGathered();
    return this.#output.whenWritable();
  }

  /** Ends the stream with a status; null for success. */
  end(error: EtcdError | null): void {
    this.#sendGathered();
    this.#output.end(error === null ? OK : statusOf(error));
    this.#hasEnded = true;
  }

  readonly #sendGathered = (): void => {
    const parts = this.#gathered;
    if (parts.length === 0) return;
    const bytes = joined(parts, this.#gatheredBytes);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#output.write(bytes);
  };
}

/** Bytes up to which messages that were joined are remembered. */
const MAX_REMEMBERED_BYTES = 65_536;
/** The last messages of several that were joined. */
let lastJoined: { readonly parts: readonly Uint8Array[]; readonly bytes: Uint8Array } | null = null;

/**
 * Returns messages of two parts each, with their prefixes. Streams whose watches have the same ids get the same parts of an
 * event one after the other, and so the same bytes.
 */
function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  if (lastJoined !== null && areSame(parts, lastJoined.parts)) return lastJoined.bytes;
  const bytes = new Uint8Array(size);
  let end = 0;
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const head = parts[at] ?? NO_BYTES;
    const body = parts[at + 1] ?? NO_BYTES;
    end = writePrefix(bytes, end, head.length + body.length);
    // A loop is quicker than a call for the few bytes of a head.
    for (let index = 0; index < head.length; index++) bytes[end++] = head[index] ?? 0;
    bytes.set(body, end);
    end += body.length;
  }
  if (parts.length > 2 && size <= MAX_REMEMBERED_BYTES) lastJoined = { parts, bytes };
  return bytes;
}

/** Whether two lists have the same objects: no byte of a part is ever changed. */
function areSame(parts: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  if (parts.length !== others.length) return false;
  // The last part differs between events, the first one between hardly any.
  for (let at = parts.length - 1; at >= 0; at--) if (parts[at] !== others[at]) return false;
  return true;
}

/** The messages of a stream's body. What has arrived of the next one is in a buffer that grows by doubling. */
class MessageInput {
  readonly #request: WebRequest;
  #buffer = new Uint8Array(0);
  /** Bytes of the buffer that are used, and position of the first one that was not returned. */
  #end = 0;
  #start = 0;

  constructor(request: WebRequest) {
    this.#request = request;
  }

  /** Resolves to the next message, which the caller owns; to null at the end. Rejects with EtcdError. */
  async next(): Promise<Uint8Array | null> {
    for (;;) {
      const message = this.#take();
      if (message !== null) return message;
      const part = await this.#readPart();
      if (part !== null) this.#add(part);
      else if (this.#start === this.#end) return null;
      else throw new EtcdError("internal", "grpc: the stream ended within a message");
    }
  }

  #take(): Uint8Array | null {
    const bytes = this.#buffer.subarray(this.#start, this.#end);
    const size = sizeOf(bytes, { request: this.#request, maxBytes: MAX_STREAM_MESSAGE_BYTES });
    if (size === null || bytes.length < PREFIX_BYTES + size) return null;
    this.#start += PREFIX_BYTES + size;
    return bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + size);
  }

  /** Adds a part. Bytes that were returned are never written again: a message is a view of the buffer. */
  #add(part: Uint8Array): void {
    const kept = this.#end - this.#start;
    if (this.#end + part.length > this.#buffer.length) {
      const larger = new Uint8Array(kept === 0 ? part.length : 2 * (kept + part.length));
      larger.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = larger;
      this.#start = 0;
      this.#end = kept;
    }
    this.#buffer.set(part, this.#end);
    this.#end += part.length;
  }

  async #readPart(): Promise<Uint8Array | null> {
    try {
      return await this.#request.read();
    } catch (error) {
      throw toReadFailure(error);
    }
  }
}

const OK = constantFields({ "grpc-status": "0" });

function statusOf({ code, message }: EtcdError): WebHeaders {
  return { "grpc-status": `${code}`, "grpc-message": percentEncoded(message) };
}

/** Returns the size of the message that begins; null if its prefix is not complete. Throws EtcdError. */
function sizeOf(
  bytes: Uint8Array,
  { request, maxBytes }: { readonly request: WebRequest; readonly maxBytes: number },
): number | null {
  if (bytes.length < PREFIX_BYTES) return null;
  const [isCompressed = 0, first = 0, second = 0, third = 0, fourth = 0] = bytes;
  if (isCompressed !== 0) {
    const encoding = request.header("grpc-encoding") ?? "";
    throw new EtcdError(
      "unimplemented",
      `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`,
    );
  }
  const size = ((first * 256 + second) * 256 + third) * 256 + fourth;
  if (size <= maxBytes) return size;
  throw new EtcdError(
    "resourceExhausted",
    `grpc: received message larger than max (${size} vs. ${maxBytes})`,
  );
}

function framed(message: Uint8Array): Uint8Array {
  const bytes = FRAMES.take(PREFIX_BYTES + message.length);
  bytes.set(message, writePrefix(bytes, 0, message.length));
  return bytes;
}

/** Returns the bytes before a message of a size. */
function prefixOf(size: number): Uint8Array {
  const bytes = new Uint8Array(PREFIX_BYTES);
  writePrefix(bytes, 0, size);
  return bytes;
}

/** Writes the prefix of a message of so many bytes; returns the position behind it. */
function writePrefix(into: Uint8Array, at: number, length: number): number {
  into[at] = 0;
  into[at + 1] = length >>> 24;
  into[at + 2] = length >>> 16;
  into[at + 3] = length >>> 8;
  into[at + 4] = length;
  return at + PREFIX_BYTES;
}

/** Returns a text as `grpc-message` has it: printable ASCII, and anything else as the bytes of UTF-8 in hexadecimal. */
function percentEncoded(text: string): string {
  let encoded = "";
  for (const byte of new TextEncoder().encode(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  // A value of a header field has no spaces at its ends.
  return encoded.replaceAll(/^ | $/g, "%20");
}
