/** HTTP/2: flow control, streams, limits and the end of a connection. */
import { assert, assertEquals } from "@std/assert";
import { FLAG, FRAME, SETTING } from "../../../lib/web/http2/protocol.ts";
import type { Delivery, WebRequest, WebStream } from "../../../lib/web/mod.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { within } from "../../support/eventually.ts";
import {
  dataFrame,
  type Http2TestClient,
  POST,
  settingsFrame,
  windowUpdate,
} from "../../support/web/http2_client.ts";
import { WebScene, type WebSceneOptions } from "../../support/web/web_scene.ts";

const END = FLAG.endStream;
const HEAD_END = FLAG.endHeaders;
const OK = { status: 200 } as const;

/** A server whose requests are collected instead of answered. */
class CollectingScene extends WebScene {
  readonly requests: WebRequest[];

  constructor(options: Omit<WebSceneOptions, "handler"> = {}) {
    const requests: WebRequest[] = [];
    super({ ...options, handler: (request) => void requests.push(request) });
    this.requests = requests;
  }

  /** Resolves to request number `at`, once it has arrived. */
  async request(at = 0): Promise<WebRequest> {
    await settle();
    const request = this.requests[at];
    assert(request !== undefined, "the request has arrived");
    return request;
  }
}

/** Bytes of bodies that a client has received. */
function receivedBytes(client: Http2TestClient, streamId: number): number {
  return client.frames.filter((frame) => frame.type === FRAME.data && frame.streamId === streamId)
    .reduce((sum, { payload }) => sum + payload.length, 0);
}

function updatesOf(client: Http2TestClient, streamId: number): number {
  return client.frames.filter((frame) => frame.type === FRAME.windowUpdate && frame.streamId === streamId)
    .length;
}

Deno.test("HTTP/2: an answer waits for the windows of its stream and of the connection", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2([[SETTING.initialWindowSize, 10]]);
  await client.request(1);
  const delivery = (await scene.request()).respond({ ...OK, body: "x".repeat(100_000) });
  await client.sync(1);
  assertEquals(receivedBytes(client, 1), 10);
  await client.send(windowUpdate(1, 5));
  await client.sync(2);
  assertEquals(receivedBytes(client, 1), 15);
  await client.send(settingsFrame([[SETTING.initialWindowSize, 100_000]]));
  await client.sync(3);
  assertEquals(receivedBytes(client, 1), 65_535, "all that the window of the connection allows");
  await client.send(windowUpdate(0, 100_000));
  assertEquals((await client.answer(1)).body.length, 100_000);
  assertEquals(await delivery, "delivered");
});

Deno.test("HTTP/2: an initial window that shrinks below zero stops a stream until updates outweigh it", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2([[SETTING.initialWindowSize, 100]]);
  await client.request(1);
  const stream = (await scene.request()).stream(OK);
  stream.write(new Uint8Array(100));
  await client.send(settingsFrame([[SETTING.initialWindowSize, 0]]), windowUpdate(1, 100));
  stream.write(new Uint8Array(10));
  await client.sync(1);
  assertEquals([receivedBytes(client, 1), stream.unsentBytes], [100, 10]);
  await client.send(windowUpdate(1, 10));
  await client.sync(2);
  assertEquals([receivedBytes(client, 1), stream.unsentBytes], [110, 0]);
});

Deno.test("HTTP/2: streams share the window of the connection in turn", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2([[SETTING.initialWindowSize, 2 ** 20]]);
  await client.request(1);
  await client.request(3);
  for (const at of [0, 1]) void (await scene.request(at)).respond({ ...OK, body: "x".repeat(200_000) });
  await client.send(windowUpdate(0, 131_072));
  await client.sync(1);
  const [first, second] = [receivedBytes(client, 1), receivedBytes(client, 3)];
  assertEquals(first + second, 65_535 + 131_072);
  assert(second >= 65_536 - 16_384, `the second stream got ${second} of ${first + second} bytes`);
});

