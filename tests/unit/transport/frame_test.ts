/** Frames on a connection: read and written in pieces of any sizes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { FrameReader, type StreamEnd } from "../../../lib/transport/frame_reader.ts";
import { FrameWriter, type FrameWriterOptions } from "../../../lib/transport/frame_writer.ts";
import type { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import { type Connection, PLAIN } from "../../../lib/platform/network.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { connectionPair } from "../../support/fakes/memory_network.ts";

const LIMITS = { bufferBytes: 16, retainedBytes: 64, maxFrameBytes: 100_000 };
const raw = (out: MessagePackWriter, payload: Uint8Array): void => out.raw(payload);

function writerOver(connection: Connection, options: Partial<FrameWriterOptions> = {}): FrameWriter {
  return new FrameWriter(connection, {
    clock: new ManualClock(),
    maxQueuedBytes: 1_000_000,
    retainedBytes: 64,
    onProgress: () => {},
    onFailed: () => {},
    ...options,
  });
}

/** Reads all frames, copied during the call, and returns them with the end of the stream. */
async function readAll(connection: Connection, limits = LIMITS): Promise<[Uint8Array[], StreamEnd]> {
  const frames: Uint8Array[] = [];
  const end = await new FrameReader(connection, limits).readFrames((payload) =>
    void frames.push(payload.slice())
  );
  return [frames, end];
}

function header(length: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}

/** A connection that delivers the given bytes, then the end. */
async function incoming(...pieces: readonly Uint8Array[]): Promise<Connection> {
  const [here, there] = connectionPair();
  for (const piece of pieces) await there.write(piece);
  there.close();
  return here;
}

Deno.test("FrameReader, FrameWriter: frames arrive complete and in order for any sizes of reads and writes", async () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
  const size = fc.integer({ min: 1, max: 50 });
  await fc.assert(
    fc.asyncProperty(payloads, size, size, size, async (sent, readBytes, writeBytes, capacityBytes) => {
      const [here, there] = connectionPair({ readBytes, writeBytes, capacityBytes });
      const writer = writerOver(here);
      const received = readAll(there);
      for (const payload of sent) assert(writer.send(raw, payload), "the frame is taken");
      await writer.finish();
      here.close();
      assertEquals(await received, [sent, { kind: "ended" }]);
    }),
    { numRuns: 50 },
  );
});

Deno.test("FrameWriter: frames sent in one turn leave in one write", async () => {
  const writes: number[] = [];
  const connection = {
    ...PLAIN,
    remote: "there:1",
    read: () => Promise.resolve(null),
    write: (bytes: Uint8Array) => Promise.resolve(writes[writes.push(bytes.length) - 1] ?? 0),
    close: () => {},
  };
  const writer = writerOver(connection);
  for (let sent = 0; sent < 3; sent++) writer.send(raw, new Uint8Array(10));
  await settle();
  writer.send(raw, new Uint8Array(5));
  await settle();
  assertEquals([writes, writer.bytesOut, writer.queuedBytes], [[42, 9], 51, 0]);
});

Deno.test("FrameWriter: there is one write at a time, and frames sent meanwhile follow in the next", async () => {
  let underWay = 0;
  const out: number[] = [];
  const connection = {
    ...PLAIN,
    remote: "there:1",
    read: () => Promise.resolve(null),
    write: async (bytes: Uint8Array): Promise<number> => {
      underWay += 1;
      assertEquals(underWay, 1);
      await settle();
      out.push(...bytes.subarray(0, 3));
      underWay -= 1;
      return Math.min(3, bytes.length);
    },
    close: () => {},
  };
  const writer = writerOver(connection);
  for (let sent = 0; sent < 4; sent++) {
    writer.send(raw, new Uint8Array(2).fill(sent));
    await new Promise<void>((resolve) => new ManualClock().endOfTurn(resolve));
  }
  await writer.finish();
  assertEquals(out, [0, 1, 2, 3].flatMap((fill) => [0, 0, 0, 2, fill, fill]));
});

Deno.test("FrameWriter: frames are refused while too many bytes are queued, and accepted again once fewer are", async () => {
  const [here, there] = connectionPair({ capacityBytes: 1 });
  let progress = 0;
  const writer = writerOver(here, { maxQueuedBytes: 20, onProgress: () => progress += 1 });
  const taken = [1, 2, 3].map(() => writer.send(raw, new Uint8Array(10)));
  assertEquals([taken, writer.queuedBytes], [[true, true, false], 28]);
  const received = readAll(there);
  await settle();
  assert(progress > 0 && writer.queuedBytes < 20, "bytes have left");
  assertEquals(writer.send(raw, new Uint8Array(1)), true);
  await writer.finish();
  here.close();
  const [frames] = await received;
  assertEquals(frames, [new Uint8Array(10), new Uint8Array(10), new Uint8Array(1)]);
});

Deno.test("FrameWriter: a frame whose encoding fails leaves no byte in the queue", async () => {
  const [here, there] = connectionPair();
  const writer = writerOver(here);
  writer.send(raw, new Uint8Array([1]));
  assertThrows(() => writer.send((out, value: number) => out.integer(value), -1), InvariantError);
  writer.send(raw, new Uint8Array([2]));
  await writer.finish();
  here.close();
  assertEquals((await readAll(there))[0], [new Uint8Array([1]), new Uint8Array([2])]);
});

