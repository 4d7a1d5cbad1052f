/** The batches of a watch between the connection and the program that reads them. */
import { withResolvers } from "../../platform/promise.ts";
import type { WatchBatch, WatchEvent } from "./types.ts";

/** Batches that wait for the program; with as many the queue is full. */
export const MAX_WAITING_BATCHES = 1_024;
/** Bytes of batches that wait for the program; with as many the queue is full. */
export const MAX_WAITING_BATCH_BYTES = 1_048_576;
/** Bytes that an event or entry counts for beside its key and values. */
const ENTRY_OVERHEAD_BYTES = 128;

/** A batch with its size. */
interface Waiting {
  readonly batch: WatchBatch;
  readonly bytes: number;
}

/** The end of a watch; `error` is null where the program ended it. */
interface End {
  readonly error: Error | null;
}

/**
 * A queue with one reader. It never refuses a batch: its writer asks {@link isFull} after each one, and stops what feeds
 * it until {@link untilLow} resolves.
 */
export class BatchQueue {
  readonly #waiting: Waiting[] = [];
  readonly #takers: PromiseWithResolvers<IteratorResult<WatchBatch, undefined>>[] = [];
  #bytes = 0;
  #end: End | null = null;
  #low: PromiseWithResolvers<void> | null = null;

  /** Whether what feeds the queue must stop. */
  get isFull(): boolean {
    return this.#waiting.length >= MAX_WAITING_BATCHES || this.#bytes >= MAX_WAITING_BATCH_BYTES;
  }

  /** Adds a batch. A second batch of progress in a row replaces the first. */
  push(batch: WatchBatch): void {
    if (this.#end !== null) return;
    const taker = this.#takers.shift();
    if (taker !== undefined) return taker.resolve({ done: false, value: batch });
    const last = this.#waiting.at(-1);
    if (batch.kind === "progress" && last?.batch.kind === "progress") this.#waiting.pop();
    else this.#bytes += bytesOf(batch);
    this.#waiting.push({ batch, bytes: bytesOf(batch) });
  }

  /** Resolves to the next batch, or to the end. Rejects once with the error of the end. */
  next(): Promise<IteratorResult<WatchBatch, undefined>> {
    const first = this.#waiting.shift();
    if (first !== undefined) {
      this.#bytes -= first.bytes;
      if (this.#isLow) this.#low?.resolve();
      return Promise.resolve({ done: false, value: first.batch });
    }
    if (this.#end !== null) return this.#takeEnd();
    const taker = withResolvers<IteratorResult<WatchBatch, undefined>>();
    this.#takers.push(taker);
    return taker.promise;
  }

  /** Ends the queue with an error, which the reader gets after the batches that wait. The first end counts. */
  fail(error: Error): void {
    if (this.#end === null) this.#finish({ error });
  }

  /** Ends the queue and drops what waits. `error` is null where the program asked for it. */
  close(error: Error | null): void {
    if (this.#end !== null && error !== null) return;
    this.#waiting.length = 0;
    this.#bytes = 0;
    this.#finish({ error });
  }

  /** Resolves once half of the queue is free, or it has ended. */
  async untilLow(): Promise<void> {
    if (this.#isLow || this.#end !== null) return;
    this.#low = withResolvers();
    await this.#low.promise;
    this.#low = null;
  }

  get #isLow(): boolean {
    return this.#waiting.length <= MAX_WAITING_BATCHES / 2 && this.#bytes <= MAX_WAITING_BATCH_BYTES / 2;
  }

  #finish(end: End): void {
    this.#end = end;
    this.#low?.resolve();
    for (const taker of this.#takers.splice(0)) this.#takeEnd().then(taker.resolve, taker.reject);
  }

  #takeEnd(): Promise<IteratorResult<WatchBatch, undefined>> {
    const error = this.#end?.error ?? null;
    this.#end = { error: null };
    return error === null ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }
}

function bytesOf(batch: WatchBatch): number {
  switch (batch.kind) {
    case "events":
      return batch.events.reduce((sum, event) => sum + bytesOfEvent(event), 0);
    case "reset":
      return batch.entries.reduce((sum, { key, value }) => sum + sizeOf(key, value), 0);
    case "progress":
      return ENTRY_OVERHEAD_BYTES;
  }
}

function bytesOfEvent(event: WatchEvent): number {
  const previousBytes = event.previous?.value.length ?? 0;
  if (event.kind === "delete") return sizeOf(event.key, event.key) + previousBytes;
  return sizeOf(event.entry.key, event.entry.value) + previousBytes;
}

function sizeOf(key: Uint8Array, value: Uint8Array): number {
  return ENTRY_OVERHEAD_BYTES + key.length + value.length;
}
