/**
 * The events of the status page: what all members report, once a second, and at once when the leader changes.
 *
 * All viewers share one collection of the reports; without viewers there is none. An event is the whole view, so a viewer that is
 * slow misses events and has lost nothing with the next one.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { HttpStreamWriter } from "../../platform/network.ts";
import type { Logger } from "../../platform/logger.ts";
import { errorMessage } from "../../platform/errors.ts";

/** Time from one event to the next. */
export const EVENT_INTERVAL_MS = 1_000;
/** Least time between two events: elections that fail change the leader often. */
export const MIN_EVENT_INTERVAL_MS = 200;
/** First line of a stream: after a lost connection a browser connects again after this time. */
export const EVENTS_HEAD = "retry: 2000\n\n";

/** Dependencies of {@link Viewers}. */
export interface ViewersOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Resolves to the view of the cluster, as JSON in one line. */
  readonly view: () => Promise<string>;
}

/** Those who watch the status page of one node. */
export class Viewers {
  readonly #options: ViewersOptions;
  /** With whether each of them may still see the page. */
  readonly #open = new Map<HttpStreamWriter, () => boolean>();
  #timer: Timer | null = null;
  #isCollecting = false;
  /** Whether the next event does not wait for its time. */
  #isDue = false;
  #lastMs = -Infinity;

  /** Collects nothing yet. */
  constructor(options: ViewersOptions) {
    this.#options = options;
  }

  /** Number of open streams. */
  get size(): number {
    return this.#open.size;
  }

  /** Sends events to a viewer while `isAllowed`; the returned function ends that. */
  add(writer: HttpStreamWriter, isAllowed: () => boolean): () => void {
    this.#open.set(writer, isAllowed);
    this.changed();
    return () => {
      this.#open.delete(writer);
      if (this.#open.size === 0) this.#cancel();
    };
  }

  /** Has the next event come soon: something that viewers wait for has happened. */
  changed(): void {
    this.#isDue = true;
    if (!this.#isCollecting) this.#schedule();
  }

  /** Ends all streams. */
  close(): void {
    this.#cancel();
    for (const writer of this.#open.keys()) writer.close();
    this.#open.clear();
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #schedule(): void {
    this.#cancel();
    if (this.#open.size === 0) return;
    const { clock } = this.#options;
    const dueMs = this.#lastMs + (this.#isDue ? MIN_EVENT_INTERVAL_MS : EVENT_INTERVAL_MS);
    this.#timer = clock.after(Math.max(0, dueMs - clock.now()), () => {
      this.#timer = null;
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    this.#isDue = false;
    this.#lastMs = this.#options.clock.now();
    for (const [writer, isAllowed] of this.#open) if (!isAllowed()) writer.close();
    this.#isCollecting = true;
    try {
      const event = `data: ${await this.#options.view()}\n\n`;
      for (const writer of this.#open.keys()) writer.send(event);
    } catch (error) {
      this.#options.logger.warn("Cannot collect what the status page shows", { reason: errorMessage(error) });
    } finally {
      this.#isCollecting = false;
      this.#schedule();
    }
  }
}
