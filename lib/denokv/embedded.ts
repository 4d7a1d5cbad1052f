/**
 * The front end of a node: a client of the node within its process. It uses no other node; its own forwards what the leader
 * has to do.
 */
import { ClientCore } from "../client/core.ts";
import { DatabaseClient } from "../client/databases/database_client.ts";
import { formatAddress } from "../platform/address.ts";
import type { LineWriter } from "../platform/bounded_lines.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Connection, Listener } from "../platform/network.ts";
import { IN_PROCESS, inProcessDialer } from "../transport/in_process.ts";
import { FrontEnd, type FrontEndCounts } from "./front_end.ts";

/** Keys that the clients of a front end watch, of all databases: as many as its node has watches. */
const MAX_WATCHED_KEYS = 100_000;

/** The parts of a node that its front end needs. */
export interface EmbeddedOptions {
  /** Listens already, so that a port that is taken was found before the node began. */
  readonly listener: Listener;
  /** Opens a connection to the node. */
  readonly connect: () => Connection;
  /** Whether clients need access tokens also while authentication is disabled. */
  readonly needsTokens: boolean;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** A running front end. */
export interface EmbeddedFrontEnd {
  /** Returns the numbers so far. */
  counts(): FrontEndCounts;
  /** Stops it; the node must still answer. May be called again without effect. */
  close(): Promise<void>;
}

/** Opens the front end of a node that is served. */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedFrontEnd> {
  const { listener, connect, clock, random } = options;
  const core = await ClientCore.connect({ cluster: [formatAddress(IN_PROCESS)] }, {
    network: inProcessDialer(connect),
    clock,
    random,
    maxWatches: MAX_WATCHED_KEYS,
  });
  const frontEnd = new FrontEnd({
    ...options,
    address: listener.address,
    network: { listen: () => listener },
    store: new DatabaseClient(core),
  });
  return {
    counts: () => frontEnd.counts(),
    close: async () => {
      await frontEnd.close();
      await core.pool.close();
    },
  };
}
