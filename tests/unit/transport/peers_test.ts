/** The links of a node to the others: two lanes each, which are opened again after every failure. */
import { assert, assertEquals } from "@std/assert";
import { formatAddress } from "../../../lib/platform/address.ts";
import {
  MAX_FRAME_BYTES,
  PEER_CONNECT_TIMEOUT_MS,
  PEER_FAILURE_LOG_INTERVAL_MS,
  PEER_PING_INTERVAL_MS,
  PEER_RETRY_MAX_MS,
  PEER_RETRY_REFUSED_MS,
  PEER_START_QUIET_MS,
  PEER_UNANSWERED_PINGS,
} from "../../../lib/protocol/limits.ts";
import { type Address, type Connection, PLAIN } from "../../../lib/platform/network.ts";
import { encodeResult } from "../../../lib/protocol/command.ts";
import type { PeerMessage } from "../../../lib/protocol/peer_frames.ts";
import { within } from "../../support/eventually.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { CLUSTER_ID, MEMBERS, NetNode, until } from "../../support/fakes/accepting_node.ts";
import { LinkScene } from "./link_scene.ts";

const HEARTBEAT: PeerMessage = { kind: "heartbeat", from: 2, to: 1, term: 7, leaderCommit: 0, round: 1 };
const APPEND: PeerMessage = {
  kind: "appendEntries",
  from: 2,
  to: 1,
  term: 7,
  prevLogIndex: 0,
  prevLogTerm: 0,
  leaderCommit: 0,
  entries: [{ index: 1, term: 7, kind: "command", data: new Uint8Array(2 ** 20) }],
};

Deno.test("Peers: messages go to their node, each kind over its lane", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  assertEquals(scene.links.send(HEARTBEAT, 1), false);
  await scene.connected();
  assertEquals([HEARTBEAT, APPEND].map((message) => scene.links.send(message, 1)), [true, true]);
  assertEquals([scene.links.send(HEARTBEAT, 2), scene.links.send(HEARTBEAT, 3)], [false, false]);
  await until("both have arrived", () => node.messages.length === 2);
  assertEquals(new Set(node.messages.map(({ message }) => message)), new Set([HEARTBEAT, APPEND]));
  assertEquals(scene.changes, [
    { id: 1, lane: "control", connected: true },
    { id: 1, lane: "bulk", connected: true },
  ]);
  assertEquals(scene.logger.messages, ["Connected to a node"]);
  await scene.close(node);
});

Deno.test("Peers: in a long queue the result of a forwarded write is sent without its value, and not dropped", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  for (const connection of scene.network.connections) connection.stall();
  const entry = {
    key: Uint8Array.of(1),
    value: new Uint8Array(2 ** 20),
    createRevision: 1,
    modRevision: 1,
    version: 1,
  };
  const failed = { kind: "checksFailed", revision: 1, failedChecks: [0] } as const;
  const result = encodeResult({ ...failed, current: entry });
  const sent = Array.from(
    { length: 70 },
    (_, forwardId) =>
      scene.links.send({ kind: "forwardResult", forwardId, body: { kind: "result", result } }, 1),
  );
  assertEquals(sent.filter((isSent) => !isSent), []);
  await scene.close(node);
});

Deno.test("Peers: a node is reported as unreachable if nothing listens at its address, not if it does not answer", async () => {
  const scene = new LinkScene();
  await until("both lanes were refused", () => scene.unreachable.length >= 2);
  assertEquals(new Set(scene.unreachable), new Set([1]));
  const node = scene.listen();
  await scene.pass(2_000);
  await scene.connected();
  const before = scene.unreachable.length;
  for (const connection of scene.network.connections) connection.reset();
  await until("both lanes are lost", () => scene.changes.filter(({ connected }) => !connected).length === 2);
  await scene.pass(2_000);
  await scene.connected();
  assertEquals(scene.unreachable.length, before, "a broken connection is no sign of a stopped process");
  await scene.close(node);
});

Deno.test("Peers: a heartbeat does not wait behind entries that the other end reads slowly", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  scene.network.connections[1]?.stall();
  assert(scene.links.send(APPEND, 1) && scene.links.send(HEARTBEAT, 1), "both are queued");
  await until("the heartbeat is there", () => node.messages.length === 1);
  assertEquals(node.messages, [{ from: 2, message: HEARTBEAT }]);
  await scene.close(node);
});

Deno.test("Peers: messages are dropped once a lane has too much queued", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  scene.network.connections[1]?.stall();
  let queued = 0;
  while (scene.links.send(APPEND, 1)) queued += 1;
  assertEquals(queued, 16);
  await scene.close(node);
});

Deno.test("Peers: a message that can't be encoded closes its lane, which is opened again, and nothing else", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  const command = new Uint8Array(MAX_FRAME_BYTES);
  assertEquals(scene.links.send({ kind: "forward", forwardId: 1, command }, 1), false);
  const [fault] = scene.logger.connectionFaults;
  assertEquals([fault?.["peer"], fault?.["lane"]], [1, "bulk"]);
  await until("the lane is down", () => scene.changes.at(-1)?.connected === false);
  assertEquals(scene.changes.at(-1), { id: 1, lane: "bulk", connected: false });
  await scene.pass(1_000);
  await scene.connected();
  await scene.close(node);
});

