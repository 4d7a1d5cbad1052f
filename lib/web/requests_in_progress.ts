/** The requests of a service that are in progress: a front end that stops waits for their answers. */
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/promise.ts";

/** Counts requests, without those that end only when the service does. */
export class RequestsInProgress {
  #count = 0;
  readonly #whenIdle: (() => void)[] = [];

  /** Notes that a request has begun. */
  begin(): void {
    this.#count += 1;
  }

  /** Notes that a request has ended. */
  end(): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Resolves once no request is in progress, or after a time. */
  async idleWithin(timeoutMs: number, clock: Clock): Promise<void> {
    if (this.#count === 0) return;
    const idle = new AbortController();
    this.#whenIdle.push(() => idle.abort());
    await pause(timeoutMs, { clock, signal: idle.signal });
  }
}
