/** How long a check may take and how much it may remember before it says "undecided" rather than guess. */

/** The bounds of one check. */
export interface CheckLimits {
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Milliseconds for the whole check. */
  readonly timeMs: number;
  /** Configurations and states that one component's search remembers; one takes about 150 bytes. */
  readonly configurations: number;
}

/** Looks at the clock in every so many steps only: it costs as much as a step. */
const STEPS_PER_LOOK = 256;

/** What is left of the bounds. */
export class Budget {
  readonly #limits: CheckLimits;
  readonly #deadline: number;
  #steps = 0;
  #isLate = false;

  /** The time begins now. */
  constructor(limits: CheckLimits) {
    this.#limits = limits;
    this.#deadline = limits.now() + limits.timeMs;
  }

  /** To be asked before each step of a search that remembers `entries`: which bound was passed, or null. */
  exceeded(entries: number): "time" | "memory" | null {
    if (entries > this.#limits.configurations) return "memory";
    if (this.#steps++ % STEPS_PER_LOOK === 0) this.#isLate ||= this.#limits.now() > this.#deadline;
    return this.#isLate ? "time" : null;
  }
}
