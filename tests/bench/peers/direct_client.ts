/**
 * A client of one kvraft node that bypasses the client library: a request goes once, to the dialled node, and a refusal
 * is reported at once where the library would retry. For measurements of nodes: reads at followers, overload.
 */
import type { Target } from "../../../lib/loadgen/mod.ts";
import { NodeConnection, type RequestEnd } from "../../../lib/client/connection.ts";
import { ClientSession } from "../../../lib/client/writer.ts";
import { parseAddress } from "../../../lib/platform/address.ts";
import type { Consistency } from "../../../lib/protocol/messages.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";

/** Time limit for an answer. */
const TIMEOUT_MS = 30_000;
const LIMITS = { timeoutMs: TIMEOUT_MS, signal: null } as const;

/** A failed request; the message is the code of the refusal, or how the request ended without an answer. */
export class NotDoneError extends Error {
  override readonly name = "NotDoneError";
}

/** A connection to one node, with a session of its own. */
export class DirectTarget implements Target {
  readonly #connection: NodeConnection;
  readonly #consistency: Consistency;
  readonly #session: ClientSession;
  readonly #encoder = new TextEncoder();

  private constructor(connection: NodeConnection, consistency: Consistency) {
    this.#connection = connection;
    this.#consistency = consistency;
    this.#session = new ClientSession(connection.welcome.appliedIndex, Math.random);
    // The end of the connection fails all pending requests.
    void connection.serve(() => {});
  }

  /** Connects. */
  static async connect(address: string, consistency: Consistency): Promise<DirectTarget> {
    const connection = await NodeConnection.open({
      network: new DenoNetwork(),
      clock: new SystemClock(),
      address: parseAddress(address),
      clusterId: null,
      signal: new AbortController().signal,
    });
    return new DirectTarget(connection, consistency);
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    if (!this.#session.canWrite) throw new NotDoneError("session full");
    const session = this.#session.nextStamp();
    try {
      const command = encodeCommand({
        kind: "transaction",
        session,
        checks: [],
        mutations: [{ kind: "put", key: this.#encoder.encode(key), value }],
      });
      throwUnlessDone(await this.#connection.request({ kind: "write", command }, LIMITS));
    } finally {
      this.#session.finish(session.sequence);
    }
  }

  async get(key: string): Promise<void> {
    const request = { kind: "get", key: this.#encoder.encode(key), consistency: this.#consistency } as const;
    throwUnlessDone(await this.#connection.request(request, LIMITS));
  }

  /** Ends the connection. */
  close(): void {
    this.#connection.close("the benchmark is done");
  }
}

function throwUnlessDone(end: RequestEnd<"write"> | RequestEnd<"get">): void {
  if (end.kind === "refused") throw new NotDoneError(end.error.code);
  if (end.kind !== "answered") throw new NotDoneError(end.kind);
}