Deno.test("HTTP/2: a stream reports its unsent bytes, and is writable again once they are sent", async () => {
  await using scene = new CollectingScene({ limits: { maxUnsentBytes: 1_000 } });
  const client = await scene.http2([[SETTING.initialWindowSize, 0]]);
  await client.request(1);
  const stream = (await scene.request()).stream(OK);
  assertEquals([stream.write(new Uint8Array(1_000)), stream.write(new Uint8Array(1))], [true, false]);
  assertEquals([stream.unsentBytes, scene.server.counts().heldBytes], [1_001, 1_001]);
  let isWritable = false;
  const waiting = stream.whenWritable().then(() => isWritable = true);
  await client.send(windowUpdate(1, 1_000));
  await client.sync(1);
  assertEquals([stream.unsentBytes, isWritable], [1, false]);
  await client.send(windowUpdate(1, 1));
  await within("it is writable", waiting);
  assertEquals([stream.unsentBytes, scene.server.counts().heldBytes], [0, 0]);
});

Deno.test("HTTP/2: trailers follow the body, also an empty one, and one that is sent at once", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  for (const id of [1, 3, 5]) await client.request(id);
  const trailers = { "grpc-status": "0" };
  const stream = (await scene.request(0)).stream(OK);
  stream.write(new TextEncoder().encode("ab"));
  stream.end(trailers);
  (await scene.request(1)).stream(OK).end(trailers);
  const delivery = (await scene.request(2)).respond({ ...OK, body: "c", trailers });
  const answers = [];
  for (const id of [1, 3, 5]) answers.push(await client.answer(id));
  assertEquals(
    answers.map(({ body, trailers }) => [body, trailers]),
    ["ab", "", "c"].map((body) => [body, trailers]),
  );
  assertEquals(await delivery, "delivered");
});

Deno.test("HTTP/2: the window of a request is updated at once where its body has not come with its head", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  await client.request(1, "body");
  await client.sync(1);
  assertEquals(updatesOf(client, 1), 0);
  await client.send(client.headers(3));
  await client.sync(2);
  assertEquals(updatesOf(client, 3), 1, "before the handler asks for the body");
});

Deno.test("HTTP/2: a body that is read in parts holds up the client at its window", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  await client.send(client.headers(1), ...[1, 2, 3].map(() => dataFrame(1, "x".repeat(16_384))));
  const request = await scene.request();
  await client.sync(1);
  assertEquals([updatesOf(client, 1), scene.server.counts().heldBytes], [1, 49_152]);
  let readBytes = 0;
  for (let part = 0; part < 3; part++) readBytes += (await request.read())?.length ?? 0;
  assertEquals([readBytes, scene.server.counts().heldBytes], [49_152, 0]);
  await client.sync(2);
  assert(updatesOf(client, 1) > 1, "what was read is allowed again");
  await client.send(dataFrame(1, "", END));
  assertEquals(await request.read(), null);
});

Deno.test("HTTP/2: a body larger than the windows arrives completely", async () => {
  await using scene = new CollectingScene({ limits: { maxBodyBytes: 10_000_000 } });
  const client = await scene.http2();
  await client.send(client.headers(1));
  const request = await scene.request();
  const body = request.body();
  for (let frame = 0; frame < 600; frame++) {
    await client.send(dataFrame(1, "x".repeat(16_000), frame === 599 ? END : 0));
    await settle(); // the updates of the windows come before the next frame
  }
  assertEquals((await body).length, 9_600_000);
});

Deno.test("HTTP/2: a body beyond its limit is answered with 413, and the rest of it is dropped", async () => {
  await using scene = new WebScene({ handler: async (request) => void await request.body(10) });
  const client = await scene.http2();
  await client.send(client.headers(1), dataFrame(1, "x".repeat(11)), dataFrame(1, "more"));
  assertEquals((await client.answer(1)).status, "413");
  await client.send(dataFrame(1, "rest", END));
  await client.sync(1);
  assertEquals(scene.server.counts().heldBytes, 0);
});

