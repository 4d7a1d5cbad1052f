/** HTTP/1.1: requests, bodies, streams, errors of clients, and the end of a connection. */
import { parseRequestHead } from "../../../lib/web/http1/request_head.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Connection } from "../../../lib/platform/network.ts";
import { ChunkedDecoder, ChunkedError } from "../../../lib/web/http1/chunked.ts";
import type { WebRequest } from "../../../lib/web/mod.ts";
import { within } from "../../support/eventually.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { WebScene } from "../../support/web/web_scene.ts";

const OK = { status: 200 } as const;

/** Answers with method, path, query and body. */
async function echo(request: WebRequest): Promise<void> {
  const body = new TextDecoder().decode(await request.body());
  await request.respond({ ...OK, body: `${request.method} ${request.path} ${request.query} ${body}` });
}

/** A client that sends text and collects what it receives, one character for each byte. */
class TextClient {
  received = "";
  hasEnded = false;
  readonly connection: Connection;
  readonly #reading: Promise<void>;

  constructor(connection: Connection) {
    this.connection = connection;
    this.#reading = this.#readAll();
  }

  async send(text: string): Promise<void> {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    for (let sent = 0; sent < bytes.length;) sent += await this.connection.write(bytes.subarray(sent));
    await settle();
  }

  ended(): Promise<void> {
    return within("the server closes the connection", this.#reading);
  }

  async #readAll(): Promise<void> {
    const buffer = new Uint8Array(1_024);
    for (;;) {
      const count = await this.connection.read(buffer).catch(() => null);
      if (count === null) break;
      this.received += String.fromCharCode(...buffer.subarray(0, count));
    }
    this.hasEnded = true;
  }
}

async function connect(scene: WebScene): Promise<TextClient> {
  return new TextClient(await scene.connect());
}

/** Returns the text of a request. */
function request(line: string, fields: readonly string[] = [], body = ""): string {
  return [line, "Host: a", ...fields, "", body].join("\r\n");
}

Deno.test("HTTP/1.1: requests follow one another on a connection, also before the answers", async () => {
  await using scene = new WebScene({ handler: echo });
  const client = await connect(scene);
  await client.send(request("POST /a?b=c HTTP/1.1", ["Content-Length: 3"], "one"));
  assertEquals(client.received, "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nPOST /a b=c one");
  client.received = "";
  await client.send(request("GET /1 HTTP/1.1") + "\r\n" + request("GET /2 HTTP/1.1"));
  assertEquals(client.received.match(/GET \/./g), ["GET /1", "GET /2"]);
  assertEquals(client.hasEnded, false);
});

Deno.test("HTTP/1.1: a chunked body arrives in any parts", async () => {
  const body = '3\r\none\r\nA;ext="1"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n';
  const text = request("POST / HTTP/1.1", ["Transfer-Encoding: chunked"], body);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: text.length }), async (size) => {
      await using scene = new WebScene({ handler: echo, network: { readBytes: size } });
      const client = await connect(scene);
      await client.send(text + request("GET /next HTTP/1.1"));
      while (!client.received.includes("/next")) await settle();
      assert(client.received.includes("POST /  one0123456789"), client.received);
    }),
    { numRuns: 20 },
  );
});

Deno.test("HTTP/1.1: 100 Continue is sent when the handler wants a body that has not come", async () => {
  await using scene = new WebScene({
    handler: (request) =>
      request.path === "/no" ? void request.respond({ status: 403, body: "" }) : echo(request),
  });
  const client = await connect(scene);
  await client.send(request("POST / HTTP/1.1", ["Expect: 100-continue", "Content-Length: 2"]));
  assertEquals(client.received, "HTTP/1.1 100 Continue\r\n\r\n");
  await client.send("ab");
  assert(client.received.endsWith("POST /  ab"));
  client.received = "";
  await client.send(request("POST /no HTTP/1.1", ["Expect: 100-continue", "Content-Length: 2"]));
  assert(client.received.startsWith("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n"));
});

