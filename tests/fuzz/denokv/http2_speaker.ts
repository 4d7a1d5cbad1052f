/**
 * A hostile program over HTTP/2 with prior knowledge: correct requests with hostile bodies, resets, floods of frames that
 * cost the sender little, wrong lengths, windows that stay closed, and random frames.
 */
import type { Clock } from "../../../lib/platform/clock.ts";
import { ConnectionFrom } from "../../support/processes/source_address.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { joined, mutated } from "../mutator.ts";
import { hostileBody, randomBytes } from "./bodies.ts";
import { sendFor, type SpeakerOptions } from "./http1_speaker.ts";
import { bytesOf, dataRequest, type HostileRequest, hostileRequest } from "./requests.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const SOURCE = "127.0.0.3";
/** The first bytes of a connection of HTTP/2. */
export const PREFACE = bytesOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** Numbers of the types of frames. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const FLOOD_FRAMES = 3_000;
const PAUSE_MS = 50;
/** Connections that stay open; one more closes the oldest. */
const MAX_OPEN = 30;
const HEADER_LENGTH = 9;
/** Bytes of one frame's payload without a setting of the peer. */
const MAX_PAYLOAD_BYTES = 16_384;

/** One hostile program. */
export class Http2Speaker {
  readonly #options: SpeakerOptions;
  readonly #open: ConnectionFrom[] = [];
  /** Connections so far. */
  connections = 0;
  /** Connections by the kind of attack. */
  readonly attacks = new Map<string, number>();

  constructor(options: SpeakerOptions) {
    this.#options = options;
  }

