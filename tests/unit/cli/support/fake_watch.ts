/** A watch whose batches a test gives. */
import { AbortError } from "../../../../lib/client/errors.ts";
import type { WatchBatch, WatchRequest } from "../../../../lib/client/watch/types.ts";

/** The watch: a queue of batches that ends when the caller's signal fires, or the test ends it. */
export class FakeWatch implements AsyncIterable<WatchBatch> {
  /** Whether the reader has ended it. */
  isEnded = false;
  readonly #stream: ReadableStream<WatchBatch>;
  #controller: ReadableStreamDefaultController<WatchBatch> | null = null;

  constructor(readonly request: WatchRequest) {
    this.#stream = new ReadableStream<WatchBatch>({
      start: (controller) => void (this.#controller = controller),
      cancel: () => void (this.isEnded = true),
    });
    request.signal?.addEventListener("abort", () => {
      this.isEnded = true;
      this.fail(new AbortError("Cannot watch keys: the caller's signal ended the watch."));
    });
  }

  /** Delivers a batch. */
  give(batch: WatchBatch): void {
    this.#controller?.enqueue(batch);
  }

  /** Ends the watch with an error. */
  fail(error: Error): void {
    this.#controller?.error(error);
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch> {
    return this.#stream[Symbol.asyncIterator]();
  }
}
