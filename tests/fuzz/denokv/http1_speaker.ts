/**
 * A hostile program over HTTP/1.1: requests with hostile fields and bodies, whose answers are checked; broken bytes,
 * several requests at once, bodies that stop, and answers that are not read.
 */
import type { Clock } from "../../../lib/platform/clock.ts";
import { ConnectionFrom } from "../../support/processes/source_address.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { joined, mutated } from "../mutator.ts";
import { texts } from "../target.ts";
import { bytesOf, type HostileRequest, hostileRequest, type KnownDatabase } from "./requests.ts";

const SOURCE = "127.0.0.2";
/** Connections that stay open; one more closes the oldest. */
const MAX_OPEN = 60;
const MAX_BURST = 10;
const ANSWER_TIMEOUT_MS = 200;
const SEND_TIMEOUT_MS = 100;
const TOKENS = texts(
  "\r\n",
  "\r\n\r\n",
  "0\r\n\r\n",
  "HTTP/1.1",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "Content-Length: ",
  ":",
  "\0",
);
const ANY_STATUS_LINE = /HTTP\/1\.1 ([0-9]{3}) /g;
/** Answers to hostile requests. 503 is for a server that is busy; 500 is never right. */
const STATUSES = new Set([
  100,
  200,
  400,
  401,
  403,
  404,
  405,
  408,
  411,
  413,
  414,
  415,
  417,
  421,
  429,
  431,
  501,
  503,
  505,
]);

/** Options of a hostile program. */
export interface SpeakerOptions {
  readonly clock: Clock;
  readonly port: number;
  readonly random: SeededRandom;
  readonly known: KnownDatabase;
  /** Takes a violation. */
  readonly onProblem: (problem: string) => void;
}

/** One hostile program. */
export class Http1Speaker {
  readonly #options: SpeakerOptions;
  readonly #open: ConnectionFrom[] = [];
  /** Requests so far, complete or not. */
  requests = 0;
  /** Answers by their status. */
  readonly answers = new Map<number, number>();

  constructor(options: SpeakerOptions) {
    this.#options = options;
  }

  /** Sends one burst after the other while `goesOn` returns true. */
  async run(goesOn: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (goesOn()) {
      await Promise.all(Array.from({ length: 1 + random.below(MAX_BURST) }, () => this.#attack()));
      while (this.#open.length > MAX_OPEN) this.#open.shift()?.[Symbol.dispose]();
    }
    for (const connection of this.#open) connection[Symbol.dispose]();
  }

  async #attack(): Promise<void> {
    const { random, known, port } = this.#options;
    // A server that refuses connections for a moment is no failure here; another program checks that it answers.
    const connection = await ConnectionFrom.open(SOURCE, port).catch(() => null);
    if (connection === null) return;
    this.#open.push(connection);
    const request = writeRequest(hostileRequest(random, known), random);
    const kind = random.below(10);
    this.requests++;
    if (kind < 5) return await this.#ask(connection, request);
    if (kind === 5) {
      return await this.#ask(
        connection,
        joined(...Array.from({ length: 1 + random.below(20) }, () => request)),
      );
    }
    if (kind === 6) {
      return void await sendFor(
        connection,
        request.subarray(0, random.below(request.length)),
        this.#options.clock,
      );
    }
    if (kind === 7) {
      connection.stopReading();
      return void await sendFor(
        connection,
        joined(...Array.from({ length: 30 }, () => request)),
        this.#options.clock,
      );
    }
    const broken = mutated({ corpus: [request], tokens: TOKENS }, random);
    return await this.#ask(connection, broken);
  }

  /** Sends bytes and checks the answers that come within a while. */
  async #ask(connection: ConnectionFrom, bytes: Uint8Array): Promise<void> {
    const { clock, onProblem } = this.#options;
    await sendFor(connection, bytes, clock);
    await new Promise<void>((resolve) => void clock.after(ANSWER_TIMEOUT_MS, resolve));
    const { text } = connection;
    if (text !== "" && !text.startsWith("HTTP/1.1 ") && !isHttp2(text)) {
      onProblem(`an answer begins with ${JSON.stringify(text.slice(0, 60))}`);
    }
    for (const [, status = ""] of text.matchAll(ANY_STATUS_LINE)) {
      this.answers.set(Number(status), (this.answers.get(Number(status)) ?? 0) + 1);
      if (STATUSES.has(Number(status))) continue;
      onProblem(
        `status ${status} for ${
          JSON.stringify(new TextDecoder("latin1").decode(bytes.subarray(0, 2_000)))
        }: ${text.slice(-300)}`,
      );
    }
  }
}

/** Sends bytes; returns false if the server does not take them within a while, which it need not. */
export async function sendFor(connection: ConnectionFrom, bytes: Uint8Array, clock: Clock): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = clock.after(SEND_TIMEOUT_MS, () => resolve(false));
  const isTaken = await Promise.race([connection.send(bytes), promise]);
  timer.cancel();
  return isTaken;
}

/** An HTTP/2 server begins with a SETTINGS frame. */
function isHttp2(text: string): boolean {
  return text.charCodeAt(3) === 4 && text.charCodeAt(0) === 0;
}

function writeRequest(
  { method, path, fields, body }: HostileRequest,
  random: SeededRandom,
): Uint8Array<ArrayBuffer> {
  const isChunked = random.chance(0.2);
  const lines = [
    `${method} ${path} HTTP/1.1`,
    "host: 127.0.0.1",
    ...fields.map(([name, value]) => `${name}: ${value}`),
    isChunked ? "transfer-encoding: chunked" : `content-length: ${body.length}`,
  ];
  const head = bytesOf(`${lines.join("\r\n")}\r\n\r\n`);
  return joined(head, isChunked ? chunked(body, random) : body);
}

function chunked(body: Uint8Array, random: SeededRandom): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < body.length;) {
    const length = Math.min(1 + random.below(2_000), body.length - offset);
    const size = random.chance(0.98)
      ? length.toString(16)
      : random.pick(["ffffffffffffffff", "-1", "", "g", "1;x=y"]);
    parts.push(bytesOf(`${size}\r\n`), body.subarray(offset, offset + length), bytesOf("\r\n"));
    offset += length;
  }
  return joined(...parts, bytesOf("0\r\n\r\n"));
}
