/** A secret, or the answer to a question, that is typed on a terminal. Only the answer is shown. */
import { MAX_SECRET_CHARACTERS } from "../../kv/mod.ts";
import { columnsOf } from "../text.ts";

/** How the typing of a secret ended. */
export type SecretEnd =
  | { readonly kind: "typed"; readonly secret: string }
  /** Ctrl-C, or Ctrl-D before anything was typed, or the terminal was closed. */
  | { readonly kind: "cancelled" };

/** An escape sequence, such as that of an arrow key or of the beginning of pasted text. */
// deno-lint-ignore no-control-regex -- keys are control sequences
const ESCAPE_SEQUENCE = /^\x1b(?:\[[0-?]*[ -/]*[@-~]?|O[ -~]?|[^[O])?/u;

/** Returns whether what was typed says yes. Enter alone does not. */
export function isYes(end: SecretEnd): boolean {
  return end.kind === "typed" && /^\s*y(?:es)?\s*$/i.test(end.secret);
}

/** The keys of one secret or answer: Backspace and Ctrl-U correct it, Enter ends it, other control keys have no effect. */
export class SecretLine {
  #characters: string[] = [];
  readonly #echo: (text: string) => void;

  /** `echo` shows what is typed; nothing does for a secret. */
  constructor({ echo = (): void => {} }: { readonly echo?: (text: string) => void } = {}) {
    this.#echo = echo;
  }

  /** Takes keys. Returns how the typing ended, with the keys behind the end; null while it goes on. */
  take(keys: string): { readonly end: SecretEnd; readonly rest: string } | null {
    for (let at = 0; at < keys.length;) {
      const sequence = ESCAPE_SEQUENCE.exec(keys.slice(at))?.[0];
      const key = sequence ?? String.fromCodePoint(keys.codePointAt(at) ?? 0);
      at += key.length;
      const end = sequence === undefined ? this.#takeKey(key) : null;
      // Enter is CR, LF, or, in pasted text, both.
      if (end !== null) return { end, rest: keys.slice(key === "\r" && keys[at] === "\n" ? at + 1 : at) };
    }
    return null;
  }

  #takeKey(key: string): SecretEnd | null {
    switch (key) {
      case "\r":
      case "\n":
        return { kind: "typed", secret: this.#characters.join("") };
      case "\x03":
        return { kind: "cancelled" };
      case "\x04":
        return this.#characters.length === 0 ? { kind: "cancelled" } : null;
      case "\x7f":
      case "\b":
        this.#remove(1);
        return null;
      case "\x15":
        this.#remove(this.#characters.length);
        return null;
    }
    // One more than allowed is kept, so that a longer secret is refused and not cut off.
    if (key >= " " && this.#characters.length <= MAX_SECRET_CHARACTERS) {
      this.#characters.push(key);
      this.#echo(key);
    }
    return null;
  }

  #remove(count: number): void {
    const removed = this.#characters.splice(Math.max(0, this.#characters.length - count), count);
    this.#echo("\b \b".repeat(columnsOf(removed.join(""))));
  }
}
