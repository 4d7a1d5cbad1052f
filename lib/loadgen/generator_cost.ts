/** Finds out whether the generator of the load was the bottleneck: then it was measured, and not the store. */
import type { Clock, Timer } from "../platform/clock.ts";
import { LatencyHistogram } from "./histogram.ts";

/** Between two looks at how late the event loop runs. */
const LOOK_INTERVAL_MS = 20;
/** Above this share of a core the event loop has hardly a turn to spare. */
const BOUND_SHARE = 0.9;

/** CPU time and timer delay of the generator. */
export interface GeneratorCost {
  /** CPU time of the generator's thread, of the time that passed; 1 is a whole core. */
  readonly cpuShare: number;
  /** How late its timers fired: what it added at most to 99 in 100 latencies. */
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
}

/** Whether the generator may have been what limited the throughput. */
export function isGeneratorBound({ cpuShare }: GeneratorCost): boolean {
  return cpuShare >= BOUND_SHARE;
}

/** Sources of the measurements. */
export interface GeneratorCostOptions {
  readonly clock: Pick<Clock, "now" | "after">;
  /** CPU time of this thread so far. */
  readonly cpuMs: () => number;
}

/** Measures from when it is made until {@link stop}. */
export class GeneratorCostRecorder {
  readonly #options: GeneratorCostOptions;
  readonly #startedAt: number;
  readonly #cpuAtStart: number;
  readonly #lag = new LatencyHistogram();
  #timer: Timer;

  /** Begins. */
  constructor(options: GeneratorCostOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#cpuAtStart = options.cpuMs();
    this.#timer = this.#look();
  }

  /** Ends, and tells. */
  stop(): GeneratorCost {
    this.#timer.cancel();
    const { clock, cpuMs } = this.#options;
    const elapsedMs = clock.now() - this.#startedAt;
    return {
      cpuShare: elapsedMs <= 0 ? 0 : (cpuMs() - this.#cpuAtStart) / elapsedMs,
      lagP99Ms: this.#lag.percentileMs(0.99),
      lagMaxMs: this.#lag.maxMs,
    };
  }

  #look(): Timer {
    const { clock } = this.#options;
    const dueAt = clock.now() + LOOK_INTERVAL_MS;
    return clock.after(LOOK_INTERVAL_MS, () => {
      this.#lag.record(clock.now() - dueAt);
      this.#timer = this.#look();
    });
  }
}
