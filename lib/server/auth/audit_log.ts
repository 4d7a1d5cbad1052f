/**
 * The audit log: a line for each sign-in, for each refused request and, with `--audit-log on`, for each write and
 * administrative request that was let through. A line says who asked, from where, for what kind of request, about which
 * keys, and with what result. It never has a value, a password or a token.
 *
 * A client must not be able to fill the disk with lines: at most MAX_LINES_A_WINDOW are written in each window, and the
 * number of those left out is in the next line of its kind.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { LogFields } from "../../platform/logger.ts";

/** Maximum number of lines in AUDIT_WINDOW_MS. */
export const MAX_LINES_A_WINDOW = 200;
export const AUDIT_WINDOW_MS = 1_000;

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
}

/** Writes the audit lines of a node. */
export class AuditLog {
  readonly #writer: AuditWriter;
  readonly #clock: Pick<Clock, "after">;
  /** Whether requests that were let through have lines. */
  readonly recordsAllowed: boolean;
  #written = 0;
  #leftOut = 0;
  #window: Timer | null = null;

  constructor(
    writer: AuditWriter,
    { clock, recordsAllowed }: { readonly clock: Pick<Clock, "after">; readonly recordsAllowed: boolean },
  ) {
    this.#writer = writer;
    this.#clock = clock;
    this.recordsAllowed = recordsAllowed;
  }

  /** Records a request that was refused for want of a user or of rights. */
  refused(request: AuditedRequest, code: string): void {
    this.#record("audit: request refused", { ...request, code });
  }

  /** Records a write or an administrative request that was let through. */
  allowed(request: AuditedRequest): void {
    this.#record("audit: request allowed", { ...request });
  }

  /** Records the end of an attempt to sign in. The name is that of a user: what others type may be a password. */
  signIn(
    attempt: { readonly user: string | null; readonly remote: string; readonly via: string },
    result: string,
  ): void {
    this.#record("audit: sign-in", { ...attempt, result });
  }

  /** Writes the number of lines that were left out, and ends the timer. */
  close(): void {
    this.#window?.cancel();
    this.#endWindow();
  }

  #record(message: string, fields: LogFields): void {
    this.#window ??= this.#clock.after(AUDIT_WINDOW_MS, () => this.#endWindow());
    if (this.#written >= MAX_LINES_A_WINDOW) {
      this.#leftOut += 1;
      return;
    }
    this.#written += 1;
    this.#writer.record(message, fields);
  }

  #endWindow(): void {
    const lines = this.#leftOut;
    this.#window = null;
    this.#written = 0;
    this.#leftOut = 0;
    if (lines > 0) this.#writer.record("audit: lines left out", { lines });
  }
}
