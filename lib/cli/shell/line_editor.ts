/**
 * The line editor of the shell: node:readline, extended by a grey hint behind the cursor, a prompt that changes while a
 * line is typed, the search of the history at Ctrl-R, and silence while a command runs (what is typed meanwhile is kept and shown with the next prompt).
 *
 * Readline reads from {@link TypedInput}, which differs from the terminal in three points. Pasted text arrives as one key
 * press instead of one for each character, because each key press costs readline the length of the line. Bytes that are
 * not UTF-8, NUL and Unicode's line separators appear as U+FFFD, so that a line that holds one can be refused. A line has
 * a maximum length: {@link MAX_LINE_CHARACTERS}.
 */
import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import type { Completions } from "./completion.ts";
import { HISTORY_LINES } from "./history_file.ts";
import { HistorySearch } from "./history_search.ts";
import type { Terminal } from "../environment.ts";
import { isYes, type SecretEnd, SecretLine } from "../sign_in/secret_line.ts";
import { dim, terminalLine, terminalText } from "../text.ts";

/** Longest line, in characters; a longer one is refused. */
export const MAX_LINE_CHARACTERS = 32_768;
/** The replacement of a character that cannot be kept as it was typed. */
export const REPLACEMENT = "\ufffd";

/** The key that searches the history; readline gives it no meaning. */
const CTRL_R = "\x12";

/** NUL, which readline drops, and the line separators, at which it would end the line. */
const UNKEPT = /[\0\u2028\u2029]/g;

