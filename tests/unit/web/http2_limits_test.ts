/** HTTP/2: floods, slow clients and limits on connections. */
import { assert, assertEquals } from "@std/assert";
import { ERROR, FLAG, FRAME, PREFACE, SETTING } from "../../../lib/web/http2/protocol.ts";
import type { WebRequest } from "../../../lib/web/mod.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import {
  dataFrame,
  frameBytes,
  type Http2TestClient,
  POST,
  type SentFrame,
  settingsFrame,
  windowUpdate,
  writeAll,
} from "../../support/web/http2_client.ts";
import { WebScene } from "../../support/web/web_scene.ts";

const END = FLAG.endStream;
const OK = { status: 200, body: "" } as const;
const PING: SentFrame = { type: FRAME.ping, payload: [0, 0, 0, 0, 0, 0, 0, 0] };
const RESET = [0, 0, 0, ERROR.cancel];

function ignore(): void {}

/** Sends frames until the server ends the connection; returns how many it sent. */
async function flood(
  client: Http2TestClient,
  frames: (round: number) => readonly SentFrame[],
): Promise<number> {
  let sent = 0;
  for (let round = 0; round < 100; round++) {
    const all = frames(round);
    if (client.frames.some(({ type }) => type === FRAME.goaway)) break;
    await client.bytes(all.flatMap(frameBytes));
    await settle();
    sent += all.length;
  }
  return sent;
}

/** Frames that cost time and lead to nothing, a thousand at a time. */
const FLOODS: readonly { readonly title: string; readonly frame: SentFrame }[] = [
  { title: "pings", frame: PING },
  { title: "settings", frame: settingsFrame([[SETTING.initialWindowSize, 1]]) },
  { title: "acknowledgements of settings", frame: { type: FRAME.settings, flags: FLAG.ack } },
  { title: "priorities", frame: { type: FRAME.priority, streamId: 1, payload: [0, 0, 0, 0, 0] } },
  { title: "updates of the window", frame: windowUpdate(0, 1) },
  { title: "empty parts of a body", frame: dataFrame(1, "") },
  { title: "unknown frames", frame: { type: 0xee } },
  { title: "resets of an ended stream", frame: { type: FRAME.rstStream, streamId: 1, payload: RESET } },
];

for (const { title, frame } of FLOODS) {
  Deno.test(`HTTP/2: a flood of ${title} ends the connection, and nothing else`, async () => {
    await using scene = new WebScene({ handler: ignore });
    const client = await scene.http2();
    const other = await scene.http2();
    await client.send(client.headers(1));
    const sent = await flood(client, () => Array.from({ length: 1_000 }, () => frame));
    assertEquals(await client.goawayCode(), "enhanceYourCalm");
    assert(sent >= 10_000 && sent <= 20_000, `the connection has ended after ${sent} frames`);
    await other.sync();
    assertEquals(scene.logger.connectionFaults, []);
  });
}

Deno.test("HTTP/2: requests that are reset at once end the connection after a thousand", async () => {
  await using scene = new WebScene({ handler: ignore });
  const client = await scene.http2();
  const requests = await flood(
    client,
    (round) =>
      Array.from({ length: 100 }, (_, at) => 2 * (100 * round + at) + 1).flatMap((streamId) => [
        client.headers(streamId),
        { type: FRAME.rstStream, streamId, payload: RESET },
      ]),
  );
  assertEquals(await client.goawayCode(), "enhanceYourCalm");
  assert(requests <= 2_400, `${requests} frames`);
});

Deno.test("HTTP/2: requests beyond the limit are refused, and end the connection after a thousand", async () => {
  await using scene = new WebScene({ handler: ignore, limits: { maxStreamsPerConnection: 10 } });
  const client = await scene.http2();
  const requests = await flood(
    client,
    (round) => Array.from({ length: 100 }, (_, at) => client.headers(2 * (100 * round + at) + 1)),
  );
  assertEquals(await client.goawayCode(), "enhanceYourCalm");
  const refused = client.frames.filter(({ type }) => type === FRAME.rstStream).length;
  assert(refused >= 1_000 && requests <= 1_200, `${refused} of ${requests} are refused`);
});

