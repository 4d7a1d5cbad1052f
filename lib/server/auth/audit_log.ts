/**
 * The audit log: a line for each sign-in, for each refused request and, with `--audit-log on`, for each write and
 * administrative request that was let through. A line says who asked, from where, for what kind of request, about which
 * keys, and with what result. It never has a value, a password or a token.
 *
 * A client must not be able to fill the disk with lines: a bounded number is written in each window of time, and then the
 * number of those left out. Each kind of line has a bound of its own, so that clients without a user, which cause refusals
 * and failed sign-ins only, do not keep out the lines about users.
 */
import { auditLines, type BoundedLines, type LineWriter } from "../../platform/bounded_lines.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";
import type { SignInResult } from "../metrics/metrics.ts";

/** Lines about requests that were let through in a second. */
export const MAX_ALLOWED_LINES_A_SECOND = 1_000;
const SECOND_MS = 1_000;

/** Takes the lines. */
export type AuditWriter = LineWriter;

/** Returns the writer of a platform without one: it logs the lines as information. */
export function auditTo(logger: Pick<Logger, "info">): AuditWriter {
  return { record: (message, fields) => logger.info(message, fields) };
}

/** A request, as a line describes it. */
export interface AuditedRequest {
  /** The name of the user; null for a connection without one. */
  readonly user: string | null;
  /** The common name of a valid certificate that names no user; only of a connection without a user that shows one. */
  readonly certificate?: string;
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
    const bound = { writer, clock };
    // 300 lines a minute of each of four kinds are about 400 MB a day.
    this.#withoutUser = auditLines("refused requests without a user", bound);
    this.#refused = auditLines("refused requests of users", bound);
    this.#failedSignIns = auditLines("failed sign-ins", bound);
    this.#signIns = auditLines("successful sign-ins", bound);
    const aSecond = { ...bound, max: MAX_ALLOWED_LINES_A_SECOND, windowMs: SECOND_MS };
    this.#allowed = auditLines("allowed requests", aSecond);
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
