/** HTTP/2: each error of a client has the consequence of RFC 9113, and ends nothing more. */
import { assertEquals } from "@std/assert";
import { FLAG, FRAME, PREFACE, SETTING } from "../../../lib/web/http2/protocol.ts";
import type { WebRequest } from "../../../lib/web/mod.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import {
  dataFrame,
  frameBytes,
  Http2TestClient,
  integerBytes,
  POST,
  type SentFrame,
  settingsFrame,
  windowUpdate,
} from "../../support/web/http2_client.ts";
import { WebScene } from "../../support/web/web_scene.ts";

const END = FLAG.endStream;
const HEAD_END = FLAG.endHeaders;

/** Answers with the length of the body, but for requests that it does not read. */
async function handler(request: WebRequest): Promise<void> {
  if (request.method === "PUT") return;
  const body = await request.body();
  await request.respond({ status: 200, body: `${body.length}` });
}

/** An error and its consequence: of the connection, or of stream 1. */
interface ErrorCase {
  readonly title: string;
  readonly frames: (client: Http2TestClient) => readonly SentFrame[];
  /** Code of the GOAWAY, if the connection ends. */
  readonly goaway?: string;
  /** Code of the RST_STREAM of stream 1. */
  readonly reset?: string;
}

const padded = (length: number, padding: number): number[] => [
  padding,
  ...new Array<number>(length - 1).fill(0),
];