Deno.test("Peers: a restarted node is reached within the longest pause between two attempts", async () => {
  const scene = new LinkScene();
  const first = scene.listen();
  await scene.connected();
  await first.listener.close();
  await until("both lanes are down", () => scene.changes.length === 4);
  for (let second = 0; second < 30; second++) {
    scene.clock.advance(PEER_RETRY_MAX_MS);
    await settle();
  }
  assertEquals(scene.links.isConnected(1), false);
  const second = scene.listen();
  scene.clock.advance(PEER_RETRY_MAX_MS);
  await scene.connected();
  assertEquals(scene.logger.messages, [
    "Connected to a node",
    "Lost the connection to a node",
    "Connected to a node",
  ]);
  await scene.close(second);
});

Deno.test("Peers: a node that calls is called back at once, even if the next attempt would be later", async () => {
  const scene = new LinkScene();
  await scene.pass(30_000);
  const node = scene.listen();
  await settle();
  assertEquals(scene.links.isConnected(1), false);
  scene.links.introduce(1, "n1:7001");
  await scene.connected();
  await scene.close(node);
});

Deno.test("Peers: attempts to connect are frequent at first and then less and less often", async () => {
  const scene = new LinkScene();
  const attempts: number[] = [];
  for (let elapsedMs = 0; elapsedMs <= 3_000; elapsedMs += 50) {
    await settle();
    if (scene.network.attempts / 2 > attempts.length) attempts.push(elapsedMs);
    scene.clock.advance(50);
  }
  assertEquals(attempts, [0, 50, 150, 350, 750, 1_550, 2_550]);
  await scene.close();
});

Deno.test("Peers: failures to connect are logged after the time of a start, and then once a minute with their number", async () => {
  const scene = new LinkScene();
  await settle();
  scene.clock.advance(PEER_START_QUIET_MS - 1);
  await settle();
  assertEquals(scene.logger.lines, []);
  for (let second = 0; second < 2 * PEER_FAILURE_LOG_INTERVAL_MS / 1_000; second++) {
    await settle();
    scene.clock.advance(1_000);
  }
  const address = formatAddress(MEMBERS[0]?.address ?? { host: "", port: 0 });
  assertEquals(scene.logger.lines.length, 2);
  const [line] = scene.logger.lines;
  const failures = line?.fields["failures"];
  assert(typeof failures === "number" && failures > 1, "failures of the start are counted");
  assertEquals(line, {
    level: "warn",
    message: "Cannot reach a node; trying again",
    fields: {
      event: "peerUnreachable",
      peer: 1,
      address,
      reason: "Cannot connect to n1:7001: nothing listens there.",
      failures,
    },
  });
  await scene.close();
});

Deno.test("Peers: a lane whose other end does not answer pings is closed and opened again", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  for (const connection of scene.network.connections) connection.stall();
  for (let interval = 0; interval < PEER_UNANSWERED_PINGS; interval++) {
    scene.clock.advance(PEER_PING_INTERVAL_MS);
    await settle();
  }
  assertEquals(scene.links.isConnected(1), true);
  scene.clock.advance(PEER_PING_INTERVAL_MS);
  await until("both lanes are down", () => scene.changes.length === 4);
  scene.clock.advance(PEER_RETRY_MAX_MS);
  await scene.connected();
  assert(scene.links.send(HEARTBEAT, 1), "the new lane takes messages");
  await until("the message is there", () => node.messages.length === 1);
  await scene.close(node);
});

Deno.test("Peers: a lane whose pings are answered stays open", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  for (let interval = 0; interval < 3 * PEER_UNANSWERED_PINGS; interval++) {
    scene.clock.advance(PEER_PING_INTERVAL_MS);
    await settle();
  }
  assertEquals([scene.changes.length, scene.network.attempts], [2, 2]);
  await scene.close(node);
});

Deno.test("Peers: a lane stays open while its queue gets shorter, even if the pings wait in it for long", async () => {
  const scene = new LinkScene({ network: new MemoryNetwork({ capacityBytes: 8_192, writeBytes: 4_096 }) });
  const node = scene.listen();
  await scene.connected();
  const [, bulk] = scene.network.connections;
  for (let count = 0; count < 4; count++) assert(scene.links.send(APPEND, 1), "it is queued");
  let intervals = 0;
  for (; node.messages.length < 4 && intervals < 1_000; intervals++) {
    bulk?.stall(false);
    for (let step = 0; step < 100; step++) await Promise.resolve();
    bulk?.stall();
    scene.clock.advance(PEER_PING_INTERVAL_MS);
    await settle();
  }
  assertEquals([node.messages.length, scene.changes.length, scene.network.attempts], [4, 2, 2]);
  assert(intervals > 3 * PEER_UNANSWERED_PINGS, `the link is slow: ${intervals} intervals`);
  await scene.close(node);
});

