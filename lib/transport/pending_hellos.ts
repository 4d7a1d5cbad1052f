/**
 * Connections without a hello yet, and the rule by which some are closed when there are too many.
 *
 * The hello of a client that has just connected may be in flight. So only a connection that has been silent for
 * HELLO_GRACE_MS is closed for another one, and of those one from the source address with the most: a machine that opens
 * many cannot exclude a client whose hello takes long. While there is none, accepting waits, and the kernel keeps new
 * connections in its queue. Machines from which members of the cluster have connected have a share of their own, which other connections
 * cannot use.
 */
import { hostOf, sourceOf } from "../platform/address.ts";
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

/** A waiting connection. */
interface Waiting {
  /** Time at which it was accepted. */
  readonly sinceMs: number;
  /** Number of connections in its share from its source address. */
  readonly source: { count: number };
}

/** A part of the waiting connections, oldest first, and the numbers of connections by source address. */
class Share {
  readonly waiting = new Map<FrameChannel, Waiting>();
  readonly #sources = new Map<string, { count: number }>();

  get size(): number {
    return this.waiting.size;
  }

  add(channel: FrameChannel, sinceMs: number): void {
    const name = sourceOf(channel.remote);
    const source = this.#sources.get(name) ?? { count: 0 };
    source.count += 1;
    this.#sources.set(name, source);
    this.waiting.set(channel, { sinceMs, source });
  }

  /** Removes a connection; returns false if it is not in this share. */
  remove(channel: FrameChannel): boolean {
    const waiting = this.waiting.get(channel);
    if (waiting === undefined) return false;
    this.waiting.delete(channel);
    waiting.source.count -= 1;
    if (waiting.source.count === 0) this.#sources.delete(sourceOf(channel.remote));
    return true;
  }
}

/** The connections without a hello yet. */
export class PendingHellos {
  readonly #options: PendingHellosOptions;
  readonly #others = new Share();
  readonly #peers = new Share();
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

  /** Adds a connection once there is capacity; resolves to a function that removes it, or to null if the wait was ended. */
  async add(channel: FrameChannel): Promise<(() => void) | null> {
    const { clock, maxPending, signal } = this.#options;
    const isPeer = this.#peerHosts.has(hostOf(channel.remote)) &&
      this.#makeSpace(this.#peers, MAX_PENDING_PEER_HELLOS);
    const share = isPeer ? this.#peers : this.#others;
    while (!isPeer && !this.#makeSpace(this.#others, maxPending)) {
      if (signal.aborted) return null;
      const timer = clock.after(this.#graceLeftMs(), () => this.#left.resolve());
      await this.#left.promise;
      timer.cancel();
      if (!signal.aborted) this.#left = Promise.withResolvers();
    }
    share.add(channel, clock.now());
    return () => {
      if (share.remove(channel)) this.#left.resolve();
    };
  }

  /** Closes the silent connections. */
  closeSilent(): void {
    for (const share of [this.#others, this.#peers]) {
      for (const [channel, { sinceMs }] of share.waiting) {
        if (this.#isSilent(sinceMs)) channel.close(CLOSED_AS_SILENT);
      }
    }
  }

  /** Closes all connections. */
  closeAll(reason: string): void {
    for (const channel of [...this.#others.waiting.keys(), ...this.#peers.waiting.keys()]) {
      channel.close(reason);
    }
  }

  /** Whether there is capacity for one more, after closing a silent one if necessary. */
  #makeSpace(share: Share, max: number): boolean {
    if (share.size < max) return true;
    const channel = this.#closable(share);
    if (channel === null) return false;
    share.remove(channel);
    channel.close(CLOSED_AS_SILENT);
    return true;
  }

  /** Returns the oldest silent connection of the source address that has most of the share; null if none is silent. */
  #closable(share: Share): FrameChannel | null {
    let chosen: FrameChannel | null = null;
    let most = 0;
    for (const [channel, { sinceMs, source }] of share.waiting) {
      if (!this.#isSilent(sinceMs)) break; // and none behind it
      if (source.count <= most) continue;
      chosen = channel;
      most = source.count;
    }
    return chosen;
  }

  #isSilent(sinceMs: number): boolean {
    return this.#options.clock.now() - sinceMs >= HELLO_GRACE_MS;
  }

  /** Returns the time until the oldest of the others counts as silent. */
  #graceLeftMs(): number {
    const [oldest] = this.#others.waiting.values();
    return Math.max(0, (oldest?.sinceMs ?? 0) + HELLO_GRACE_MS - this.#options.clock.now());
  }
}