Deno.test("HTTP/2: a client that sends on behind an early answer is reset at the limit of bodies", async () => {
  await using scene = new CollectingScene({ limits: { maxBodyBytes: 100_000 } });
  const client = await scene.http2();
  await client.send(client.headers(1));
  assertEquals(await (await scene.request()).respond({ ...OK, body: "early" }), "delivered");
  for (let frame = 0; frame < 7; frame++) {
    await client.send(dataFrame(1, "x".repeat(16_000)));
    await settle();
  }
  assertEquals(await client.resetCode(1), "noError");
  assertEquals((await client.answer(1)).body, "early");
});

Deno.test("HTTP/2: a reset aborts the signal, the body and the answer of its request alone", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2([[SETTING.initialWindowSize, 0]]);
  await client.send(client.headers(1), client.headers(3, { flags: HEAD_END | END }));
  const [first, second] = [await scene.request(0), await scene.request(1)];
  const body = first.body().catch((error: unknown) => error instanceof Error ? error.message : "");
  const closed = second.stream(OK);
  closed.write(new Uint8Array(5));
  await client.send({ type: FRAME.rstStream, streamId: 1, payload: [0, 0, 0, 8] });
  await client.sync(1);
  assertEquals([first.signal.aborted, second.signal.aborted], [true, false]);
  assertEquals(await body, "The client has given up.\n");
  assertEquals(await first.respond({ ...OK, body: "late" }), "lost");
  await client.send({ type: FRAME.rstStream, streamId: 3, payload: [0, 0, 0, 8] });
  assertEquals(await closed.closed, "lost");
  assertEquals([second.signal.aborted, scene.server.counts().heldBytes], [true, 0]);
});

Deno.test("HTTP/2: a request that is reset in the same read never reaches the handler", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  await client.send(client.headers(1), { type: FRAME.rstStream, streamId: 1, payload: [0, 0, 0, 8] });
  await client.sync(1);
  assertEquals(scene.requests.length, 0);
});

Deno.test("HTTP/2: a broken connection loses its answers, and aborts its requests", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2([[SETTING.initialWindowSize, 0]]);
  await client.request(1);
  await client.request(3);
  const stream = (await scene.request(0)).stream(OK);
  stream.write(new Uint8Array(1));
  await client.close();
  const results: Delivery[] = [await stream.closed];
  results.push(await (await scene.request(1)).respond({ ...OK, body: "x" }));
  assertEquals(results, ["lost", "lost"]);
  assertEquals((await scene.request(1)).signal.aborted, true);
  await settle();
  assertEquals(scene.server.counts().connections, 0);
});

Deno.test("HTTP/2: streams beyond the limit are refused, and those that were reset count while they are handled", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using scene = new WebScene({ handler: () => promise, limits: { maxStreamsPerConnection: 2 } });
  const client = await scene.http2();
  for (const id of [1, 3, 5]) await client.request(id);
  assertEquals(await client.resetCode(5), "refusedStream");
  for (const streamId of [1, 3]) {
    await client.send({ type: FRAME.rstStream, streamId, payload: [0, 0, 0, 8] });
  }
  await client.request(7);
  assertEquals(await client.resetCode(7), "refusedStream");
  resolve();
  await settle();
  await client.request(9);
  await client.sync(1);
  assertEquals(scene.server.counts().requests, 1);
});

Deno.test("HTTP/2: a head beyond the limit is answered with 431, and later requests are read", async () => {
  await using scene = new CollectingScene({ limits: { maxHeadBytes: 1_000 } });
  const client = await scene.http2();
  await client.request(1, "", [...POST, { name: "a", value: "x".repeat(500) }, {
    name: "b",
    value: "y".repeat(900),
  }]);
  assertEquals((await client.answer(1)).status, "431");
  await client.request(3, "", [...POST, { name: "a", value: "x".repeat(500) }]);
  assertEquals((await scene.request()).header("a"), "x".repeat(500));
});