Deno.test("FrameWriter: a failed write is reported once, and ends the sending of frames", async () => {
  const [here] = connectionPair();
  const failures: unknown[] = [];
  const writer = writerOver(here, { onFailed: (error) => failures.push(error) });
  writer.send(raw, new Uint8Array(1));
  here.reset();
  await writer.finish();
  assertEquals([failures.length, writer.send(raw, new Uint8Array(1))], [1, false]);
});

Deno.test("FrameReader: a frame longer than allowed ends the stream before a byte of it is read", async () => {
  const ends = [];
  for (const length of [100_001, 2 ** 31, 2 ** 32 - 1]) {
    ends.push((await readAll(await incoming(header(length))))[1]);
  }
  assertEquals(ends, [
    { kind: "frameTooLarge", bytes: 100_001, maxBytes: 100_000 },
    { kind: "frameTooLarge", bytes: 2 ** 31, maxBytes: 100_000 },
    { kind: "frameTooLarge", bytes: 2 ** 32 - 1, maxBytes: 100_000 },
  ]);
});

Deno.test("FrameReader: a frame of exactly the maximum length is accepted", async () => {
  const payload = new Uint8Array(100_000).fill(7);
  const [frames, end] = await readAll(await incoming(header(100_000), payload));
  // Compared by length and distinct bytes: the difference of two long frames would not help a reader.
  assertEquals([frames.map((frame) => [frame.length, ...new Set(frame)]), end], [[[100_000, 7]], {
    kind: "ended",
  }]);
});

Deno.test("FrameReader: a stream that ends inside a header or inside a frame is reported as truncated", async () => {
  const ends = [
    (await readAll(await incoming(new Uint8Array(3))))[1],
    (await readAll(await incoming(header(10), new Uint8Array(9))))[1],
    (await readAll(await incoming()))[1],
  ];
  assertEquals(ends, [{ kind: "cutOff" }, { kind: "cutOff" }, { kind: "ended" }]);
});

Deno.test("FrameReader: the buffer grows with the bytes that arrive, not with the announced length, and shrinks afterwards", async () => {
  const sizes: number[] = [];
  let arrived = 0;
  const [here, there] = connectionPair();
  const spied: Connection = {
    ...PLAIN,
    remote: "there:1",
    read: async (buffer) => {
      const bytes = buffer.buffer.byteLength;
      assert(
        bytes <= Math.max(LIMITS.retainedBytes, 2 * arrived),
        `${bytes} bytes for ${arrived} that arrived`,
      );
      sizes.push(bytes);
      const count = await here.read(buffer);
      arrived += count ?? 0;
      return count;
    },
    write: (bytes) => here.write(bytes),
    close: () => here.close(),
  };
  const received = readAll(spied);
  await there.write(header(100_000));
  for (let part = 0; part < 100; part++) await there.write(new Uint8Array(1_000));
  await settle();
  there.close();
  await received;
  assertEquals([Math.max(...sizes), sizes.at(-1)], [100_004, LIMITS.bufferBytes]);
});

Deno.test("FrameReader: the buffer is small until a read has filled it", async () => {
  const sizes: number[] = [];
  const [here, there] = connectionPair();
  const spied: Connection = {
    ...PLAIN,
    remote: "there:1",
    read: (buffer) => {
      sizes.push(buffer.buffer.byteLength);
      return here.read(buffer);
    },
    write: (bytes) => here.write(bytes),
    close: () => here.close(),
  };
  const received = readAll(spied, { bufferBytes: 16_384, retainedBytes: 131_072, maxFrameBytes: 100_000 });
  const frames = [10, 100, 3_000, 20].map((length) => new Uint8Array(length).fill(length));
  for (const payload of frames) {
    await there.write(header(payload.length));
    await there.write(payload);
    await settle();
  }
  there.close();
  assertEquals(await received, [frames, { kind: "ended" }]);
  assertEquals([...new Set(sizes)], [1_024, 16_384]);
});

Deno.test("FrameReader: a paused reader returns no frame, not even one already read, until it is resumed", async () => {
  const [here, there] = connectionPair();
  const reader = new FrameReader(here, { ...LIMITS, bufferBytes: 1_000 });
  const got: number[] = [];
  const end = reader.readFrames((payload) => {
    got.push(payload[0] ?? 0);
    if (payload[0] === 1) reader.pause();
  });
  await there.write(new Uint8Array([0, 0, 0, 1, 1, 0, 0, 0, 1, 2]));
  await settle();
  assertEquals(got, [1]);
  reader.resume();
  await settle();
  assertEquals(got, [1, 2]);
  there.close();
  assertEquals(await end, { kind: "ended" });
});

Deno.test("FrameReader: a reader that is stopped while it returns a frame returns no later one", async () => {
  const connection = await incoming(new Uint8Array([0, 0, 0, 1, 1, 0, 0, 0, 1, 2]));
  const reader = new FrameReader(connection, { ...LIMITS, bufferBytes: 1_000 });
  const got: number[] = [];
  await reader.readFrames((payload) => {
    got.push(payload[0] ?? 0);
    reader.stop();
  });
  assertEquals(got, [1]);
});
