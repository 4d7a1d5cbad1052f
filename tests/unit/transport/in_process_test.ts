/** Connections within a process: bytes pass once, in order, and both ends learn of the end. */
import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { inProcessPair } from "../../../lib/transport/in_process.ts";
import type { Connection } from "../../../lib/platform/network.ts";
import { CertificateRules } from "../../../lib/transport/handshake/certificate_rules.ts";
import { type NetNode, RawConnection, until } from "../../support/fakes/accepting_node.ts";
import { CLIENT_HELLO, WELCOME, welcomed, withNode } from "./listener_scene.ts";

async function writeAll(connection: Connection, chunks: readonly Uint8Array[]): Promise<void> {
  for (const chunk of chunks) {
    for (let sent = 0; sent < chunk.length;) sent += await connection.write(chunk.subarray(sent));
  }
  connection.close();
}

async function readAll(connection: Connection, bufferBytes: number): Promise<number[]> {
  const received: number[] = [];
  const buffer = new Uint8Array(bufferBytes);
  while (true) {
    const count = await connection.read(buffer);
    if (count === null) return received;
    received.push(...buffer.subarray(0, count));
    buffer.fill(0xdd);
  }
}

Deno.test("inProcessPair: bytes arrive in order in both directions, however large the buffer is", async () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(chunks, chunks, fc.integer({ min: 1, max: 50 }), async (there, back, size) => {
      const [caller, accepted] = inProcessPair();
      // Each end closes what it sends only after it has read everything: closing ends both directions.
      const toAccepted = readAll(accepted, size);
      await writeAll(caller, there);
      assertEquals(await toAccepted, there.flatMap((chunk) => [...chunk]));
      const [one, other] = inProcessPair();
      const sending = writeAll(other, back);
      assertEquals(await readAll(one, size), back.flatMap((chunk) => [...chunk]));
      await sending;
    }),
  );
});

Deno.test("inProcessPair: a close ends the waits of both ends, and what follows", async () => {
  const [caller, accepted] = inProcessPair();
  const buffer = new Uint8Array(4);
  const atCaller = assertRejects(() => caller.read(buffer), Error, "closed");
  const atAccepted = accepted.read(buffer);
  caller.close();
  caller.close();
  await atCaller;
  assertEquals(await atAccepted, null);
  assertEquals(await accepted.read(buffer), null);
  await assertRejects(() => accepted.write(buffer), Error, "closed");
  await assertRejects(() => caller.write(buffer), Error, "closed");
});

Deno.test("inProcessPair: a write without a read rejects when either end closes", async () => {
  for (const end of [0, 1] as const) {
    const pair = inProcessPair();
    const writing = assertRejects(() => pair[0].write(Uint8Array.of(1)), Error, "closed");
    pair[end].close();
    await writing;
  }
});

/** A client within the process of a node, which was welcomed. */
async function connectWithin(node: NetNode): Promise<RawConnection> {
  const client = await RawConnection.connect({
    connect: () => Promise.resolve(node.listener.connectInProcess("user")),
  });
  await client.send(CLIENT_HELLO);
  await until("the welcome has come", () => client.received.length === 1);
  assertEquals(client.received, [WELCOME]);
  return client;
}

Deno.test("ConnectionListener: a client in its process takes no place of others, and is marked", () =>
  withNode(async ({ node, network }) => {
    await welcomed(network);
    const client = await connectWithin(node);
    assertEquals(node.listener.clientCount, 1);
    assertEquals(node.clients.map(({ inProcess }) => inProcess), [null, "user"]);
    await client.send([43, 1]);
    await until("its request arrives", () => node.requests.length === 1);
    client.close();
    await until("its close was reported", () => node.closedClients === 1);
  }, { overrides: { maxConnections: 1 } }));

Deno.test("ConnectionListener: a client in its process needs no certificate", () => {
  const rules = new CertificateRules({ clientAuth: "required", peerName: null, onRefused: () => {} });
  return withNode(async ({ node }) => void await connectWithin(node), { overrides: { tls: { rules } } });
});

Deno.test("ConnectionListener: closing it ends the clients in its process", () =>
  withNode(async ({ node }) => {
    const client = await connectWithin(node);
    await node.listener.close();
    await until("the client is closed", () => client.end !== null);
    assertEquals(node.closedClients, 1);
  }));
