/** Connections with slow other ends: their waiting bytes are counted, bounded in all, and freed after a time. */
import { assertEquals } from "@std/assert";
import type { ValueType } from "@std/msgpack";
import {
  CLIENT_QUEUE_PAUSE_BYTES,
  FRAME_CHECK_INTERVAL_MS,
  FRAME_CHECKS,
  MAX_CLIENT_REQUESTS_IN_FLIGHT,
  WAITING_GRACE_MS,
} from "../../../lib/protocol/limits.ts";
import type { ClientConnection } from "../../../lib/transport/client_connection.ts";
import { WaitingMemory } from "../../../lib/transport/waiting_memory.ts";
import { type Connection, PLAIN } from "../../../lib/platform/network.ts";
import { FrameChannel, FrameDeadlines } from "../../../lib/transport/frame_channel.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { connectionPair, MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { CLUSTER_ID, NetNode, RawConnection, until } from "../../support/fakes/accepting_node.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

const CLIENT_HELLO = [0, "kvraft", 1, 1, 2, null, null, null, null];
/** Hello of node 2, which is a member, and of node 9, which is none; each for its bulk lane. */
const MEMBER_HELLO = [0, "kvraft", 1, 1, 1, CLUSTER_ID, 2, 2, null, 2, "n2:7002"];
const OTHER_HELLO = [0, "kvraft", 1, 1, 1, CLUSTER_ID, 9, 2, null, 9, "n9:7009"];
const FRAME_BYTES = 1_000_000;

/** A node and clients after their hello; every frame to them of more than a few bytes waits. */
class Scene {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork();
  readonly node: NetNode;
  readonly clients: RawConnection[] = [];

  constructor(maxWaitingBytes: number) {
    const overrides = { maxWaitingBytes, maxConnections: 100 };
    this.node = new NetNode({ network: this.network, clock: this.clock, overrides });
  }

  /** Connects clients. */
  async connect(count: number): Promise<void> {
    for (let more = 0; more < count; more++) this.clients.push(await this.greeted(CLIENT_HELLO));
  }

  /** Connects a caller with this hello. */
  async greeted(hello: ValueType): Promise<RawConnection> {
    const caller = await RawConnection.connect(this.network);
    await caller.send(hello);
    await until("it is welcomed", () => caller.received.length === 1);
    return caller;
  }

  /** From now on no bytes arrive at any client. */
  stall(): void {
    for (const connection of this.network.connections) connection.stall(true);
  }

  /** Sends the first `bytes` bytes of a frame of a million. */
  async beginFrame(client: RawConnection | undefined, bytes: number): Promise<void> {
    const begin = new Uint8Array(bytes);
    new DataView(begin.buffer).setUint32(0, FRAME_BYTES);
    await client?.sendBytes(begin);
    await settle();
  }

  /** Which clients are still connected, by position. */
  get open(): readonly number[] {
    const connected = (client: ClientConnection): boolean => !client.isClosed;
    return this.node.clients.flatMap((client, position) => connected(client) ? [position] : []);
  }

  async close(): Promise<void> {
    const closing = this.node.listener.close();
    await settle();
    this.clock.advance(5_000);
    await closing;
    assertEquals([this.clock.timerCount, this.node.faults], [0, []]);
    assertEquals(this.node.listener.counts().waitingBytes, 0);
  }
}

/** Queues an answer with so many bytes. */
function send(client: ClientConnection | undefined, bytes: number): void {
  client?.send({ kind: "writeResult", requestId: 1, result: new Uint8Array(bytes) });
}

Deno.test("WaitingMemory: beyond the budget the connection with the most is closed first, and then the next", () => {
  const logger = new RecordingLogger();
  const clock = new ManualClock();
  const memory = new WaitingMemory({ maxBytes: 100, clock, logger });
  const closed: string[] = [];
  const shares = ["a", "b", "c"].map((remote) =>
    memory.share({ remote, close: () => void closed.push(remote) })
  );
  const [a, b, c] = shares;
  a?.set(30);
  b?.set(50);
  c?.set(20);
  assertEquals([closed.join(), memory.usedBytes], ["", 100]);
  a?.set(35);
  assertEquals([closed.join(), memory.usedBytes], ["b", 55]);
  b?.set(90);
  assertEquals(memory.usedBytes, 55, "a share that has ended counts nothing");
  clock.advance(WAITING_GRACE_MS);
  c?.set(170);
  assertEquals([closed.join(), memory.usedBytes, memory.closedConnections], ["b,c", 35, 2]);
  assertEquals(logger.messages.length, 2);
  a?.end();
  assertEquals(memory.usedBytes, 0);
});