const ERRORS: readonly ErrorCase[] = [
  { title: "DATA of stream 0", frames: () => [dataFrame(0, "x")], goaway: "protocolError" },
  { title: "DATA of an idle stream", frames: () => [dataFrame(1, "x")], goaway: "protocolError" },
  {
    title: "DATA behind the end of a stream that is answered",
    frames: (client) => [client.headers(1, { flags: HEAD_END | END }), dataFrame(1, "x")],
    reset: "streamClosed",
  },
  {
    title: "DATA whose padding is as long as the frame",
    frames: (client) => [client.headers(1), {
      type: FRAME.data,
      flags: FLAG.padded,
      streamId: 1,
      payload: padded(5, 5),
    }],
    goaway: "protocolError",
  },
  {
    title: "empty DATA that is said to be padded",
    frames: (client) => [client.headers(1), { type: FRAME.data, flags: FLAG.padded, streamId: 1 }],
    goaway: "protocolError",
  },
  {
    title: "DATA beyond the window of its stream",
    frames: (client) => [
      client.headers(1, { fields: [{ name: ":method", value: "PUT" }, ...POST.slice(1)] }),
      ...[0, 1, 2, 3, 4].map(() => dataFrame(1, "x".repeat(16_384))),
    ],
    reset: "flowControlError",
  },
  {
    title: "a body longer than its content-length",
    frames: (client) => [
      client.headers(1, { fields: [...POST, { name: "content-length", value: "3" }] }),
      dataFrame(1, "four", END),
    ],
    reset: "protocolError",
  },
  {
    title: "a body shorter than its content-length",
    frames: (client) => [
      client.headers(1, { fields: [...POST, { name: "content-length", value: "3" }] }),
      dataFrame(1, "ab", END),
    ],
    reset: "protocolError",
  },
  {
    title: "no body in spite of a content-length",
    frames: (client) => [
      client.headers(1, {
        fields: [...POST, { name: "content-length", value: "3" }],
        flags: HEAD_END | END,
      }),
    ],
    reset: "protocolError",
  },
  { title: "HEADERS of stream 0", frames: (client) => [client.headers(0)], goaway: "protocolError" },
  { title: "HEADERS of an even stream", frames: (client) => [client.headers(2)], goaway: "protocolError" },
  {
    title: "HEADERS of a stream below the last one",
    frames: (client) => [client.headers(3, { flags: HEAD_END | END }), client.headers(1)],
    goaway: "streamClosed",
  },
  {
    title: "HEADERS with a priority that does not fit",
    frames: () => [{
      type: FRAME.headers,
      flags: HEAD_END | FLAG.priority,
      streamId: 1,
      payload: [0, 0, 0, 0],
    }],
    goaway: "frameSizeError",
  },
  {
    title: "HEADERS with more padding than bytes",
    frames: () => [{
      type: FRAME.headers,
      flags: HEAD_END | FLAG.padded,
      streamId: 1,
      payload: [9, 0x82],
    }],
    goaway: "protocolError",
  },
  {
    title: "a header block that is no HPACK",
    frames: () => [{ type: FRAME.headers, flags: HEAD_END, streamId: 1, payload: [0x80] }],
    goaway: "compressionError",
  },
  {
    title: "a header block that another frame interrupts",
    frames: (client) => [client.headers(1, { flags: 0 }), windowUpdate(0, 1)],
    goaway: "protocolError",
  },
  {
    title: "a header block that an unknown frame interrupts",
    frames: (client) => [client.headers(1, { flags: 0 }), { type: 0xee }],
    goaway: "protocolError",
  },
  {
    title: "a header block that is continued on another stream",
    frames: (client) => [client.headers(1, { flags: 0 }), { type: FRAME.continuation, streamId: 3 }],
    goaway: "protocolError",
  },
  {
    title: "CONTINUATION of nothing",
    frames: (client) => [client.headers(1), { type: FRAME.continuation, streamId: 1 }],
    goaway: "protocolError",
  },
  {
    title: "CONTINUATION without end",
    frames: (client) => [
      client.headers(1, { flags: 0 }),
      ...[1, 2, 3].map(() => ({
        type: FRAME.continuation,
        streamId: 1,
        payload: new Array<number>(16_384).fill(0x82),
      })),
    ],
    goaway: "enhanceYourCalm",
  },
  {
    title: "trailers that do not end the stream",
    frames: (client) => [
      client.headers(1),
      client.headers(1, { fields: [{ name: "a", value: "b" }] }),
    ],
    reset: "protocolError",
  },
  {
    title: "trailers with a pseudo-header field",
    frames: (client) => [client.headers(1), client.headers(1, { flags: HEAD_END | END })],
    reset: "protocolError",
  },
  {
    title: "HEADERS behind the end of a stream",
    frames: (client) => [
      client.headers(1, { flags: HEAD_END | END }),
      client.headers(1, { fields: [{ name: "a", value: "b" }], flags: HEAD_END | END }),
    ],
    reset: "streamClosed",
  },
  {
    title: "PRIORITY of stream 0",
    frames: () => [{ type: FRAME.priority, payload: [0, 0, 0, 0, 0] }],
    goaway: "protocolError",
  },
  {
    title: "PRIORITY of four bytes",
    frames: (client) => [client.headers(1), { type: FRAME.priority, streamId: 1, payload: [0, 0, 0, 0] }],
    reset: "frameSizeError",
  },
  {
    title: "RST_STREAM of stream 0",
    frames: () => [{ type: FRAME.rstStream, payload: [0, 0, 0, 0] }],
    goaway: "protocolError",
  },
  {
    title: "RST_STREAM of an idle stream",
    frames: () => [{ type: FRAME.rstStream, streamId: 1, payload: [0, 0, 0, 0] }],
    goaway: "protocolError",
  },
  {
    title: "RST_STREAM of three bytes",
    frames: (client) => [client.headers(1), { type: FRAME.rstStream, streamId: 1, payload: [0, 0, 0] }],
    goaway: "frameSizeError",
  },
  {
    title: "SETTINGS of a stream",
    frames: () => [{ type: FRAME.settings, streamId: 1 }],
    goaway: "protocolError",
  },
  {
    title: "SETTINGS of five bytes",
    frames: () => [{ type: FRAME.settings, payload: [0, 0, 0, 0, 0] }],
    goaway: "frameSizeError",
  },
  {
    title: "an acknowledgement of settings with a payload",
    frames: () => [{ type: FRAME.settings, flags: FLAG.ack, payload: [0, 0, 0, 0, 0, 0] }],
    goaway: "frameSizeError",
  },
  {
    title: "SETTINGS_ENABLE_PUSH 2",
    frames: () => [settingsFrame([[SETTING.enablePush, 2]])],
    goaway: "protocolError",
  },
  {
    title: "SETTINGS_INITIAL_WINDOW_SIZE 2^31",
    frames: () => [settingsFrame([[SETTING.initialWindowSize, 2 ** 31]])],
    goaway: "flowControlError",
  },
  {
    title: "SETTINGS_MAX_FRAME_SIZE 16,383",
    frames: () => [settingsFrame([[SETTING.maxFrameSize, 16_383]])],
    goaway: "protocolError",
  },
  {
    title: "SETTINGS_MAX_FRAME_SIZE 2^24",
    frames: () => [settingsFrame([[SETTING.maxFrameSize, 2 ** 24]])],
    goaway: "protocolError",
  },
  {
    title: "an initial window that makes the window of a stream too large",
    frames: (client) => [
      client.headers(1),
      windowUpdate(1, 2 ** 31 - 1 - 65_535),
      settingsFrame([[SETTING.initialWindowSize, 65_536]]),
    ],
    goaway: "flowControlError",
  },
  {
    title: "PUSH_PROMISE",
    frames: () => [{ type: FRAME.pushPromise, streamId: 1 }],
    goaway: "protocolError",
  },
  {
    title: "PING of a stream",
    frames: () => [{ type: FRAME.ping, streamId: 1, payload: new Array<number>(8).fill(0) }],
    goaway: "protocolError",
  },
  {
    title: "PING of seven bytes",
    frames: () => [{ type: FRAME.ping, payload: new Array<number>(7).fill(0) }],
    goaway: "frameSizeError",
  },
  {
    title: "GOAWAY of a stream",
    frames: () => [{ type: FRAME.goaway, streamId: 1, payload: new Array<number>(8).fill(0) }],
    goaway: "protocolError",
  },
  {
    title: "GOAWAY of four bytes",
    frames: () => [{ type: FRAME.goaway, payload: [0, 0, 0, 0] }],
    goaway: "frameSizeError",
  },
  {
    title: "WINDOW_UPDATE of three bytes",
    frames: () => [{ type: FRAME.windowUpdate, payload: [0, 0, 1] }],
    goaway: "frameSizeError",
  },
  { title: "WINDOW_UPDATE by 0", frames: () => [windowUpdate(0, 0)], goaway: "protocolError" },
  {
    title: "WINDOW_UPDATE of a stream by 0",
    frames: (client) => [client.headers(1), windowUpdate(1, 0)],
    reset: "protocolError",
  },
  { title: "WINDOW_UPDATE of an idle stream", frames: () => [windowUpdate(1, 1)], goaway: "protocolError" },
  {
    title: "a window of the connection beyond 2^31-1",
    frames: () => [windowUpdate(0, 2 ** 31 - 1)],
    goaway: "flowControlError",
  },
  {
    title: "a window of a stream beyond 2^31-1",
    frames: (client) => [client.headers(1), windowUpdate(1, 2 ** 31 - 1)],
    reset: "flowControlError",
  },
  {
    title: "a frame longer than 16,384 bytes",
    frames: (client) => [client.headers(1), dataFrame(1, "x".repeat(16_385))],
    goaway: "frameSizeError",
  },
];

