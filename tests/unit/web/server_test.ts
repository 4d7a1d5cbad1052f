/** The web server over sockets, with the clients of Deno: both versions of HTTP on one port. */
import { assertEquals } from "@std/assert";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { serveWeb, type WebHandler, type WebServer } from "../../../lib/web/mod.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

/** Runs `action` with the URL of a server. */
async function withServer(
  handler: WebHandler,
  action: (url: string, server: WebServer) => Promise<void>,
): Promise<void> {
  const server = serveWeb({
    network: new DenoNetwork(),
    address: { host: "127.0.0.1", port: 0 },
    clock: new SystemClock(),
    logger: new RecordingLogger(),
    handler,
  });
  try {
    await action(`http://127.0.0.1:${server.address.port}`, server);
  } finally {
    await server.close();
  }
}

const CLIENTS: readonly { readonly name: string; readonly options: Deno.CreateHttpClientOptions }[] = [
  { name: "HTTP/1.1", options: { http1: true, http2: false } },
  { name: "HTTP/2", options: { http1: false, http2: true } },
];

for (const { name, options } of CLIENTS) {
  Deno.test(`web server: ${name}: a large body is received and sent back`, async () => {
    const sent = crypto.getRandomValues(new Uint8Array(65_536));
    await withServer(async (request) => {
      const body = await request.body();
      await request.respond({ status: 201, headers: { "x-path": request.path }, body });
    }, async (url) => {
      using client = Deno.createHttpClient(options);
      const response = await fetch(`${url}/a?b`, { method: "POST", body: sent, client });
      assertEquals(response.status, 201);
      assertEquals(response.headers.get("x-path"), "/a");
      assertEquals(new Uint8Array(await response.arrayBuffer()), sent);
    });
  });

  Deno.test(`web server: ${name}: the parts of a stream arrive before its end`, async () => {
    const { promise: isRead, resolve } = Promise.withResolvers<void>();
    await withServer(async (request) => {
      const stream = request.stream({ status: 200 });
      stream.write(new TextEncoder().encode("first"));
      await isRead;
      stream.end();
      assertEquals(await stream.closed, "delivered");
    }, async (url) => {
      using client = Deno.createHttpClient(options);
      const response = await fetch(url, { client });
      const reader = response.body?.getReader();
      const first = await reader?.read();
      assertEquals(new TextDecoder().decode(first?.value), "first");
      resolve();
      assertEquals((await reader?.read())?.done, true);
    });
  });

  Deno.test(`web server: ${name}: an error of the handler becomes its status`, async () => {
    await withServer(async (request) => {
      await request.body(3);
    }, async (url) => {
      using client = Deno.createHttpClient(options);
      const response = await fetch(url, { method: "POST", body: "four", client });
      assertEquals([response.status, await response.text()], [413, "The body is longer than 3 bytes.\n"]);
    });
  });
}
