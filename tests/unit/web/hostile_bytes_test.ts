/**
 * Arbitrary bytes and frames, in both versions of HTTP: none of them is a fault of the server, ends another connection,
 * or leaves anything behind.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Connection } from "../../../lib/platform/network.ts";
import { FLAG, FRAME, PREFACE, SETTING } from "../../../lib/web/http2/protocol.ts";
import type { WebRequest } from "../../../lib/web/mod.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { type EncodedField, TestHpackEncoder } from "../../support/web/hpack_encoder.ts";
import { frameBytes, integerBytes, POST, writeAll } from "../../support/web/http2_client.ts";
import { WebScene } from "../../support/web/web_scene.ts";

/** Does one of the things that handlers do, by the first character of the path. */
async function handle(request: WebRequest): Promise<void> {
  const kind = request.path.charCodeAt(1) % 6;
  if (kind === 0) return;
  if (kind === 1) {
    await request.respond({ status: 200, body: "x".repeat(request.path.length * 10_000) });
  } else if (kind === 2) {
    const stream = request.stream({ status: 200 });
    for (let part = 0; part < 5; part++) {
      stream.write(new Uint8Array(30_000));
      await stream.whenWritable();
    }
    stream.end({ trailer: "1" });
  } else if (kind === 3) {
    while (await request.read() !== null);
    await request.respond({ status: 204, body: "" });
  } else {
    const body = await request.body(kind === 4 ? 20_000 : 50);
    await request.respond({ status: 200, body });
  }
}

const streamId = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 4 }).map((number) => 2 * number + 1) },
  fc.constantFrom(0, 2, 2 ** 31 - 1),
);
const flags = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(0, FLAG.endStream, FLAG.endHeaders, FLAG.endStream | FLAG.endHeaders),
  },
  fc.integer({ min: 0, max: 255 }),
);
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => [...bytes]),
  fc.constantFrom(100, 16_384, 16_385).map((length) => new Array<number>(length).fill(7)),
);
const fields: fc.Arbitrary<readonly EncodedField[]> = fc.tuple(
  fc.constantFrom("GET", "POST", "HEAD", "CONNECT"),
  fc.constantFrom("/a", "/b", "/c", "/d", "/e", "/fff", "", "*"),
  fc.array(fc.constantFrom(
    { name: "content-length", value: "100" },
    { name: "te", value: "trailers" },
    { name: "connection", value: "close" },
    { name: "a", value: "x".repeat(3_000) },
    { name: ":path", value: "/g" },
  )),
).map(([method, path, more]) => [
  { name: ":method", value: method },
  ...POST.slice(1, 2),
  { name: ":path", value: path },
  ...more,
]);

/** A step of a client: a frame of any content, a request, an update of a setting or window, or a pause. */
const step = fc.oneof(
  fc.record({ kind: fc.constant("frame"), type: fc.integer({ min: 0, max: 10 }), flags, streamId, payload }),
  fc.record({ kind: fc.constant("headers"), flags, streamId, fields }),
  fc.record({
    kind: fc.constant("data"),
    flags: fc.constantFrom(0, FLAG.endStream),
    streamId,
    size: fc.constantFrom(0, 1, 100, 16_000),
  }),
  fc.record({
    kind: fc.constant("window"),
    streamId: fc.oneof(fc.constant(0), streamId),
    bytes: fc.constantFrom(0, 1, 70_000, 2 ** 31 - 1),
  }),
  fc.record({ kind: fc.constant("settings"), window: fc.constantFrom(0, 10, 100_000, 2 ** 31 - 1) }),
  fc.record({ kind: fc.constant("pause"), ms: fc.constantFrom(0, 1_000, 20_000) }),
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Returns the bytes of a step. */
function bytesOf(one: Step, encoder: TestHpackEncoder): number[] {
  if ("type" in one) return frameBytes(one);
  if ("fields" in one) {
    return frameBytes({ ...one, type: FRAME.headers, payload: encoder.encode(one.fields) });
  }
  if ("size" in one) {
    return frameBytes({ ...one, type: FRAME.data, payload: new Array<number>(one.size).fill(120) });
  }
  if ("bytes" in one) {
    return frameBytes({
      type: FRAME.windowUpdate,
      streamId: one.streamId,
      payload: integerBytes(one.bytes, 4),
    });
  }
  if ("ms" in one) return [];
  const setting = [...integerBytes(SETTING.initialWindowSize, 2), ...integerBytes(one.window, 4)];
  return frameBytes({ type: FRAME.settings, payload: setting });
}

/** Reads a connection to its end. */
async function drain(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(65_536);
  while (await connection.read(buffer).catch(() => null) !== null);
}

/** Sends what `send` sends, and checks that another connection is served and that nothing is left. */
async function check(scene: WebScene, send: (connection: Connection) => Promise<void>): Promise<void> {
  const other = await scene.http2();
  const connection = await scene.connect();
  const draining = drain(connection);
  await send(connection).catch(() => {}); // the server has closed the connection
  await settle();
  await other.request(1, "", [...POST.slice(0, 2), { name: ":path", value: "/c" }]);
  assertEquals((await other.answer(1)).status, "204");
  connection.close();
  await draining;
  await settle();
  assertEquals(scene.logger.connectionFaults, []);
  const { connections, requests, heldBytes } = scene.server.counts();
  assertEquals({ connections, requests, heldBytes }, { connections: 1, requests: 0, heldBytes: 0 });
}

Deno.test("web server: arbitrary frames of HTTP/2 are no fault, end no other connection, and leave nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 30 }),
      fc.integer({ min: 1, max: 5_000 }),
      async (steps, readBytes) => {
        await using scene = new WebScene({ handler: handle, network: { readBytes } });
        await check(scene, async (connection) => {
          const encoder = new TestHpackEncoder();
          await writeAll(connection, new Uint8Array([...PREFACE, ...frameBytes({ type: FRAME.settings })]));
          for (const one of steps) {
            await writeAll(connection, new Uint8Array(bytesOf(one, encoder)));
            if ("ms" in one) {
              await settle();
              scene.clock.advance(one.ms);
            }
          }
        });
      },
    ),
    { numRuns: 150 },
  );
});

const line = fc.constantFrom(
  "GET /a HTTP/1.1",
  "POST /b HTTP/1.1",
  "POST /c HTTP/1.0",
  "HEAD /d HTTP/1.1",
  "POST /e HTTP/1.1",
  "Host: a",
  "Content-Length: 5",
  "Content-Length: 50000",
  "Transfer-Encoding: chunked",
  "Expect: 100-continue",
  "Connection: close",
  "",
  "5",
  "hello",
  "0",
  "a: b\0",
).map((text) => `${text}\r\n`);
const text = fc.oneof(
  { weight: 8, arbitrary: line },
  fc.constant("GET /b HTTP/1.1\r\nHost: a\r\n\r\n"),
  fc.constant("POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
  fc.constant("POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
  fc.string({ unit: "binary", maxLength: 50 }),
  fc.constant(String.fromCharCode(...PREFACE)),
);

Deno.test("web server: arbitrary text is no fault of HTTP/1.1, ends no other connection, and leaves nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { maxLength: 30 }),
      fc.integer({ min: 1, max: 5_000 }),
      async (parts, readBytes) => {
        await using scene = new WebScene({ handler: handle, network: { readBytes } });
        await check(scene, async (connection) => {
          for (const part of parts) {
            await writeAll(connection, Uint8Array.from(part, (character) => character.charCodeAt(0) % 256));
            if (part === "\r\n") await settle();
          }
          await settle();
        });
      },
    ),
    { numRuns: 150 },
  );
});