for (const { title, frames, goaway, reset } of ERRORS) {
  Deno.test(`HTTP/2: ${title}: ${goaway ?? reset}`, async () => {
    await using scene = new WebScene({ handler });
    const client = await scene.http2();
    await client.send(...frames(client));
    if (goaway !== undefined) {
      assertEquals(await client.goawayCode(), goaway);
      await settle();
      scene.clock.advance(1_000);
      await client.ended();
    } else {
      assertEquals(await client.resetCode(1), reset);
      await client.request(5, "body");
      assertEquals((await client.answer(5)).body, "4");
    }
    assertEquals(scene.logger.connectionFaults, []);
  });
}

/** Fields that make a request malformed. */
const MALFORMED: readonly { readonly title: string; readonly fields: readonly [string, string][] }[] = [
  { title: "without a method", fields: [[":scheme", "http"], [":path", "/"]] },
  { title: "without a scheme", fields: [[":method", "GET"], [":path", "/"]] },
  { title: "without a path", fields: [[":method", "GET"], [":scheme", "http"]] },
  { title: "with an empty path", fields: [[":method", "GET"], [":scheme", "http"], [":path", ""]] },
  { title: "with a path that is a name", fields: [[":method", "GET"], [":scheme", "http"], [":path", "a"]] },
  {
    title: "with two methods",
    fields: [[":method", "GET"], [":method", "GET"], [":scheme", "http"], [":path", "/"]],
  },
  {
    title: "with an unknown pseudo-header field",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":other", "x"]],
  },
  {
    title: "with the status of an answer",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":status", "200"]],
  },
  {
    title: "with a pseudo-header field behind others",
    fields: [[":method", "GET"], ["a", "b"], [":scheme", "http"], [":path", "/"]],
  },
  {
    title: "with a name in capitals",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], ["A", "b"]],
  },
  {
    title: "with a line end in a value",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], ["a", "b\r\nc: d"]],
  },
  {
    title: "with a field of connections",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], ["connection", "close"]],
  },
  {
    title: "with a te of another coding",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], ["te", "gzip"]],
  },
  {
    title: "with two content-lengths",
    fields: [[":method", "GET"], [":scheme", "http"], [":path", "/"], ["content-length", "1"], [
      "content-length",
      "2",
    ]],
  },
  { title: "of CONNECT with a path", fields: [[":method", "CONNECT"], [":path", "/"]] },
];