  /** Opens one connection after the other while `goesOn` returns true. */
  async run(goesOn: () => boolean): Promise<void> {
    const { clock } = this.#options;
    while (goesOn()) {
      await this.#attack();
      await pauseFor(PAUSE_MS, clock);
      while (this.#open.length > MAX_OPEN) this.#open.shift()?.[Symbol.dispose]();
    }
    for (const connection of this.#open) connection[Symbol.dispose]();
  }

  async #attack(): Promise<void> {
    const { random, port, clock } = this.#options;
    const connection = await ConnectionFrom.open(SOURCE, port).catch(() => null);
    if (connection === null) return;
    this.#open.push(connection);
    this.connections++;
    const attack = random.pick(ATTACKS);
    this.attacks.set(attack.name, (this.attacks.get(attack.name) ?? 0) + 1);
    if (random.chance(0.2)) connection.stopReading();
    await sendFor(connection, joined(PREFACE, settings(random)), clock);
    for (const bytes of attack(this.#options)) {
      if (connection.isClosed) return;
      const sent = random.chance(0.03) ? mutated({ corpus: [bytes], tokens: [] }, random) : bytes;
      if (!await sendFor(connection, sent, clock)) return;
      if (random.chance(0.2)) await pauseFor(random.below(30), clock);
    }
  }
}

type Attack = (options: SpeakerOptions) => Iterable<Bytes>;

const ATTACKS: readonly Attack[] = [
  /** Requests whose bodies may be hostile. */
  function* requests({ random, known }): Iterable<Bytes> {
    for (let number = 0; number < 1 + random.below(60); number++) {
      yield requestFrames(hostileRequest(random, known), 1 + 2 * number, random);
    }
  },
  /** Watches that are never read, or reset at once. */
  function* watches({ random, known }): Iterable<Bytes> {
    for (let number = 0; number < 200; number++) {
      const request = dataRequest("watch", known, hostileBody("watch", random));
      yield requestFrames(request, 1 + 2 * number, random);
      if (random.chance(0.5)) yield frame(FRAME.reset, 0, 1 + 2 * number, new Uint8Array([0, 0, 0, 8]));
    }
  },
  /** Streams that are opened and reset: "rapid reset". */
  function* resets({ random, known }): Iterable<Bytes> {
    const request = dataRequest("snapshot_read", known, hostileBody("snapshot_read", random));
    for (let burst = 0; burst < 30; burst++) {
      yield joined(...Array.from({ length: 100 }, (_, number) => {
        const stream = 1 + 2 * (burst * 100 + number);
        return joined(
          requestFrames(request, stream, random),
          frame(FRAME.reset, 0, stream, new Uint8Array([0, 0, 0, 8])),
        );
      }));
    }
  },
  function* pings({ random }): Iterable<Bytes> {
    yield* flood(() => frame(FRAME.ping, 0, 0, randomBytes(random, 8)));
  },
  function* settingsFlood({ random }): Iterable<Bytes> {
    yield* flood(() => settings(random));
  },
  function* windowUpdates({ random }): Iterable<Bytes> {
    yield* flood(() =>
      frame(
        FRAME.window,
        0,
        random.pick([0, 0, 1, 3]),
        random.pick([[0, 0, 0, 1], [127, 255, 255, 255], [0, 0, 0, 0]]),
      )
    );
  },
  function* emptyData({ random, known }): Iterable<Bytes> {
    yield headerFrames(dataRequest("atomic_write", known, new Uint8Array(0)), 1, { random, isEnd: false });
    yield* flood(() => frame(FRAME.data, 0, 1, []));
  },
  /** A head that never ends. */
  function* continuations({ random, known }): Iterable<Bytes> {
    const block = headerBlock(dataRequest("watch", known, new Uint8Array(0)));
    yield frame(FRAME.headers, 0, 1, block);
    yield* flood(() => frame(FRAME.continuation, 0, 1, literal("x", "y".repeat(random.below(100)))));
  },
  /** Bodies that are announced and do not come, in as many streams as possible. */
  function* openBodies({ random, known }): Iterable<Bytes> {
    for (let number = 0; number < 2_000; number++) {
      const request = dataRequest("atomic_write", known, new Uint8Array(0));
      yield headerFrames(request, 1 + 2 * number, { random, isEnd: false });
      if (random.chance(0.3)) yield frame(FRAME.data, 0, 1 + 2 * number, randomBytes(random, 1_000));
    }
  },
  /** A body beyond the limit, beyond the window too. */
  function* largeBody({ random, known }): Iterable<Bytes> {
    yield headerFrames(dataRequest("atomic_write", known, new Uint8Array(0)), 1, { random, isEnd: false });
    const part = new Uint8Array(MAX_PAYLOAD_BYTES);
    for (let number = 0; number < 200; number++) yield frame(FRAME.data, 0, 1, part);
  },
  /** A table of header fields that refers to itself as often as possible. */
  function* indexedFields({ random, known }): Iterable<Bytes> {
    for (let number = 0; number < 50; number++) {
      const block = joined(
        headerBlock(dataRequest("watch", known, new Uint8Array(0))),
        new Uint8Array([0x40]),
        text("bomb"),
        text("z".repeat(3_000)),
        new Uint8Array(10_000).fill(0x80 | 62),
      );
      yield frame(
        FRAME.headers,
        END_HEADERS | END_STREAM,
        1 + 2 * number,
        block.subarray(0, MAX_PAYLOAD_BYTES),
      );
      if (random.chance(0.5)) {
        yield frame(FRAME.headers, END_HEADERS | END_STREAM, 1 + 2 * number, randomBytes(random, 50));
      }
    }
  },
  function* randomFrames({ random }): Iterable<Bytes> {
    for (let number = 0; number < 100; number++) {
      const payload = randomBytes(random, random.below(60));
      yield frame(random.below(14), random.below(256), random.below(8), payload);
    }
  },
  /** Headers of frames whose lengths are wrong. */
  function* wrongLengths({ random }): Iterable<Bytes> {
    for (let number = 0; number < 10; number++) {
      const bytes = frame(
        random.below(10),
        random.below(256),
        random.below(4),
        randomBytes(random, random.below(20)),
      );
      bytes.set([random.pick([0, 255]), random.below(256), random.below(256)]);
      yield bytes;
    }
  },
];

function* flood(make: () => Bytes): Iterable<Bytes> {
  for (let sent = 0; sent < FLOOD_FRAMES; sent += 100) yield joined(...Array.from({ length: 100 }, make));
}

/** Returns the frames of a request; the last one of a few is missing its end. */
export function requestFrames(request: HostileRequest, stream: number, random: SeededRandom): Bytes {
  const { body } = request;
  const parts = [headerFrames(request, stream, { random, isEnd: body.length === 0 })];
  for (let offset = 0; offset < body.length; offset += MAX_PAYLOAD_BYTES) {
    const isLast = offset + MAX_PAYLOAD_BYTES >= body.length;
    parts.push(
      frame(
        FRAME.data,
        isLast && random.chance(0.97) ? END_STREAM : 0,
        stream,
        body.subarray(offset, offset + MAX_PAYLOAD_BYTES),
      ),
    );
  }
  return joined(...parts);
}

/** Returns the head of a request, at times in several frames. */
export function headerFrames(
  request: HostileRequest,
  stream: number,
  { random, isEnd }: { readonly random: SeededRandom; readonly isEnd: boolean },
): Bytes {
  const block = headerBlock(request);
  const end = isEnd ? END_STREAM : 0;
  if (block.length <= MAX_PAYLOAD_BYTES && random.chance(0.9)) {
    return frame(FRAME.headers, END_HEADERS | end, stream, block);
  }
  const parts: Bytes[] = [];
  const size = Math.min(MAX_PAYLOAD_BYTES, 1 + random.below(200));
  for (let offset = 0; offset < block.length; offset += size) {
    const flags = (offset === 0 ? end : 0) | (offset + size >= block.length ? END_HEADERS : 0);
    parts.push(
      frame(
        offset === 0 ? FRAME.headers : FRAME.continuation,
        flags,
        stream,
        block.subarray(offset, offset + size),
      ),
    );
  }
  return joined(...parts);
}

function headerBlock({ method, path, fields }: HostileRequest): Bytes {
  const pseudo = [[":method", method], [":scheme", "http"], [":path", path], [
    ":authority",
    "127.0.0.1",
  ]] as const;
  return joined(...[...pseudo, ...fields].map(([name, value]) => literal(name, value)));
}

/** A field that is not indexed, without compression. */
function literal(name: string, value: string): Bytes {
  return joined(new Uint8Array([0]), text(name), text(value));
}

/** A string of HPACK: a length in 7 bits and more, and the bytes. */
function text(content: string): Bytes {
  const bytes = bytesOf(content);
  const length = bytes.length < 127 ? [bytes.length] : [127, ...varint(bytes.length - 127)];
  return joined(new Uint8Array(length), bytes);
}

/** Returns a number as protobuf and HPACK have it, in groups of seven bits. */
export function varint(value: number): number[] {
  return value < 128 ? [value] : [value % 128 | 128, ...varint(Math.floor(value / 128))];
}

function settings(random: SeededRandom): Bytes {
  const pairs = random.chance(0.5) ? [] : Array.from({ length: random.below(4) }, () => [
    0,
    random.below(8),
    ...random.pick([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 64, 0], [127, 255, 255, 255], [255, 255, 255, 255], [
      0,
      255,
      255,
      255,
    ]]),
  ]);
  return frame(FRAME.settings, random.chance(0.95) ? 0 : 1, 0, pairs.flat());
}

/** Returns a frame. */
export function frame(type: number, flags: number, stream: number, payload: ArrayLike<number>): Bytes {
  const bytes = new Uint8Array(HEADER_LENGTH + payload.length);
  new DataView(bytes.buffer).setUint32(0, payload.length << 8 | type);
  bytes[4] = flags;
  new DataView(bytes.buffer).setUint32(5, stream);
  bytes.set(payload, HEADER_LENGTH);
  return bytes;
}

async function pauseFor(durationMs: number, clock: Clock): Promise<void> {
  await new Promise<void>((resolve) => void clock.after(durationMs, resolve));
}
