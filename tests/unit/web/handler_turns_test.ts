/** Which requests are passed to handlers while others are in work, and when the others are. */
import { assert, assertEquals } from "@std/assert";
import { HandlerTurns } from "../../../lib/web/handler_turns.ts";
import { DEFAULT_LIMITS } from "../../../lib/web/limits.ts";
import { ERROR, FLAG, FRAME } from "../../../lib/web/http2/protocol.ts";
import type { WebRequest } from "../../../lib/web/mod.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import type { Http2TestClient } from "../../support/web/http2_client.ts";
import { WebScene } from "../../support/web/web_scene.ts";

const OK = { status: 200, body: "" } as const;
const CANCEL = [0, 0, 0, ERROR.cancel];

/** Sends requests without a body on new streams, of which the first has this id. */
async function requests(client: Http2TestClient, count: number, firstId = 1): Promise<void> {
  const flags = FLAG.endHeaders | FLAG.endStream;
  await client.send(
    ...Array.from({ length: count }, (_, number) => client.headers(firstId + 2 * number, { flags })),
  );
  await settle();
}

Deno.test("HandlerTurns: source addresses take turns, and so do the connections of each", async () => {
  const turns = new HandlerTurns(4, new ManualClock());
  const order: string[] = [];
  const open = (source: string, name: string, requests: number) => {
    let left = requests;
    const connection = turns.open(source, () => {
      order.push(name);
      left -= 1;
      if (left > 0) connection.wait();
    });
    return connection;
  };
  const first = open("a", "a1", 1);
  for (let request = 0; request < 4; request++) assert(first.begin());
  const second = open("a", "a2", 3);
  const other = open("b", "b", 2);
  assertEquals([first.begin(), second.begin(), other.begin()], [false, true, true], "each has its share");
  assertEquals([second.begin(), other.begin(), other.begin()], [false, true, false]);
  assertEquals(turns.inWork, 7);
  for (let request = 0; request < 3; request++) first.end();
  await settle();
  assertEquals(order, [], "no more begin until fewer than four are in work");
  for (const connection of [second, other, other]) connection.end();
  assertEquals(first.begin(), false, "no other overtakes those that wait");
  await settle();
  assertEquals(order, ["a1", "b", "a2"]);
  first.end();
  await settle();
  assertEquals(order, ["a1", "b", "a2", "b"]);
  assertEquals(turns.inWork, 4);
});

Deno.test("HandlerTurns: a connection that is closed gives its turn to others, and leaves no timer", async () => {
  const clock = new ManualClock();
  const turns = new HandlerTurns(1, clock);
  const order: string[] = [];
  const [first, second, third] = ["first", "second", "third"].map((name) =>
    turns.open("a", () => {
      order.push(name);
      third?.end();
      if (name === "third") third?.wait();
    })
  );
  assert(first !== undefined && second !== undefined && third !== undefined);
  assert(first.begin() && second.begin() && third.begin(), "each connection may have one");
  assertEquals([second.begin(), third.begin()], [false, false]);
  second.close();
  first.end();
  second.end();
  third.end();
  await settle();
  assertEquals(order, ["third"]);
  assertEquals(clock.timerCount, 1, "one that is answered at once is followed in a later turn");
  third.close();
  assertEquals([clock.timerCount, turns.inWork], [0, 0]);
});

Deno.test("HTTP/2: of many requests of one connection some are passed to the handler, in their order, others when they are answered", async () => {
  const handled: WebRequest[] = [];
  const ended: (() => void)[] = [];
  await using scene = new WebScene({
    handler: (request) => {
      handled.push(request);
      return new Promise((resolve) => ended.push(resolve));
    },
    limits: { maxInWork: 4 },
  });
  const client = await scene.http2();
  await requests(client, 10);
  assertEquals(handled.length, 4);
  await client.sync(); // other frames are handled
  void handled[1]?.respond(OK);
  await settle();
  assertEquals(handled.length, 5, "an answer makes space");
  handled[2]?.stream(OK);
  await settle();
  assertEquals(handled.length, 6, "so does the beginning of one");
  ended[1]?.();
  ended[2]?.();
  await settle();
  assertEquals(handled.length, 6, "once");
  await client.send(
    { type: FRAME.rstStream, streamId: 13, payload: CANCEL },
    { type: FRAME.rstStream, streamId: 1, payload: CANCEL },
  );
  await settle();
  assertEquals(handled.length, 6, "a request that is reset is in work until its handler ends");
  ended[0]?.();
  await settle();
  assertEquals(handled.length, 7);
  void handled[6]?.respond({ status: 200, body: "after the one that was reset" });
  assertEquals((await client.answer(15)).body, "after the one that was reset");
  await settle();
  assertEquals(handled.length, 8);
  await client.send({ type: FRAME.rstStream, streamId: 19, payload: CANCEL });
  await settle();
  void handled[3]?.respond(OK);
  await settle();
  assertEquals(handled.length, 8, "none waits");
  assertEquals(scene.logger.connectionFaults, []);
});

