/** A watch of a client as a test reads it. */
import type { KvClient, WatchBatch, WatchRequest } from "../../../lib/mod.ts";

/** A watch whose batches are gathered as they come. */
export class BatchReader {
  readonly #iterator: AsyncIterator<WatchBatch>;
  readonly batches: WatchBatch[] = [];

  /** Begins with the first read. */
  constructor(client: Pick<KvClient, "watch">, request: WatchRequest) {
    this.#iterator = client.watch(request)[Symbol.asyncIterator]();
  }

  /** The revisions of the batches. */
  get revisions(): readonly number[] {
    return this.batches.map(({ revision }) => revision);
  }

  /** Reads one batch. */
  async read(): Promise<void> {
    const { done, value } = await this.#iterator.next();
    if (done !== true) this.batches.push(value);
  }

  /** Reads without end; resolves at the end of the watch, and rejects with its error. */
  async readAll(): Promise<void> {
    for (let end = false; !end;) {
      const before = this.batches.length;
      await this.read();
      end = this.batches.length === before;
    }
  }

  /** Ends the watch. */
  async end(): Promise<void> {
    await this.#iterator.return?.();
  }
}
