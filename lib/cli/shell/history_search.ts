/**
 * The reverse incremental search of the shell (Ctrl-R): the newest line of the history that has the typed text, and at
 * Ctrl-R again the next older one. Any other key than those of the search edits the line that was found, or runs it.
 */
import { escapeUnprintable } from "../text.ts";

/** Longest text that is searched for, in characters; further ones have no effect. */
const MAX_SEARCHED_CHARACTERS = 100;

const CTRL_C = "\x03";
const CTRL_G = "\x07";
const CTRL_H = "\b";
const CTRL_R = "\x12";
const ESCAPE = "\x1b";
const BACKSPACE = "\x7f";

/** One search. */
export class HistorySearch {
  readonly #lines: readonly string[];
  readonly #before: string;
  #text = "";
  #found: number | null = null;
  #isFailed = false;

  /** `lines`: the history, the newest line first. `before`: the line when the search began. */
  constructor({ lines, before }: { readonly lines: readonly string[]; readonly before: string }) {
    this.#lines = [...lines];
    this.#before = before;
  }

  /** The prompt in front of the line. */
  get prompt(): string {
    return `(${this.#isFailed ? "failed " : ""}reverse-i-search)'${escapeUnprintable(this.#text)}': `;
  }

  /** The line that was found last; that from before the search while none was. */
  get line(): string {
    return this.#found === null ? this.#before : this.#lines[this.#found] ?? "";
  }

  /** Takes keys. Returns the line with which the search ended, and the keys for its editor; null while it goes on. */
  take(keys: string): { readonly line: string; readonly rest: string } | null {
    // A sequence, as of an arrow key, arrives as a whole.
    if (keys === ESCAPE) return { line: this.#before, rest: "" };
    for (let at = 0; at < keys.length;) {
      const key = String.fromCodePoint(keys.codePointAt(at) ?? 0);
      if (key === CTRL_C || key === CTRL_G) return { line: this.#before, rest: keys.slice(at + 1) };
      if (key === CTRL_R) this.#search((this.#found ?? -1) + 1);
      else if (key === BACKSPACE || key === CTRL_H) this.#shorten();
      else if (key < " ") return { line: this.line, rest: keys.slice(at) };
      else this.#extend(key);
      at += key.length;
    }
    return null;
  }

  #extend(key: string): void {
    if (this.#text.length >= MAX_SEARCHED_CHARACTERS) return;
    this.#text += key;
    this.#search(this.#found ?? 0);
  }

  #shorten(): void {
    this.#text = [...this.#text].slice(0, -1).join("");
    this.#found = null;
    this.#search(0);
  }

  /** Finds the newest line that has the text, from the position `from` of the history on. */
  #search(from: number): void {
    if (this.#text === "") {
      this.#isFailed = false;
      return;
    }
    const found = this.#lines.findIndex((line, position) => position >= from && line.includes(this.#text));
    this.#isFailed = found === -1;
    if (found !== -1) this.#found = found;
  }
}
