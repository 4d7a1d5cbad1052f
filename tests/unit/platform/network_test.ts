/** Deno's and Node's real sockets, the real clock, and links over them. */
import { FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { setImmediate } from "node:timers";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseMembers } from "../../../lib/protocol/node_list.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { HandshakeError } from "../../../lib/protocol/errors.ts";
import { NetworkError } from "../../../lib/platform/errors.ts";
import { dial } from "../../../lib/transport/dial.ts";
import { formatAddress } from "../../../lib/platform/address.ts";
import { NodeDialer } from "../../../lib/platform/node_network.ts";
import type { Connection, Dialer, Listener } from "../../../lib/platform/network.ts";
import { SocketConnection } from "../../../lib/platform/socket_connection.ts";
import type { PeerMessage } from "../../../lib/protocol/peer_frames.ts";
import { Peers } from "../../../lib/transport/peers.ts";
import { eventually, within } from "../../support/eventually.ts";
import { CLUSTER_ID, NetNode } from "../../support/fakes/accepting_node.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const network = new DenoNetwork();
const clock = new SystemClock();
const ANY_PORT = { host: "127.0.0.1", port: 0 };
const never = (): AbortSignal => new AbortController().signal;

const DIALERS: readonly (readonly [string, Dialer])[] = [["Deno", network], ["Node", new NodeDialer()]];

/** A listener and both ends of one connection to it. */
async function pair(dialer: Dialer): Promise<{ here: Connection; there: Connection; listener: Listener }> {
  const listener = network.listen(ANY_PORT);
  const [here, there] = await Promise.all([dialer.connect(listener.address, never()), listener.accept()]);
  assert(there !== null, "the listener is open");
  return { here, there, listener };
}

for (const [runtime, dialer] of DIALERS) {
  Deno.test(`${runtime}'s sockets: bytes go both ways, and the end of the stream is null`, async () => {
    const { here, there, listener } = await pair(dialer);
    await here.write(new Uint8Array([1, 2, 3]));
    const buffer = new Uint8Array(10);
    assertEquals([await there.read(buffer), [...buffer.subarray(0, 3)]], [3, [1, 2, 3]]);
    assertEquals(here.remote, formatAddress(listener.address));
    there.close();
    assertEquals(await here.read(buffer), null);
    here.close();
    listener.close();
  });

  Deno.test(`${runtime}'s sockets: a small buffer takes a large message in parts, in order`, async () => {
    const { here, there, listener } = await pair(dialer);
    const message = Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 251);
    const echoed = (async (): Promise<void> => {
      const buffer = new Uint8Array(65_536);
      for (let total = 0; total < message.length;) {
        const size = await there.read(buffer) ?? 0;
        for (let sent = 0; sent < size;) sent += await there.write(buffer.subarray(sent, size));
        total += size;
      }
    })();
    const writing = (async (): Promise<void> => {
      for (let sent = 0; sent < message.length;) sent += await here.write(message.subarray(sent));
    })();
    const buffer = new Uint8Array(1_000);
    let total = 0;
    while (total < message.length) {
      const size = await here.read(buffer) ?? 0;
      assert(buffer.subarray(0, size).every((byte, index) => byte === (total + index) % 251));
      total += size;
    }
    await Promise.all([echoed, writing]);
    for (const closable of [here, there, listener]) closable.close();
  });

  Deno.test(`${runtime}'s sockets: closing twice has no effect, and ends a read that waits`, async () => {
    const { here, there, listener } = await pair(dialer);
    const reading = assertRejects(() => here.read(new Uint8Array(1)), Error);
    for (const closable of [here, here, there, there, listener]) closable.close();
    await within("the read ends", reading);
    await assertRejects(() => here.write(new Uint8Array(1)), Error);
  });

  Deno.test(`${runtime}'s sockets: refused, an unknown name and a signal are distinguished`, async () => {
    const listener = network.listen(ANY_PORT);
    const { port } = listener.address;
    listener.close();
    const codeOf = async (host: string, signal: AbortSignal): Promise<string> =>
      (await assertRejects(() => dialer.connect({ host, port }, signal), NetworkError)).code;
    const refused = await assertRejects(() => dialer.connect(listener.address, never()), NetworkError);
    assertEquals(refused.message, `Cannot connect to 127.0.0.1:${port}: nothing listens there.`);
    assertEquals(refused.code, "refused");
    assertEquals(await codeOf("no.such.invalid", never()), "nameNotFound");
    assertEquals(await codeOf("127.0.0.1", AbortSignal.abort()), "aborted");
  });
}

Deno.test("SocketConnection: bytes that came with the end of the stream are read before it", async () => {
  const listener = network.listen(ANY_PORT);
  const socket = connectSocket(listener.address);
  const here = new SocketConnection(socket);
  const there = await listener.accept();
  assert(there !== null, "the listener is open");
  await there.write(new Uint8Array([1, 2, 3]));
  there.close();
  await within("the end arrives", once(socket, "end"));
  const buffer = new Uint8Array(2);
  assertEquals([await here.read(buffer), [...buffer]], [2, [1, 2]]);
  assertEquals([await here.read(buffer), buffer[0]], [1, 3]);
  assertEquals(await here.read(buffer), null);
  here.close();
  listener.close();
});