Deno.test("WaitingMemory: clients that read nothing are closed once all of them together hold too much", async () => {
  const scene = new Scene(5_000_000);
  await scene.connect(10);
  scene.stall();
  for (const client of scene.node.clients) send(client, 400_000);
  assertEquals([scene.open.length, scene.node.listener.counts().overloaded], [10, 0]);
  scene.clock.advance(WAITING_GRACE_MS);
  send(scene.node.clients[3], 600_000);
  send(scene.node.clients[7], 700_000);
  assertEquals(scene.open, [0, 1, 2, 3, 4, 5, 6, 8, 9], "the one that holds most");
  for (const position of [0, 1, 2, 4]) send(scene.node.clients[position], 400_000);
  assertEquals(scene.open.includes(3), false);
  const { waitingBytes, overloaded } = scene.node.listener.counts();
  assertEquals([waitingBytes <= 5_000_000, overloaded, scene.node.logger.messages.length], [true, 2, 2]);
  await scene.close();
});

Deno.test("WaitingMemory: half a frame counts with the memory that it takes, and only until it ends", async () => {
  const scene = new Scene(2_000_000);
  await scene.connect(3);
  assertEquals(scene.node.listener.counts().waitingBytes, 0);
  await scene.beginFrame(scene.clients[0], 300_000);
  const { waitingBytes } = scene.node.listener.counts();
  assertEquals([waitingBytes >= 300_000, waitingBytes <= 700_000], [true, true]);
  await scene.beginFrame(scene.clients[1], 900_000);
  await scene.beginFrame(scene.clients[2], 600_000);
  assertEquals([scene.open, scene.node.listener.counts().overloaded], [[0, 2], 1]);
  // Its end comes: an invalid frame, which is answered, and then nothing waits.
  await scene.clients[0]?.sendBytes(new Uint8Array(FRAME_BYTES + 4 - 300_000));
  await until("it is closed for its content", () => scene.clients[0]?.end !== null);
  await scene.close();
});

Deno.test("WaitingMemory: a connection whose bytes move is closed after those whose bytes do not, even if it holds more", () => {
  const clock = new ManualClock();
  const memory = new WaitingMemory({ maxBytes: 100, clock, logger: new RecordingLogger() });
  const closed: string[] = [];
  const [a, b, c, d] = ["a", "b", "c", "d"].map((remote) =>
    memory.share({ remote, close: () => void closed.push(remote) })
  );
  a?.set(25);
  b?.set(26);
  c?.set(40);
  clock.advance(WAITING_GRACE_MS);
  c?.set(39, true);
  d?.set(40);
  assertEquals([closed.join(), memory.usedBytes], ["b,a", 79]);
  clock.advance(WAITING_GRACE_MS - 1);
  c?.set(39, true);
  clock.advance(1);
  c?.set(61);
  assertEquals(
    [closed.join(), memory.usedBytes],
    ["b,a,d", 61],
    "d has been still since it came, and c has not",
  );
  c?.set(101, true);
  assertEquals(
    [closed.join(), memory.usedBytes],
    ["b,a,d,c", 0],
    "one that moves as well, where no other is left",
  );
});

Deno.test("WaitingMemory: half frames of many clients do not close one that is about to send more than they hold", async () => {
  const scene = new Scene(2_500_000);
  await scene.connect(8);
  for (const client of scene.clients.slice(0, 6)) await scene.beginFrame(client, 260_000);
  scene.clock.advance(WAITING_GRACE_MS);
  const writer = scene.clients[6];
  await scene.beginFrame(writer, 900_000);
  assertEquals([scene.open.includes(6), scene.open.length, writer?.end], [true, 7, null]);
  await writer?.sendBytes(new Uint8Array(FRAME_BYTES + 4 - 900_000));
  await until("its frame is read, and refused for its content", () => writer?.end !== null);
  await scene.close();
});

