/** Log lines of a bounded number in each window of time, so that a client, or a slow disk, cannot fill a disk with them. */
import type { Clock, Timer } from "./clock.ts";
import type { LogFields } from "./logger.ts";

/** Audit lines of one kind in a minute, unless another bound is given. */
export const MAX_REFUSED_LINES_A_MINUTE = 300;
const MINUTE_MS = 60_000;

/** Takes the lines. */
export interface LineWriter {
  /** Writes a line as it is: the caller bounds their number. */
  record(message: string, fields: LogFields): void;
}

/** The bound of lines: `max` in each window of time. */
export interface LineBound {
  readonly writer: LineWriter;
  readonly clock: Pick<Clock, "after">;
  readonly max: number;
  readonly windowMs: number;
  /** Takes the number of lines that a window has left out, at its end. */
  readonly leftOut: (lines: number) => void;
}

/** Lines of bounded number. */
export class BoundedLines {
  readonly #options: LineBound;
  #written = 0;
  #leftOut = 0;
  #window: Timer | null = null;
  #isClosed = false;

  constructor(options: LineBound) {
    this.#options = options;
  }

  /** Writes a line, or counts it where the window has its lines already. */
  write(message: string, fields: LogFields): void {
    const { writer, clock, max, windowMs } = this.#options;
    // A request that ends while the node stops has its line after the end of the log, and no timer may outlive that.
    if (!this.#isClosed) this.#window ??= clock.after(windowMs, () => this.#endWindow());
    if (this.#written >= max) {
      this.#leftOut += 1;
      return;
    }
    this.#written += 1;
    writer.record(message, fields);
  }

  /** Reports the lines that were left out, and ends the timer. */
  close(): void {
    this.#isClosed = true;
    this.#window?.cancel();
    this.#endWindow();
  }

  #endWindow(): void {
    const lines = this.#leftOut;
    this.#window = null;
    this.#written = 0;
    this.#leftOut = 0;
    if (lines > 0) this.#options.leftOut(lines);
  }
}

/** Returns audit lines of one kind, by default {@link MAX_REFUSED_LINES_A_MINUTE}; `about` names the kind of those left out. */
export function auditLines(
  about: string,
  { writer, clock, max = MAX_REFUSED_LINES_A_MINUTE, windowMs = MINUTE_MS }:
    & Pick<LineBound, "writer" | "clock">
    & Partial<Pick<LineBound, "max" | "windowMs">>,
): BoundedLines {
  const leftOut = (lines: number): void => writer.record("audit: lines left out", { about, lines });
  return new BoundedLines({ writer, clock, max, windowMs, leftOut });
}
