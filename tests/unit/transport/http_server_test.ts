/** The HTTP server: its answers, over real sockets, and the resources that each connection may use. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import type { HttpHandler, HttpServer, HttpStreamWriter } from "../../../lib/platform/network.ts";
import { HttpOverNetwork } from "../../../lib/transport/http_server.ts";
import {
  HTTP_ANSWER_TIMEOUT_MS,
  HTTP_HEAD_TIMEOUT_MS,
  HTTP_LINGER_MS,
  MAX_HTTP_CONNECTIONS,
  MAX_HTTP_CONNECTIONS_PER_ADDRESS,
  MAX_HTTP_HEAD_BYTES,
  MAX_HTTP_REQUESTS,
  MAX_HTTP_REQUESTS_PER_ADDRESS,
  MAX_HTTP_STREAMS,
  MAX_HTTP_STREAMS_PER_ADDRESS,
} from "../../../lib/protocol/limits.ts";
import type { Connection } from "../../../lib/platform/network.ts";
import { within } from "../../support/eventually.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { until } from "../../support/fakes/accepting_node.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const ANY_PORT = { host: "127.0.0.1", port: 0 };
const GET = "GET /live HTTP/1.1\r\nHost: n1:9101\r\n\r\n";

/** A server on real sockets. */
function serveReally(handler: HttpHandler, address = ANY_PORT): HttpServer {
  const dependencies = {
    network: new DenoNetwork(),
    clock: new SystemClock(),
    logger: new RecordingLogger(),
  };
  return new HttpOverNetwork(dependencies).serve(address, handler);
}

/** One end of an HTTP connection in memory, which collects the answer. */
class Caller {
  readonly connection: Connection;
  received = "";
  hasEnded = false;

  private constructor(connection: Connection) {
    this.connection = connection;
    void this.#readAll();
  }

  static async connect(network: MemoryNetwork): Promise<Caller> {
    return new Caller(await network.connect({ host: "n1", port: 9_101 }, new AbortController().signal));
  }

  get status(): string {
    return this.received.split("\r\n", 1)[0] ?? "";
  }

  async send(text: string): Promise<void> {
    await this.connection.write(new TextEncoder().encode(text));
    await settle();
  }

  async #readAll(): Promise<void> {
    const buffer = new Uint8Array(1_024);
    while (true) {
      const count = await this.connection.read(buffer).catch(() => null);
      if (count === null) break;
      this.received += new TextDecoder().decode(buffer.subarray(0, count));
    }
    this.hasEnded = true;
  }
}

interface Scene {
  readonly network: MemoryNetwork;
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
}

/** Runs a test with a server in memory, and checks that closing it leaves no timer and no connection. */
async function withServer(test: (scene: Scene) => Promise<void>, answers?: HttpHandler): Promise<void> {
  const network = new MemoryNetwork();
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const live: HttpHandler = ({ path }) =>
    Promise.resolve({ status: 200, contentType: "text/plain", body: `${path}\n` });
  const server = new HttpOverNetwork({ network, clock, logger })
    .serve({ host: "n1", port: 9_101 }, answers ?? live);
  await test({ network, clock, logger });
  await server.close();
  assertEquals(clock.timerCount, 0);
}

/** Connects this many callers that send nothing, in turns from two hosts. */
async function silentCallers(network: MemoryNetwork, count: number): Promise<Caller[]> {
  const callers: Caller[] = [];
  while (callers.length < count) {
    network.callerHost = `10.0.0.${callers.length % 2}`;
    callers.push(await Caller.connect(network));
  }
  await settle();
  return callers;
}

