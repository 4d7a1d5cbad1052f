/** Streams whose client does not read, over HTTP/2: its other requests are served, and it is noticed when it reads again. */
import { assert, assertEquals } from "@std/assert";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { SendWindow } from "../../../lib/web/http2/send_window.ts";
import { serveWeb, type WebStream } from "../../../lib/web/mod.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const PART = new Uint8Array(10_000);
const MOST_PARTS = 10_000;

/** Writes until the client is behind; returns the number of bytes. */
async function writeUntilBehind(stream: WebStream): Promise<number> {
  for (let parts = 1; parts <= MOST_PARTS; parts++) {
    stream.write(PART);
    await stream.whenWritable();
    if (stream.isReaderBehind) return parts * PART.length;
  }
  throw new Error("the client is never behind");
}

Deno.test("web streams: a client that does not read is behind before its other requests are held up, and until it reads", async () => {
  const behind = Promise.withResolvers<number>();
  const read = Promise.withResolvers<void>();
  const server = serveWeb({
    network: new DenoNetwork(),
    address: { host: "127.0.0.1", port: 0 },
    clock: new SystemClock(),
    logger: new RecordingLogger(),
    handler: async (request) => {
      if (request.path === "/other") return void await request.respond({ status: 200, body: PART });
      const stream = request.stream({ status: 200 });
      behind.resolve(await writeUntilBehind(stream));
      await stream.whenRead();
      read.resolve();
      stream.end();
    },
  });
  const url = `http://127.0.0.1:${server.address.port}`;
  using client = Deno.createHttpClient({ http1: false, http2: true });
  const streams = await Promise.all([1, 2, 3].map((number) => fetch(`${url}/${number}`, { client })));
  const written = await behind.promise;
  const other = await fetch(`${url}/other`, { client });
  assertEquals((await other.arrayBuffer()).byteLength, PART.length);
  assertEquals(await Promise.race([read.promise.then(() => "read"), Promise.resolve("behind")]), "behind");
  const lengths = await Promise.all(
    streams.map(async (response) => (await response.arrayBuffer()).byteLength),
  );
  await read.promise;
  assert(lengths.includes(written));
  await server.close();
});

Deno.test("web streams: one whose client has gone is not behind", async () => {
  const ended = Promise.withResolvers<boolean>();
  const server = serveWeb({
    network: new DenoNetwork(),
    address: { host: "127.0.0.1", port: 0 },
    clock: new SystemClock(),
    logger: new RecordingLogger(),
    handler: async (request) => {
      const stream = request.stream({ status: 200 });
      await writeUntilBehind(stream);
      controller.abort();
      await stream.whenRead();
      ended.resolve(stream.isReaderBehind);
    },
  });
  const controller = new AbortController();
  using client = Deno.createHttpClient({ http1: false, http2: true });
  const { signal } = controller;
  const response = await fetch(`http://127.0.0.1:${server.address.port}/`, { client, signal });
  assertEquals(await ended.promise, false);
  await response.body?.cancel().catch(() => {});
  await server.close();
});

Deno.test("send window: the unread share is that of the largest window, also after the client has changed its size", () => {
  const window = new SendWindow(100);
  assertEquals(window.unreadShare, 0);
  window.use(60);
  assertEquals([window.bytes, window.unreadShare], [40, 0.6]);
  assertEquals(window.widen(60), true);
  assertEquals(window.unreadShare, 0);
  window.widen(100);
  window.use(50);
  assertEquals(window.unreadShare, 0.25);
  window.resize(-100); // 150 of 200 become 50 of 100
  assertEquals([window.bytes, window.unreadShare], [50, 0.5]);
  window.resize(-100);
  assertEquals([window.bytes, window.unreadShare], [-50, 0]);
  assertEquals(window.widen(2 ** 31 + 100), false);
});
