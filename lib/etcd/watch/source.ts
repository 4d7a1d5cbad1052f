/**
 * One watch of the cluster that all watches of the same plan share, as long as they are level: a node sends each event once,
 * and it is encoded once. A watch that is behind reads the history by itself, and joins again.
 */
import type { ClientCore } from "../../client/core.ts";
import { Keyspace } from "../../client/keyspace.ts";
import { watchKeys } from "../../client/watch/watch.ts";
import { AbortError } from "../../client/errors.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import { EventMessage } from "./event_message.ts";
import type { WatchPlan } from "./watch_plan.ts";

/** A watch that takes its events from a source. Its functions do not throw. */
export interface SourceReader {
  /** Takes the events of a revision, which is above {@link Source.revision} of before. */
  take(message: EventMessage): void;
  /** There are no further events up to {@link Source.revision}. */
  progressed(): void;
  /** The source has ended after {@link Source.revision}; the reader is not one of it any more. */
  ended(error: unknown): void;
}

/** Options of {@link Source}. */
export interface SourceOptions {
  readonly context: Pick<EtcdContext, "view">;
  readonly core: ClientCore;
  /** With puts, deletes, or both. */
  readonly plan: WatchPlan;
  /** The first revision. */
  readonly from: number;
  /** Called once when it has no more readers, or has failed. */
  readonly onEnd: () => void;
}

/** A watch with its readers. */
export class Source {
  readonly #options: SourceOptions;
  readonly #readers = new Set<SourceReader>();
  readonly #stop = new AbortController();
  #revision: number;

  /** Begins to watch; the first reader is added at once. */
  constructor(options: SourceOptions) {
    this.#options = options;
    this.#revision = options.from - 1;
    void this.#run();
  }

  /** The readers were given everything up to this revision. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether a reader is one of this source. */
  has(reader: SourceReader): boolean {
    return this.#readers.has(reader);
  }

  /** Adds a reader of everything after {@link revision}. */
  add(reader: SourceReader): void {
    this.#readers.add(reader);
  }

  /** Removes a reader. Without readers the source ends. */
  remove(reader: SourceReader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0) return;
    this.#options.onEnd();
    this.#stop.abort(new AbortError("Cannot watch keys: the last reader has left."));
  }

  /** Delivers until the last reader has left, or the watch fails. Never rejects. */
  async #run(): Promise<void> {
    const { core, plan: { keys, puts, deletes, previous }, from } = this.#options;
    const { signal } = this.#stop;
    const range = keys.kind === "key"
      ? { key: keys.key }
      : { start: keys.start, ...(keys.end === null ? {} : { end: keys.end }) };
    const only = puts && deletes ? {} : { only: puts ? "puts" as const : "deletes" as const };
    try {
      const request = { ...range, ...only, from, previous, progress: true, signal };
      for await (const batch of watchKeys(core, Keyspace.ALL, request)) {
        this.#revision = Math.max(this.#revision, batch.revision);
        if (batch.kind === "events") this.#deliver(batch);
        else for (const reader of this.#readers) reader.progressed();
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#options.onEnd();
      const readers = [...this.#readers];
      this.#readers.clear();
      for (const reader of readers) reader.ended(error);
    }
  }

  #deliver(events: ConstructorParameters<typeof EventMessage>[1][number]): void {
    const message = new EventMessage(headerOf(this.#options.context, events.revision), [events]);
    for (const reader of this.#readers) reader.take(message);
  }
}
