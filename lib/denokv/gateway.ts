/** The front end in a process of its own: a client of a cluster, over its nodes' addresses. */
import { ClientCore } from "../client/core.ts";
import { DatabaseClient } from "../client/databases/database_client.ts";
import { AuthenticationError, KvraftError, PermissionDeniedError } from "../client/errors.ts";
import type { ConnectOptions } from "../client/types.ts";
import type { LineWriter } from "../platform/bounded_lines.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Address, Network } from "../platform/network.ts";
import { FrontEnd } from "./front_end.ts";

/** Options of a gateway. */
export interface GatewayOptions {
  readonly address: Address;
  /** Listens for the clients of Deno KV. */
  readonly network: Pick<Network, "listen">;
  /** Whether clients need access tokens also while authentication is disabled. */
  readonly needsTokens: boolean;
  /** The cluster, and how the gateway signs in there. */
  readonly connect: ConnectOptions;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** A running gateway. */
export interface Gateway {
  readonly address: Address;
  /** Answers the requests in progress, and closes everything. May be called again without effect. */
  close(): Promise<void>;
}

/**
 * Connects to the cluster, and then serves Deno KV.
 *
 * @throws {KvraftError} if no node answers, or the gateway cannot sign in or its user does not have the role root
 * @throws {NetworkError} if the address is in use, or not local
 */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const core = await ClientCore.connect(options.connect);
  const close = (): Promise<void> => core.pool.close();
  const store = new DatabaseClient(core);
  try {
    await checkRights(store);
    const frontEnd = new FrontEnd({ ...options, store });
    return { address: frontEnd.address, close: () => frontEnd.close().then(close) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Rejects if the gateway's user may not read the databases' keys: every request of its clients would fail. */
async function checkRights(store: DatabaseClient): Promise<void> {
  try {
    await store.databases({ consistency: "stale" });
  } catch (error) {
    if (error instanceof PermissionDeniedError || error instanceof AuthenticationError) throw error;
    // Any other reason passes, such as an election.
    if (!(error instanceof KvraftError)) throw error;
  }
}