Deno.test("HTTP/2: a request is passed to the handler at once, however many others a client has", async () => {
  const handled: string[] = [];
  await using scene = new WebScene({
    handler: ({ remote }) => {
      handled.push(remote.slice(0, remote.indexOf(":")));
      return new Promise<void>(() => {});
    },
  });
  const { maxInWork, maxStreamsPerConnection } = DEFAULT_LIMITS;
  scene.network.callerHost = "10.0.0.1";
  const greedy = await scene.http2();
  await requests(greedy, maxStreamsPerConnection);
  assertEquals(handled.length, maxInWork);
  for (const host of ["10.0.0.1", "10.0.0.2"]) {
    scene.network.callerHost = host;
    await requests(await scene.http2(), 1);
    assertEquals(handled.at(-1), host);
  }
  assertEquals(handled.length, maxInWork + 2);
});

Deno.test("HTTP/2: a connection whose last waiting request begins by its share has no turn any more", async () => {
  const ended: (() => void)[] = [];
  await using scene = new WebScene({
    handler: () => new Promise((resolve) => ended.push(resolve)),
    limits: { maxInWork: 4 },
  });
  const [first, second] = [await scene.http2(), await scene.http2()];
  await requests(first, 4);
  await requests(second, 3);
  assertEquals(ended.length, 6, "the share of the second connection is two requests");
  ended[4]?.();
  await settle();
  assertEquals(ended.length, 6, "five are in work");
  await second.sync();
  await settle();
  assertEquals(
    ended.length,
    7,
    "what arrives lets the waiting request begin, since its connection has a share left",
  );
  for (const end of ended) end();
  await settle();
  await requests(second, 1, 7);
  assertEquals(ended.length, 8);
});

Deno.test("HTTP/2: a request whose handler says that it waits makes space for another, once", async () => {
  const handled: WebRequest[] = [];
  await using scene = new WebScene({
    handler: (request) => {
      handled.push(request);
      return new Promise<void>(() => {});
    },
    limits: { maxInWork: 1 },
  });
  await requests(await scene.http2(), 3);
  assertEquals(handled.length, 1);
  const [first] = handled;
  first?.noteWaiting();
  first?.noteWaiting();
  await settle();
  assertEquals(handled.length, 2);
  void first?.respond(OK);
  await settle();
  assertEquals(handled.length, 2);
});

Deno.test("HTTP/2: requests that wait for something else do not keep others from the handler", async () => {
  let handled = 0;
  await using scene = new WebScene({
    handler: () => {
      handled += 1;
      return new Promise<void>(() => {});
    },
    limits: { maxInWork: 4 },
  });
  const client = await scene.http2();
  await requests(client, 8);
  assertEquals(handled, 4);
  await scene.pass(4_000);
  assertEquals(handled, 8);
});

for (
  const [what, isClosed, inAll] of [["go on", false, 20], ["end with their connection", true, 8]] as const
) {
  Deno.test(`HTTP/2: requests that are answered at once are handled a bound at a time, and ${what}`, async () => {
    let handled = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    await using scene = new WebScene({
      handler: (request) => {
        handled += 1;
        return handled <= 4 ? promise : void request.respond(OK);
      },
      limits: { maxInWork: 4 },
    });
    const client = await scene.http2();
    await requests(client, 20);
    resolve();
    await settle();
    assertEquals(handled, 8, "the others wait for a later turn");
    if (isClosed) client.connection.close();
    await settle();
    scene.clock.advance(0);
    assertEquals(handled, inAll);
  });
}
