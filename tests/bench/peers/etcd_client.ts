/**
 * A client of etcd: gRPC, with no more HTTP/2 and Protocol Buffers than Put and Range need.
 *
 * etcd's own benchmark tool is in no package of Debian, and the overhead of a general gRPC library would take CPU time
 * from the nodes, which share the machine with the client. So this client runs many streams on one connection, sends
 * all frames of a turn in one write, and encodes the headers of each request once. It decodes only enough of an answer
 * to distinguish success from failure: a failed unary gRPC call ends without a message.
 */
import type { Target } from "../../../lib/loadgen/mod.ts";
import { TurnSocket } from "./turn_socket.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES = 9;
const Frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const END_STREAM = 1;
const ACKNOWLEDGED = 1;
const END_HEADERS = 4;
const SETTING_INITIAL_WINDOW = 4;
const SETTING_MAX_FRAME = 5;
const MAX_WINDOW = 2 ** 31 - 1;
const DEFAULT_WINDOW = 65_535;
/** The receive window is replenished once so much of it is used. */
const WINDOW_STEP = 2 ** 29;

const utf8 = new TextEncoder();

/** A request that waits for its answer. */
interface Stream {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  hasMessage: boolean;
  /** The unsent rest of the request; the windows of both connection and stream must have room for it. */
  unsent: Uint8Array | null;
  window: number;
}

/** A connection to one node. */
export class EtcdTarget implements Target {
  readonly #putHead: Uint8Array;
  readonly #rangeHead: Uint8Array;
  readonly #streams = new Map<number, Stream>();
  #socket: TurnSocket | null = null;
  #endedBecause: string | null = null;
  #nextStreamId = 1;
  #connectionWindow = DEFAULT_WINDOW;
  #streamWindow = DEFAULT_WINDOW;
  #maxFrameBytes = 16_384;
  #receivedBytes = 0;
  /** Streams with something unsent, in order. */
  readonly #blocked = new Set<number>();

  private constructor(address: string) {
    this.#putHead = requestHead(address, "/etcdserverpb.KV/Put");
    this.#rangeHead = requestHead(address, "/etcdserverpb.KV/Range");
  }

  /** Connects. */
  static async connect(address: string): Promise<EtcdTarget> {
    const target = new EtcdTarget(address);
    const socket = await TurnSocket.connect(address, (bytes) => target.#consume(bytes));
    target.#socket = socket;
    socket.send(utf8.encode(PREFACE));
    target.#sendFrame(Frame.settings, {
      payload: Uint8Array.of(0, SETTING_INITIAL_WINDOW, 0x7f, 0xff, 0xff, 0xff),
    });
    target.#sendFrame(Frame.windowUpdate, { payload: uint32(MAX_WINDOW - DEFAULT_WINDOW) });
    void socket.ended.then((reason) => target.#end(reason));
    return target;
  }

  put(key: string, value: Uint8Array): Promise<void> {
    const keyField = bytesField(1, utf8.encode(key));
    return this.#call(this.#putHead, [keyField, fieldHead(2, value.length), value]);
  }

  /** Reads linearizably, as etcd does unless a read asks for "serializable". */
  get(key: string): Promise<void> {
    return this.#call(this.#rangeHead, [bytesField(1, utf8.encode(key))]);
  }

  /** Ends the connection. */
  close(): void {
    this.#socket?.close();
  }

