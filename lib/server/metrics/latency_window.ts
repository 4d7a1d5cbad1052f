/** Quantiles of the newest numbers of a histogram that is never reset. */
import type { DoublingHistogram } from "./metrics.ts";

/** The numbers of one window; null without any. */
export interface WindowFigures {
  /** The median, estimated from the buckets. */
  readonly p50: number | null;
  /** The 99th percentile, estimated likewise. */
  readonly p99: number | null;
  /** The greatest. */
  readonly max: number | null;
}

/**
 * The numbers of the last one to two periods: the counts at the beginnings of these are kept. Its owner ends the periods, so
 * that it has no timer.
 */
export class LatencyWindow {
  readonly #histogram: DoublingHistogram;
  /** The counts at the beginning of the period before, and of this one. */
  #before: Float64Array;
  #begin: Float64Array;
  /** The greatest number of the period before. */
  #maxBefore = 0;

  constructor(histogram: DoublingHistogram) {
    this.#histogram = histogram;
    this.#before = this.#begin = histogram.copyCounts();
  }

  /** Ends a period. */
  rotate(): void {
    this.#maxBefore = this.#histogram.takeMax();
    this.#before = this.#begin;
    this.#begin = this.#histogram.copyCounts();
  }

  /** Returns the quantiles of the numbers of this period and the one before. */
  figures(): WindowFigures {
    const counts = this.#histogram.copyCounts().map((count, at) => count - (this.#before[at] ?? 0));
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (total === 0) return { p50: null, p99: null, max: null };
    const max = Math.max(this.#maxBefore, this.#histogram.max);
    return {
      p50: this.#quantile(counts, total / 2, max),
      p99: this.#quantile(counts, total * 0.99, max),
      max,
    };
  }

  /** Returns the number of a rank, as if those of its bucket were at equal distances. */
  #quantile(counts: Float64Array, rank: number, max: number): number {
    let below = 0;
    let position = 0;
    while (position < counts.length - 1 && below + (counts[position] ?? 0) < rank) {
      below += counts[position] ?? 0;
      position += 1;
    }
    const { from, to } = this.#histogram.boundsOf(position);
    const share = (rank - below) / (counts[position] ?? 1);
    return Math.round(Math.min(max, from + (Math.min(to, max) - from) * share));
  }
}
