/**
 * Sorts the entries of a range as its pages arrive, and keeps the first ones. Each page is sorted by itself and merged with
 * earlier ones of its size; merging lets other work in every few milliseconds.
 */
import type { KeyValue } from "../../../kv/command.ts";
import { EtcdError } from "../../rpc/status.ts";

/** Bytes of keys and values that are sorted for one answer. */
export const MAX_SORTED_BYTES = 67_108_864;
/** Entries that are merged in one step: about 1 ms of work. */
const STEP_ENTRIES = 8_192;

/** Sorted entries, with the bytes of their keys and values. */
interface Run {
  readonly entries: readonly KeyValue[];
  readonly bytes: number;
}

/** Options of {@link SortedRuns}. */
export interface SortOptions {
  readonly order: (a: KeyValue, b: KeyValue) => number;
  /** Entries that are kept; Infinity: all. */
  readonly limit: number;
  /** Resolves once other work was done. */
  readonly yieldToOthers: () => Promise<void>;
}

/** The entries of a range in another order than that of its keys. Those that are equal keep the order in which they came. */
export class SortedRuns {
  readonly #options: SortOptions;
  /** Each is longer than the one behind it. */
  readonly #runs: Run[] = [];

  constructor(options: SortOptions) {
    this.#options = options;
  }

  /** Adds the entries of a page. Rejects with EtcdError if those that are kept are too many. */
  async add(page: readonly KeyValue[]): Promise<void> {
    const { order, limit } = this.#options;
    let entries: readonly KeyValue[] = page.toSorted(order);
    // What is kept of a page must not keep the buffer of the page.
    if (limit !== Infinity) entries = entries.slice(0, limit).map(owned);
    let bytes = 0;
    for (const entry of entries) bytes += bytesOf(entry);
    this.#runs.push({ entries, bytes });
    await this.#merge((longer, last) => longer.entries.length <= 2 * last.entries.length);
    if (this.#runs.reduce((sum, run) => sum + run.bytes, 0) <= MAX_SORTED_BYTES) return;
    throw new EtcdError(
      "resourceExhausted",
      `kvraft: an answer that is sorted by other than keys has more than ${MAX_SORTED_BYTES} bytes. Use a limit.`,
    );
  }

  /** Returns the first entries of all in order. */
  async finish(): Promise<readonly KeyValue[]> {
    await this.#merge(() => true);
    return this.#runs[0]?.entries ?? [];
  }

  /** Merges the last two runs as long as `isDue` says so. */
  async #merge(isDue: (longer: Run, last: Run) => boolean): Promise<void> {
    for (;;) {
      const [longer, last] = this.#runs.slice(-2);
      if (longer === undefined || last === undefined || !isDue(longer, last)) return;
      this.#runs.splice(-2, 2, await this.#merged(longer.entries, last.entries));
    }
  }

  async #merged(a: readonly KeyValue[], b: readonly KeyValue[]): Promise<Run> {
    const { order, limit, yieldToOthers } = this.#options;
    const entries: KeyValue[] = [];
    const end = Math.min(limit, a.length + b.length);
    let bytes = 0;
    let [atA, atB] = [0, 0];
    while (entries.length < end) {
      const [nextA, nextB] = [a[atA], b[atB]];
      const isFromA = nextB === undefined || (nextA !== undefined && order(nextA, nextB) <= 0);
      const next = isFromA ? nextA : nextB;
      if (next === undefined) break;
      if (isFromA) atA++;
      else atB++;
      entries.push(next);
      bytes += bytesOf(next);
      if (entries.length % STEP_ENTRIES === 0) await yieldToOthers();
    }
    return { entries, bytes };
  }
}

function owned(entry: KeyValue): KeyValue {
  return { ...entry, key: entry.key.slice(), value: entry.value.slice() };
}

function bytesOf({ key, value }: KeyValue): number {
  return key.length + value.length;
}
