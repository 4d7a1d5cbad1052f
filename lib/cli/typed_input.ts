/**
 * What is typed, as node:readline takes it, with three differences to the terminal itself. Pasted text arrives as one
 * key press instead of one for each character, since each of them costs readline the length of the line. What is no
 * UTF-8, NUL and Unicode's line separators appear as U+FFFD, so that a line which holds one can be refused. A line has an
 * end: see {@link MAX_LINE_CHARACTERS}.
 */
import { Buffer } from "node:buffer";
import { Readable } from "node:stream";

/** Characters of a line that is typed or pasted; what comes beyond is not kept, and the line is refused. */
export const MAX_LINE_CHARACTERS = 32_768;
/** Stands for what can't be kept as it was typed. */
export const REPLACEMENT = "\ufffd";

/** NUL, which readline drops, and the line separators, at which it would end the line. */
const UNKEPT = /[\0\u2028\u2029]/g;

/** An escape sequence: CSI, SS3, or ESC with one character. */
// deno-lint-ignore no-control-regex -- keys are control sequences
const ESCAPE_SEQUENCE = /^\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^[O])/u;
/** The beginning of one. */
// deno-lint-ignore no-control-regex -- keys are control sequences
const BEGUN_SEQUENCE = /^\x1b(?:\[[0-?]*[ -/]*|O)?$/;
/** Text that readline would take one by one: at least two characters that are no keys. */
// deno-lint-ignore no-control-regex -- keys are control characters
const RUN = /^[^\x00-\x1f\x7f-\x9f]{2,}/;

/** Where readline listens. It emits what `source` sends, cut into keys and runs of text. */
export class TypedInput extends Readable {
  readonly #source: Readable;
  readonly #roomFor: (characters: number) => number;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #take: (chunk: Uint8Array) => void;
  readonly #end = (): void => void this.emit("end");
  /** An escape sequence came only in part: readline waits for the rest, one by one. */
  #isWithinSequence = false;

  /** `roomFor` says how many of so many characters the line still takes. */
  constructor(source: Readable, { roomFor }: { roomFor(characters: number): number }) {
    super({ read: () => {} });
    this.#source = source;
    this.#roomFor = roomFor;
    this.#take = (chunk) => this.#emitKeys(this.#decoder.decode(chunk, { stream: true }));
    source.on("data", this.#take);
    source.on("end", this.#end);
  }

  /** Asked for by readline, where the source is a terminal. */
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

  /** Lets go of the source. */
  release(): void {
    this.#source.off("data", this.#take);
    this.#source.off("end", this.#end);
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
      // readline reads keys from the bytes that it is sent.
      if (!isText(key) || this.#roomFor(key.length) === key.length) this.emit("data", Buffer.from(key));
      rest = rest.slice(key.length);
    }
  }

  /** A run that the line has room for, as one key press. */
  #emitText(run: string): void {
    const sequence = run.slice(0, this.#roomFor(run.length)).toWellFormed();
    if (sequence === "") return;
    this.emit("keypress", sequence, { sequence, name: undefined, ctrl: false, meta: false, shift: false });
  }

  /** One character, a whole escape sequence, or all of a sequence that is not whole yet. */
  #nextKey(rest: string): string {
    const sequence = rest.startsWith("\x1b") ? ESCAPE_SEQUENCE.exec(rest)?.[0] : undefined;
    this.#isWithinSequence = sequence === undefined && (this.#isWithinSequence || rest.startsWith("\x1b"));
    if (sequence !== undefined) return sequence;
    if (!this.#isWithinSequence) return String.fromCodePoint(rest.codePointAt(0) ?? 0);
    // The sequence ends somewhere in this chunk, or it was the Esc key alone.
    this.#isWithinSequence = BEGUN_SEQUENCE.test(rest);
    return rest;
  }
}

function isText(key: string): boolean {
  // deno-lint-ignore no-control-regex -- keys are control characters
  return !/^[\x00-\x1f\x7f-\x9f]/.test(key);
}