Deno.test("HttpOverNetwork: a request is passed on with its path and its headers, and its answer is returned", async () => {
  const asked: unknown[] = [];
  const server = serveReally((request) => {
    const { method, path, header } = request;
    asked.push([method, path, header("host"), header("x-sent"), header("cookie")]);
    return Promise.resolve({
      status: 503,
      contentType: "text/plain",
      body: "why not\n",
      headers: { a: "b" },
    });
  });
  const url = `http://127.0.0.1:${server.address.port}/ready?verbose`;
  const answer = await fetch(url, { headers: { "X-Sent": "c" } });
  const { status, headers } = answer;
  assertEquals(
    [
      status,
      headers.get("content-type"),
      headers.get("cache-control"),
      headers.get("a"),
      await answer.text(),
    ],
    [503, "text/plain", "no-store", "b", "why not\n"],
  );
  const head = await fetch(url, { method: "HEAD" });
  assertEquals([head.status, await head.text()], [503, ""]);
  const host = `127.0.0.1:${server.address.port}`;
  assertEquals(asked, [["GET", "/ready", host, "c", null], ["HEAD", "/ready", host, null, null]]);
  await server.close();
});

Deno.test("HttpOverNetwork: a handler that throws gives 500, without the reason", async () => {
  const server = serveReally(() => Promise.reject(new Error("inner matters")));
  const answer = await fetch(`http://127.0.0.1:${server.address.port}/`);
  assertEquals([answer.status, await answer.text()], [500, "This node could not answer.\n"]);
  await server.close();
});

Deno.test("HttpOverNetwork: the error for a port in use names the port", async () => {
  const handler = (): Promise<never> => Promise.reject(new Error("no request is expected"));
  const server = serveReally(handler);
  const { code, message } = assertThrows(() => serveReally(handler, server.address), NetworkError);
  assertEquals([code, message], [
    "addressInUse",
    `Cannot serve HTTP on 127.0.0.1:${server.address.port}: the port is in use. ` +
    "Stop the process that has it, or choose another port.",
  ]);
  await server.close();
});

Deno.test("HttpOverNetwork: close ends unanswered requests, and requests above the bound are answered with 503", async () => {
  const { promise } = Promise.withResolvers<never>();
  const allWait = Promise.withResolvers<void>();
  let asked = 0;
  const server = serveReally(() => {
    asked += 1;
    if (asked === MAX_HTTP_REQUESTS_PER_ADDRESS) allWait.resolve();
    return promise;
  });
  const url = `http://127.0.0.1:${server.address.port}/`;
  const waiting = Array.from(
    { length: MAX_HTTP_REQUESTS_PER_ADDRESS },
    () => fetch(url).then((answer) => answer.text()),
  );
  await within("all wait", allWait.promise);
  const busy = await fetch(url);
  assertEquals([busy.status, await busy.text()], [503, "Too many requests are under way. Try again.\n"]);
  await within("it is closed", server.close());
  const answers = await within("they are cut off", Promise.all(waiting));
  assertEquals(new Set(answers), new Set(["This node has stopped.\n"]));
  await assertRejects(() => fetch(url), TypeError);
});

Deno.test("HttpOverNetwork: each invalid request has its own status, and unusual but valid requests are served", () =>
  withServer(async ({ network, logger }) => {
    const head = (first: string, ...fields: string[]): string => [first, ...fields, "", ""].join("\r\n");
    const statuses: readonly [string, string][] = [
      [GET, "HTTP/1.1 200 OK"],
      [head("GET /live?a=b HTTP/1.1", "hOST:n1"), "HTTP/1.1 200 OK"],
      [head("GET /live HTTP/1.1", "Host:"), "HTTP/1.1 200 OK"],
      [head("GET /live HTTP/1.1", "Host: [::1]:9101", "X: \x80\xff"), "HTTP/1.1 200 OK"],
      [head("GET http://proxied.example/live HTTP/1.1", "Host: x"), "HTTP/1.1 200 OK"],
      [head("GET /live HTTP/1.0"), "HTTP/1.1 200 OK"],
      [head("GET /live HTTP/1.1"), "HTTP/1.1 400 Bad Request"],
      [head("GET /live HTTP/1.1", "Host: a", "Host: b"), "HTTP/1.1 400 Bad Request"],
      [head("GET /live HTTP/1.1", "Host: a b"), "HTTP/1.1 400 Bad Request"],
      [head("GET /live HTTP/1.1", "Host: ^^]]/:x@"), "HTTP/1.1 400 Bad Request"],
      [head("GET /live HTTP/1.1", "Host : a"), "HTTP/1.1 400 Bad Request"],
      [head("GET live HTTP/1.1", "Host: a"), "HTTP/1.1 400 Bad Request"],
      [head("GET http://[/live HTTP/1.1", "Host: a"), "HTTP/1.1 400 Bad Request"],
      [head("hello"), "HTTP/1.1 400 Bad Request"],
      [head("PRI * HTTP/2.0"), "HTTP/1.1 505 HTTP Version Not Supported"],
      [
        head("GET /live HTTP/1.1", "Host: a", `X: ${"x".repeat(MAX_HTTP_HEAD_BYTES)}`),
        "HTTP/1.1 431 Request Header Fields Too Large",
      ],
    ];
    for (const [request, expected] of statuses) {
      const caller = await Caller.connect(network);
      await caller.send(request);
      assertEquals(caller.status, expected, request.slice(0, 60));
      caller.connection.close();
    }
    assertEquals(logger.lines, []);
  }));

