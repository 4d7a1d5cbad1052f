/**
 * A watch that continues, after every end of it or of its connection, at the next node of a list, after the last complete
 * revision that it was sent: what a client library does.
 */
import { parseAddress } from "../../../lib/platform/address.ts";
import { SystemClock, systemDialer } from "../../../lib/platform/system.ts";
import type { KeySet } from "../../../lib/kv/mod.ts";
import type { WatchEvent } from "../../../lib/protocol/watch_event.ts";
import { TestWatch, WatchClient } from "../frames/watch_client.ts";

/** Pause before the next attempt. */
const RETRY_MS = 50;

/** A revision with its events. */
export interface SeenRevision {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

/** Options of a {@link ResumingWatch}. */
export interface ResumingWatchOptions {
  readonly keys: KeySet;
  /** The nodes to watch at, as `host:port`, in turn. */
  readonly addresses: readonly string[];
  /** The first revision wanted. */
  readonly from: number;
  readonly previous?: boolean;
}

/** A watch that runs until it is closed. */
export class ResumingWatch implements AsyncDisposable {
  readonly #options: ResumingWatchOptions;
  readonly #ended: SeenRevision[] = [];
  #current: TestWatch | null = null;
  #client: WatchClient | null = null;
  #next: number;
  #isClosed = false;
  readonly #running: Promise<void>;
  /** How the attempts ended, as codes of errors and ends, or "lost". */
  readonly ends: string[] = [];
  /** Revisions that the history did not have any more: the watch was continued behind them. */
  readonly compacted: { readonly from: number; readonly to: number }[] = [];

  /** Begins to watch. */
  constructor(options: ResumingWatchOptions) {
    this.#options = options;
    this.#next = options.from;
    this.#running = this.#run();
  }

  /** The revisions that it was sent so far, in the order of arrival. */
  get seen(): readonly SeenRevision[] {
    return [...this.#ended, ...this.#current?.revisions ?? []];
  }

  /** The newest revision that it was sent; that before the first wanted one if there is none. */
  get newest(): number {
    return this.seen.at(-1)?.revision ?? this.#options.from - 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#client?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#isClosed; attempt++) {
      const address = this.#options.addresses[attempt % this.#options.addresses.length] ?? "";
      this.ends.push(await this.#watch(address).catch(() => "unreachable"));
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Watches at one node until that ends; returns how. */
  async #watch(address: string): Promise<string> {
    const { keys, previous = false } = this.#options;
    const clock = new SystemClock();
    const client = await WatchClient.open({ network: systemDialer(), clock, address: parseAddress(address) });
    this.#client = client;
    if (this.#isClosed) client.close();
    const watch = await client.watch({ keys, from: this.#next, previous });
    if (!(watch instanceof TestWatch)) {
      client.close();
      if (watch?.code === "compacted") this.#skipTo(watch.compactedRevision);
      return watch?.code ?? "lost";
    }
    this.#current = watch;
    const ended = await Promise.race([client.closed.then(() => null), watch.whenEnded]);
    client.close();
    await client.closed;
    this.#ended.push(...watch.revisions);
    this.#current = null;
    this.#next = Math.max(this.#next, (watch.revisions.at(-1)?.revision ?? 0) + 1);
    if (ended?.code === "compacted") this.#skipTo(ended.compactedRevision);
    return ended?.code ?? "lost";
  }

  #skipTo(compactedRevision = 0): void {
    if (compactedRevision < this.#next) return;
    this.compacted.push({ from: this.#next, to: compactedRevision });
    this.#next = compactedRevision + 1;
  }
}
