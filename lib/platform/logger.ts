/**
 * The server's log: lines of text or JSON on standard error.
 *
 * The only module that reads the wall clock, because people read its lines; no decision depends on it.
 *
 * Two rules keep other machines from filling the disk with log lines. A repeated line is counted instead of written; a
 * line with the field `remote` was caused by another machine and counts as repeated when its kind and host are the same,
 * with any port and reason. And of lines with one message at most MAX_LINES_A_MINUTE are written; the rest is counted.
 */
import { hostOf } from "./address.ts";
import type { Clock, Timer } from "./clock.ts";

/** Values of a log line's fields. Never a stored value's bytes. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Takes log lines. */
export interface Logger {
  /** Writes a line for debugging. */
  debug(message: string, fields?: LogFields): void;
  /** Writes a line about normal operation. */
  info(message: string, fields?: LogFields): void;
  /** Writes a line about a problem that was handled. */
  warn(message: string, fields?: LogFields): void;
  /** Writes a line about a problem that stops the node, or a loss. */
  error(message: string, fields?: LogFields): void;
}

/** Levels of log lines, from the most to the fewest. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** One of {@link LOG_LEVELS}. */
export type LogLevel = typeof LOG_LEVELS[number];

/** How log lines are written. */
export const LOG_FORMATS = ["text", "json"] as const;
/** One of {@link LOG_FORMATS}. */
export type LogFormat = typeof LOG_FORMATS[number];

/** Different lines of which repetitions are counted; beyond it the oldest one is dropped. */
const MAX_FOLDED_LINES = 64;
/** A repetition is over when the line was not seen for this long. */
const REPETITION_ENDS_MS = 5_000;
/** A repetition that goes on is reported this often. */
const REPETITION_REPORT_MS = 60_000;
/** Lines with one message that are written in {@link LINE_WINDOW_MS}; further ones are counted, and their number is written. */
export const MAX_LINES_A_MINUTE = 100;
const LINE_WINDOW_MS = 60_000;
/** Messages whose lines are counted; beyond it the oldest one is dropped. Messages are constants of the program. */
const MAX_COUNTED_MESSAGES = 64;
/** Longer lines are cut: what is in them may come from another machine. */
const MAX_LINE_CHARACTERS = 8_192;

/** Options of {@link Log}. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes whole lines, newline included. */
  readonly write: (line: string) => void;
  /** The date, for the lines. */
  readonly now: () => Date;
  /** Times repetitions. */
  readonly clock: Clock;
}

interface Line {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** Lines with one message, since a minute began. */
interface LineCount {
  readonly level: LogLevel;
  readonly message: string;
  readonly sinceMs: number;
  written: number;
  /** Lines that were not written since too many had been. */
  leftOut: number;
}

interface Repetition extends Line {
  /** When the line was written, or its repetitions reported, last. */
  reportedAt: number;
  lastSeenAt: number;
  /** How often it came since then. */
  times: number;
}

/** Writes log lines. Close it, so that repetitions not yet reported are. */
export class Log implements Logger, Disposable {
  readonly #options: LogOptions;
  /** By the line without its time, in the order in which the lines came first. */
  readonly #repetitions = new Map<string, Repetition>();
  /** By level and message. */
  readonly #counts = new Map<string, LineCount>();
  #timer: Timer | null = null;

  /** Writes nothing yet. */
  constructor(options: LogOptions) {
    this.#options = options;
  }

  /** Writes a line for debugging. */
  debug(message: string, fields: LogFields = {}): void {
    this.#log("debug", message, fields);
  }

  /** Writes a line about normal operation. */
  info(message: string, fields: LogFields = {}): void {
    this.#log("info", message, fields);
  }

  /** Writes a line about a problem that was handled. */
  warn(message: string, fields: LogFields = {}): void {
    this.#log("warn", message, fields);
  }

  /** Writes a line about a problem that stops the node, or a loss. */
  error(message: string, fields: LogFields = {}): void {
    this.#log("error", message, fields);
  }

  /** Writes an audit line, at every level and also if it is repeated: its writer bounds their number. */
  record(message: string, fields: LogFields): void {
    this.#write({ level: "info", message, fields });
  }

  /** Reports the repetitions that are still counted and stops the timer. */
  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const repetition of this.#repetitions.values()) this.#report(repetition);
    this.#repetitions.clear();
    for (const [key, count] of this.#counts) this.#endCount(key, count);
  }

  #log(level: LogLevel, message: string, fields: LogFields): void {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(this.#options.level)) return;
    const now = this.#options.clock.now();
    const line = { level, message, fields };
    const key = repetitionKey(line);
    const repetition = this.#repetitions.get(key);
    if (repetition !== undefined && now - repetition.lastSeenAt < REPETITION_ENDS_MS) {
      repetition.times += 1;
      repetition.lastSeenAt = now;
      this.#watch();
      return;
    }
    if (repetition !== undefined) this.#forget(key, repetition);
    this.#writeCounted(line);
    this.#evict();
    this.#repetitions.set(key, { ...line, reportedAt: now, lastSeenAt: now, times: 0 });
  }

