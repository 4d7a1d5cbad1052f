/**
 * Looks at accepted connections now and then: one on which a frame has begun and does not end is closed, since the bytes
 * of the frame are held as long as the connection is; one on which nothing was sent gives its buffers back.
 *
 * Frames are not timed one by one: most end within the read that began them. Looks are counted, not time, so that this
 * process being paused does not look like the other end's silence.
 */
import type { Clock, Timer } from "../platform/clock.ts";
import type { FrameChannel } from "./frame_channel.ts";
import { FRAME_CHECK_INTERVAL_MS, FRAME_CHECKS } from "../protocol/limits.ts";
import type { Logger } from "../platform/logger.ts";

/** Watches over channels. It has a timer only while there are any. */
export class FrameDeadlines {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #channels = new Set<FrameChannel>();
  #timer: Timer | null = null;

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Watches over a channel from now on. */
  add(channel: FrameChannel): void {
    this.#channels.add(channel);
    this.#timer ??= this.#clock.after(FRAME_CHECK_INTERVAL_MS, this.#check);
  }

  /** No longer watches over a channel. */
  remove(channel: FrameChannel): void {
    this.#channels.delete(channel);
    if (this.#channels.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  readonly #check = (): void => {
    this.#timer = this.#clock.after(FRAME_CHECK_INTERVAL_MS, this.#check);
    for (const channel of [...this.#channels]) {
      if (channel.check() <= FRAME_CHECKS) continue;
      const { remote } = channel;
      this.#logger.info("Closed a connection on which a frame did not end", { remote });
      channel.close(`a frame did not end within ${FRAME_CHECKS * FRAME_CHECK_INTERVAL_MS} ms`);
    }
  };
}
