/**
 * Each limit on hostile clients is reached on one node by connections from 127.0.0.2 and 127.0.0.3, over real sockets.
 * Meanwhile writers go on, a new client connects and is served, and another program reads the pages of HTTP.
 * docs/security.md has the list of limits with these tests.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  MAX_FRAME_BYTES,
  MAX_HTTP_CONNECTIONS_PER_ADDRESS,
  MAX_HTTP_STREAMS_PER_ADDRESS,
  MAX_PEER_LANES,
  MAX_PENDING_HELLOS,
  MAX_WAITING_BYTES,
} from "../../../lib/protocol/limits.ts";
import { FEATURE_LEVEL } from "../../../lib/kv/mod.ts";
import { LANES, ROLES } from "../../../lib/protocol/hello.ts";
import { MAX_LINES_A_MINUTE } from "../../../lib/platform/logger.ts";
import { CONSISTENCY } from "../../../lib/protocol/messages.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { deepArray, packedArray } from "../../fuzz/hostile/values.ts";
import { eventually } from "../../support/eventually.ts";
import type { TestCluster } from "../../support/processes/cluster.ts";
import { ConnectionFrom, HAS_MANY_LOOPBACK_ADDRESSES } from "../../support/processes/source_address.ts";
import { underLoad } from "../../support/processes/under_load.ts";
import { metricAt } from "../../support/prometheus.ts";
import { step } from "../../support/step.ts";
import { freePorts } from "../../support/temporary.ts";
import { clientHello, frame } from "../../support/wire.ts";

const HOSTILE = "127.0.0.2";
const ALSO_HOSTILE = "127.0.0.3";
const MAX_CLIENTS = 40;
const MAX_CLIENTS_PER_ADDRESS = 30;
/** Connections that open at the same time. */
const AT_ONCE = 64;
/** Bytes of a frame that one connection sends without its end. */
const PARTIAL_BYTES = MAX_FRAME_BYTES - 1_024;
/** Bytes of requests that one connection sends: more than sockets buffer. */
const REQUEST_BYTES = 32 * 1024 * 1024;
const EVENTS_REQUEST = "GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
/** Viewers of the status page from one address. */
const VIEWERS_PER_ADDRESS = 100;
const HTTP_REQUEST = "GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n";

/** One node under attack, and the other users of the cluster. */
interface Attacked {
  readonly cluster: TestCluster;
  readonly port: number;
  readonly httpPort: number;
  /** Checks that others are served: writers, a new client of the cluster, and HTTP. */
  readonly othersAreServed: () => Promise<void>;
}

/** Connects from `source`, sends a client's hello, and returns the connection and the node's answer. */
async function greeted(
  source: string,
  port: number,
): Promise<{ readonly connection: ConnectionFrom; readonly kind: number; readonly text: string }> {
  const connection = await ConnectionFrom.open(source, port);
  await connection.sendFrame(clientHello());
  const [kind, code, message] = await connection.frameAt(1);
  return { connection, kind: Number(kind), text: `${code}: ${message}` };
}

/** An attack; `held` owns its connections, which stay open until the attack ends. */
interface Attack {
  readonly limit: string;
  readonly run: (attacked: Attacked, held: DisposableStack) => Promise<void>;
}

