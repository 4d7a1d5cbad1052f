/** The real sockets and the real clock, and the links over them. */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseMembers } from "../../../lib/protocol/node_list.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { HandshakeError } from "../../../lib/protocol/errors.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import { dial } from "../../../lib/transport/handshake.ts";
import type { Connection, Listener } from "../../../lib/platform/network.ts";
import type { PeerMessage } from "../../../lib/protocol/peer_frames.ts";
import { PeerLinks } from "../../../lib/transport/peer_links.ts";
import { eventually, within } from "../../support/eventually.ts";
import { CLUSTER_ID, NetNode } from "../../support/fakes/accepting_node.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const network = new DenoNetwork();
const clock = new SystemClock();
const ANY_PORT = { host: "127.0.0.1", port: 0 };
const never = (): AbortSignal => new AbortController().signal;

/** A listener and both ends of one connection to it. */
async function pair(): Promise<{ here: Connection; there: Connection; listener: Listener }> {
  const listener = network.listen(ANY_PORT);
  const [here, there] = await Promise.all([network.connect(listener.address, never()), listener.accept()]);
  assert(there !== null, "the listener is open");
  return { here, there, listener };
}

Deno.test("bytes go both ways, and the end of the stream is null", async () => {
  const { here, there, listener } = await pair();
  await here.write(new Uint8Array([1, 2, 3]));
  const buffer = new Uint8Array(10);
  assertEquals([await there.read(buffer), [...buffer.subarray(0, 3)]], [3, [1, 2, 3]]);
  there.close();
  assertEquals(await here.read(buffer), null);
  here.close();
  listener.close();
});

Deno.test("closing twice does nothing, and ends a read and an accept that are under way", async () => {
  const { here, there, listener } = await pair();
  const reading = assertRejects(() => here.read(new Uint8Array(1)), Error);
  const accepting = listener.accept();
  for (const closable of [here, here, there, there, listener, listener]) closable.close();
  await within("the read ends", reading);
  assertEquals([await within("the accept ends", accepting), await listener.accept()], [null, null]);
});

Deno.test("a connection that is reset before it is accepted is named as lost, and the next one is accepted", async () => {
  const listener = network.listen(ANY_PORT);
  const { host, port } = listener.address;
  const lost = connectSocket({ host, port });
  await once(lost, "connect");
  lost.resetAndDestroy();
  await once(lost, "close");
  const here = await network.connect(listener.address, never());
  const error = await assertRejects(() => listener.accept(), NetworkError);
  assertEquals(error.code, "connectionLost");
  const there = await listener.accept();
  assert(there !== null, "the listener is open");
  for (const closable of [here, there, listener]) closable.close();
});

Deno.test("a port that is taken, nobody listening, and a name that is not known are told apart", async () => {
  const listener = network.listen(ANY_PORT);
  const { port } = listener.address;
  const taken = assertThrows(() => network.listen(listener.address), NetworkError);
  assertEquals([taken.code, taken.message], [
    "addressInUse",
    `Cannot listen on 127.0.0.1:${port}: the port is in use. Stop the process that has it, or choose another port.`,
  ]);
  listener.close();
  const refused = await assertRejects(() => network.connect(listener.address, never()), NetworkError);
  assertEquals([refused.code, refused.message], [
    "refused",
    `Cannot connect to 127.0.0.1:${port}: nothing listens there.`,
  ]);
  const unknown = await assertRejects(
    () => network.connect({ host: "no.such.invalid", port }, never()),
    NetworkError,
  );
  assertEquals(unknown.code, "nameNotFound");
  const gaveUp = await assertRejects(
    () => network.connect(listener.address, AbortSignal.abort()),
    NetworkError,
  );
  assertEquals(gaveUp.code, "aborted");
});

Deno.test("the end of the turn comes once for all, in order, with what is added meanwhile", async () => {
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  clock.endOfTurn(() => {
    order.push("first");
    clock.endOfTurn(() => order.push("added"));
  });
  clock.endOfTurn(() => {
    order.push("second");
    clock.after(0, resolve);
  });
  await Promise.resolve();
  order.push("still in the turn");
  await promise;
  assertEquals(order, ["still in the turn", "first", "second", "added"]);
});

Deno.test("callbacks at the end of a turn that add one another for ever keep no timer from firing", async () => {
  const isOver = { value: false };
  const again = (): void => {
    if (!isOver.value) clock.endOfTurn(again);
  };
  clock.endOfTurn(again);
  await new Promise<void>((resolve) => clock.after(0, resolve));
  isOver.value = true;
});

Deno.test("a timer that was cancelled never fires", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = clock.after(0, () => assert(false, "it was cancelled"));
  clock.after(1, resolve);
  timer.cancel();
  timer.cancel();
  await promise;
});

Deno.test("who dials something that is no node of kvraft is told so", async () => {
  const listener = network.listen(ANY_PORT);
  const answering = (async (): Promise<void> => {
    const connection = await listener.accept();
    await connection?.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    connection?.close();
  })();
  const error = await assertRejects(
    () =>
      dial({
        network,
        clock,
        address: listener.address,
        caller: { role: "client", clusterId: null },
        sizes: { readBytes: 1_024, retainedBytes: 1_024, maxQueuedBytes: 1_024 },
        timeoutMs: 10_000,
        signal: never(),
      }),
    HandshakeError,
  );
  assertEquals(error.code, "notKvraft");
  assert(
    error.message.endsWith(": it answers like an HTTP server, not like a node of kvraft."),
    error.message,
  );
  await answering;
  listener.close();
});

Deno.test("links over real sockets carry large messages whole, and find a node that was restarted", async () => {
  const bind = ANY_PORT;
  let node = new NetNode({ network, clock, overrides: { bind } });
  const { address } = node.listener;
  const logger = new RecordingLogger();
  const links = new PeerLinks({
    network,
    clock,
    random: Math.random,
    logger,
    self: 2,
    clusterId: CLUSTER_ID,
    members: parseMembers(`1=127.0.0.1:${address.port},2=127.0.0.1:1`),
    dataId: 102,
    address: "127.0.0.1:1",
    onStateChange: () => {},
    isCalling: () => false,
    onUnreachable: () => {},
    onRefused: () => {},
  });
  const connected = (): true | null => links.isConnected(1) ? true : null;
  const data = new Uint8Array(8 * 2 ** 20).map((_, position) => position * 7);
  const message: PeerMessage = { kind: "forward", forwardId: 1, command: data };
  for (let run = 0; run < 2; run++) {
    await eventually("both lanes are up", connected, { explain: () => JSON.stringify(logger.lines) });
    assert(links.send(message, 1), "the link takes the message");
    await eventually("the message has arrived", () => node.messages.length === 1 ? true : null);
    assertEquals(node.messages, [{ from: 2, message }]);
    await node.listener.close();
    await eventually("the loss is noticed", () => links.isConnected(1) ? null : true);
    node = new NetNode({ network, clock, overrides: { bind: address } });
  }
  await links.close();
  await node.listener.close();
});