Deno.test("HttpOverNetwork: the answer to HEAD has no body, even if the request is refused", () =>
  withServer(async ({ network }) => {
    for (const [fields, status] of [["Host: a\r\n", "200 OK"], ["", "400 Bad Request"]] as const) {
      const caller = await Caller.connect(network);
      await caller.send(`HEAD /live HTTP/1.1\r\n${fields}\r\n`);
      assertEquals([caller.status, caller.received.split("\r\n\r\n")[1]], [`HTTP/1.1 ${status}`, ""]);
      caller.connection.close();
    }
  }));

Deno.test("HttpOverNetwork: a request that arrives byte by byte is answered without waiting for its body", () =>
  withServer(async ({ network }) => {
    const caller = await Caller.connect(network);
    for (const character of "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n") {
      assertEquals(caller.received, "");
      await caller.connection.write(new TextEncoder().encode(character));
    }
    await settle();
    assertEquals([caller.status, caller.hasEnded], ["HTTP/1.1 200 OK", false]);
    await caller.send("x".repeat(1_000));
    assertEquals(caller.hasEnded, false, "the other end closes first");
  }));

Deno.test("HttpOverNetwork: half a request, an answer that is not read, and an idle connection end at their deadlines", () =>
  withServer(async ({ network, clock }) => {
    const half = await Caller.connect(network);
    await half.send("GET /live HT");
    clock.advance(HTTP_HEAD_TIMEOUT_MS - 1);
    await settle();
    assertEquals(half.hasEnded, false);
    clock.advance(1);
    await settle();
    assertEquals([half.hasEnded, half.received], [true, ""]);

    const lingering = await Caller.connect(network);
    await lingering.send(GET);
    assertEquals([lingering.status, lingering.hasEnded], ["HTTP/1.1 200 OK", false]);
    clock.advance(HTTP_LINGER_MS);
    await settle();
    assertEquals(lingering.hasEnded, true);

    const deaf = await Caller.connect(network);
    await deaf.connection.write(new TextEncoder().encode(GET));
    network.connections.at(-1)?.stall();
    await settle();
    clock.advance(HTTP_HEAD_TIMEOUT_MS + HTTP_ANSWER_TIMEOUT_MS);
    await settle();
    assertEquals(clock.timerCount, 0, "nothing is held for it any more");
  }));

Deno.test("HttpOverNetwork: above the bound on connections the oldest without a request is closed, and requests are answered", () =>
  withServer(async ({ network }) => {
    const half = await silentCallers(network, MAX_HTTP_CONNECTIONS);
    network.callerHost = "10.0.0.9";
    for (const caller of half) await caller.connection.write(new TextEncoder().encode("GET /li"));
    await settle();
    const asking = await Caller.connect(network);
    await asking.send(GET);
    assertEquals(asking.status, "HTTP/1.1 200 OK");
    assertEquals(half.filter(({ hasEnded }) => hasEnded).length, 1);
    assertEquals(half[0]?.hasEnded, true);
    const more = await silentCallers(network, 2_000);
    const left = (): number => more.filter(({ hasEnded }) => !hasEnded).length;
    await until("all but the last are closed", () => left() <= MAX_HTTP_CONNECTIONS);
    await settle();
    assertEquals(left(), MAX_HTTP_CONNECTIONS);
  }));

