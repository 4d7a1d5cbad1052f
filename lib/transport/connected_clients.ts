/**
 * The connected clients, and the rule by which one more is refused, or takes the place of an idle one.
 *
 * An idle connection is closed only if another client needs its place: it costs some kilobytes, correct clients keep
 * connections for hours between two requests, and a program that wants to occupy places can send a request from time to
 * time. So a time limit would cut off correct clients and no others. What stops one machine from occupying all places is
 * the limit for each source address; a client library dials again at its next call. While authentication is enabled,
 * connections that do not sign in are closed first.
 */
import { assert } from "../platform/assert.ts";
import { sourceOf } from "../platform/address.ts";

/** Share of all clients that one source address may have, unless the operator configures a number. */
const DEFAULT_SHARE = 0.75;

/** A connected client. */
export interface ConnectedClient {
  /** The other end. */
  readonly remote: string;
  /**
   * Number of consecutive checks in which the connection was not used; 0 while a request waits for its answer, or the
   * client watches keys. Infinity for one that does not sign in though it must.
   */
  readonly idleChecks: number;
  /** Closes the connection at once. */
  end(reason: string): void;
}

/** The limits on clients. */
export interface ClientLimits {
  /** Maximum number of clients. */
  readonly maxClients: number;
  /** Maximum number from one source address; null for {@link DEFAULT_SHARE} of all. */
  readonly maxClientsPerAddress: number | null;
  /** Checks without use after which a connection may be closed for another. */
  readonly idleChecks: number;
}

/** All connected clients. */
export class ConnectedClients<Client extends ConnectedClient> {
  readonly #limits: ClientLimits & { readonly maxClientsPerAddress: number };
  readonly #clients = new Set<Client>();
  /** Number of clients, by source address. */
  readonly #counts = new Map<string, number>();

  constructor({ maxClients, maxClientsPerAddress, idleChecks }: ClientLimits) {
    const most = maxClientsPerAddress ?? Math.ceil(maxClients * DEFAULT_SHARE);
    this.#limits = { maxClients, maxClientsPerAddress: Math.min(most, maxClients), idleChecks };
  }

  /** Number of clients. */
  get size(): number {
    return this.#clients.size;
  }

  /** The clients. */
  [Symbol.iterator](): IterableIterator<Client> {
    return this.#clients.values();
  }

  /**
   * Makes space for one more client from `remote`: closes the connection that was idle for the longest time if there are
   * as many as allowed. Returns null if there is space, else the reason for a refusal.
   */
  makeSpace(remote: string): string | null {
    const { maxClients, maxClientsPerAddress } = this.#limits;
    const source = sourceOf(remote);
    const isSourceFull = (this.#counts.get(source) ?? 0) >= maxClientsPerAddress;
    if (!isSourceFull && this.#clients.size < maxClients) return null;
    const idle = this.#longestIdle((client) => !isSourceFull || sourceOf(client.remote) === source);
    if (idle !== null) {
      this.delete(idle);
      idle.end("it was idle, and another client needs its place");
      return null;
    }
    return this.#clients.size >= maxClients
      ? `This node has ${maxClients} clients, as many as it may. Try another node, or later.`
      : `This node has ${maxClientsPerAddress} clients from ${source}, as many as one address may have ` +
        "(--connections-per-address). Close some of them, or try another node.";
  }

  /** Adds a client, for which {@link makeSpace} has found space. */
  add(client: Client): void {
    const source = sourceOf(client.remote);
    this.#clients.add(client);
    this.#counts.set(source, (this.#counts.get(source) ?? 0) + 1);
  }

  /** Removes a client; without effect if it was removed before. */
  delete(client: Client): void {
    if (!this.#clients.delete(client)) return;
    const source = sourceOf(client.remote);
    const count = this.#counts.get(source);
    assert(count !== undefined, "each client is counted for its source address");
    if (count === 1) this.#counts.delete(source);
    else this.#counts.set(source, count - 1);
  }

  /** Returns the client that was idle for the most checks among those that `mayClose` allows; the oldest of several. */
  #longestIdle(mayClose: (client: Client) => boolean): Client | null {
    let longest: Client | null = null;
    for (const client of this.#clients) {
      const least = longest === null ? this.#limits.idleChecks : longest.idleChecks + 1;
      if (client.idleChecks >= least && mayClose(client)) longest = client;
    }
    return longest;
  }
}
