/** The link from one machine to another: its latency, its bandwidth, and whether it is cut. One direction each. */
import type { SeededRandom } from "../../support/seeded_random.ts";

/** A {@link Link} as it is when nothing is wrong. */
export interface LinkSpeed {
  readonly latencyMs: number;
  readonly bytesPerMs: number;
}

/** One direction between two machines. */
export class Link {
  readonly #random: SeededRandom;
  readonly #healthy: LinkSpeed;
  #speed: LinkSpeed;
  #isCut = false;
  readonly #waiting = new Set<() => void>();

  constructor(healthy: LinkSpeed, random: SeededRandom) {
    this.#healthy = healthy;
    this.#speed = healthy;
    this.#random = random;
  }

  /** Whether nothing gets through. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Delivers nothing from now on; bytes in flight wait, as with a TCP that sends again. */
  cut(): void {
    this.#isCut = true;
  }

  /** It is slow from now on. */
  slow(speed: LinkSpeed): void {
    this.#speed = speed;
  }

  /** It is as it was made. */
  heal(): void {
    this.#isCut = false;
    this.#speed = this.#healthy;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const retry of waiting) retry();
  }

  /** Calls `retry` when it is healed next. */
  whenHealed(retry: () => void): void {
    this.#waiting.add(retry);
  }

  /** How long the next bytes take. */
  delayMs(bytes: number): number {
    const { latencyMs, bytesPerMs } = this.#speed;
    return latencyMs * (0.5 + this.#random.next()) + bytes / bytesPerMs;
  }
}