Deno.test("HTTP/2: streams that are answered first may be reset without bound", async () => {
  await using scene = new WebScene({ handler: (request) => void request.stream(OK) });
  const client = await scene.http2();
  for (let round = 0; round < 30; round++) {
    const ids = Array.from({ length: 100 }, (_, at) => 2 * (100 * round + at) + 1);
    await client.send(...ids.map((id) => client.headers(id)));
    await settle();
    await client.send(...ids.map((streamId) => ({ type: FRAME.rstStream, streamId, payload: RESET })));
  }
  await client.sync();
  assertEquals(scene.server.counts().requests, 0);
});

Deno.test("HTTP/2: a client that sends one ping for each answer is served without bound", async () => {
  await using scene = new WebScene({ handler: (request) => void request.respond(OK) });
  const client = await scene.http2();
  for (let round = 0; round < 30; round++) {
    const ids = Array.from({ length: 500 }, (_, at) => 2 * (500 * round + at) + 1);
    await client.send(...ids.flatMap((id) => [client.headers(id, { flags: END | FLAG.endHeaders }), PING]));
    await settle();
  }
  await client.sync();
});

Deno.test("HTTP/2: a client that reads nothing is not read either, and closed at the deadline", async () => {
  let handled = 0;
  await using scene = new WebScene({
    handler: (request) => {
      handled += 1;
      void request.respond({ status: 200, headers: { a: "x".repeat(1_000) }, body: "" });
    },
    limits: { progressTimeoutMs: 5_000 },
    network: { capacityBytes: 10_000 },
  });
  const connection = await scene.connect();
  const head = [0x82, 0x86, 0x84];
  const requests = Array.from({ length: 5_000 }, (_, at) => ({
    type: FRAME.headers,
    flags: END | FLAG.endHeaders,
    streamId: 2 * at + 1,
    payload: head,
  }));
  const bytes = new Uint8Array([...PREFACE, ...[settingsFrame([]), ...requests].flatMap(frameBytes)]);
  const writing = writeAll(connection, bytes).catch(() => {}); // the server closes the connection
  await settle();
  await scene.pass(3_000);
  assert(handled > 500 && handled < 2_500, `${handled} requests are handled: answers of 1 MiB, and one read`);
  await scene.pass(6_000);
  assertEquals(scene.server.counts().connections, 0);
  await writing;
});

Deno.test("HTTP/2: half a frame, an open header block and an unread answer end at their deadlines", async () => {
  await using scene = new WebScene({
    handler: (request: WebRequest) => void request.respond({ status: 200, body: "x".repeat(100) }),
    limits: { headTimeoutMs: 3_000, progressTimeoutMs: 5_000 },
  });
  const half = await scene.http2();
  const open = await scene.http2();
  const unread = await scene.http2([[SETTING.initialWindowSize, 10]]);
  await half.bytes([0, 0, 8, FRAME.ping]);
  await open.send(open.headers(1, { flags: 0 }));
  await unread.request(1);
  await scene.pass(6_000);
  assertEquals(await half.goawayCode(), "enhanceYourCalm");
  assertEquals(await open.goawayCode(), "enhanceYourCalm");
  await scene.pass(2_000);
  assertEquals(await unread.resetCode(1), "cancel");
});

Deno.test("HTTP/2: a body that does not come is answered with 408, and a stream of parts may wait", async () => {
  await using scene = new WebScene({
    handler: async (request) => {
      if (request.path === "/parts") await request.read();
      else await request.body();
    },
    limits: { bodyTimeoutMs: 5_000 },
  });
  const client = await scene.http2();
  const parts = [...POST.slice(0, 2), { name: ":path", value: "/parts" }];
  await client.send(client.headers(1), client.headers(3, { fields: parts }));
  await scene.pass(8_000);
  assertEquals((await client.answer(1)).status, "408");
  assertEquals(
    client.frames.some(({ streamId, type }) => streamId === 3 && type !== FRAME.windowUpdate),
    false,
  );
});

