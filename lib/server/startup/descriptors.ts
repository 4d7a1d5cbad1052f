/**
 * Limits connections by the file descriptors of the process. A node that runs out of them can open neither the next file
 * of its log nor a connection to another node, so clients are refused before that.
 */
import {
  MAX_HTTP_CONNECTIONS,
  MAX_INTRODUCED_PEERS,
  MAX_MEMBERS,
  MAX_PEER_LANES,
  MAX_PENDING_HELLOS,
  MAX_PENDING_PEER_HELLOS,
} from "../../protocol/limits.ts";
import type { Logger } from "../../platform/logger.ts";

/** Descriptors kept for files (log, snapshots being written, sent and downloaded) and for probes of other nodes. */
const RESERVED_FILES = 128;
const LANES_TO_A_PEER = 2;
/** Descriptors that are never given to clients. */
export const RESERVED_DESCRIPTORS = RESERVED_FILES + MAX_PEER_LANES + MAX_PENDING_PEER_HELLOS +
  LANES_TO_A_PEER * (MAX_MEMBERS + MAX_INTRODUCED_PEERS) + MAX_HTTP_CONNECTIONS;
/** Minimum number of clients, and of connections before their hello, however few descriptors there are. */
const MIN_CONNECTIONS = 16;
/** One in so many of the descriptors for clients is for connections before their hello. */
const PENDING_SHARE = 5;

/** The maximum numbers of connections of a node. */
export interface ConnectionBudget {
  /** Concurrent clients. */
  readonly maxConnections: number;
  /** Concurrent connections before their hello. */
  readonly maxPendingHellos: number;
}

/** The values that the budget depends on. */
export interface BudgetOptions {
  /** As configured. */
  readonly maxConnections: number;
  /** Returns how many more files and sockets may be opened, at most `upTo`; undefined where that is not known. */
  readonly freeDescriptors: ((upTo: number) => number) | undefined;
  readonly logger: Logger;
}

/** Returns the connections that the descriptors allow, and logs where those are fewer than configured. */
export function fitConnections(
  { maxConnections, freeDescriptors, logger }: BudgetOptions,
): ConnectionBudget {
  const asConfigured = { maxConnections, maxPendingHellos: MAX_PENDING_HELLOS };
  const wanted = maxConnections + MAX_PENDING_HELLOS + RESERVED_DESCRIPTORS;
  const free = freeDescriptors?.(wanted) ?? wanted;
  if (free >= wanted) return asConfigured;
  const forClients = free - RESERVED_DESCRIPTORS;
  const pending = Math.min(MAX_PENDING_HELLOS, Math.floor(forClients / PENDING_SHARE));
  const budget = {
    maxConnections: Math.min(maxConnections, Math.max(MIN_CONNECTIONS, forClients - pending)),
    maxPendingHellos: Math.max(MIN_CONNECTIONS, pending),
  };
  const fields = {
    configured: maxConnections,
    taken: budget.maxConnections,
    descriptors: free,
    reserved: RESERVED_DESCRIPTORS,
  };
  if (forClients < 2 * MIN_CONNECTIONS) {
    logger.error("too few file descriptors: the log and other nodes may lack them; raise ulimit -n", fields);
  } else if (budget.maxConnections < maxConnections) {
    logger.warn("fewer clients are accepted than --max-connections allows; raise ulimit -n for more", fields);
  }
  return budget;
}