  #evict(): void {
    for (const [key, repetition] of this.#repetitions) {
      if (this.#repetitions.size < MAX_FOLDED_LINES) return;
      this.#forget(key, repetition);
    }
  }

  /** Has repetitions reported in time, while there are any. */
  #watch(): void {
    this.#timer ??= this.#options.clock.after(REPETITION_ENDS_MS, () => {
      this.#timer = null;
      const now = this.#options.clock.now();
      for (const [key, repetition] of this.#repetitions) {
        if (now - repetition.lastSeenAt >= REPETITION_ENDS_MS) this.#forget(key, repetition);
        else if (now - repetition.reportedAt >= REPETITION_REPORT_MS) this.#report(repetition);
      }
      for (const [key, count] of this.#counts) {
        if (now - count.sinceMs >= LINE_WINDOW_MS) this.#endCount(key, count);
      }
      const areRepeated = [...this.#repetitions.values()].some(({ times }) => times > 0);
      if (areRepeated || [...this.#counts.values()].some(({ leftOut }) => leftOut > 0)) this.#watch();
    });
  }

  #forget(key: string, repetition: Repetition): void {
    this.#report(repetition);
    this.#repetitions.delete(key);
  }

  #report(repetition: Repetition): void {
    const { level, message, fields, times } = repetition;
    if (times === 0) return;
    repetition.times = 0;
    repetition.reportedAt = this.#options.clock.now();
    const howOften = `repeated ${times} ${times === 1 ? "time" : "times"}`;
    this.#writeCounted({ level, message, fields }, { lines: times, addition: ` (${howOften})` });
  }

  /** Writes a line that stands for so many, unless too many with its message were written in this minute. */
  #writeCounted(
    { level, message, fields }: Line,
    { lines = 1, addition = "" }: { readonly lines?: number; readonly addition?: string } = {},
  ): void {
    const count = this.#countOf(level, message);
    if (count.written < MAX_LINES_A_MINUTE) {
      count.written += 1;
      this.#write({ level, message: `${message}${addition}`, fields });
    } else {
      count.leftOut += lines;
      this.#watch();
    }
  }

  #countOf(level: LogLevel, message: string): LineCount {
    const key = `${level} ${message}`;
    const now = this.#options.clock.now();
    const current = this.#counts.get(key);
    if (current !== undefined && now - current.sinceMs < LINE_WINDOW_MS) return current;
    if (current !== undefined) this.#endCount(key, current);
    const [oldest] = this.#counts;
    if (oldest !== undefined && this.#counts.size >= MAX_COUNTED_MESSAGES) this.#endCount(...oldest);
    const count = { level, message, sinceMs: now, written: 0, leftOut: 0 };
    this.#counts.set(key, count);
    return count;
  }

  #endCount(key: string, { level, message, leftOut }: LineCount): void {
    this.#counts.delete(key);
    if (leftOut === 0) return;
    this.#write({ level, message: `${message} (${leftOut} more were left out)`, fields: {} });
  }

  #write(line: Line): void {
    const time = this.#options.now().toISOString();
    this.#options.write(this.#options.format === "json" ? jsonLine(time, line) : textLine(time, line));
  }
}

/**
 * Returns the key by which a line counts as a repetition of another: the whole line; where another machine caused it,
 * the line without the port and the reason, which that machine may vary. The reason of an error is part of the key.
 */
function repetitionKey({ level, message, fields }: Line): string {
  const { remote } = fields;
  const same = typeof remote !== "string"
    ? fields
    : { ...fields, remote: hostOf(remote), stack: null, reason: level === "error" ? fields["reason"] : null };
  return JSON.stringify([level, message, same]).slice(0, MAX_LINE_CHARACTERS);
}

function jsonLine(time: string, { level, message, fields }: Line): string {
  const first = { time, level, message: message.slice(0, MAX_LINE_CHARACTERS) };
  const line = JSON.stringify({ ...first, ...fields, ...first });
  return line.length <= MAX_LINE_CHARACTERS ? `${line}\n` : `${JSON.stringify({ ...first, cut: true })}\n`;
}

function textLine(time: string, { level, message, fields }: Line): string {
  const words = Object.entries(fields).map(([name, value]) => `${name}=${textValue(value)}`);
  const line = [time, level.toUpperCase().padEnd(5), printable(message), ...words].join(" ");
  return `${line.length <= MAX_LINE_CHARACTERS ? line : `${line.slice(0, MAX_LINE_CHARACTERS)}…`}\n`;
}

/** A value as one word: in quotes when it would be more. */
function textValue(value: LogFields[string]): string {
  const text = String(value);
  return /^[^\s"=]+$/.test(text) ? printable(text) : printable(JSON.stringify(text));
}

/** Text of other machines may end up in a line; it must neither end it nor command a terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}
