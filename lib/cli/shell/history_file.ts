/**
 * The lines of the shell in a file, where its user names one: one on each line, the newest last. Several shells may use the
 * file at the same time: each adds its lines at the end. Which lines are kept is the shell's to decide.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Environment } from "../environment.ts";
import { UsageError } from "../errors.ts";
import { isPrintable } from "../text.ts";

/** Lines that the up key and Ctrl-R reach, and that a shell takes from the file. */
export const HISTORY_LINES = 500;
/** Lines in the file above which the oldest are removed, up to {@link HISTORY_LINES}, when a shell starts. */
const MAX_FILE_LINES = 2 * HISTORY_LINES;
/** Longest line that is kept, in characters. */
const MAX_KEPT_CHARACTERS = 1_000;
/** Largest file, in bytes. It is far above what the limits of lines allow: such a file is something else. */
const MAX_FILE_BYTES = 16_777_216;

type Files = Pick<Environment, "appendFile" | "readFile" | "replaceFile">;

/** The file. */
export class HistoryFile {
  /** The lines that it had when it was opened, the newest first. */
  readonly lines: readonly string[];
  readonly #path: string;
  readonly #files: Files;
  #last: string | null;
  #hasFailed = false;

  private constructor(
    path: string,
    { lines, files }: { readonly lines: readonly string[]; readonly files: Files },
  ) {
    this.#path = path;
    this.#files = files;
    this.lines = lines;
    this.#last = lines[0] ?? null;
  }

  /**
   * Reads a file, which is created if there is none; what is no line of a shell is left out. Throws {@link UsageError} if it
   * cannot be read or written.
   */
  static open(path: string, files: Files): HistoryFile {
    try {
      files.appendFile(path, "");
      const bytes = files.readFile(path, MAX_FILE_BYTES);
      if (bytes.length > MAX_FILE_BYTES) throw new Error("it is too large to be a history");
      const text = new TextDecoder().decode(bytes);
      // The end of a line that was written in part, as on a full disk.
      if (text !== "" && !text.endsWith("\n")) files.appendFile(path, "\n");
      const all = text.split("\n");
      const lines = all.filter(isLine).slice(-HISTORY_LINES);
      if (all.length > MAX_FILE_LINES) files.replaceFile(path, lines.map((line) => `${line}\n`).join(""));
      return new HistoryFile(path, { lines: [...new Set(lines.toReversed())], files });
    } catch (error) {
      throw new UsageError(`Cannot use the history file ${path}: ${errorMessage(error)}.`, { cause: error });
    }
  }

  /**
   * Adds a line, unless it is the same as the one before or begins with a space. Returns why it could not, the first time;
   * null otherwise.
   */
  add(line: string): string | null {
    if (this.#hasFailed || line === this.#last || line.startsWith(" ") || !isLine(line)) return null;
    try {
      this.#files.appendFile(this.#path, `${line}\n`);
      this.#last = line;
      return null;
    } catch (error) {
      this.#hasFailed = true;
      return `Cannot write the history file ${this.#path}: ${
        errorMessage(error)
      }. Further lines are not kept.`;
    }
  }
}

/** Returns whether text can be a line: a damaged file has others, which could command the terminal. */
function isLine(text: string): boolean {
  return text.trim() !== "" && text.length <= MAX_KEPT_CHARACTERS && isPrintable(text) &&
    !/[\t\ufffd]/.test(text);
}