Deno.test("HTTP/1.1: the parts of a stream are chunks; HTTP/1.0 gets them without", async () => {
  await using scene = new WebScene({
    handler: (request) => {
      const stream = request.stream({ status: 200, headers: { "content-type": "a/b" } });
      stream.write(new TextEncoder().encode("0123456789abcdef"));
      stream.end({ "not-sent": "1" });
    },
  });
  const client = await connect(scene);
  await client.send(request("GET / HTTP/1.1"));
  assertEquals(
    client.received,
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: a/b\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
  );
  const old = await connect(scene);
  await old.send("GET / HTTP/1.0\r\n\r\n");
  assertEquals(
    old.received,
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: a/b\r\n\r\n0123456789abcdef",
  );
  scene.clock.advance(1_000);
  await old.ended();
});

// Python's etcd3gw 2.7.0 parses each chunk of a watch as one text of JSON. etcd 3.7.3 sends a message in one chunk, of any
// size: with chunks of at most 64 KiB a value of 50 kB, in base64, was lost by that client, without an error.
Deno.test("HTTP/1.1: what is written at once is one chunk, for a slow reader too", async () => {
  const parts = [300_000, 1, 70_000].map((length, position) => String(position).repeat(length));
  await using scene = new WebScene({
    handler: (request) => {
      const stream = request.stream(OK);
      for (const part of parts) stream.write(new TextEncoder().encode(part));
      stream.end();
    },
    network: { capacityBytes: 1_000 },
  });
  const client = await connect(scene);
  await client.send(request("GET / HTTP/1.1"));
  while (!client.received.endsWith("0\r\n\r\n")) await settle();
  const body = client.received.slice(client.received.indexOf("\r\n\r\n") + 4);
  const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
  assertEquals(body, `${chunks.join("")}0\r\n\r\n`);
});

Deno.test("HTTP/1.1: answers to HEAD have the length and no body, and 204 has neither", async () => {
  await using scene = new WebScene({
    handler: (request) => void request.respond({ status: request.path === "/204" ? 204 : 200, body: "abc" }),
  });
  const client = await connect(scene);
  await client.send(request("HEAD / HTTP/1.1") + request("GET /204 HTTP/1.1"));
  assertEquals(
    client.received,
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  );
});

const REFUSED: readonly { readonly title: string; readonly text: string; readonly status: string }[] = [
  { title: "no request", text: "hello\r\n\r\n", status: "400" },
  { title: "two spaces in the first line", text: request("GET  / HTTP/1.1"), status: "400" },
  { title: "version 2.0 in text", text: request("GET / HTTP/2.0"), status: "505" },
  { title: "a preface with another end", text: "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", status: "505" },
  { title: "no host", text: "GET / HTTP/1.1\r\n\r\n", status: "400" },
  { title: "two hosts", text: request("GET / HTTP/1.1", ["Host: b"]), status: "400" },
  { title: "a space before a colon", text: request("GET / HTTP/1.1", ["A : b"]), status: "400" },
  { title: "a folded line", text: request("GET / HTTP/1.1", ["A: b", " c"]), status: "400" },
  { title: "a control character in a value", text: request("GET / HTTP/1.1", ["A: b\0"]), status: "400" },
  { title: "a bare line end in a value", text: request("GET / HTTP/1.1", ["A: b\nC: d"]), status: "400" },
  {
    title: "a content-length of letters",
    text: request("POST / HTTP/1.1", ["Content-Length: a"]),
    status: "400",
  },
  {
    title: "a negative content-length",
    text: request("POST / HTTP/1.1", ["Content-Length: -1"]),
    status: "400",
  },
  {
    title: "two content-lengths",
    text: request("POST / HTTP/1.1", ["Content-Length: 1", "Content-Length: 2"]),
    status: "400",
  },
  {
    title: "a content-length and chunks",
    text: request("POST / HTTP/1.1", ["Content-Length: 1", "Transfer-Encoding: chunked"]),
    status: "400",
  },
  {
    title: "an unknown coding",
    text: request("POST / HTTP/1.1", ["Transfer-Encoding: gzip, chunked"]),
    status: "501",
  },
  {
    title: "chunks in HTTP/1.0",
    text: "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    status: "400",
  },
  {
    title: "a chunk without a size",
    text: request("POST / HTTP/1.1", ["Transfer-Encoding: chunked"], "x\r\n"),
    status: "400",
  },
  {
    title: "a chunk longer than its size",
    text: request("POST / HTTP/1.1", ["Transfer-Encoding: chunked"], "1\r\nab\r\n"),
    status: "400",
  },
  {
    title: "a chunk's line with a bare line end",
    text: request("POST / HTTP/1.1", ["Transfer-Encoding: chunked"], "1\nab"),
    status: "400",
  },
  {
    title: "a head that is too long",
    text: request("GET / HTTP/1.1", [`A: ${"x".repeat(2_000)}`]),
    status: "431",
  },
  { title: "CONNECT", text: "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", status: "400" },
];