const attacks: readonly Attack[] = [
  {
    limit: "clients of one address, and of all",
    async run({ port, othersAreServed }, held): Promise<void> {
      for (let client = 0; client < MAX_CLIENTS_PER_ADDRESS; client++) {
        const { connection, kind } = await greeted(HOSTILE, port);
        held.use(connection);
        assertEquals(kind, FRAME_KIND.welcome);
      }
      const refused = await greeted(HOSTILE, port);
      held.use(refused.connection);
      assertEquals(refused.kind, FRAME_KIND.refusal);
      assertStringIncludes(refused.text, "busy: This node has 30 clients from 127.0.0.2");
      await refused.connection.waitForEnd();
      await othersAreServed();

      for (let client = MAX_CLIENTS_PER_ADDRESS; client <= MAX_CLIENTS; client++) {
        const { connection, kind, text } = await greeted(ALSO_HOSTILE, port);
        held.use(connection);
        if (kind === FRAME_KIND.welcome) continue;
        assertStringIncludes(text, "busy: This node has 40 clients");
        return await othersAreServed();
      }
      throw new Error("the node has refused no client");
    },
  },
  {
    limit: "connections without a hello",
    async run({ port, httpPort, othersAreServed }, held): Promise<void> {
      const opening = Array.from({ length: AT_ONCE }, async () => {
        for (let opened = 0; opened < (MAX_PENDING_HELLOS * 2) / AT_ONCE; opened++) {
          held.use(await ConnectionFrom.open(HOSTILE, port));
        }
      });
      await eventually(
        "the node has more silent connections than it keeps",
        async () =>
          await metricAt(httpPort, "kvraft_connections_accepted_total") > MAX_PENDING_HELLOS || null,
      );
      await othersAreServed();
      await Promise.all(opening);
      await othersAreServed();
    },
  },
  {
    limit: "memory for partial frames of all connections",
    async run({ port, httpPort, othersAreServed }, held): Promise<void> {
      const before = await metricAt(httpPort, "kvraft_connections_overloaded_total");
      const begin = new Uint8Array(4 + PARTIAL_BYTES);
      new DataView(begin.buffer).setUint32(0, MAX_FRAME_BYTES);
      const count = Math.ceil(MAX_WAITING_BYTES / PARTIAL_BYTES) + 2;
      const sent = Array.from({ length: count }, async () => {
        const { connection } = await greeted(HOSTILE, port);
        held.use(connection);
        await connection.send(begin);
      });
      await Promise.all(sent);
      await eventually("a connection is closed", async () => {
        assert(await metricAt(httpPort, "kvraft_waiting_bytes") <= MAX_WAITING_BYTES);
        return await metricAt(httpPort, "kvraft_connections_overloaded_total") > before || null;
      });
      await othersAreServed();
    },
  },
  {
    limit: "requests in flight of one connection, and answers that it does not read",
    async run({ port, othersAreServed }, held): Promise<void> {
      const { connection } = await greeted(HOSTILE, port);
      held.use(connection);
      const list = frame([
        FRAME_KIND.list,
        1,
        new Uint8Array(0),
        null,
        null,
        null,
        false,
        1_000,
        CONSISTENCY.stale,
      ]);
      const bytes = new Uint8Array(list.length * Math.ceil(REQUEST_BYTES / list.length));
      for (let at = 0; at < bytes.length; at += list.length) bytes.set(list, at);
      connection.stopReading();
      let isTaken = false;
      void connection.send(bytes).then(() => isTaken = true);
      await othersAreServed();
      assert(!isTaken, "the node stops reading requests whose answers are not read");
    },
  },
  {
    limit: "depth of a value",
    async run({ port, othersAreServed }, held): Promise<void> {
      const { connection } = await greeted(HOSTILE, port);
      held.use(connection);
      const status = [Uint8Array.of(FRAME_KIND.status), Uint8Array.of(7), deepArray()];
      const payload = packedArray(status, status.length);
      const bytes = new Uint8Array(4 + payload.length);
      new DataView(bytes.buffer).setUint32(0, payload.length);
      bytes.set(payload, 4);
      await connection.send(bytes);
      const [kind, requestId] = await connection.frameAt(2);
      assertEquals(
        [kind, requestId],
        [FRAME_KIND.statusResult, 7],
        "what follows the known fields is skipped",
      );
      await othersAreServed();
    },
  },
  {
    limit: "lanes of nodes that are no members",
    async run({ cluster, port, othersAreServed }, held): Promise<void> {
      const [, clusterId = ""] = /\(cluster ([0-9a-f]+),/.exec(cluster.logs()) ?? [];
      const lanes: ConnectionFrom[] = [];
      for (let number = 0; number < 2 * MAX_PEER_LANES; number++) {
        const connection = held.use(await ConnectionFrom.open(HOSTILE, port));
        const id = 1_000 + number;
        const lane = LANES.control;
        await connection.sendFrame(
          [
            ...[FRAME_KIND.hello, "kvraft", 1, 1, ROLES.peer, clusterId, id, lane],
            null,
            id,
            "127.0.0.2:1",
            FEATURE_LEVEL,
          ],
        );
        const [kind, ...answer] = await connection.frameAt(1);
        assertEquals(kind, FRAME_KIND.welcome, String(answer));
        lanes.push(connection);
      }
      await eventually("the oldest lanes are closed", () => {
        return lanes.filter(({ isClosed }) => isClosed).length >= MAX_PEER_LANES || null;
      }, { explain: cluster.logs });
      await othersAreServed();
    },
  },
  {
    limit: "log lines of one message",
    async run({ cluster, port, othersAreServed }, held): Promise<void> {
      const request = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
      const written = (): number => cluster.logs().split("speaks another protocol (HTTP").length - 1;
      for (let number = 0; number < 5 * MAX_LINES_A_MINUTE; number++) {
        // Of different addresses: of one address, the lines are counted as one.
        const source = `127.0.${1 + number % 200}.${1 + Math.floor(number / 200)}`;
        const connection = held.use(await ConnectionFrom.open(source, port));
        await connection.send(request);
        await connection.waitForEnd();
        if (number % MAX_LINES_A_MINUTE === 0) await othersAreServed();
      }
      assert(written() > 0 && written() <= 3 * MAX_LINES_A_MINUTE, `${written()} lines were written`);
      await othersAreServed();
    },
  },
  {
    limit: "HTTP connections and requests of one address",
    async run({ httpPort, othersAreServed }, held): Promise<void> {
      const half = new TextEncoder().encode("GET /metr");
      for (let number = 0; number < 2 * MAX_HTTP_CONNECTIONS_PER_ADDRESS; number++) {
        const connection = held.use(await ConnectionFrom.open(HOSTILE, httpPort));
        await connection.send(half);
      }
      await othersAreServed();
      const asking = await ConnectionFrom.open(HOSTILE, httpPort);
      held.use(asking);
      await asking.send(new TextEncoder().encode(HTTP_REQUEST));
      await eventually("its own request is answered", () => asking.text.startsWith("HTTP/1.1 200") || null);
    },
  },
  {
    limit: "viewers of the status page that do not read",
    async run({ httpPort, othersAreServed }, held): Promise<void> {
      const request = new TextEncoder().encode(EVENTS_REQUEST);
      for (const source of [HOSTILE, ALSO_HOSTILE]) {
        for (let number = 0; number < VIEWERS_PER_ADDRESS; number++) {
          const viewer = held.use(await ConnectionFrom.open(source, httpPort));
          await viewer.send(request);
          const status = number < MAX_HTTP_STREAMS_PER_ADDRESS ? "200" : "503";
          await eventually("it is answered", () => viewer.text.startsWith(`HTTP/1.1 ${status}`) || null);
          viewer.stopReading();
        }
        await othersAreServed();
      }
    },
  },
];

Deno.test({
  name:
    "limits: while hostile clients reach one, writers, new clients and HTTP are served, without an election",
  ignore: !HAS_MANY_LOOPBACK_ADDRESSES,
  async fn(t): Promise<void> {
    const firstPort = freePorts(3);
    const flags = [
      "--max-connections",
      `${MAX_CLIENTS}`,
      "--connections-per-address",
      `${MAX_CLIENTS_PER_ADDRESS}`,
    ];
    const flagsOf = (id: number): readonly string[] => ["--http", `${firstPort + id - 1}`];
    await underLoad({ flags, flagsOf }, async ({ cluster, progress }) => {
      const leader = await cluster.waitForLeader();
      const term = (await cluster.status(leader))?.term;
      const httpPort = firstPort + leader - 1;
      const othersAreServed = async (): Promise<void> => {
        await progress();
        await using other = await cluster.connect();
        await other.put("another client", "is served");
        assertEquals((await other.get("another client"))?.key.length, 14);
        const answer = await fetch(`http://127.0.0.1:${httpPort}/live`);
        assertEquals([answer.status, (await answer.text()).length > 0], [200, true]);
      };
      for (const { limit, run } of attacks) {
        await step(t, limit, async () => {
          using held = new DisposableStack();
          await run({ cluster, port: cluster.port(leader), httpPort, othersAreServed }, held);
        });
      }
      assertEquals(await cluster.waitForLeader(), leader, cluster.logs());
      assertEquals((await cluster.status(leader))?.term, term, "nothing here was a reason for an election");
    });
  },
});