Deno.test("WaitingMemory: bytes of clients never close a lane of a member, and one of another node counts like a client", async () => {
  const scene = new Scene(2_200_000);
  await scene.connect(4);
  for (const client of scene.clients) await scene.beginFrame(client, 450_000);
  const counted = scene.node.listener.counts().waitingBytes;
  const member = await scene.greeted(MEMBER_HELLO);
  await scene.beginFrame(member, 900_000);
  assertEquals([member.end, scene.node.listener.counts().waitingBytes, scene.open.length], [
    null,
    counted,
    4,
  ]);
  const other = await scene.greeted(OTHER_HELLO);
  await scene.beginFrame(other, 900_000);
  assertEquals([member.end, scene.node.listener.counts().overloaded > 0], [null, true]);
  await scene.close();
});

Deno.test("FrameDeadlines: a frame that does not end closes its connection, one that ends or whose client is paused does not", async () => {
  const scene = new Scene(100_000_000);
  await scene.connect(4);
  const [half, , busy, slow] = scene.clients;
  await scene.beginFrame(half, 20);
  // Paused by this node, in the middle of its next frame.
  for (let id = 1; id <= MAX_CLIENT_REQUESTS_IN_FLIGHT; id++) await busy?.send([43, id]);
  await scene.beginFrame(busy, 20);
  const status = new Uint8Array([0, 0, 0, 3, 0x92, 43, 1]);
  for (let check = 0; check < FRAME_CHECKS; check++) {
    // A frame of its own begins before each check and ends after it.
    await slow?.sendBytes(status.subarray(0, 5));
    await settle();
    scene.clock.advance(FRAME_CHECK_INTERVAL_MS);
    await slow?.sendBytes(status.subarray(5));
    await settle();
    assertEquals(scene.open, [0, 1, 2, 3]);
  }
  scene.clock.advance(FRAME_CHECK_INTERVAL_MS);
  await settle();
  assertEquals(scene.open, [1, 2, 3]);
  scene.clock.advance(10 * FRAME_CHECK_INTERVAL_MS);
  await settle();
  assertEquals(scene.open, [1, 2, 3]);
  await scene.close();
});

Deno.test("WaitingMemory: requests that wait for a client that reads nothing count as well", async () => {
  const scene = new Scene(2 * CLIENT_QUEUE_PAUSE_BYTES);
  await scene.connect(2);
  scene.node.clients[1]?.hold(1_500_000);
  assertEquals(scene.node.listener.counts().waitingBytes, 1_500_000);
  scene.node.clients[0]?.hold(700_000);
  assertEquals([scene.open, scene.node.listener.counts().waitingBytes], [[0], 700_000]);
  await scene.close();
});

Deno.test("FrameDeadlines: a channel without sends releases its buffers, and no other does", async () => {
  const clock = new ManualClock();
  const [here, there] = connectionPair();
  /** Bytes of the send buffers. */
  const buffers: number[] = [];
  const connection: Connection = {
    ...PLAIN,
    remote: here.remote,
    read: (buffer) => here.read(buffer),
    write: (bytes) => {
      buffers.push(bytes.buffer.byteLength);
      return here.write(bytes);
    },
    close: () => here.close(),
  };
  const sizes = { readBytes: 1_024, retainedBytes: 131_072, maxQueuedBytes: 1_000_000 };
  const channel = new FrameChannel(connection, { clock, sizes });
  const deadlines = new FrameDeadlines({ clock, logger: new RecordingLogger() });
  deadlines.add(channel);
  const send = async (bytes: number): Promise<void> => {
    channel.send((out, payload) => out.raw(payload), new Uint8Array(bytes));
    await settle();
  };
  // Each of the two buffers in turn.
  for (const bytes of [100_000, 100_000, 10, 10]) await send(bytes);
  assertEquals(buffers.splice(0).map((bytes) => bytes >= 100_000), [true, true, true, true]);
  clock.advance(FRAME_CHECK_INTERVAL_MS);
  for (const bytes of [10, 10]) await send(bytes);
  assertEquals(buffers.splice(0).map((bytes) => bytes >= 100_000), [true, true], "it was not idle");
  clock.advance(2 * FRAME_CHECK_INTERVAL_MS);
  for (const bytes of [10, 10]) await send(bytes);
  assertEquals(buffers.splice(0).map((bytes) => bytes < 1_000), [true, true], "the buffers were given back");
  there.close();
  channel.close("the test is over");
  deadlines.remove(channel);
  assertEquals(clock.timerCount, 0);
});
