/** Requests about leases to one node, frame by frame: the client library would choose the node itself. */
import { assert } from "@std/assert";
import type { Command, CommandResult } from "../../../lib/kv/mod.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Address, Dialer } from "../../../lib/platform/network.ts";
import type { ServerFrame, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import { decodeResult, encodeCommand } from "../../../lib/protocol/command.ts";
import type { Consistency } from "../../../lib/protocol/messages.ts";
import { WatchClient } from "./watch_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A lease, with its keys as text. */
export interface SeenLease {
  readonly ttlMs: number;
  readonly remainingMs: number;
  readonly keyCount: number;
  readonly keys: readonly string[];
}

/** A request was refused, or its connection ended. */
export class LeaseRequestError extends Error {
  override readonly name = "LeaseRequestError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

/** A connection to a node. */
export class LeaseClient implements Disposable {
  readonly #client: WatchClient;

  private constructor(client: WatchClient) {
    this.#client = client;
  }

  /** Connects to the node at an address. */
  static async open(
    options: { readonly network: Dialer; readonly clock: Clock; readonly address: Address },
  ): Promise<LeaseClient> {
    return new LeaseClient(await WatchClient.open(options));
  }

  /** Makes a write; throws {@link LeaseRequestError} for a refused one. */
  async write(command: Command): Promise<CommandResult> {
    const answer = done(await this.#client.request({ kind: "write", command: encodeCommand(command) }));
    assert(answer.kind === "writeResult", `a write is answered by a result, not ${answer.kind}`);
    return decodeResult(answer.result);
  }

  grant(leaseId: number, ttlMs: number): Promise<CommandResult> {
    return this.write({ kind: "grantLease", session: null, leaseId, ttlMs });
  }

  revoke(leaseId: number): Promise<CommandResult> {
    return this.write({ kind: "revokeLease", session: null, leaseId });
  }

  /** Puts a key with a value, attached to a lease, or with a time at which it expires. */
  put(key: string, leaseId: number | null, expiresAtMs: number | null = null): Promise<CommandResult> {
    return this.write({
      kind: "transaction",
      session: null,
      checks: [],
      mutations: [{ kind: "expiringPut", key: bytes(key), value: bytes("value"), leaseId, expiresAtMs }],
    });
  }

  /** Keeps leases alive; returns the time to live of each, 0 for one that does not exist. */
  async keepAlive(...leaseIds: readonly number[]): Promise<readonly number[]> {
    const answer = done(await this.#client.request({ kind: "keepAlive", leaseIds }));
    assert(answer.kind === "keepAliveResult");
    return answer.ttlsMs;
  }

  /** Reads a lease with the first page of its keys; null for one that does not exist. */
  async lease(leaseId: number, consistency: Consistency = "linearizable"): Promise<SeenLease | null> {
    const { lease } = await this.leasePage(leaseId, { consistency });
    if (lease === null) return null;
    const { ttlMs, remainingMs, keyCount, keys } = lease;
    return { ttlMs, remainingMs, keyCount, keys: keys.map(text) };
  }

  /** Reads a lease with one page of its keys. */
  async leasePage(
    leaseId: number,
    { after = null, consistency = "linearizable" }: {
      readonly after?: string | null;
      readonly consistency?: Consistency;
    },
  ): Promise<ServerFrame<"leaseResult">> {
    const from = after === null ? null : bytes(after);
    const answer = done(
      await this.#client.request({ kind: "lease", leaseId, keys: true, after: from, consistency }),
    );
    assert(answer.kind === "leaseResult");
    return answer;
  }

  /** Reads one page of the leases. */
  async list(after: number, limit: number): Promise<ServerFrame<"leasesResult">> {
    const answer = done(
      await this.#client.request({ kind: "listLeases", after, limit, consistency: "linearizable" }),
    );
    assert(answer.kind === "leasesResult");
    return answer;
  }

  /** Closes the connection. */
  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function done(answer: ServerMessage | null): ServerMessage {
  if (answer === null) throw new LeaseRequestError("closed", "the connection has ended");
  if (answer.kind === "error") throw new LeaseRequestError(answer.code, answer.message);
  return answer;
}
