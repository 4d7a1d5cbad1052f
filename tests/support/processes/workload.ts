/**
 * Writers under which a cluster is disturbed, and the proof afterwards that nothing acknowledged was lost, doubled or
 * reordered.
 *
 * Each writer puts the numbers 1, 2, 3 … under keys of its own, one after the other. A lost write is a key that is
 * missing, a doubled one a key of version 2, a reordered one a modRevision that falls.
 */
import { assert, assertEquals } from "@std/assert";
import type { KeyValue, KvClient, ListResult } from "../../../lib/mod.ts";
import { eventually } from "../eventually.ts";

const WRITERS = 8;
const PAGE_ENTRIES = 1_000;
/** Writes after which a writer reads its last one back, linearizably. */
const READ_BACK_EVERY = 8;

/** Progress of one writer. */
interface Account {
  readonly writer: number;
  /** The next number to write. */
  next: number;
  readonly acknowledged: number[];
  /** Writes that ended with an error: their outcome is unknown. */
  readonly unknown: number[];
}

/** Writers that run until they are stopped. */
export class Workload implements AsyncDisposable {
  readonly #client: KvClient;
  readonly #prefix: string;
  readonly #stop = new AbortController();
  readonly #accounts: readonly Account[];
  readonly #writers: Promise<void>;
  #failure: unknown = null;

  private constructor(client: KvClient, prefix: string) {
    this.#client = client;
    this.#prefix = prefix;
    this.#accounts = Array.from({ length: WRITERS }, (_, position) => (
      { writer: position + 1, next: 1, acknowledged: [], unknown: [] }
    ));
    this.#writers = Promise.all(this.#accounts.map((account) => this.#write(account)))
      .then(() => {}, (error) => {
        this.#failure = error;
      });
  }

  /** Starts the writers, under keys that begin with `prefix`. Use with `await using`. */
  static start(client: KvClient, prefix = "workload"): Workload {
    return new Workload(client, prefix);
  }

  /** Writes acknowledged so far. */
  get acknowledged(): number {
    return this.#accounts.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
  }

  /** Waits until this many more writes are acknowledged. */
  async progress(writes: number, explain: () => string): Promise<void> {
    const goal = this.acknowledged + writes;
    await eventually(`${writes} more writes are acknowledged`, () => {
      if (this.#failure !== null) throw this.#failure;
      return this.acknowledged >= goal ? true : null;
    }, { explain });
  }

  /** Stops the writers; then checks that all acknowledged writes are in the store, once and in order. */
  async stopAndVerify(): Promise<void> {
    await this[Symbol.asyncDispose]();
    if (this.#failure !== null) throw this.#failure;
    for (const account of this.#accounts) await this.#verify(account);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#writers;
  }

  async #write(account: Account): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const number = account.next++;
      const key = this.#key(account.writer, number);
      try {
        await this.#client.put(key, `${number}`, { signal: this.#stop.signal });
        account.acknowledged.push(number);
      } catch {
        account.unknown.push(number);
        continue;
      }
      if (number % READ_BACK_EVERY === 0) {
        const entry = await this.#client.get(key).catch(() => "no answer");
        assert(entry !== null, `${key} was acknowledged, and a linearizable read does not find it`);
      }
    }
  }

  async #verify({ writer, acknowledged, unknown }: Account): Promise<void> {
    const decoder = new TextDecoder();
    const found: number[] = [];
    let lastRevision = 0;
    for await (const entry of this.#entriesOf(writer)) {
      const number = Number(decoder.decode(entry.value));
      assertEquals(
        { key: decoder.decode(entry.key), version: entry.version },
        { key: this.#key(writer, number), version: 1 },
      );
      // A write with an unknown outcome may be applied late, at any place in the order.
      if (unknown.includes(number)) continue;
      assert(
        entry.modRevision > lastRevision,
        `${decoder.decode(entry.key)} is older than the write before it`,
      );
      lastRevision = entry.modRevision;
      found.push(number);
    }
    assertEquals(found, acknowledged, `the acknowledged writes of writer ${writer} against the stored ones`);
  }

  async *#entriesOf(writer: number): AsyncGenerator<KeyValue> {
    let cursor: string | null = null;
    do {
      const page: ListResult = await this.#client.list({
        prefix: `${this.#prefix}/${writer}/`,
        limit: PAGE_ENTRIES,
        cursor,
      });
      yield* page.entries;
      cursor = page.cursor;
    } while (cursor !== null);
  }

  #key(writer: number, number: number): string {
    return `${this.#prefix}/${writer}/${String(number).padStart(8, "0")}`;
  }
}
