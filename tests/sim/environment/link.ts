/** The link from one machine to another: its latency, its bandwidth, and whether it is cut. One direction each. */
import type { SeededRandom } from "../../support/seeded_random.ts";

/** The properties of a healthy {@link Link}. */
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

  /** Whether the link is cut. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Cuts the link; bytes in flight wait, as with TCP's retransmissions. */
  cut(): void {
    this.#isCut = true;
  }

  /** Slows the link down. */
  slow(speed: LinkSpeed): void {
    this.#speed = speed;
  }

  /** Restores the initial properties. */
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

  /** Returns the delay of the next bytes. */
  delayMs(bytes: number): number {
    const { latencyMs, bytesPerMs } = this.#speed;
    return latencyMs * (0.5 + this.#random.next()) + bytes / bytesPerMs;
  }
}
