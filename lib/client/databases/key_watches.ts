/**
 * Watches of single keys, each shared by all of its readers: the streams of a front end watch the same keys often, and a
 * node takes a bounded number of watches.
 *
 * A reader learns that its keys have changed, up to which revision, and reads them itself; so several changes that it has
 * not taken yet are one. It is notified first when all of its keys are watched: a read that begins then misses no change.
 */
import { keyText } from "../../kv/keys.ts";
import { assertNever } from "../../platform/assert.ts";
import { withResolvers } from "../../platform/promise.ts";
import type { ClientCore } from "../core.ts";
import { AbortError } from "../errors.ts";
import { Keyspace } from "../keyspace.ts";
import { watchKeys } from "../watch/watch.ts";

/** A reader of a watch. */
interface Subscriber {
  /** The key is watched, and everything up to this revision was reported. */
  started(revision: number): void;
  /** The key has changed in this revision. */
  changed(revision: number): void;
  failed(error: unknown): void;
}

/** The watch of one key, from its first reader on until its last one leaves. */
class KeyWatch {
  readonly subscribers = new Set<Subscriber>();
  readonly stop = new AbortController();
  /** The revision up to which everything was reported; null until the watch has begun. */
  revision: number | null = null;

  /** Notifies the readers until the watch is stopped or fails. Never rejects. */
  async run(core: ClientCore, key: Uint8Array, ended: () => void): Promise<void> {
    const { signal } = this.stop;
    try {
      for await (
        const batch of watchKeys(core, Keyspace.ALL, { key, progress: true, resync: true, signal })
      ) {
        const isFirst = this.revision === null;
        this.revision = batch.revision;
        switch (batch.kind) {
          case "progress":
            if (isFirst) { for (const subscriber of this.subscribers) subscriber.started(batch.revision); }
            break;
          case "events":
          case "reset":
            for (const subscriber of this.subscribers) subscriber.changed(batch.revision);
            break;
          default:
            assertNever(batch);
        }
      }
    } catch (error) {
      ended();
      if (!signal.aborted) { for (const subscriber of this.subscribers) subscriber.failed(error); }
    }
  }
}

/** The watches of the keys of one client. */
export class KeyWatches {
  readonly #core: ClientCore;
  readonly #watches = new Map<string, KeyWatch>();

  /** Makes watches over the connections of `core`. */
  constructor(core: ClientCore) {
    this.#core = core;
  }

  /** Number of keys that are watched. */
  get size(): number {
    return this.#watches.size;
  }

  /**
   * Yields once all of these keys are watched, and then whenever one of them has changed: the revision that a read of them
   * must have reached. Ends when `signal` is aborted; rejects with a KvraftError when a key cannot be watched.
   */
  async *changes(
    keys: readonly Uint8Array[],
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<{ readonly revision: number }, void> {
    const distinct = new Map(keys.map((key) => [keyText(key), key]));
    const reader = new Reader(distinct.size);
    const onAbort = (): void => reader.end();
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) reader.end();
    for (const [text, key] of distinct) this.#subscribe(text, key, reader);
    try {
      for (let revision = await reader.next(); revision !== null; revision = await reader.next()) {
        yield { revision };
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      for (const text of distinct.keys()) this.#unsubscribe(text, reader);
    }
  }

  #subscribe(text: string, key: Uint8Array, reader: Reader): void {
    const known = this.#watches.get(text);
    if (known !== undefined) {
      known.subscribers.add(reader);
      if (known.revision !== null) reader.started(known.revision);
      return;
    }
    const watch = new KeyWatch();
    this.#watches.set(text, watch);
    watch.subscribers.add(reader);
    void watch.run(this.#core, key, () => {
      if (this.#watches.get(text) === watch) this.#watches.delete(text);
    });
  }

  #unsubscribe(text: string, reader: Reader): void {
    const watch = this.#watches.get(text);
    if (watch === undefined || !watch.subscribers.delete(reader) || watch.subscribers.size > 0) return;
    this.#watches.delete(text);
    watch.stop.abort(new AbortError("Cannot watch a key: its last reader has left."));
  }
}

/** The keys of one reader. */
class Reader implements Subscriber {
  /** Keys that are not watched yet. */
  #starting: number;
  /** The highest revision that was reported and not taken; null for none. */
  #pending: number | null = null;
  #isEnded = false;
  #failure: { readonly error: unknown } | null = null;
  #wake: (() => void) | null = null;

  constructor(keys: number) {
    this.#starting = keys;
  }

  started(revision: number): void {
    this.#starting -= 1;
    this.#note(revision);
  }

  changed(revision: number): void {
    this.#note(revision);
  }

  failed(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  /** Ends the reader: {@link next} resolves to null. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** Resolves to the next revision; to null at the end. Rejects if a key cannot be watched. */
  async next(): Promise<number | null> {
    for (;;) {
      if (this.#isEnded) return null;
      if (this.#failure !== null) throw this.#failure.error;
      const revision = this.#pending;
      if (this.#starting === 0 && revision !== null) {
        this.#pending = null;
        return revision;
      }
      const { promise, resolve } = withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  #note(revision: number): void {
    this.#pending = Math.max(this.#pending ?? 0, revision);
    if (this.#starting === 0) this.#wake?.();
  }
}
