/** Limits on connected clients: of one source address and in all, and the idle connection that makes space. */
import { assertEquals } from "@std/assert";
import { CLIENT_IDLE_CHECKS, FRAME_CHECK_INTERVAL_MS, SIGN_IN_CHECKS } from "../../../lib/protocol/limits.ts";
import type { ClientConnection } from "../../../lib/transport/client_connection.ts";
import { ConnectedClients } from "../../../lib/transport/connected_clients.ts";
import type { ManualClock } from "../../support/fakes/manual_clock.ts";
import type { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import { RawConnection, until } from "../../support/fakes/accepting_node.ts";
import { CLIENT_HELLO, peerHello, welcomed, withNode } from "./listener_scene.ts";

/** Connects a client from `host`, which is welcomed. */
async function welcomedFrom(network: MemoryNetwork, host: string): Promise<RawConnection> {
  network.callerHost = host;
  return await welcomed(network);
}

/** Connects a client from `host`, and returns the reason for which it is refused. */
async function refusedFrom(network: MemoryNetwork, host: string): Promise<string> {
  network.callerHost = host;
  const connection = await RawConnection.connect(network);
  await connection.send(CLIENT_HELLO);
  await until("it was closed", () => connection.end !== null);
  const [answer] = connection.received;
  return Array.isArray(answer) ? `${answer[1]}: ${answer[2]}` : "";
}

/** Lets the checks of connections come round so many times. */
function passChecks(clock: ManualClock, checks: number): void {
  for (let check = 0; check < checks; check++) clock.advance(FRAME_CHECK_INTERVAL_MS);
}

/** Sends a status request and waits until the node has it. */
async function use(
  client: RawConnection,
  { requests }: { readonly requests: readonly unknown[] },
): Promise<void> {
  const before = requests.length;
  await client.send([43, before + 1]);
  await until("the request is there", () => requests.length > before);
}

/** Answers the last request of a client. */
function answer(client: ClientConnection | undefined): void {
  client?.send({
    kind: "error",
    code: "busy",
    requestId: 1,
    message: "",
    outcome: "not-applied",
    leader: null,
  });
}

Deno.test("ConnectedClients: clients of one address above its limit are refused, those of others and peers are served", () =>
  withNode(async ({ network, node }) => {
    const kept = [await welcomedFrom(network, "10.0.0.1"), await welcomedFrom(network, "10.0.0.1")];
    assertEquals(
      await refusedFrom(network, "10.0.0.1"),
      "busy: This node has 2 clients from 10.0.0.1, as many as one address may have (--connections-per-address). " +
        "Close some of them, or try another node.",
    );
    await welcomedFrom(network, "10.0.0.2");
    network.callerHost = "10.0.0.1";
    await welcomed(network, peerHello(2));
    assertEquals([kept.map(({ end }) => end), node.listener.clientCount], [[null, null], 3]);
  }, { overrides: { maxConnections: 100, maxConnectionsPerAddress: 2 } }));

Deno.test("ConnectedClients: a client that leaves makes space for another of its address", () =>
  withNode(async ({ network, node }) => {
    const first = await welcomedFrom(network, "10.0.0.1");
    first.close();
    await until("it has left", () => node.listener.clientCount === 0);
    await welcomedFrom(network, "10.0.0.1");
    assertEquals((await refusedFrom(network, "10.0.0.1")).slice(0, 5), "busy:");
  }, { overrides: { maxConnections: 100, maxConnectionsPerAddress: 1 } }));

Deno.test("ConnectedClients: unless configured, one address has three quarters of all clients", () =>
  withNode(async ({ network }) => {
    for (let client = 0; client < 6; client++) await welcomedFrom(network, "10.0.0.1");
    assertEquals(
      (await refusedFrom(network, "10.0.0.1")).slice(0, 44),
      "busy: This node has 6 clients from 10.0.0.1,",
    );
    for (let client = 0; client < 2; client++) await welcomedFrom(network, `10.0.0.${2 + client}`);
    assertEquals(
      await refusedFrom(network, "10.0.0.9"),
      "busy: This node has 8 clients, as many as it may. Try another node, or later.",
    );
  }, { overrides: { maxConnections: 8 } }));

Deno.test("ConnectedClients: an idle client is closed when another needs its place, and never without need", () =>
  withNode(async ({ network, clock, node }) => {
    const idle = await welcomedFrom(network, "10.0.0.1");
    // The first check finds its hello.
    passChecks(clock, CLIENT_IDLE_CHECKS);
    const used = await welcomedFrom(network, "10.0.0.1");
    assertEquals((await refusedFrom(network, "10.0.0.2")).slice(0, 5), "busy:", "the first may be used yet");
    passChecks(clock, 1);
    assertEquals([idle.end, used.end], [null, null]);
    await welcomedFrom(network, "10.0.0.2");
    await until("the idle one is closed", () => idle.end !== null);
    assertEquals([used.end, node.listener.clientCount], [null, 2]);
  }));

Deno.test("ConnectedClients: a client with a request in flight, a watch or recent traffic is not idle", () => {
  let isWatching = true;
  return withNode(async ({ network, clock, node }) => {
    const clients: RawConnection[] = [];
    for (let client = 0; client < 3; client++) clients.push(await welcomedFrom(network, "10.0.0.1"));
    const [waiting, busy, silent] = clients;
    if (waiting === undefined || busy === undefined || silent === undefined) return;
    isWatching = false;
    await use(waiting, node);
    for (let check = 0; check <= CLIENT_IDLE_CHECKS; check++) {
      await use(busy, node);
      answer(node.clients[1]);
      passChecks(clock, 1);
    }
    isWatching = true;
    assertEquals((await refusedFrom(network, "10.0.0.2")).slice(0, 5), "busy:", "all watch");
    isWatching = false;
    await welcomedFrom(network, "10.0.0.2");
    await until("the silent one is closed", () => silent.end !== null);
    assertEquals((await refusedFrom(network, "10.0.0.2")).slice(0, 5), "busy:");
    assertEquals([waiting.end, busy.end], [null, null]);
  }, { overrides: { maxConnections: 3, maxConnectionsPerAddress: 3, isWatching: () => isWatching } });
});

Deno.test("ConnectedClients: a client that does not sign in though it must is closed first, however it is used", () => {
  let mustSignIn = false;
  return withNode(async ({ network, clock, node }) => {
    const client = await welcomedFrom(network, "10.0.0.1");
    for (let check = 1; check < SIGN_IN_CHECKS; check++) passChecks(clock, 1);
    mustSignIn = true;
    assertEquals((await refusedFrom(network, "10.0.0.2")).slice(0, 5), "busy:", "it may yet sign in");
    await use(client, node);
    passChecks(clock, 1);
    await use(client, node);
    await welcomedFrom(network, "10.0.0.2");
    await until("it is closed", () => client.end !== null);
  }, { overrides: { maxConnections: 1, maxConnectionsPerAddress: 1, mustSignIn: () => mustSignIn } });
});

Deno.test("ConnectedClients: an address at its limit takes the place of its own idle client, not of another's", () => {
  const ended: string[] = [];
  const clients = new ConnectedClients({ maxClients: 10, maxClientsPerAddress: 2, idleChecks: 4 });
  const add = (remote: string, idleChecks: number): void =>
    clients.add({ remote, idleChecks, end: () => void ended.push(remote) });
  add("10.0.0.2:1", 9);
  add("10.0.0.1:1", 4);
  add("10.0.0.1:2", 5);
  assertEquals(clients.makeSpace("10.0.0.1:3"), null);
  assertEquals([ended, clients.size], [["10.0.0.1:2"], 2]);
});

Deno.test("ConnectedClients: a client is counted once, however often it is removed", () => {
  const clients = new ConnectedClients({ maxClients: 10, maxClientsPerAddress: 1, idleChecks: 4 });
  const client = { remote: "[2001:db8::1]:1", idleChecks: 0, end: (): void => {} };
  clients.add(client);
  assertEquals(clients.makeSpace("[2001:db8::ffff]:2")?.includes("from 2001:db8:0:0::/64"), true);
  clients.delete(client);
  clients.delete(client);
  assertEquals([clients.makeSpace("[2001:db8::ffff]:2"), [...clients]], [null, []]);
});