Deno.test("DenoNetwork: closing a listener twice has no effect, and ends a waiting accept", async () => {
  const listener = network.listen(ANY_PORT);
  const accepting = listener.accept();
  for (const closable of [listener, listener]) closable.close();
  assertEquals([await within("the accept ends", accepting), await listener.accept()], [null, null]);
});

Deno.test("DenoNetwork: a connection that is reset before it is accepted is an error of its own, and the next one is accepted", async () => {
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

Deno.test("DenoNetwork: the error for a port in use has a remedy", () => {
  const listener = network.listen(ANY_PORT);
  const taken = assertThrows(() => network.listen(listener.address), NetworkError);
  assertEquals([taken.code, taken.message], [
    "addressInUse",
    `Cannot listen on ${formatAddress(listener.address)}: ` +
    "the port is in use. Stop the process that has it, or choose another port.",
  ]);
  listener.close();
});

Deno.test("SystemClock: callbacks for the end of the turn run once, in order, including those added meanwhile", async () => {
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

Deno.test("SystemClock: callbacks that add one another without end keep no timer from firing", async () => {
  const isOver = { value: false };
  const again = (): void => {
    if (!isOver.value) clock.endOfTurn(again);
  };
  clock.endOfTurn(again);
  await new Promise<void>((resolve) => clock.after(0, resolve));
  isOver.value = true;
});

Deno.test("SystemClock: a cancelled timer never fires", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = clock.after(0, () => assert(false, "it was cancelled"));
  clock.after(1, resolve);
  timer.cancel();
  timer.cancel();
  await promise;
});

Deno.test("SystemClock: a delay that is too long for one timer of the runtime does not end early", () => {
  const timers: { delayMs: number; run: () => void }[] = [];
  const { setTimeout, clearTimeout } = globalThis;
  const { now } = performance;
  let time = 0;
  let fired = 0;
  try {
    performance.now = () => time;
    globalThis.setTimeout = ((run: () => void, delayMs: number) => timers.push({ delayMs, run })) as never;
    globalThis.clearTimeout = ((id: number) => timers.splice(id - 1, 1)) as never;
    const start = (delayMs: number) => new SystemClock().after(delayMs, () => fired++);
    const advance = (): void => {
      const timer = timers.pop();
      time += timer?.delayMs ?? 0;
      timer?.run();
    };
    for (const [delayMs, count] of [[2 ** 31 - 1, 1], [2 ** 31, 2], [9e12 / 3, 1_397]] as const) {
      [time, fired] = [0, 0];
      start(delayMs);
      for (let number = 1; number <= count; number++) {
        assert(fired === 0 && timers.every((timer) => timer.delayMs < 2 ** 31));
        advance();
      }
      assertEquals([fired, time, timers.length], [1, delayMs, 0]);
    }
    const timer = start(9e12);
    advance();
    advance();
    assertEquals(timers.length, 1);
    timer.cancel();
    assertEquals(timers.length, 0);
  } finally {
    performance.now = now;
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
});

Deno.test("dial: the error says that the other end is not a node of kvraft", async () => {
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

Deno.test("Peers: links over real sockets carry large messages completely, and reach a restarted node again", async () => {
  const bind = ANY_PORT;
  let node = new NetNode({ network, clock, overrides: { bind } });
  const { address } = node.listener;
  const logger = new RecordingLogger();
  const links = new Peers({
    network,
    clock,
    random: Math.random,
    logger,
    self: 2,
    clusterId: CLUSTER_ID,
    dataId: 102,
    isCalling: () => false,
    callerAuthentications: () => [],
    featureLevel: () => FEATURE_LEVEL,
  });
  links.start({
    members: parseMembers(`1=127.0.0.1:${address.port},2=127.0.0.1:1`),
    address: "127.0.0.1:1",
    onStateChange: () => {},
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

Deno.test("DenoNetwork: a connection on which bytes always wait reads a bounded number of them in a turn", async () => {
  const { here, there, listener } = await pair(network);
  const message = new Uint8Array(160_000); // the system holds as many for a connection that is not read
  for (let sent = 0; sent < message.length;) sent += await there.write(message.subarray(sent));
  const buffer = new Uint8Array(1_000);
  const readIn = [0];
  let isReading = true;
  const nextTurn = (): void => {
    readIn.push(0);
    if (isReading) setImmediate(nextTurn);
  };
  setImmediate(nextTurn);
  for (let total = 0; total < message.length;) {
    const size = await here.read(buffer) ?? message.length;
    total += size;
    readIn.push((readIn.pop() ?? 0) + size);
  }
  isReading = false;
  assert(Math.max(...readIn) <= 70_000, `${readIn}`);
  for (const closable of [here, there, listener]) closable.close();
});