for (const { title, fields } of MALFORMED) {
  Deno.test(`HTTP/2: a request ${title} is malformed and resets its stream`, async () => {
    await using scene = new WebScene({ handler });
    const client = await scene.http2();
    await client.request(1, "", fields.map(([name, value]) => ({ name, value })));
    assertEquals(await client.resetCode(1), "protocolError");
    await client.request(3);
    assertEquals((await client.answer(3)).status, "200");
  });
}

Deno.test("HTTP/2: a first frame other than SETTINGS ends the connection", async () => {
  await using scene = new WebScene({ handler });
  const client = new Http2TestClient(await scene.connect());
  await client.bytes([...PREFACE, ...frameBytes({ type: FRAME.ping, payload: integerBytes(1, 8) })]);
  assertEquals(await client.goawayCode(), "protocolError");
  await client.close();
});

Deno.test("HTTP/2: frames of unknown types, reserved bits and priorities are ignored", async () => {
  await using scene = new WebScene({ handler });
  const client = await scene.http2([[0xeeee, 1], [SETTING.maxFrameSize, 20_000]]);
  await client.send(
    { type: 0xee, flags: 0xff, streamId: 9, payload: [1, 2, 3] },
    { type: FRAME.priority, streamId: 7, payload: [0, 0, 0, 7, 0] },
    { ...windowUpdate(0, 1), payload: [0x80, 0, 0, 1] },
    { ...client.headers(1), streamId: 2 ** 31 + 1 },
    dataFrame(1, "abc", END),
  );
  assertEquals((await client.answer(1)).body, "3");
});

Deno.test("HTTP/2: a request with padding, priority, CONTINUATION and trailers is answered", async () => {
  await using scene = new WebScene({ handler });
  const client = await scene.http2();
  const block = client.encoder.encode(POST);
  await client.send(
    {
      type: FRAME.headers,
      flags: FLAG.padded | FLAG.priority,
      streamId: 1,
      payload: [2, 0, 0, 0, 0, 16, ...block.slice(0, 1), 0, 0],
    },
    { type: FRAME.continuation, streamId: 1 },
    { type: FRAME.continuation, flags: HEAD_END, streamId: 1, payload: block.slice(1) },
    { type: FRAME.data, flags: FLAG.padded, streamId: 1, payload: [3, 0x61, 0x62, 0, 0, 0] },
    client.headers(1, { fields: [{ name: "a", value: "b" }], flags: HEAD_END | END }),
  );
  assertEquals((await client.answer(1)).body, "2");
});
