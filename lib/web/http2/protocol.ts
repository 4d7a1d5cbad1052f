/** The numbers of HTTP/2 (RFC 9113): frame types, flags, settings and error codes. */

/** Bytes in front of each frame's payload: length (3), type, flags, stream (4). */
export const FRAME_HEADER_BYTES = 9;
/** Largest payload of a frame, in both directions: the default and least value of SETTINGS_MAX_FRAME_SIZE. */
export const MAX_FRAME_BYTES = 16_384;
/** Flow-control windows before any setting or update. */
export const DEFAULT_WINDOW_BYTES = 65_535;
export const MAX_WINDOW_BYTES = 0x7fff_ffff;
export const MAX_STREAM_ID = 0x7fff_ffff;
/** The first bytes of a client. */
export const PREFACE: Uint8Array = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const FRAME = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

export const FLAG = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const SETTING = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

export const ERROR = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;
/** One of {@link ERROR}. */
export type ErrorCode = typeof ERROR[keyof typeof ERROR];

/** An error of the peer that ends the connection (RFC 9113 §5.4.1). */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: ErrorCode;

  /** `message` is sent as debug data. */
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** An error of the peer that ends one stream (RFC 9113 §5.4.2). */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly streamId: number;
  readonly code: ErrorCode;

  /** `message` is for a log. */
  constructor(streamId: number, code: ErrorCode, message: string) {
    super(message);
    this.streamId = streamId;
    this.code = code;
  }
}