for (const { title, text, status } of REFUSED) {
  Deno.test(`HTTP/1.1: ${title}: ${status}, and the connection is closed`, async () => {
    await using scene = new WebScene({ handler: echo, limits: { maxHeadBytes: 1_000 } });
    const client = await connect(scene);
    await client.send(text);
    assert(client.received.startsWith(`HTTP/1.1 ${status} `), client.received);
    assert(client.received.includes("\r\nconnection: close\r\n"), client.received);
    scene.clock.advance(1_000);
    await client.ended();
    assertEquals(scene.logger.connectionFaults, []);
  });
}

Deno.test("HTTP/1.1: a body beyond its limit is answered with 413, and the connection is closed", async () => {
  await using scene = new WebScene({ handler: async (request) => void await request.body(10) });
  for (
    const text of [
      request("POST / HTTP/1.1", ["Content-Length: 11"]),
      request("POST / HTTP/1.1", ["Transfer-Encoding: chunked"], `b\r\n${"x".repeat(11)}\r\n`),
    ]
  ) {
    const client = await connect(scene);
    await client.send(text);
    assert(client.received.startsWith("HTTP/1.1 413 Content Too Large\r\n"), client.received);
    assert(client.received.includes("\r\nconnection: close\r\n"), client.received);
  }
});

Deno.test("HTTP/1.1: a client that closes aborts a stream, and loses the body that it owes", async () => {
  const requests: WebRequest[] = [];
  await using scene = new WebScene({ handler: (request) => void requests.push(request) });
  const streaming = await connect(scene);
  await streaming.send(request("GET / HTTP/1.1"));
  const stream = requests[0]?.stream(OK);
  streaming.connection.close();
  assertEquals(await stream?.closed, "lost");
  assertEquals(requests[0]?.signal.aborted, true);
  const sending = await connect(scene);
  await sending.send(request("POST / HTTP/1.1", ["Content-Length: 5"], "ab"));
  const body = requests[1]?.body().catch((error: unknown) => error instanceof Error ? error.message : "");
  sending.connection.close();
  assertEquals(await body, "The client has given up.\n");
  assertEquals(await requests[1]?.respond({ ...OK, body: "late" }), "lost");
});

Deno.test("HTTP/1.1: bodies that are not read hold up the client at 64 KiB and the buffer", async () => {
  const requests: WebRequest[] = [];
  await using scene = new WebScene({
    handler: (request) => void requests.push(request),
    network: { capacityBytes: 1_000 },
  });
  const client = await connect(scene);
  const sending = client.send(request("POST / HTTP/1.1", ["Content-Length: 300000"], "x".repeat(300_000)));
  await settle();
  while (scene.server.counts().heldBytes < 65_536) await settle();
  for (let turn = 0; turn < 20; turn++) await settle();
  assertEquals(scene.server.counts().heldBytes, 65_536);
  let readBytes = 0;
  for (;;) {
    const part = await requests[0]?.read() ?? null;
    if (part === null) break;
    readBytes += part.length;
  }
  await sending;
  await requests[0]?.respond({ ...OK, body: "" });
  assertEquals([readBytes, scene.server.counts().heldBytes], [300_000, 0]);
});

