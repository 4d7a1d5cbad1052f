/**
 * Connections that have not said hello yet, and which of them give way when there are too many.
 *
 * A client that has just connected is not silent: its hello may be on its way. So only a connection that has been quiet
 * for HELLO_GRACE_MS is closed for another one; while there is none, accepting waits, and the kernel keeps the others
 * in its queue. Machines from which members of the cluster have called have a share of their own, which no number of
 * other connections can take.
 */
import type { Clock } from "../platform/clock.ts";
import type { FrameChannel } from "./frame_channel.ts";
import { HELLO_GRACE_MS, MAX_PEER_HOSTS, MAX_PENDING_PEER_HELLOS } from "../protocol/limits.ts";

const GIVES_WAY = "it said no hello, and other connections wait";

/** What waiting connections are held by. */
export interface PendingHellosOptions {
  readonly clock: Clock;
  /** Connections at a time, from machines where no member of the cluster is known to be. */
  readonly maxPending: number;
  /** Ends all waiting. */
  readonly signal: AbortSignal;
}

/** One share of the connections that wait: each with the time at which it was accepted, oldest first. */
type Share = Map<FrameChannel, number>;

/** The connections that have not said hello yet. */
export class PendingHellos {
  readonly #options: PendingHellosOptions;
  readonly #others: Share = new Map();
  readonly #peers: Share = new Map();
  /** Hosts from which members called, the last one to call last. */
  readonly #peerHosts = new Set<string>();
  /** Resolves when a connection leaves. */
  #left = Promise.withResolvers<void>();

  /** Holds none yet. */
  constructor(options: PendingHellosOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#left.resolve(), { once: true });
  }

  /** How many there are. */
  get size(): number {
    return this.#others.size + this.#peers.size;
  }

  /** Remembers that a member of the cluster has called from `host`. */
  rememberPeer(host: string): void {
    this.#peerHosts.delete(host);
    this.#peerHosts.add(host);
    const [oldest = host] = this.#peerHosts;
    if (this.#peerHosts.size > MAX_PEER_HOSTS) this.#peerHosts.delete(oldest);
  }

  /**
   * Adds a connection from `host` once there is space for it, and resolves to how to take it out again; to null when
   * waiting was ended.
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

  /** Closes those whose hello had time to come. */
  closeSilent(): void {
    for (const share of [this.#others, this.#peers]) {
      for (const [channel, sinceMs] of share) {
        if (this.#isSilent(sinceMs)) channel.close(GIVES_WAY);
      }
    }
  }

  /** Closes all of them. */
  closeAll(reason: string): void {
    for (const channel of [...this.#others.keys(), ...this.#peers.keys()]) channel.close(reason);
  }

  /** Whether one more fits, after a silent one was closed if need be. */
  #makeSpace(share: Share, max: number): boolean {
    if (share.size < max) return true;
    const [oldest] = share;
    if (oldest === undefined) return false;
    const [channel, sinceMs] = oldest;
    if (!this.#isSilent(sinceMs)) return false;
    share.delete(channel);
    channel.close(GIVES_WAY);
    return true;
  }

  #isSilent(sinceMs: number): boolean {
    return this.#options.clock.now() - sinceMs >= HELLO_GRACE_MS;
  }

  /** How long until the oldest of the others counts as silent. */
  #graceLeftMs(): number {
    const [sinceMs = 0] = this.#others.values();
    return Math.max(0, sinceMs + HELLO_GRACE_MS - this.#options.clock.now());
  }
}
