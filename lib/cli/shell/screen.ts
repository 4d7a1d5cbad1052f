/** A whole terminal for a program that redraws it: the alternate screen, keys as they are pressed, and the size. */
import type { Buffer } from "node:buffer";
import type { Terminal } from "../environment.ts";
import { fit, terminalText } from "../text.ts";

/** A key that a program on the whole terminal reacts to; all others are ignored. */
export type Key = "quit" | "next" | "previous";

/** By the bytes of the key, as the terminal sends them. */
const KEYS: ReadonlyMap<string, Key> = new Map([
  ["q", "quit"],
  ["Q", "quit"],
  ["\x03", "quit"], // Ctrl-C: in raw mode it is a key and no signal
  ["\x1b[C", "next"],
  ["s", "next"],
  ["\x1b[D", "previous"],
  ["S", "previous"],
]);

/** One key: an escape sequence, or a character. */
// deno-lint-ignore no-control-regex -- keys are control sequences
const PRESSED = /\x1b\[[0-?]*[ -/]*[@-~]|[^]/gu;

const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const END_OF_LINE = "\x1b[K";
const END_OF_SCREEN = "\x1b[J";

/** Size of a terminal that does not report it. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** The terminal, from its construction until it is disposed of. */
export class Screen implements Disposable {
  readonly #terminal: Terminal;
  readonly #onKey: (key: Key) => void;
  readonly #onResize: () => void;
  readonly #take = (bytes: Buffer): void => {
    // Several keys may come at once.
    for (const [pressed] of bytes.toString().matchAll(PRESSED)) {
      const key = KEYS.get(pressed);
      if (key !== undefined) this.#onKey(key);
    }
  };

  constructor(
    terminal: Terminal,
    { onKey, onResize }: { readonly onKey: (key: Key) => void; readonly onResize: () => void },
  ) {
    this.#terminal = terminal;
    this.#onKey = onKey;
    this.#onResize = onResize;
    this.#setRawMode(true);
    terminal.input.on("data", this.#take);
    terminal.input.resume();
    terminal.output.on("resize", this.#onResize);
    terminal.output.write(ENTER);
  }

  /** The size of the terminal now. */
  get size(): { readonly columns: number; readonly rows: number } {
    const { output } = this.#terminal;
    const numberOf = (name: "columns" | "rows"): number => {
      const value: unknown = Reflect.get(output, name);
      return typeof value === "number" && value > 0 ? value : DEFAULT_SIZE[name];
    };
    return { columns: numberOf("columns"), rows: numberOf("rows") };
  }

  /** Replaces what is shown; what does not fit is cut. */
  draw(lines: readonly string[]): void {
    const { columns, rows } = this.size;
    const text = lines.slice(0, rows).map((line) => `${terminalText(fit(line, columns))}${END_OF_LINE}`);
    this.#terminal.output.write(`${HOME}${text.join("\r\n")}${END_OF_SCREEN}`);
  }

  /** Restores the terminal as it was. */
  [Symbol.dispose](): void {
    const { input, output } = this.#terminal;
    input.off("data", this.#take);
    input.pause();
    output.off("resize", this.#onResize);
    this.#setRawMode(false);
    output.write(LEAVE);
  }

  #setRawMode(isRaw: boolean): void {
    const { input } = this.#terminal;
    if ("setRawMode" in input && typeof input.setRawMode === "function") input.setRawMode(isRaw);
  }
}