Deno.test("HTTP/2: CONNECT is answered with 501", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  await client.request(1, "", [{ name: ":method", value: "CONNECT" }, { name: ":authority", value: "a:1" }]);
  assertEquals((await client.answer(1)).status, "501");
});

Deno.test("HTTP/2: an answer to HEAD, and one of status 204, have no body", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  const [, ...rest] = POST;
  await client.request(1, "", [{ name: ":method", value: "HEAD" }, ...rest]);
  await client.request(3, "", [{ name: ":method", value: "HEAD" }, ...rest]);
  await client.request(5);
  void (await scene.request(0)).respond({ ...OK, body: "abc" });
  (await scene.request(1)).stream(OK).write(new Uint8Array(3));
  void (await scene.request(2)).respond({ status: 204, body: "" });
  const answers = [];
  for (const id of [1, 3, 5]) answers.push(await client.answer(id));
  assertEquals(answers.map(({ body, fields }) => [body, fields["content-length"] ?? null]), [
    ["", "3"],
    ["", null],
    ["", null],
  ]);
});

Deno.test("HTTP/2: a fault of the handler gives 500, and one behind the head resets the stream; both are logged", async () => {
  let number = 0;
  await using scene = new WebScene({
    handler: (request) => {
      number += 1;
      if (number === 2) request.stream(OK).write(new Uint8Array(1));
      if (number === 3) void request.respond({ status: 200, headers: { "bad name": "x" }, body: "" });
      throw new Error("fault");
    },
  });
  const client = await scene.http2();
  for (const id of [1, 3, 5]) await client.request(id);
  assertEquals((await client.answer(1)).status, "500");
  assertEquals(await client.resetCode(3), "internalError");
  assertEquals((await client.answer(5)).status, "500");
  assertEquals(scene.logger.connectionFaults.length, 3);
});

Deno.test("HTTP/2: close announces the end, refuses new requests, and waits for open streams", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  await client.request(1);
  const stream = (await scene.request()).stream(OK);
  const closing = scene.server.close();
  assertEquals(await client.goawayCode(), "noError");
  await client.request(3);
  assertEquals(await client.resetCode(3), "refusedStream");
  stream.write(new TextEncoder().encode("last"));
  stream.end();
  assertEquals((await client.answer(1)).body, "last");
  assertEquals(await stream.closed, "delivered");
  await settle();
  const lastIds = client.frames.filter(({ type }) => type === FRAME.goaway).map(({ payload }) => payload[3]);
  assertEquals(lastIds, [1, 1], "the refused request is not said to be handled");
  assertEquals(
    client.hasEnded,
    false,
    "the connection stays open for a moment, so that nothing sent is lost",
  );
  scene.clock.advance(1_000);
  await within("the server has closed", closing);
  assertEquals(scene.clock.timerCount, 0);
});

Deno.test("HTTP/2: close cuts streams that are not ended in time", async () => {
  await using scene = new CollectingScene({ limits: { closeTimeoutMs: 5_000 } });
  const client = await scene.http2();
  await client.request(1);
  const stream: WebStream = (await scene.request()).stream(OK);
  const closing = scene.server.close();
  await scene.pass(5_000);
  await within("the server has closed", closing);
  assertEquals(await stream.closed, "lost");
});

Deno.test("HTTP/2: blanks around a value are removed, as Deno sends one behind an empty access token", async () => {
  await using scene = new CollectingScene();
  const client = await scene.http2();
  const fields = [{ name: "authorization", value: "Bearer " }, { name: "x", value: " \t a b\t" }];
  await client.request(1, "", [...POST, ...fields]);
  const request = await scene.request();
  assertEquals([request.header("authorization"), request.header("x")], ["Bearer", "a b"]);
  void request.respond({ ...OK, body: "" });
  await client.sync(1);
});