/** An escape sequence: CSI, SS3, or ESC with one character. */
// deno-lint-ignore no-control-regex -- keys are control sequences
const ESCAPE_SEQUENCE = /^\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^[O])/u;
/** The beginning of an escape sequence. */
// deno-lint-ignore no-control-regex -- keys are control sequences
const BEGUN_SEQUENCE = /^\x1b(?:\[[0-?]*[ -/]*|O)?$/;
/** Text that readline would handle character by character: at least two characters that are not control keys. */
// deno-lint-ignore no-control-regex -- keys are control characters
const RUN = /^[^\x00-\x1f\x7f-\x9f]{2,}/;

/** The input of readline: the data of `source`, split into keys and runs of text. */
class TypedInput extends Readable {
  readonly #source: Readable;
  readonly #freeFor: (characters: number) => number;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #take: (chunk: Uint8Array) => void;
  readonly #end = (): void => void this.emit("end");
  /** Takes what is typed in place of readline; null while readline does. */
  #taker: ((typed: string) => string | null) | null = null;
  readonly #onSearch: () => void;
  /** Whether an escape sequence is incomplete: readline then reads its rest character by character. */
  #isWithinSequence = false;

  /** `freeFor` returns how many of so many characters the line can still take. `onSearch` is called at Ctrl-R. */
  constructor(
    source: Readable,
    { freeFor, onSearch }: { freeFor(characters: number): number; onSearch(): void },
  ) {
    super({ read: () => {} });
    this.#onSearch = onSearch;
    this.#source = source;
    this.#freeFor = freeFor;
    this.#take = (chunk) => this.#receive(this.#decoder.decode(chunk, { stream: true }));
    source.on("data", this.#take);
    source.on("end", this.#end);
  }

  /** Called by readline if the source is a terminal. */
  setRawMode(isRaw: boolean): void {
    if ("setRawMode" in this.#source && typeof this.#source.setRawMode === "function") {
      this.#source.setRawMode(isRaw);
    }
  }

  override pause(): this {
    this.#source.pause();
    return this;
  }

  override resume(): this {
    this.#source.resume();
    return this;
  }

  /** Passes what is typed to `take` until that returns what is left, which readline gets. */
  passTo(take: (typed: string) => string | null): void {
    this.#taker = take;
  }

  /** Stops reading from the source. */
  release(): void {
    this.#source.off("data", this.#take);
    this.#source.off("end", this.#end);
  }

  #receive(typed: string): void {
    if (typed === "") return;
    if (this.#taker === null) return this.#emitKeys(typed);
    const rest = this.#taker(typed);
    if (rest === null) return;
    this.#taker = null;
    this.#emitKeys(rest);
  }

  #emitKeys(typed: string): void {
    let rest = typed.replace(UNKEPT, REPLACEMENT);
    while (rest !== "") {
      const run = this.#isWithinSequence ? null : RUN.exec(rest)?.[0] ?? null;
      if (run !== null) {
        this.#emitText(run);
        rest = rest.slice(run.length);
        continue;
      }
      const key = this.#nextKey(rest);
      if (key === CTRL_R) {
        this.#onSearch();
        return this.#receive(rest.slice(key.length));
      }
      // readline reads keys from the bytes that it is sent.
      if (!isText(key) || this.#freeFor(key.length) === key.length) this.emit("data", Buffer.from(key));
      rest = rest.slice(key.length);
    }
  }

  /** A run that the line has room for, as one key press. */
  #emitText(run: string): void {
    const sequence = run.slice(0, this.#freeFor(run.length)).toWellFormed();
    if (sequence === "") return;
    this.emit("keypress", sequence, { sequence, name: undefined, ctrl: false, meta: false, shift: false });
  }

  /** Returns one character, a whole escape sequence, or the part of a sequence that has arrived. */
  #nextKey(rest: string): string {
    const sequence = rest.startsWith("\x1b") ? ESCAPE_SEQUENCE.exec(rest)?.[0] : undefined;
    this.#isWithinSequence = sequence === undefined && (this.#isWithinSequence || rest.startsWith("\x1b"));
    if (sequence !== undefined) return sequence;
    if (!this.#isWithinSequence) return String.fromCodePoint(rest.codePointAt(0) ?? 0);
    // The sequence ends in this chunk, or it was the Esc key alone.
    this.#isWithinSequence = BEGUN_SEQUENCE.test(rest);
    return rest;
  }
}

function isText(key: string): boolean {
  // deno-lint-ignore no-control-regex -- keys are control characters
  return !/^[\x00-\x1f\x7f-\x9f]/.test(key);
}

/** How long after Esc the rest of a key's sequence can arrive. */
const ESCAPE_TIMEOUT_MS = 50;
/** Longest line for which a hint is drawn: a longer one leaves little space, and each key press costs time. */
const MAX_HINTED_CHARACTERS = 500;

const TOO_LONG = `The line is longer than ${MAX_LINE_CHARACTERS} characters, and was not run. ` +
  "Use put <key> --file <path> for long values.";
const NOT_TEXT =
  `The line has bytes that are not UTF-8, a NUL or a line separator, shown as ${REPLACEMENT}, and was not run. ` +
  `Write bytes as \\xHH, NUL as \\0, and the character ${REPLACEMENT} as \\u{fffd}.`;

/** Options and callbacks of the editor. */
interface LineEditorOptions {
  readonly terminal: Terminal;
  readonly prompt: string;
  /** Whether colour is used. Hints are drawn only then: without colour they look like typed text. */
  readonly color: boolean;
  columns(): number;
  hint(line: string): string;
  complete(line: string): Promise<Completions>;
  /** Lines of earlier sessions, the newest first. */
  readonly history: readonly string[];
  /** Whether the up key may bring a line back: not one with a secret. */
  mayRemember(line: string): boolean;
  /**
   * Called at the end of a line. `problem`: why it differs from what was typed and must not be run; null if it does
   * not.
   */
  onLine(line: string, problem: string | null): void;
  /** Called at Ctrl-C with the line so far. */
  onInterrupt(line: string): void;
  /** Called at Ctrl-D on an empty line, and when the terminal is closed. */
  onEnd(): void;
}

/** Reads lines from a terminal. Starts hidden: {@link show} shows the prompt. */
export class LineEditor implements Disposable {
  readonly #options: LineEditorOptions;
  readonly #screen: Screen;
  readonly #input: TypedInput;
  readonly #readline: Interface;
  /** Ends the prompt for a secret or answer; null while there is none. */
  #cancelSecret: (() => void) | null = null;
  /** As the terminal shows it unless the history is searched. */
  #prompt: string;
  /** The newest line first. */
  #history: readonly string[];
  #isSearching = false;
  #isTooLong = false;
  #isHintShown = false;
  #isClosed = false;

  /** Uses the terminal until it is disposed of. */
  constructor(options: LineEditorOptions) {
    const { terminal: { input: source, output }, prompt } = options;
    const input = new TypedInput(source, {
      freeFor: (characters) => this.#freeFor(characters),
      onSearch: () => this.#search(),
    });
    this.#prompt = prompt;
    this.#history = options.history;
    this.#options = options;
    this.#input = input;
    this.#screen = new Screen(output, () => options.columns());
    // This listener comes first, so that a hint is cleared before readline writes.
    const clearHint = (): void => this.#clearHint();
    input.prependListener("keypress", clearHint);
    this.#readline = createInterface({
      input,
      output: this.#screen,
      terminal: true,
      prompt,
      history: [...options.history],
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
      escapeCodeTimeout: ESCAPE_TIMEOUT_MS,
      completer: (line: string, callback: (error: null, result: [string[], string]) => void): void => {
        const offer = (words: readonly string[], typed: string): void => {
          this.#clearHint();
          callback(null, [[...words], typed]);
          this.#drawHint();
        };
        options.complete(line).then(({ words, typed }) => offer(words, typed), () => offer([], line));
      },
    });
    const drawHint = (): void => this.#drawHint();
    input.on("keypress", drawHint);
    this.#readline.on("history", (lines: string[]) => {
      if (!options.mayRemember(lines[0] ?? "")) lines.shift();
      this.#history = lines;
    });
    this.#readline.on("line", (line: string) => this.#endLine(line));
    this.#readline.on("SIGINT", () => options.onInterrupt(this.#readline.line));
    // Without a listener readline would stop this process, for which it has no permission.
    this.#readline.on("SIGTSTP", () => {});
    this.#readline.on("close", () => {
      this.#isClosed = true;
      this.#cancelSecret?.();
      input.off("keypress", clearHint);
      input.off("keypress", drawHint);
      input.release();
      options.onEnd();
    });
  }

  /** Shows the prompt and the line so far. */
  show(): void {
    if (this.#isClosed) return;
    this.#screen.isMuted = false;
    this.#readline.prompt(true);
    this.#drawHint();
  }

  /** Hides the prompt. What is typed from now on is kept, and not shown. */
  hide(): void {
    this.#screen.isMuted = true;
  }

  /** Changes the prompt, at once if it is shown; the line stays unchanged. */
  setPrompt(prompt: string): void {
    this.#prompt = prompt;
    if (this.#isSearching) return;
    this.#readline.setPrompt(prompt);
    if (!this.#screen.isMuted) this.show();
  }

  /** Clears the line. */
  clearLine(): void {
    this.#clearHint();
    this.#isTooLong = false;
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
  }

  /** Writes to the terminal. Only while hidden. */
  print(text: string | Uint8Array): void {
    this.#options.terminal.output.write(typeof text === "string" ? terminalText(text) : text);
  }

  /** Shows a line in place of the one with the cursor. Only while hidden. */
  showLine(line: string): void {
    this.#options.terminal.output.write(terminalLine(line));
  }

  /** Shows a prompt and reads a secret, which is neither shown nor remembered. Only while hidden. */
  readSecret(prompt: string): Promise<SecretEnd> {
    return this.#readTyped(prompt, new SecretLine());
  }

  /** Shows a question, and returns whether what is typed then says yes. Only while hidden. */
  async confirm(question: string): Promise<boolean> {
    const { output } = this.#options.terminal;
    return isYes(
      await this.#readTyped(question, new SecretLine({ echo: (text) => void output.write(text) })),
    );
  }

  #readTyped(prompt: string, line: SecretLine): Promise<SecretEnd> {
    const { promise, resolve } = Promise.withResolvers<SecretEnd>();
    if (this.#isClosed) return Promise.resolve({ kind: "cancelled" });
    const finish = (end: SecretEnd): void => {
      this.#cancelSecret = null;
      this.print("\n");
      resolve(end);
    };
    this.#cancelSecret = () => finish({ kind: "cancelled" });
    this.print(prompt);
    this.#input.passTo((typed) => {
      const taken = line.take(typed);
      if (taken !== null) finish(taken.end);
      return taken === null ? null : taken.rest;
    });
    return promise;
  }

  /** Releases the terminal. */
  [Symbol.dispose](): void {
    if (!this.#isClosed) this.#readline.close();
  }

  /** Searches the history until a key ends that, which is then readline's. */
  #search(): void {
    if (this.#screen.isMuted || this.#isClosed) return;
    this.#clearHint();
    this.#isSearching = true;
    const search = new HistorySearch({ lines: this.#history, before: this.#readline.line });
    this.#showInstead(search);
    this.#input.passTo((typed) => {
      const end = search.take(typed);
      if (end === null) {
        this.#showInstead(search);
        return null;
      }
      this.#isSearching = false;
      this.#showInstead({ prompt: this.#prompt, line: end.line });
      return end.rest;
    });
  }

  /** Shows another prompt and line in place of those there. */
  #showInstead({ prompt, line }: { readonly prompt: string; readonly line: string }): void {
    this.#readline.setPrompt(prompt);
    if (line === this.#readline.line) return this.#readline.prompt(true);
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
    this.#readline.write(line);
  }

  #freeFor(characters: number): number {
    const free = Math.max(0, MAX_LINE_CHARACTERS - this.#readline.line.length);
    if (characters > free) this.#isTooLong = true;
    return Math.min(characters, free);
  }

  #endLine(line: string): void {
    const problem = this.#isTooLong ? TOO_LONG : line.includes(REPLACEMENT) ? NOT_TEXT : null;
    this.#isTooLong = false;
    this.#options.onLine(line, problem);
  }

  #drawHint(): void {
    const { line, cursor } = this.#readline;
    if (!this.#options.color || this.#screen.isMuted || this.#isClosed || cursor < line.length) return;
    if (this.#isSearching) return;
    if (line.length > MAX_HINTED_CHARACTERS) return;
    const freeColumns = this.#options.columns() - this.#readline.getCursorPos().cols - 1;
    const hint = this.#options.hint(line).slice(0, Math.max(0, freeColumns));
    if (hint === "") return;
    this.#isHintShown = true;
    this.#screen.write(`${terminalText(dim(hint, this.#options))}\x1b[${hint.length}D`);
  }

  #clearHint(): void {
    if (!this.#isHintShown) return;
    this.#isHintShown = false;
    this.#screen.write("\x1b[K");
  }
}

/** The output of readline, which discards what is written while it is muted. */
class Screen extends Writable {
  isMuted = true;
  readonly #output: Writable;
  readonly #columns: () => number;

  constructor(output: Writable, columns: () => number) {
    super({ decodeStrings: false });
    this.#output = output;
    this.#columns = columns;
    output.on("resize", () => this.emit("resize"));
  }

  /** Called by readline. */
  get columns(): number {
    return this.#columns();
  }

  override _write(chunk: string | Uint8Array, _encoding: string, done: () => void): void {
    if (!this.isMuted) this.#output.write(chunk);
    done();
  }
}
