/**
 * Connections without a hello yet, and the rule by which some are closed when there are too many.
 *
 * The hello of a client that has just connected may be in flight. So only a connection that has been silent for
 * HELLO_GRACE_MS is closed for another one; while there is none, accepting waits, and the kernel keeps new connections in
 * its queue. Machines from which members of the cluster have connected have a share of their own, which other connections
 * cannot use.
 */
import type { Clock } from "../platform/clock.ts";
import type { FrameChannel } from "./frame_channel.ts";
import { HELLO_GRACE_MS, MAX_PEER_HOSTS, MAX_PENDING_PEER_HELLOS } from "../protocol/limits.ts";

const CLOSED_AS_SILENT = "it sent no hello, and other connections wait";

/** Options of {@link PendingHellos}. */
export interface PendingHellosOptions {
  readonly clock: Clock;
  /** Maximum number of connections from machines without a known member of the cluster. */
  readonly maxPending: number;
  /** Ends all waits. */
  readonly signal: AbortSignal;
}

/** A share of the waiting connections: each with the time at which it was accepted, oldest first. */
type Share = Map<FrameChannel, number>;

/** The connections without a hello yet. */
export class PendingHellos {
  readonly #options: PendingHellosOptions;
  readonly #others: Share = new Map();
  readonly #peers: Share = new Map();
  /** Hosts from which members have connected, the latest last. */
  readonly #peerHosts = new Set<string>();
  /** Resolves when a connection leaves. */
  #left = Promise.withResolvers<void>();

  constructor(options: PendingHellosOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#left.resolve(), { once: true });
  }

  /** Number of connections. */
  get size(): number {
    return this.#others.size + this.#peers.size;
  }

  /** Records that a member of the cluster has connected from `host`. */
  rememberPeer(host: string): void {
    this.#peerHosts.delete(host);
    this.#peerHosts.add(host);
    const [oldest = host] = this.#peerHosts;
    if (this.#peerHosts.size > MAX_PEER_HOSTS) this.#peerHosts.delete(oldest);
  }

  /**
   * Adds a connection from `host` once there is capacity, and resolves to a function that removes it, or to null if the
   * wait was ended.
   */
  async add(channel: FrameChannel, host: string): Promise<(() => void) | null> {
    const { clock, maxPending, signal } = this.#options;
    const isPeer = this.#peerHosts.has(host) && this.#makeSpace(this.#peers, MAX_PENDING_PEER_HELLOS);
    const share = isPeer ? this.#peers : this.#others;
    while (!isPeer && !this.#makeSpace(this.#others, maxPending)) {
      if (signal.aborted) return null;
      const timer = clock.after(this.#graceLeftMs(), () => this.#left.resolve());
      await this.#left.promise;
      timer.cancel();
      if (!signal.aborted) this.#left = Promise.withResolvers();
    }
    share.set(channel, clock.now());
    return () => {
      if (share.delete(channel)) this.#left.resolve();
    };
  }

  /** Closes the silent connections. */
  closeSilent(): void {
    for (const share of [this.#others, this.#peers]) {
      for (const [channel, sinceMs] of share) {
        if (this.#isSilent(sinceMs)) channel.close(CLOSED_AS_SILENT);
      }
    }
  }

  /** Closes all connections. */
  closeAll(reason: string): void {
    for (const channel of [...this.#others.keys(), ...this.#peers.keys()]) channel.close(reason);
  }

  /** Whether there is capacity for one more, after closing a silent one if necessary. */
  #makeSpace(share: Share, max: number): boolean {
    if (share.size < max) return true;
    const [oldest] = share;
    if (oldest === undefined) return false;
    const [channel, sinceMs] = oldest;
    if (!this.#isSilent(sinceMs)) return false;
    share.delete(channel);
    channel.close(CLOSED_AS_SILENT);
    return true;
  }

  #isSilent(sinceMs: number): boolean {
    return this.#options.clock.now() - sinceMs >= HELLO_GRACE_MS;
  }

  /** Returns the time until the oldest of the others counts as silent. */
  #graceLeftMs(): number {
    const [sinceMs = 0] = this.#others.values();
    return Math.max(0, sinceMs + HELLO_GRACE_MS - this.#options.clock.now());
  }
}
