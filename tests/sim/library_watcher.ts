/**
 * The watchers of a run that use the client library, which resumes a watch by itself: they take one batch after the other,
 * at times slowly, and at times end the watch and begin another one where it was.
 */
import {
  CompactedError,
  type KvClient,
  KvraftError,
  type WatchBatch,
  type WatchEvent,
} from "../../lib/mod.ts";
import { connectOn } from "../../lib/testing.ts";
import { CheckedWatch, type SeenEvent } from "./invariants/checked_watch.ts";
import { isDenial } from "./users/administrator.ts";
import { drawScope, type SimWatcherOptions } from "./watcher.ts";

/** Longest time of one watch, and longest pause of its reader. */
const MAX_WATCH_MS = 12_000;
const MAX_PAUSE_MS = 4_000;
const RETRY_MS = 200;

/** One watcher. */
export class LibraryWatcher {
  readonly #options: SimWatcherOptions;
  #watch: CheckedWatch;
  #made = 0;
  #ending: AbortController | null = null;
  #hasEnded = false;

  /** Makes a watcher that is not connected. */
  constructor(options: SimWatcherOptions) {
    this.#options = options;
    this.#watch = this.#newWatch(null);
  }

  /** For traces and messages. */
  get name(): string {
    return this.#options.name;
  }

  /** Whether it was sent all that it asks for. */
  get isLevel(): boolean {
    return this.#watch.isLevel;
  }

  /** Begins to watch. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  /** Ends it. */
  stop(): void {
    this.#hasEnded = true;
    this.#options.process.resume();
    this.#options.process.wake(() => this.#ending?.abort());
  }

  async #run(): Promise<void> {
    const { platform, cluster, credentials } = this.#options;
    while (!this.#hasEnded) {
      try {
        await using client = await connectOn(platform, {
          cluster: cluster(),
          timeoutMs: 3_000,
          ...credentials(),
        });
        while (!this.#hasEnded) await this.#watchOnce(client);
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        await this.#pause(RETRY_MS);
      }
    }
  }

  /** Watches until it ends the watch, or the store does. */
  async #watchOnce(client: KvClient): Promise<void> {
    const { random, isOver, platform, trace, name, truth, violated } = this.#options;
    const watch = this.#watch;
    const newest = truth.states.lastRevision;
    const { start, end, puts, deletes, previous } = watch.scope;
    const ending = new AbortController();
    this.#ending = ending;
    const timer = isOver() ? null : platform.clock.after(MAX_WATCH_MS * random.next(), () => {
      if (!isOver()) ending.abort();
    });
    const resync = random.chance(0.3);
    try {
      const batches = client.watch({
        start,
        ...(end === null ? {} : { end }),
        ...(watch.next === null ? {} : { from: watch.next }),
        ...(puts && deletes ? {} : { only: puts ? "puts" : "deletes" }),
        previous,
        progress: true,
        resync,
        signal: ending.signal,
      });
      for await (const batch of batches) {
        if (watch.next === null && batch.kind === "progress") watch.started(batch.revision, newest);
        this.#take(watch, batch);
        if (!isOver() && random.chance(0.02)) await this.#pause(MAX_PAUSE_MS * random.next());
      }
    } catch (error) {
      if (ending.signal.aborted) return;
      if (!(error instanceof KvraftError)) throw error;
      if (isDenial(error)) violated(`${name} keeps its rights and is refused: ${error.message}`);
      trace(() => `${name} ends (${error.code}): ${error.message}`);
      if (error instanceof CompactedError) return this.#compacted(watch, error.compactedRevision);
      await this.#pause(RETRY_MS);
    } finally {
      timer?.cancel();
    }
  }

  #take(watch: CheckedWatch, batch: WatchBatch): void {
    switch (batch.kind) {
      case "events":
        return watch.events(batch.revision, batch.events.map(seen), false);
      case "progress":
        return watch.progressed(batch.revision);
      case "reset":
        this.#options.coverage.count("watchesReset");
        return watch.wasReset(batch.revision, batch.entries);
    }
  }

  /** Checks that the watch's next revision is compacted, and begins another one like it from now on. */
  #compacted(watch: CheckedWatch, compactedRevision: number): void {
    watch.hasEndedCompacted(compactedRevision);
    this.#options.coverage.count("watchesEndedCompacted");
    this.#watch = this.#newWatch(watch);
  }

  #newWatch(before: CheckedWatch | null): CheckedWatch {
    const { name, truth, violated, random, plan } = this.#options;
    this.#made += 1;
    const scope = before?.scope ?? drawScope(random, plan);
    return new CheckedWatch({ name: `${name}.${this.#made}`, scope, from: null, truth, violated });
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}

function seen(event: WatchEvent): SeenEvent {
  const { previous } = event;
  return event.kind === "put"
    ? { key: event.entry.key, entry: event.entry, previous }
    : { key: event.key, entry: null, previous };
}
