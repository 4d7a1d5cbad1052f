/** Connections before their hello: which of them are closed in favour of others, and when. */
import { assertEquals } from "@std/assert";
import { HELLO_GRACE_MS, MAX_PENDING_HELLOS, MAX_PENDING_PEER_HELLOS } from "../../../lib/protocol/limits.ts";
import { PendingHellos } from "../../../lib/transport/pending_hellos.ts";
import { FrameChannel } from "../../../lib/transport/frame_channel.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { connectionPair, type MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { RawConnection, until } from "../../support/fakes/accepting_node.ts";
import { CLIENT_HELLO, peerHello, welcomed, withNode } from "./listener_scene.ts";

/** Opens this many connections that send nothing. */
async function silentOnes(network: MemoryNetwork, count: number): Promise<RawConnection[]> {
  const silent: RawConnection[] = [];
  while (silent.length < count) silent.push(await RawConnection.connect(network));
  await settle();
  return silent;
}

const endedAmong = (connections: readonly RawConnection[]): number =>
  connections.filter(({ end }) => end !== null).length;

Deno.test("PendingHellos: a silent connection is closed for another once its hello is overdue, one after its hello never", () =>
  withNode(async ({ network, clock, node }) => {
    const client = await welcomed(network);
    const silent = await silentOnes(network, MAX_PENDING_HELLOS);
    const late = await RawConnection.connect(network);
    await late.send(CLIENT_HELLO);
    clock.advance(HELLO_GRACE_MS - 1);
    await settle();
    assertEquals([endedAmong(silent), late.received], [0, []], "nothing is closed that may yet say hello");
    clock.advance(1);
    await until("the late one is welcomed", () => late.received.length === 1);
    assertEquals(silent.map(({ end }) => end !== null).indexOf(false), 1, "only the oldest was closed");
    assertEquals([client.end, late.end, node.listener.counts().pending], [
      null,
      null,
      MAX_PENDING_HELLOS - 1,
    ]);
  }));

Deno.test("PendingHellos: of many clients that connect at once and then say hello, none is refused", () => {
  const count = MAX_PENDING_HELLOS + 300;
  return withNode(async ({ network }) => {
    const clients = await silentOnes(network, count);
    for (const client of clients) await client.send(CLIENT_HELLO);
    await until("all are welcomed", () => clients.every(({ received }) => received.length === 1));
    assertEquals(endedAmong(clients), 0);
  }, { overrides: { maxConnections: count, maxConnectionsPerAddress: count } });
});

Deno.test("PendingHellos: silent connections from other machines do not delay a member's calls", () =>
  withNode(async ({ network }) => {
    network.callerHost = "n2";
    const before = await welcomed(network, peerHello(2));
    network.callerHost = "elsewhere";
    const silent = await silentOnes(network, MAX_PENDING_HELLOS);
    network.callerHost = "n2";
    await welcomed(network, peerHello(2));
    await until("the lane before was replaced", () => before.end !== null);
    assertEquals(endedAmong(silent), 0);
  }));

Deno.test("PendingHellos: silent connections from a member's machine fill its share, and then are closed like all others", () =>
  withNode(async ({ network, clock }) => {
    network.callerHost = "n2";
    await welcomed(network, peerHello(2));
    const silent = await silentOnes(network, MAX_PENDING_PEER_HELLOS + MAX_PENDING_HELLOS);
    clock.advance(HELLO_GRACE_MS);
    await welcomed(network, peerHello(2, 2));
    assertEquals(endedAmong(silent), 1);
  }));

Deno.test("PendingHellos: a node that closes while a connection waits for space closes that, too", () =>
  withNode(async ({ network, node }) => {
    await silentOnes(network, MAX_PENDING_HELLOS);
    const late = await RawConnection.connect(network);
    await node.listener.close();
    await until("it was closed", () => late.end !== null);
  }));

Deno.test("PendingHellos: of silent connections one of the machine with the most is closed", () =>
  withNode(async ({ network, clock }) => {
    network.callerHost = "slow";
    const slow = await RawConnection.connect(network);
    network.callerHost = "flood";
    const flood = await silentOnes(network, MAX_PENDING_HELLOS - 1);
    clock.advance(HELLO_GRACE_MS);
    const more = await silentOnes(network, 10);
    assertEquals([slow.end, endedAmong(flood), endedAmong(more)], [null, 10, 0]);
    await slow.send(CLIENT_HELLO);
    await until("the slow client is welcomed", () => slow.received.length === 1);
  }));

Deno.test("PendingHellos: closeSilent closes connections whose hello is overdue, and no others", async () => {
  const clock = new ManualClock();
  const pending = new PendingHellos({ clock, maxPending: 10, signal: new AbortController().signal });
  const channels: FrameChannel[] = [];
  for (const host of ["n2", "n3", "n4"]) {
    const sizes = { readBytes: 1_024, retainedBytes: 1_024, maxQueuedBytes: 1_024 };
    const onFault = (error: unknown): never => {
      throw error;
    };
    const channel = new FrameChannel(connectionPair({}, host)[1], { clock, sizes, onFault });
    channels.push(channel);
    pending.rememberPeer("n2");
    if (host === "n4") clock.advance(HELLO_GRACE_MS);
    await pending.add(channel);
  }
  pending.closeSilent();
  assertEquals(channels.map(({ closeReason }) => closeReason !== null), [true, true, false]);
});
