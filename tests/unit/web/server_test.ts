/** The web server over sockets, with the clients of Deno: both versions of HTTP on one port. */
import { assertEquals } from "@std/assert";
import type { Network } from "../../../lib/platform/network.ts";
import { authority, plain, tls, withServer } from "../../support/web/web_server.ts";

const HTTP1 = { http1: true, http2: false };
const HTTP2 = { http1: false, http2: true };
const CLIENTS: readonly {
  readonly name: string;
  readonly network: Network;
  readonly options: Deno.CreateHttpClientOptions;
}[] = [
  { name: "HTTP/1.1", network: plain, options: HTTP1 },
  { name: "HTTP/2", network: plain, options: HTTP2 },
  { name: "HTTP/1.1 over TLS", network: tls, options: { ...HTTP1, caCerts: [authority.cert] } },
  { name: "HTTP/2 over TLS", network: tls, options: { ...HTTP2, caCerts: [authority.cert] } },
];

for (const { name, network, options } of CLIENTS) {
  Deno.test(`web server: ${name}: a large body is received and sent back`, async () => {
    const sent = crypto.getRandomValues(new Uint8Array(65_536));
    await withServer({
      network,
      handler: async (request) => {
        const body = await request.body();
        await request.respond({
          status: 201,
          headers: { "x-path": `${request.version} ${request.path}` },
          body,
        });
      },
    }, async (url) => {
      using client = Deno.createHttpClient(options);
      const response = await fetch(`${url}/a?b`, { method: "POST", body: sent, client });
      assertEquals(response.status, 201);
      assertEquals(response.headers.get("x-path"), `${options.http2 === true ? "2" : "1.1"} /a`);
      assertEquals(new Uint8Array(await response.arrayBuffer()), sent);
    });
  });

  Deno.test(`web server: ${name}: the parts of a stream arrive before its end`, async () => {
    const { promise: isRead, resolve } = Promise.withResolvers<void>();
    await withServer({
      network,
      handler: async (request) => {
        const stream = request.stream({ status: 200 });
        stream.write(new TextEncoder().encode("first"));
        await isRead;
        stream.end();
        assertEquals(await stream.closed, "delivered");
      },
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
    await withServer({
      network,
      handler: async (request) => {
        await request.body(3);
      },
    }, async (url) => {
      using client = Deno.createHttpClient(options);
      const response = await fetch(url, { method: "POST", body: "four", client });
      assertEquals([response.status, await response.text()], [413, "The body is longer than 3 bytes.\n"]);
    });
  });
}