Deno.test("HTTP/1.1: a reader that stops bounds what is queued, and is closed at the deadline", async () => {
  const requests: WebRequest[] = [];
  await using scene = new WebScene({
    handler: (request) => void requests.push(request),
    limits: { progressTimeoutMs: 5_000 },
    network: { capacityBytes: 1_000 },
  });
  const connection = await scene.connect();
  await connection.write(new TextEncoder().encode(request("GET / HTTP/1.1")));
  await settle();
  const stream = requests[0]?.stream(OK);
  assertEquals(stream?.write(new Uint8Array(1_000_000)), false);
  await scene.pass(8_000);
  assertEquals(await stream?.closed, "lost");
});

Deno.test("HTTP/1.1: half a head, a missing body and an idle connection end at their deadlines", async () => {
  await using scene = new WebScene({
    handler: echo,
    limits: { headTimeoutMs: 2_000, bodyTimeoutMs: 3_000, idleTimeoutMs: 6_000 },
  });
  const [half, bodiless, idle] = [await connect(scene), await connect(scene), await connect(scene)];
  await half.send("GET / HT");
  await bodiless.send(request("POST / HTTP/1.1", ["Content-Length: 5"], "ab"));
  await idle.send(request("GET / HTTP/1.1"));
  await scene.pass(5_000);
  assertEquals([half.hasEnded, idle.hasEnded], [true, false]);
  assert(bodiless.received.startsWith("HTTP/1.1 408 Request Timeout\r\n"), bodiless.received);
  await scene.pass(6_000);
  assertEquals(idle.hasEnded, true);
});

Deno.test("HTTP/1.1: close ends idle connections, and others behind their answer", async () => {
  const requests: WebRequest[] = [];
  await using scene = new WebScene({ handler: (request) => void requests.push(request) });
  const [idle, busy] = [await connect(scene), await connect(scene)];
  await busy.send(request("GET / HTTP/1.1"));
  await idle.send("\r\n");
  const closing = scene.server.close();
  await settle();
  void requests[0]?.respond({ ...OK, body: "last" });
  await settle();
  assert(busy.received.includes("connection: close\r\n") && busy.received.endsWith("last"), busy.received);
  scene.clock.advance(1_000);
  await within("the server has closed", closing);
  await Promise.all([idle.ended(), busy.ended()]);
  assertEquals(scene.clock.timerCount, 0);
});

Deno.test("HTTP/1.1: a client of TLS on a plain port receives an alert that says so", async () => {
  await using scene = new WebScene({ handler: echo });
  const client = await connect(scene);
  await client.send("\x16\x03\x01\x02\x00");
  assertEquals(client.received, "\x15\x03\x03\x00\x02\x02\x46");
  await client.ended();
});

Deno.test("ChunkedDecoder: arbitrary bytes are decoded or refused by ChunkedError, at most as many as arrived", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.constantFrom("1\r\n", "a\r\n0123456789\r\n", "0\r\n", "\r\n", ";x", "ffffffffffff\r\n")
      .map((text) => Uint8Array.from(text, (character) => character.charCodeAt(0))),
  );
  fc.assert(fc.property(fc.array(piece), fc.integer({ min: 1, max: 100 }), (pieces, most) => {
    const decoder = new ChunkedDecoder();
    for (const bytes of pieces) {
      let pushed = 0;
      try {
        const used = decoder.take(bytes, most, (part) => pushed += part.length);
        assert(used <= bytes.length && pushed <= Math.min(used, most));
      } catch (error) {
        assert(error instanceof ChunkedError, String(error));
        return;
      }
    }
  }));
});

Deno.test("parseRequestHead: the path of an absolute target is taken as it is", () => {
  const pathOf = (target: string): readonly string[] | null => {
    const head = parseRequestHead(`POST ${target} HTTP/1.1\r\nHost: a`);
    return "reason" in head ? null : [head.path, head.query];
  };
  assertEquals(pathOf("http://a/x/../kv/watch?q#f"), ["/x/../kv/watch", "q"]);
  assertEquals(pathOf("https://a:1"), ["/", ""]);
  assertEquals(pathOf("http://a?q"), ["/", "q"]);
  assertEquals([pathOf("http:///x"), pathOf("ftp://a/"), pathOf("http://[/")], [null, null, null]);
});