Deno.test("HttpOverNetwork: a connection above the bound is answered with 503, and logged", () =>
  withServer(async ({ network, clock, logger }) => {
    for (let number = 0; number < MAX_HTTP_CONNECTIONS; number++) {
      network.callerHost = `10.0.0.${number % 2}`;
      const deaf = await Caller.connect(network);
      await deaf.connection.write(new TextEncoder().encode(GET));
      network.connections.at(-1)?.stall();
      await settle();
    }
    network.callerHost = "10.0.0.9";
    const late = await Caller.connect(network);
    await until("it is refused", () => late.hasEnded);
    assertEquals(late.status, "HTTP/1.1 503 Service Unavailable");
    assertEquals(logger.messages.filter((message) => message === "Refused an HTTP connection").length, 1);
    clock.advance(HTTP_ANSWER_TIMEOUT_MS);
    await settle();
    const next = await Caller.connect(network);
    await next.send(GET);
    assertEquals(next.status, "HTTP/1.1 200 OK");
  }));

Deno.test("HttpOverNetwork: one address has a part of the connections, and closes none of others for more", () =>
  withServer(async ({ network, clock, logger }) => {
    const other = await Caller.connect(network);
    network.callerHost = "10.0.0.1";
    for (let number = 0; number < MAX_HTTP_CONNECTIONS_PER_ADDRESS - 1; number++) {
      const deaf = await Caller.connect(network);
      await deaf.connection.write(new TextEncoder().encode(GET));
      network.connections.at(-1)?.stall();
      await settle();
    }
    const silent = await Caller.connect(network);
    const asking = await Caller.connect(network);
    await until("the silent one of the address is closed", () => silent.hasEnded);
    await asking.send("GET /li");
    const late = await Caller.connect(network);
    await until("the one with half a request is closed", () => asking.hasEnded);
    await late.connection.write(new TextEncoder().encode(GET));
    network.connections.at(-1)?.stall();
    await settle();
    const refused = await Caller.connect(network);
    await until("it is refused", () => refused.hasEnded);
    assertEquals(refused.status, "HTTP/1.1 503 Service Unavailable");
    assertEquals(logger.messages, ["Refused an HTTP connection"]);
    await other.send(GET);
    assertEquals(other.status, "HTTP/1.1 200 OK");
    clock.advance(HTTP_ANSWER_TIMEOUT_MS);
  }));

Deno.test("HttpOverNetwork: requests of one address above its part get 503, those of others are answered", () => {
  let asked = 0;
  const slow = Promise.withResolvers<void>();
  const answer = { status: 200, contentType: "text/plain", body: "" };
  return withServer(async ({ network }) => {
    const ask = async (host: string): Promise<Caller> => {
      network.callerHost = host;
      const caller = await Caller.connect(network);
      await caller.send(GET);
      return caller;
    };
    for (let number = 0; number < MAX_HTTP_REQUESTS_PER_ADDRESS; number++) await ask("10.0.0.1");
    assertEquals((await ask("10.0.0.1")).status, "HTTP/1.1 503 Service Unavailable");
    for (let number = asked; number < MAX_HTTP_REQUESTS; number++) await ask("10.0.0.2");
    assertEquals(asked, MAX_HTTP_REQUESTS);
    assertEquals((await ask("10.0.0.3")).status, "HTTP/1.1 503 Service Unavailable");
    slow.resolve();
    await settle();
    assertEquals((await ask("10.0.0.3")).status, "HTTP/1.1 200 OK");
  }, () => {
    asked += 1;
    return slow.promise.then(() => answer);
  });
});

Deno.test("HttpOverNetwork: an error of a page is logged as a fault, with the address of the caller", () =>
  withServer(async ({ network, logger }) => {
    const caller = await Caller.connect(network);
    await caller.send(GET);
    assertEquals(caller.status, "HTTP/1.1 500 Internal Server Error");
    assertEquals(logger.connectionFaults.map(({ remote, reason }) => [remote, reason]), [[
      "here:1",
      "broken",
    ]]);
  }, () => Promise.reject(new Error("broken"))));