  #call(head: Uint8Array, message: readonly Uint8Array[]): Promise<void> {
    if (this.#endedBecause !== null) return Promise.reject(new Error(this.#endedBecause));
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const unsent = grpcMessage(message);
    const stream: Stream = { resolve, reject, hasMessage: false, unsent, window: this.#streamWindow };
    this.#streams.set(streamId, stream);
    this.#sendFrame(Frame.headers, { flags: END_HEADERS, streamId, payload: head });
    if (this.#blocked.size > 0 || !this.#sendData(streamId, stream)) this.#blocked.add(streamId);
    return promise;
  }

  /** Sends as much as the windows have room for; returns whether that was everything. */
  #sendData(streamId: number, stream: Stream): boolean {
    while (stream.unsent !== null) {
      const { unsent } = stream;
      const length = Math.min(unsent.length, this.#maxFrameBytes, this.#connectionWindow, stream.window);
      if (length <= 0) return false;
      const isLast = length === unsent.length;
      const payload = unsent.subarray(0, length);
      this.#sendFrame(Frame.data, { flags: isLast ? END_STREAM : 0, streamId, payload });
      this.#connectionWindow -= length;
      stream.window -= length;
      stream.unsent = isLast ? null : unsent.subarray(length);
    }
    return true;
  }

  #sendBlocked(): void {
    for (const streamId of this.#blocked) {
      const stream = this.#streams.get(streamId);
      if (stream === undefined || this.#sendData(streamId, stream)) this.#blocked.delete(streamId);
      else if (this.#connectionWindow <= 0) return;
    }
  }

  #sendFrame(
    type: number,
    { flags = 0, streamId = 0, payload }: { flags?: number; streamId?: number; payload: Uint8Array },
  ): void {
    const frame = this.#socket?.reserve(FRAME_HEAD_BYTES + payload.length);
    if (frame === undefined) return;
    const { length } = payload;
    frame[0] = length >>> 16;
    frame[1] = length >>> 8;
    frame[2] = length;
    frame[3] = type;
    frame[4] = flags;
    frame[5] = streamId >>> 24;
    frame[6] = streamId >>> 16;
    frame[7] = streamId >>> 8;
    frame[8] = streamId;
    frame.set(payload, FRAME_HEAD_BYTES);
  }

  #consume(bytes: Uint8Array): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let used = 0;
    while (bytes.length - used >= FRAME_HEAD_BYTES) {
      const length = view.getUint32(used) >>> 8;
      const end = used + FRAME_HEAD_BYTES + length;
      if (end > bytes.length) break;
      const streamId = view.getUint32(used + 5) & MAX_WINDOW;
      const payload = bytes.subarray(used + FRAME_HEAD_BYTES, end);
      this.#receive({ type: bytes[used + 3] ?? 0, flags: bytes[used + 4] ?? 0, streamId, payload });
      used = end;
    }
    return used;
  }

  #receive(
    { type, flags, streamId, payload }: {
      type: number;
      flags: number;
      streamId: number;
      payload: Uint8Array;
    },
  ): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    switch (type) {
      case Frame.data: {
        const stream = this.#streams.get(streamId);
        if (stream !== undefined) stream.hasMessage = true;
        this.#receivedBytes += payload.length;
        if (this.#receivedBytes < WINDOW_STEP) break;
        this.#sendFrame(Frame.windowUpdate, { payload: uint32(this.#receivedBytes) });
        this.#receivedBytes = 0;
        break;
      }
      case Frame.reset:
        return this.#finish(streamId, `etcd gave the request up (error ${view.getUint32(0)})`);
      case Frame.settings:
        if ((flags & ACKNOWLEDGED) === 0) this.#adopt(view);
        return;
      case Frame.ping:
        if ((flags & ACKNOWLEDGED) === 0) this.#sendFrame(Frame.ping, { flags: ACKNOWLEDGED, payload });
        return;
      case Frame.goAway:
        return this.#end("etcd closes the connection");
      case Frame.windowUpdate:
        return this.#widen(streamId, view.getUint32(0));
    }
    if ((type === Frame.data || type === Frame.headers) && (flags & END_STREAM) !== 0) {
      this.#finish(streamId, null);
    }
  }

  #finish(streamId: number, problem: string | null): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    if (problem === null && stream.hasMessage) stream.resolve();
    else stream.reject(new Error(problem ?? "etcd refused the request"));
  }

  #adopt(settings: DataView): void {
    for (let offset = 0; offset + 6 <= settings.byteLength; offset += 6) {
      const value = settings.getUint32(offset + 2);
      if (settings.getUint16(offset) === SETTING_MAX_FRAME) this.#maxFrameBytes = value;
      if (settings.getUint16(offset) !== SETTING_INITIAL_WINDOW) continue;
      for (const stream of this.#streams.values()) stream.window += value - this.#streamWindow;
      this.#streamWindow = value;
    }
    this.#sendFrame(Frame.settings, { flags: ACKNOWLEDGED, payload: new Uint8Array() });
    this.#sendBlocked();
  }

  #widen(streamId: number, bytes: number): void {
    const stream = this.#streams.get(streamId);
    if (streamId === 0) this.#connectionWindow += bytes;
    else if (stream !== undefined) stream.window += bytes;
    this.#sendBlocked();
  }

  #end(reason: string): void {
    this.#endedBecause = reason;
    for (const streamId of [...this.#streams.keys()]) this.#finish(streamId, reason);
  }
}

/** Encodes the header block of a call as HPACK literals and static entries: the server's dynamic table stays empty. */
function requestHead(address: string, path: string): Uint8Array {
  const text = (value: string): number[] => [value.length, ...utf8.encode(value)];
  return Uint8Array.of(
    0x83, // :method POST
    0x86, // :scheme http
    0x04, // :path
    ...text(path),
    0x01, // :authority
    ...text(address),
    0x0f, // content-type, entry 31 = 15 + 16
    0x10,
    ...text("application/grpc"),
    0x00,
    ...text("te"),
    ...text("trailers"),
  );
}

/** Joins the parts to one message with gRPC's prefix of five bytes: not compressed, and the length. */
function grpcMessage(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const message = new Uint8Array(5 + length);
  new DataView(message.buffer).setUint32(1, length);
  let offset = 5;
  for (const part of parts) {
    message.set(part, offset);
    offset += part.length;
  }
  return message;
}

/** Encodes the tag and length of a field of bytes (Protocol Buffers, wire type 2). */
function fieldHead(field: number, length: number): Uint8Array {
  const head = [field << 3 | 2];
  let rest = length;
  while (rest >= 0x80) {
    head.push(rest & 0x7f | 0x80);
    rest >>>= 7;
  }
  head.push(rest);
  return Uint8Array.from(head);
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  const head = fieldHead(field, bytes.length);
  const whole = new Uint8Array(head.length + bytes.length);
  whole.set(head);
  whole.set(bytes, head.length);
  return whole;
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
