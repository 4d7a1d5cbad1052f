/**
 * The audit log: a line for each sign-in, for each refused request and, with `--audit-log on`, for each write and
 * administrative request that was let through. A line says who asked, from where, for what kind of request, about which
 * keys, and with what result. It never has a value, a password or a token.
 *
 * A client must not be able to fill the disk with lines: a bounded number is written in each window of time, and then the
 * number of those left out. Each kind of line has a bound of its own, so that clients without a user, which cause refusals
 * and failed sign-ins only, do not keep out the lines about users.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { LogFields } from "../../platform/logger.ts";
import type { SignInResult } from "../metrics/metrics.ts";

/**
 * Lines in a minute about each of these: refused requests without a user, refused requests of users, failed sign-ins, and
 * successful ones. That is about 400 MB a day at most in all.
 */
export const MAX_REFUSED_LINES_A_MINUTE = 300;
/** Lines about requests that were let through in a second. */
export const MAX_ALLOWED_LINES_A_SECOND = 1_000;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** Takes the lines. */
export interface AuditWriter {
  /** Writes a line as it is: the caller bounds their number. */
  record(message: string, fields: LogFields): void;
}

/** A request, as a line describes it. */
export interface AuditedRequest {
  /** The name of the user; null for a connection without one. */
  readonly user: string | null;
  readonly remote: string;
  readonly request: string;
  /** The keys that it is about, in words; null where it is about none. */
  readonly keys: string | null;
  /** The change of users, roles or tokens, in words; only of a request that makes one. */
  readonly change?: string;
}

/** Writes the audit lines of a node. */
export class AuditLog {
  readonly #recordsAllowed: () => boolean;
  readonly #withoutUser: BoundedLines;
  readonly #refused: BoundedLines;
  readonly #failedSignIns: BoundedLines;
  readonly #signIns: BoundedLines;
  readonly #allowed: BoundedLines;

  constructor(
    writer: AuditWriter,
    { clock, recordsAllowed }: {
      readonly clock: Pick<Clock, "after">;
      readonly recordsAllowed: () => boolean;
    },
  ) {
    this.#recordsAllowed = recordsAllowed;
    const aMinute = { writer, clock, max: MAX_REFUSED_LINES_A_MINUTE, windowMs: MINUTE_MS };
    this.#withoutUser = new BoundedLines({ ...aMinute, about: "refused requests without a user" });
    this.#refused = new BoundedLines({ ...aMinute, about: "refused requests of users" });
    this.#failedSignIns = new BoundedLines({ ...aMinute, about: "failed sign-ins" });
    this.#signIns = new BoundedLines({ ...aMinute, about: "successful sign-ins" });
    this.#allowed = new BoundedLines({
      writer,
      clock,
      max: MAX_ALLOWED_LINES_A_SECOND,
      windowMs: SECOND_MS,
      about: "allowed requests",
    });
  }

  /** Whether requests that were let through have lines. */
  get recordsAllowed(): boolean {
    return this.#recordsAllowed();
  }

  /** Records a request that was refused for want of a user or of rights. */
  refused(request: AuditedRequest, code: string): void {
    const lines = request.user === null ? this.#withoutUser : this.#refused;
    lines.write("audit: request refused", { ...request, code });
  }

  /** Records a write or an administrative request that was let through. */
  allowed(request: AuditedRequest): void {
    this.#allowed.write("audit: request allowed", { ...request });
  }

  /** Records the end of an attempt to sign in. The name is that of a user: what others type may be a password. */
  signIn(
    attempt: { readonly user: string | null; readonly remote: string; readonly via: string },
    result: SignInResult,
  ): void {
    const lines = result === "ok" ? this.#signIns : this.#failedSignIns;
    lines.write("audit: sign-in", { ...attempt, result });
  }

  /** Writes the number of lines that were left out, and ends the timers. */
  close(): void {
    const all = [this.#withoutUser, this.#refused, this.#failedSignIns, this.#signIns, this.#allowed];
    for (const lines of all) lines.close();
  }
}

/** The bound of lines: `max` in each window of time. */
interface LineBound {
  readonly writer: AuditWriter;
  readonly clock: Pick<Clock, "after">;
  readonly max: number;
  readonly windowMs: number;
  /** The subject of the lines, for the line that counts those left out. */
  readonly about: string;
}

/** Lines of bounded number. */
class BoundedLines {
  readonly #options: LineBound;
  #written = 0;
  #leftOut = 0;
  #window: Timer | null = null;
  #isClosed = false;

  constructor(options: LineBound) {
    this.#options = options;
  }

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
    const { writer, about } = this.#options;
    if (lines > 0) writer.record("audit: lines left out", { about, lines });
  }
}
