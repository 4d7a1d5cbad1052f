/**
 * Target on the HTTP port: the pages of a node over a network in memory, a connection that sends the input, and another
 * caller, whose request must still be answered.
 */
import { assert, assertEquals } from "@std/assert";
import type { Connection } from "../../lib/platform/network.ts";
import {
  HTTP_ANSWER_TIMEOUT_MS,
  HTTP_HEAD_TIMEOUT_MS,
  MAX_HTTP_CONNECTIONS,
} from "../../lib/protocol/limits.ts";
import { Monitor } from "../../lib/server/metrics/monitor.ts";
import { HttpOverNetwork } from "../../lib/transport/http_server.ts";
import { ManualClock, settle } from "../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../support/fakes/memory_network.ts";
import { RecordingLogger } from "../support/fakes/recording_logger.ts";
import { type FuzzTarget, texts, unrepaired } from "./target.ts";

const ADDRESS = { host: "n1", port: 9_101 };
const STATUS_LINE = /^HTTP\/1\.1 (?:200|400|404|405|431|503|505) [A-Z]/;
const ANY_STATUS_LINE = /HTTP\/1\.1 [0-9]{3} /g;

/** A connection that collects what it receives. */
class Caller {
  readonly #connection: Connection;
  received = "";

  private constructor(connection: Connection) {
    this.#connection = connection;
    void this.#readAll();
  }

  /** Connects from a host. */
  static async connect(network: MemoryNetwork, host: string): Promise<Caller> {
    network.callerHost = host;
    return new Caller(await network.connect(ADDRESS, new AbortController().signal));
  }

  /** Sends bytes; does nothing if the server has closed the connection. */
  async send(bytes: Uint8Array): Promise<void> {
    await this.#connection.write(bytes).catch(() => {});
    await settle();
  }

  close(): void {
    this.#connection.close();
  }

  async #readAll(): Promise<void> {
    const buffer = new Uint8Array(1_024);
    while (true) {
      const count = await this.#connection.read(buffer).catch(() => null);
      if (count === null) return;
      this.received += String.fromCharCode(...buffer.subarray(0, count));
    }
  }
}

async function attack(input: Uint8Array<ArrayBuffer>): Promise<void> {
  const network = new MemoryNetwork();
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const http = new HttpOverNetwork({ network, clock, logger });
  const resources = (): never => {
    throw new Error("a node that starts has no metrics");
  };
  const monitor = new Monitor({ http, clock, logger, resources, nodeId: 1, address: ADDRESS });
  const caller = await Caller.connect(network, "10.0.0.1");
  const half = Math.floor(input.length / 2);
  await caller.send(input.subarray(0, half));
  await caller.send(input.subarray(half));
  if (caller.received !== "") {
    assert(STATUS_LINE.test(caller.received), caller.received);
    assertEquals(caller.received.match(ANY_STATUS_LINE)?.length, 1, "one answer on a connection");
  }
  if (input.length % 2 === 0) caller.close();
  for (let more = 0; more < input.length % MAX_HTTP_CONNECTIONS; more++) {
    await (await Caller.connect(network, "10.0.0.1")).send(input);
  }
  const other = await Caller.connect(network, "10.0.0.2");
  await other.send(new TextEncoder().encode("GET /live HTTP/1.1\r\nHost: n1\r\n\r\n"));
  assert(other.received.endsWith("\r\n\r\nlive\n"), `the other caller received ${other.received}`);
  const closing = monitor.close();
  clock.advance(HTTP_HEAD_TIMEOUT_MS + HTTP_ANSWER_TIMEOUT_MS);
  await closing;
  assertEquals([clock.timerCount, logger.connectionFaults], [0, []]);
}

/** Requests to the HTTP port. */
export const HTTP_REQUESTS: FuzzTarget = {
  name: "http_requests",
  promise: "a request gets at most one answer, and other callers are answered",
  tokens: texts(
    "GET ",
    "HTTP/1.1",
    "\r\n",
    "\r\n\r\n",
    "Host: ",
    "//",
    "%",
    "?",
    "http://",
    "[",
    "\0",
    "Content-Length: ",
  ),
  repair: unrepaired,
  run: attack,
};
