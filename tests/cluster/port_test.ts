/**
 * A node with few file descriptors under all kinds of connections from other programs at once: its clients are not
 * affected, and its output stays short.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { KvClient } from "../../lib/mod.ts";
import { FRAME_KIND } from "../support/frames/kinds.ts";
import { MAX_HTTP_CONNECTIONS } from "../../lib/protocol/limits.ts";
import { DEADLINE_MS, eventually } from "../support/eventually.ts";
import { kvraftCommand, Process, READY_LINE } from "../support/processes/process.ts";
import { step } from "../support/step.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";
import { clientHello, frame, Wire } from "../support/wire.ts";

const HOST = "127.0.0.1";
/** Enough for some 600 clients besides the reserve. */
const DESCRIPTORS = 1_200;
const CLIENTS_AT_ONCE = 300;
const SILENT_CONNECTIONS = 700;
const HALF_REQUESTS = 400;
const RESETS = 200;
const REFUSED_HELLOS = 500;

/** Starts a cluster of one node that may open so few files, and waits until it serves. */
async function startNode(cwd: string, ports: { bind: number; http: number }): Promise<Process> {
  const bind = `${HOST}:${ports.bind}`;
  const flags = ["--node-id", "1", "--bind", bind, "--cluster", `1=${bind}`, "--http", `${ports.http}`];
  const limited = `ulimit -n ${DESCRIPTORS}; exec "$0" "$@"`;
  const process = Process.start("bash", ["-c", limited, ...kvraftCommand(["server", ...flags])], {
    cwd,
    name: "node 1",
  });
  await process.waitForOutput(READY_LINE);
  return process;
}

/** Opens so many connections and sends `bytes` on each. */
async function openMany(port: number, count: number, bytes: Uint8Array): Promise<Wire[]> {
  return await Promise.all(Array.from({ length: count }, async () => {
    const wire = await Wire.connect(port);
    await wire.send(bytes);
    return wire;
  }));
}

/** Connects, sends `bytes`, and waits until the node closes the connection. */
async function callInVain(port: number, bytes: Uint8Array): Promise<void> {
  using wire = await Wire.connect(port);
  await wire.send(bytes);
  await wire.waitForEnd();
}

/** Connects and resets the connection, so many times. */
async function resetMany(port: number, count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const socket = connectSocket({ host: HOST, port });
    await once(socket, "connect");
    socket.resetAndDestroy();
    await once(socket, "close");
  }
}

/** Fetches the readiness of a node. */
async function readyStatus(http: number): Promise<number> {
  const answer = await fetch(`http://${HOST}:${http}/ready`);
  await answer.body?.cancel();
  return answer.status;
}

function countOf(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

Deno.test("ports: a node with few file descriptors serves its clients under all kinds of other connections", async (t) => {
  await using folder = await TemporaryFolder.make();
  const bind = freePorts(2);
  const http = bind + 1;
  await using node = await startNode(folder.path, { bind, http });
  await using client = await KvClient.connect({ cluster: [`${HOST}:${bind}`], timeoutMs: DEADLINE_MS });
  using held = new DisposableStack();
  const hold = (wires: readonly Wire[]): readonly Wire[] => wires.map((wire) => held.use(wire));

  await step(t, "it logs its limit of clients", () => {
    assertMatch(node.printed, /fewer clients are accepted than --max-connections allows.* configured=4096/);
    return Promise.resolve();
  });

  await step(t, "clients that connect at the same time are all welcomed", async () => {
    const wires = hold(await openMany(bind, CLIENTS_AT_ONCE, frame(clientHello())));
    await Promise.all(wires.map((wire) => wire.take([FRAME_KIND.welcome])));
  });

  await step(t, "silent connections and half requests block neither clients nor a scrape", async () => {
    const halves = hold(
      await openMany(http, HALF_REQUESTS, new TextEncoder().encode("GET /metrics HTTP/1.1\r\nHo")),
    );
    hold(await openMany(bind, SILENT_CONNECTIONS, new Uint8Array()));
    const open = (): number => halves.filter(({ ended }) => !ended).length;
    await eventually("half requests are closed", () => open() <= MAX_HTTP_CONNECTIONS ? true : null);
    await client.put("a", "1");
    await using another = await KvClient.connect({ cluster: [`${HOST}:${bind}`], timeoutMs: DEADLINE_MS });
    assertEquals((await another.get("a"))?.value, new Uint8Array([0x31]));
    assertEquals(await readyStatus(http), 200);
  });

  await step(
    t,
    "connections that are reset before they are accepted do not stop it from accepting",
    async () => {
      await resetMany(bind, RESETS);
      await resetMany(http, RESETS);
      assertEquals(await readyStatus(http), 200);
      assertEquals(countOf(node.printed, /Cannot accept connections/g), 0, node.printed);
    },
  );

  await step(
    t,
    "refused clients and other protocols get one line for each kind",
    async () => {
      const otherCluster = (call: number): string => `${call}`.padStart(16, "0");
      for (let call = 0; call < REFUSED_HELLOS; call++) {
        await callInVain(bind, frame(clientHello({ clusterId: otherCluster(call) })));
      }
      await callInVain(bind, new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
      // One for each kind; one more on a machine that was suspended for seconds in between.
      assert(countOf(node.printed, /Refused a connection/g) <= 3, node.printed);
      await node.waitForOutput(/speaks another protocol .*looksLike=HTTP/);
    },
  );

  await step(t, "a hangup does not end it, and SIGTERM does, cleanly", async () => {
    node.signal("SIGHUP");
    await node.waitForOutput(/read again: no setting has changed/);
    await client.put("a", "2");
    const { code } = await node.stop();
    assertEquals(code, 0, node.printed);
    assert(!/fault in kvraft/.test(node.printed), node.printed);
  });
});
