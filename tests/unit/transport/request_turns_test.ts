/** Requests of clients are handled in turns: many of one connection delay neither other clients nor messages of nodes. */
import { assert, assertEquals } from "@std/assert";
import { encode } from "@std/msgpack";
import {
  CLIENT_QUEUE_PAUSE_BYTES,
  MAX_CLIENT_REQUESTS_IN_FLIGHT,
  MAX_PONG_QUEUE_BYTES,
  MAX_REQUESTS_A_TURN,
  REQUESTS_A_GO,
} from "../../../lib/protocol/limits.ts";
import { RequestTurns } from "../../../lib/transport/request_turns.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MEMBERS, NetNode, RawConnection, until } from "../../support/fakes/accepting_node.ts";
import { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { CLIENT_HELLO, peerHello, withNode } from "./listener_scene.ts";

const PREFIX_BYTES = 4;
const UNKNOWN_KIND = 200;
/** A ping, which only nodes answer. */
const PING = [3];

/** Frames of this many requests in a row. */
function requests(kind: number, count: number): Uint8Array {
  return framed([kind, 1], count);
}

/** The same frame this many times. */
function framed(elements: readonly number[], count: number): Uint8Array {
  const payload = encode([...elements]);
  const frame = new Uint8Array(PREFIX_BYTES + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length);
  frame.set(payload, PREFIX_BYTES);
  const frames = new Uint8Array(count * frame.length);
  for (let position = 0; position < count; position++) frames.set(frame, position * frame.length);
  return frames;
}

Deno.test("RequestTurns: beyond a turn's requests connections wait in their order, each for its share", async () => {
  const clock = new ManualClock();
  const turns = new RequestTurns(clock);
  for (let request = 0; request < MAX_REQUESTS_A_TURN; request++) assert(turns.take());
  assertEquals(turns.take(), false);
  const called: number[] = [];
  const count = MAX_REQUESTS_A_TURN / REQUESTS_A_GO + 2;
  const waiting = Array.from({ length: count }, (_, position) => (granted: number): void => {
    assertEquals(granted, REQUESTS_A_GO);
    called.push(position);
  });
  for (const go of waiting) turns.wait(go);
  await settle();
  assertEquals(turns.take(), false, "a new turn belongs to those that wait");
  const [left] = waiting;
  if (left !== undefined) turns.leave(left);
  clock.advance(0);
  assertEquals(called, Array.from({ length: count - 1 }, (_, position) => position + 1));
  assertEquals(clock.timerCount, 0);
  assertEquals(turns.take(), true);
  for (const go of waiting) turns.wait(go);
  for (const go of waiting) turns.leave(go);
  assertEquals(clock.timerCount, 0);
});

Deno.test("RequestTurns: requests without an end are handled a turn's worth at a time, and a node's ping is answered meanwhile", () =>
  withNode(async ({ network, clock, node }) => {
    const client = await RawConnection.connect(network);
    const peer = await RawConnection.connect(network);
    await client.send(CLIENT_HELLO);
    await peer.send(peerHello(2));
    await until("both are welcomed", () => client.received.length + peer.received.length === 2);
    await client.sendBytes(requests(UNKNOWN_KIND, 2 * MAX_REQUESTS_A_TURN + 1));
    await settle();
    assertEquals(client.received.length - 1, MAX_REQUESTS_A_TURN);
    await peer.send(PING);
    await until("the ping is answered", () => peer.received.length === 2);
    clock.advance(0);
    await settle();
    assertEquals(client.received.length - 1, 2 * MAX_REQUESTS_A_TURN);
    clock.advance(0);
    await settle();
    assertEquals(client.received.length - 1, 2 * MAX_REQUESTS_A_TURN + 1);
    client.close();
    peer.close();
    await until("the client is closed", () => node.closedClients === 1);
  }));

Deno.test("RequestTurns: the frames of a non-member are handled in turns, those of a member at once", () =>
  withNode(async ({ network, node }) => {
    for (const [id, count] of [[9, MAX_REQUESTS_A_TURN], [2, MAX_REQUESTS_A_TURN + 1]] as const) {
      const peer = await RawConnection.connect(network);
      await peer.send(peerHello(id));
      await until("it is welcomed", () => peer.received.length === 1);
      await peer.sendBytes(framed(PING, MAX_REQUESTS_A_TURN + 1));
      await settle();
      assertEquals(peer.received.length - 1, count);
    }
    await node.listener.close();
  }));

Deno.test("ConnectionListener: a lane is closed whose other end sends pings and does not read the answers", async () => {
  const network = new MemoryNetwork({ capacityBytes: 4_096 });
  const node = new NetNode({ network, clock: new ManualClock() });
  const address = MEMBERS[0]?.address;
  assert(address !== undefined);
  const connection = await network.connect(address, new AbortController().signal);
  const hello = encode(peerHello(2));
  await connection.write(new Uint8Array([0, 0, 0, hello.length, ...hello]));
  const pings = framed(PING, MAX_PONG_QUEUE_BYTES);
  const sending = (async () => {
    for (let sent = 0; sent < pings.length;) sent += await connection.write(pings.subarray(sent));
  })().catch(() => {});
  await until("it is closed", () => node.listener.counts().peerLanes === 0 && node.callers.length === 1);
  await sending;
  const reasons = node.logger.lines.map(({ fields }) => fields["reason"]);
  assert(reasons.includes("it takes no answers to its pings"));
  connection.close();
  await node.listener.close();
});

Deno.test("RequestTurns: a client waits for a share of the requests of another, not for all", () =>
  withNode(async ({ network, clock, node }) => {
    const greedy = await RawConnection.connect(network);
    const modest = await RawConnection.connect(network);
    await greedy.send(CLIENT_HELLO);
    await modest.send(CLIENT_HELLO);
    await until("both are welcomed", () => greedy.received.length + modest.received.length === 2);
    await greedy.sendBytes(requests(UNKNOWN_KIND, 10 * MAX_REQUESTS_A_TURN));
    await settle();
    await modest.send([UNKNOWN_KIND, 1]);
    await settle();
    assertEquals(modest.received.length, 1);
    clock.advance(0);
    await until("it is answered", () => modest.received.length === 2);
    assert(greedy.received.length <= 1 + 2 * MAX_REQUESTS_A_TURN);
    await node.listener.close();
  }));

Deno.test("RequestTurns: a connection that is closed while its requests wait for their turn is dropped", () =>
  withNode(async ({ network, node, clock }) => {
    const client = await RawConnection.connect(network);
    await client.send(CLIENT_HELLO);
    await client.sendBytes(requests(UNKNOWN_KIND, MAX_REQUESTS_A_TURN + MAX_CLIENT_REQUESTS_IN_FLIGHT));
    await until("some wait", () => clock.timerCount > 0 && client.received.length > MAX_REQUESTS_A_TURN);
    await node.listener.close();
    assertEquals(node.closedClients, 1);
  }));

Deno.test("ConnectionListener: a client that reads nothing is paused for any frames it sends, unknown kinds too", async () => {
  const network = new MemoryNetwork({ capacityBytes: 65_536 });
  const clock = new ManualClock();
  const node = new NetNode({ network, clock });
  const address = MEMBERS[0]?.address;
  assert(address !== undefined);
  const connection = await network.connect(address, new AbortController().signal);
  const hello = encode(CLIENT_HELLO);
  await connection.write(new Uint8Array([0, 0, 0, hello.length, ...hello]));
  const all = requests(UNKNOWN_KIND, 10 * MAX_REQUESTS_A_TURN);
  let sent = 0;
  const sending = (async () => {
    while (sent < all.length) sent += await connection.write(all.subarray(sent));
  })().catch(() => {});
  for (let turn = 0; turn < 10 * MAX_REQUESTS_A_TURN / REQUESTS_A_GO; turn++) {
    clock.advance(1);
    await settle();
  }
  const queuedBytes = node.clients[0]?.queuedBytes ?? 0;
  assert(queuedBytes >= CLIENT_QUEUE_PAUSE_BYTES, `it waits for space, with ${queuedBytes} bytes`);
  assert(queuedBytes < CLIENT_QUEUE_PAUSE_BYTES + 1_000, `${queuedBytes} bytes wait`);
  connection.close();
  await sending;
  await node.listener.close();
});