/** A handler whose answer is a stream, and what became of its streams. */
function streams(): {
  readonly handler: HttpHandler;
  readonly open: Set<HttpStreamWriter>;
} {
  const open = new Set<HttpStreamWriter>();
  const handler: HttpHandler = ({ path }) =>
    Promise.resolve({
      status: 200,
      contentType: "text/plain",
      body: path === "/events" ? "first\n" : "live\n",
      ...path !== "/events" ? {} : {
        stream: (writer: HttpStreamWriter): () => void => {
          open.add(writer);
          return () => open.delete(writer);
        },
      },
    });
  return { handler, open };
}

const EVENTS = "GET /events HTTP/1.1\r\nHost: n1:9101\r\n\r\n";

Deno.test("HttpOverNetwork: the parts of a stream arrive as they are sent, until the client or the server closes it", () => {
  const { handler, open } = streams();
  return withServer(async ({ network }) => {
    const head = await Caller.connect(network);
    await head.send(EVENTS.replace("GET", "HEAD"));
    assertEquals([head.status, open.size], ["HTTP/1.1 200 OK", 0]);
    const [left, kept] = [await Caller.connect(network), await Caller.connect(network)];
    for (const caller of [left, kept]) {
      await caller.send(EVENTS);
      const [head = "", body] = caller.received.split("\r\n\r\n");
      assertEquals([/content-length/.test(head), body], [false, "first\n"]);
    }
    for (const writer of open) assertEquals(writer.send("second\n"), true);
    await settle();
    assertEquals([left.received.endsWith("first\nsecond\n"), left.hasEnded], [true, false]);
    assertEquals(open.size, 2);
    left.connection.close();
    await settle();
    assertEquals(open.size, 1);
    const [writer] = open;
    writer?.close();
    await settle();
    assertEquals([kept.hasEnded, open.size], [true, 0]);
    await (await Caller.connect(network)).send(EVENTS);
    assertEquals(open.size, 1, "this one is closed with the server");
  }, handler);
});

Deno.test("HttpOverNetwork: a stream whose client does not read holds one part, and is closed at a deadline", () => {
  const { handler, open } = streams();
  return withServer(async ({ network, clock }) => {
    const deaf = await Caller.connect(network);
    await deaf.send(EVENTS);
    const [writer] = open;
    network.connections.at(-1)?.stall();
    assertEquals([writer?.send("second\n"), writer?.send("third\n")], [true, false]);
    clock.advance(HTTP_ANSWER_TIMEOUT_MS - 1);
    await settle();
    assertEquals([writer?.send("fourth\n"), open.size], [false, 1]);
    clock.advance(1);
    await settle();
    assertEquals([open.size, clock.timerCount], [0, 0]);
  }, handler);
});

Deno.test("HttpOverNetwork: streams above the bounds get 503, and other pages are still answered", () => {
  const { handler, open } = streams();
  return withServer(async ({ network }) => {
    const ask = async (host: string, request = EVENTS): Promise<string> => {
      network.callerHost = host;
      const caller = await Caller.connect(network);
      await caller.send(request);
      return caller.status;
    };
    for (let number = 0; number < MAX_HTTP_STREAMS_PER_ADDRESS; number++) await ask("10.0.0.1");
    assertEquals(open.size, MAX_HTTP_STREAMS_PER_ADDRESS);
    assertEquals(await ask("10.0.0.1"), "HTTP/1.1 503 Service Unavailable");
    for (let number = open.size; number < MAX_HTTP_STREAMS; number++) await ask("10.0.0.2");
    assertEquals(open.size, MAX_HTTP_STREAMS);
    assertEquals(await ask("10.0.0.3"), "HTTP/1.1 503 Service Unavailable");
    for (const host of ["10.0.0.1", "10.0.0.3"]) assertEquals(await ask(host, GET), "HTTP/1.1 200 OK");
  }, handler);
});