Deno.test("Peers: an address that accepts connections and does not answer is given up after a timeout, and tried again", async () => {
  const scene = new LinkScene();
  scene.network.isSilent = true;
  for (let attempt = 0; attempt < 2; attempt++) {
    await settle();
    scene.clock.advance(PEER_CONNECT_TIMEOUT_MS);
    await settle();
    scene.clock.advance(PEER_RETRY_MAX_MS);
  }
  await settle();
  assertEquals(
    scene.logger.lines[0]?.fields["reason"],
    "Cannot connect to n1:7001: no answer within 2000 ms.",
  );
  scene.clock.advance(PEER_CONNECT_TIMEOUT_MS); // the attempt that is in flight
  await settle();
  scene.network.isSilent = false;
  const node = scene.listen();
  scene.clock.advance(PEER_RETRY_MAX_MS);
  await scene.connected();
  await scene.close(node);
});

Deno.test("Peers: a node of another cluster is logged, and tried again only rarely", async () => {
  const scene = new LinkScene({ clusterId: "another" });
  const node = scene.listen();
  await until("both lanes were refused", () => node.logger.lines.length === 2);
  await settle();
  assertEquals(scene.logger.lines.length, 1);
  assertEquals(
    scene.logger.lines[0]?.fields["reason"],
    `Cannot use the node at n1:7001: This node belongs to cluster ${CLUSTER_ID}, and the connection is meant for ` +
      "another. Check the addresses; all nodes of a cluster are started with the same --cluster.",
  );
  scene.clock.advance(PEER_RETRY_REFUSED_MS - 1);
  await settle();
  assertEquals(scene.network.attempts, 2);
  scene.clock.advance(1);
  await until("it was tried again", () => scene.network.attempts === 4);
  await scene.close(node);
});

Deno.test("Peers: a node of another cluster at the address of a lost one is logged at once", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  await node.listener.close();
  await until("both lanes are down", () => scene.changes.length === 4);
  const otherNode = scene.listen(1, { clusterId: "another" });
  scene.clock.advance(PEER_RETRY_MAX_MS);
  await until("both lanes were refused", () => otherNode.logger.lines.length === 2);
  await settle();
  assertEquals(scene.logger.messages, [
    "Connected to a node",
    "Lost the connection to a node",
    "Cannot reach a node; trying again",
  ]);
  await scene.close(otherNode);
});

Deno.test("Peers: another node at a peer's address is not taken for the peer", async () => {
  const scene = new LinkScene();
  const stray = new NetNode({
    network: scene.network,
    clock: scene.clock,
    self: 3,
    overrides: { bind: { host: "n1", port: 7001 } },
  });
  await until("it was noticed", () => scene.logger.lines.length === 1);
  assertEquals(
    scene.logger.lines[0]?.fields["reason"],
    "Cannot use the node at n1:7001 as node 1: it is node 3. Check --node-id, and the addresses of the cluster's members.",
  );
  assertEquals([scene.links.isConnected(1), scene.changes], [false, []]);
  await scene.close(stray);
});

Deno.test("Peers: close ends attempts to connect that are in flight", async () => {
  const scene = new LinkScene();
  scene.network.isSilent = true;
  await settle();
  await scene.close();
  assertEquals(scene.logger.lines, []);
});

/** Calls `onRead` a number of promise steps after each read of a dialling end has returned bytes. */
class WatchedNetwork extends MemoryNetwork {
  readonly #steps: number;
  onRead: () => void = () => {};

  constructor(steps: number) {
    super();
    this.#steps = steps;
  }

  override async connect(address: Address, signal: AbortSignal): Promise<Connection> {
    const connection = await super.connect(address, signal);
    return {
      ...PLAIN,
      remote: connection.remote,
      read: async (buffer) => {
        const count = await connection.read(buffer);
        void this.#stepAndReport();
        return count;
      },
      write: (bytes) => connection.write(bytes),
      close: () => connection.close(),
    };
  }

  async #stepAndReport(): Promise<void> {
    for (let step = 0; step < this.#steps; step++) await Promise.resolve();
    this.onRead();
  }
}

Deno.test("Peers: close ends a link at any step of its welcome", async () => {
  for (let steps = 0; steps < 40; steps++) {
    const network = new WatchedNetwork(steps);
    const scene = new LinkScene({ network });
    const node = scene.listen();
    const { promise, resolve } = Promise.withResolvers<Promise<void>>();
    network.onRead = () => resolve(scene.close(node));
    await within(`the links are closed, ${steps} steps after the welcome was read`, promise);
  }
});

Deno.test("Peers: close is not reported as a lost connection", async () => {
  const scene = new LinkScene();
  const node = scene.listen();
  await scene.connected();
  await scene.close(node);
  assertEquals([scene.changes.length, scene.logger.messages], [2, ["Connected to a node"]]);
});
