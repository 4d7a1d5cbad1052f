/** A store of one database in memory, as the watches of Deno KV's front end read and watch it. */
import type { KeyValue } from "../../../lib/kv/command.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import type { StoreRange } from "../../../lib/denokv/store.ts";
import type { WatchedStore } from "../../../lib/denokv/watch/watched_keys.ts";
import { withResolvers } from "../../../lib/platform/promise.ts";

/** A read that was asked for. */
export interface AskedRead {
  readonly databaseId: number;
  readonly consistency: "linearizable" | "stale";
}

type ReadResult = Awaited<ReturnType<WatchedStore["read"]>>;
/** A watch: yields the newest revision that was not yielded, then the error that ends it. */
interface Watcher {
  readonly keys: ReadonlySet<string>;
  revision: number | null;
  error: Error | null;
  wake: () => void;
}

/** Keys of one database; values are texts, stored as bytes (encoding 3). */
export class MemoryDatabases implements WatchedStore {
  readonly #entries = new Map<string, KeyValue>();
  readonly #watchers = new Set<Watcher>();
  /** The revision of the last write. */
  revision = 1;
  /** All reads so far. */
  readonly reads: AskedRead[] = [];
  /** All watches so far, by their keys. */
  readonly started: (readonly string[])[] = [];
  /** Whether new watches begin. */
  isStarting = true;
  /** Reads wait for this. */
  readHold: Promise<void> | null = null;
  /** Is thrown by the next read. */
  readError: Error | null = null;
  /** Stale reads are answered by an empty state of this revision. */
  staleBehind: { readonly revision: number } | null = null;

  /** Number of watches that have not ended. */
  get watchCount(): number {
    return this.#watchers.size;
  }

  /** Writes keys in one revision; null deletes. */
  write(values: Readonly<Record<string, string | null>>): void {
    this.revision++;
    for (const [key, text] of Object.entries(values)) {
      const bytes = new TextEncoder().encode(key);
      if (text === null) this.#entries.delete(key);
      else this.#entries.set(key, this.#entry(bytes, text));
    }
    for (const watcher of this.#watchers) {
      if (Object.keys(values).some((key) => watcher.keys.has(key))) this.#wake(watcher, this.revision);
    }
  }

  /** Ends all watches with an error. */
  endWatches(error: Error): void {
    for (const watcher of this.#watchers) {
      watcher.error = error;
      watcher.wake();
    }
  }

  /** Begins the watches that wait for it. */
  startWatches(): void {
    this.isStarting = true;
    for (const watcher of this.#watchers) this.#wake(watcher, this.revision);
  }

  async read(
    databaseId: number,
    ranges: readonly StoreRange[],
    { consistency }: { readonly consistency: "linearizable" | "stale" },
  ): Promise<ReadResult> {
    this.reads.push({ databaseId, consistency });
    await this.readHold;
    const { readError } = this;
    this.readError = null;
    if (readError !== null) throw readError;
    if (consistency === "stale" && this.staleBehind !== null) {
      return { revision: this.staleBehind.revision, ranges: ranges.map(() => []) };
    }
    const found = ranges.map(({ start }) => this.#entries.get(keyText(start)));
    return { revision: this.revision, ranges: found.map((entry) => entry === undefined ? [] : [entry]) };
  }

  async *watch(
    _databaseId: number,
    keys: readonly Uint8Array[],
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<{ readonly revision: number }> {
    const watcher: Watcher = {
      keys: new Set(keys.map((key) => keyText(key))),
      revision: this.isStarting ? this.revision : null,
      error: null,
      wake: () => {},
    };
    this.started.push([...watcher.keys]);
    this.#watchers.add(watcher);
    const onAbort = (): void => watcher.wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const { revision, error } = watcher;
        watcher.revision = null;
        if (error !== null) throw error;
        if (revision !== null) yield { revision };
        else await this.#sleep(watcher);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#watchers.delete(watcher);
    }
  }

  async #sleep(watcher: Watcher): Promise<void> {
    const { promise, resolve } = withResolvers<void>();
    watcher.wake = resolve;
    await promise;
    watcher.wake = () => {};
  }

  #wake(watcher: Watcher, revision: number): void {
    watcher.revision = revision;
    watcher.wake();
  }

  #entry(key: Uint8Array, text: string): KeyValue {
    const value = new TextEncoder().encode(`\x03${text}`);
    return { key, value, createRevision: this.revision, modRevision: this.revision, version: 1 };
  }
}
