/** Streams whose client does not read, over HTTP/2: its other requests are served, and it is noticed when it reads again. */
import { assertEquals } from "@std/assert";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { SendWindow } from "../../../lib/web/http2/send_window.ts";
import { serveWeb, type WebServer, type WebStream } from "../../../lib/web/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const PART = new Uint8Array(10_000);
const MOST_PARTS = 10_000;
const DEADLINE_MS = 10_000;
const WAIT = { deadlineMs: DEADLINE_MS };

/** Writes until the client is behind. */
async function writeUntilBehind(stream: WebStream): Promise<void> {
  for (let parts = 0; parts < MOST_PARTS && !stream.isReaderBehind; parts++) {
    stream.write(PART);
    await stream.whenWritable();
  }
}

/** Serves streams that are written until their client is behind; `/other` is a usual request. */
class Bench implements AsyncDisposable {
  readonly #server: WebServer;
  readonly #client = Deno.createHttpClient({ http1: false, http2: true });
  /** Streams whose client is behind. */
  readonly behind: WebStream[] = [];
  /** Streams whose client has read on, or has gone. */
  readonly readAgain: WebStream[] = [];

  constructor() {
    this.#server = serveWeb({
      service: "HTTP",
      network: new DenoNetwork(),
      address: { host: "127.0.0.1", port: 0 },
      clock: new SystemClock(),
      logger: new RecordingLogger(),
      handler: async (request) => {
        if (request.path === "/other") return void await request.respond({ status: 200, body: PART });
        const stream = request.stream({ status: 200 });
        await writeUntilBehind(stream);
        this.behind.push(stream);
        await stream.whenRead();
        this.readAgain.push(stream);
        stream.end();
      },
    });
  }

  /** Opens streams, and waits until their client, which does not read, is behind in all of them. */
  async open(count: number, signal: AbortSignal): Promise<readonly Response[]> {
    const responses = await Promise.all(Array.from({ length: count }, () => this.fetch("/stream", signal)));
    await eventually("the client is behind", () => this.behind.length === count || null, WAIT);
    assertEquals(this.readAgain, []);
    return responses;
  }

  async fetch(path: string, signal: AbortSignal): Promise<Response> {
    return await fetch(`http://127.0.0.1:${this.#server.address.port}${path}`, {
      client: this.#client,
      signal,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.#server.close();
  }
}

for (const count of [1, 5]) {
  Deno.test(`web streams: ${count} without a reader do not hold up other requests, and go on when they are read`, async () => {
    await using bench = new Bench();
    const { signal } = new AbortController();
    const responses = await bench.open(count, signal);
    const other = await bench.fetch("/other", AbortSignal.timeout(DEADLINE_MS));
    assertEquals((await other.arrayBuffer()).byteLength, PART.length);
    assertEquals(bench.readAgain, []);
    const bodies = responses.map((response) => response.arrayBuffer());
    await eventually("the client has read", () => bench.readAgain.length === count || null, WAIT);
    await Promise.all(bodies);
  });
}

Deno.test("web streams: one whose client has gone is not behind", async () => {
  await using bench = new Bench();
  const controller = new AbortController();
  const [response] = await bench.open(1, controller.signal);
  controller.abort();
  const [stream] = await eventually(
    "nothing waits",
    () => bench.readAgain.length > 0 ? bench.readAgain : null,
  );
  assertEquals(stream?.isReaderBehind, false);
  await response?.body?.cancel().catch(() => {});
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