Deno.test("HTTP/2: only a connection without requests is closed for being idle", async () => {
  await using scene = new WebScene({
    handler: (request) => void request.stream(OK),
    limits: { idleTimeoutMs: 5_000 },
  });
  const idle = await scene.http2();
  const watching = await scene.http2();
  await watching.request(1);
  await scene.pass(60_000);
  assertEquals(await idle.goawayCode(), "noError");
  await idle.ended();
  await watching.sync();
});

Deno.test("HTTP/2: silent connections are closed at the deadline of a head", async () => {
  await using scene = new WebScene({ handler: ignore, limits: { headTimeoutMs: 2_000 } });
  await scene.connect();
  await settle();
  assertEquals(scene.server.counts().connections, 1);
  await scene.pass(4_000);
  assertEquals(scene.server.counts().connections, 0);
});

Deno.test("web server: above the bounds of connections the oldest without a request is closed, or else the new one", async () => {
  await using scene = new WebScene({
    handler: ignore,
    limits: { maxConnections: 3, maxConnectionsPerAddress: 2 },
  });
  scene.network.callerHost = "10.0.0.1";
  const busy = await scene.http2();
  await busy.request(1);
  const idle = await scene.http2();
  await idle.sync();
  const third = await scene.http2();
  await third.sync();
  await idle.ended();
  await third.request(1);
  await third.sync(8);
  const refused = await scene.http2();
  await refused.ended();
  scene.network.callerHost = "10.0.0.2";
  const other = await scene.http2();
  await other.request(1);
  await other.sync();
  scene.network.callerHost = "10.0.0.3";
  await (await scene.http2()).ended();
  assertEquals([scene.server.counts().connections, scene.server.counts().refused], [3, 2]);
});

Deno.test("web server: a connection that holds more than its share gets 503, and the largest is closed at the bound of all", async () => {
  const requests: WebRequest[] = [];
  await using scene = new WebScene({
    handler: (request) => void requests.push(request),
    limits: { maxHeldBytes: 80_000 },
  });
  const client = await scene.http2();
  await client.send(client.headers(1), dataFrame(1, "x".repeat(10_001)));
  await settle();
  const error = await requests[0]?.body().catch((reason: unknown) => reason);
  assertEquals(error instanceof Error ? Reflect.get(error, "status") : null, 503);
  // Answers of any size are held; the bound of all ends the connection that holds most.
  const streams = [
    await scene.http2([[SETTING.initialWindowSize, 0]]),
    await scene.http2([[
      SETTING.initialWindowSize,
      0,
    ]]),
  ];
  for (const stream of streams) await stream.request(1);
  await settle();
  requests[1]?.stream(OK).write(new Uint8Array(50_000));
  requests[2]?.stream(OK).write(new Uint8Array(40_000));
  await settle();
  assertEquals(streams.map(({ hasEnded }) => hasEnded), [true, false]);
  assertEquals(scene.server.counts().heldBytes, 40_000);
});

Deno.test("web server: beyond the requests of all, a connection of the address with the most is closed, and no other", async () => {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => end = resolve);
  await using scene = new WebScene({ handler: () => ended, limits: { maxRequests: 10 } });
  const open = async (host: string, requests: number): Promise<Http2TestClient> => {
    scene.network.callerHost = host;
    const client = await scene.http2();
    for (let number = 0; number < requests; number++) await client.send(client.headers(2 * number + 1));
    await settle();
    return client;
  };
  const hostile = [await open("10.0.0.1", 2), await open("10.0.0.1", 2), await open("10.0.0.1", 2)];
  const other = await open("10.0.0.2", 4);
  // A request that is reset counts while its handler runs.
  await hostile[0]?.send({ type: FRAME.rstStream, streamId: 1, payload: RESET });
  await settle();
  assertEquals(hostile.map(({ hasEnded }) => hasEnded), [false, false, false]);
  hostile.push(await open("10.0.0.1", 1));
  assertEquals(hostile.map(({ hasEnded }) => hasEnded), [true, false, false, false]);
  await other.sync();
  end();
  await settle();
  assertEquals((await open("10.0.0.2", 2)).hasEnded, false);
});
