/** A logger that keeps all lines, for tests of log output. */
import { CONNECTION_FAULT } from "../../../lib/platform/fault.ts";
import type { LogFields, Logger } from "../../../lib/platform/logger.ts";

/** One line. */
export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

/** Keeps every line. */
export class RecordingLogger implements Logger {
  readonly lines: LogLine[] = [];

  debug(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "debug", message, fields });
  }

  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "info", message, fields });
  }

  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "warn", message, fields });
  }

  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "error", message, fields });
  }

  /** Returns the logged faults that ended a connection. */
  get connectionFaults(): readonly LogFields[] {
    return this.lines.filter(({ message }) => message === CONNECTION_FAULT).map(({ fields }) => fields);
  }

  /** Returns the messages of all lines above debug. */
  get messages(): readonly string[] {
    return this.lines.filter(({ level }) => level !== "debug").map(({ message }) => message);
  }
}
