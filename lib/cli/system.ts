/** What the command line uses of the process it runs in; deno_system.ts is the real one, tests bring their own. */
import type { Readable, Writable } from "node:stream";
import type { Clock, Random } from "../platform/clock.ts";

/** What measures how long something takes. */
export type Stopwatch = Pick<Clock, "now" | "after">;

/** Standard output. */
export interface Output {
  /** Whether a person looks at it. */
  readonly isTerminal: boolean;
  /**
   * Writes all of it: bytes as they are, text as terminal.ts allows where it goes to a terminal. Throws
   * {@link OutputClosedError} when its reader is gone, {@link OutputError} when it can't be written.
   */
  write(text: string | Uint8Array): Promise<void>;
}

/** Standard error. */
export interface Diagnostics {
  /** Whether a person looks at it. */
  readonly isTerminal: boolean;
  /** Writes at once, as terminal.ts allows where it goes to a terminal. What goes wrong is dropped. */
  write(text: string): void;
  /** Puts a line in place of the one that the cursor is in. Only for a terminal. */
  showLine(line: string): void;
}

/** The terminal as an interactive program uses it. */
export interface Keyboard {
  readonly input: Readable;
  readonly output: Writable;
}

/** Signals that ask a program to end. */
export const END_SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** The process. */
export interface System {
  /** Reading the stream rejects with {@link InputError} where standard input can't be read. */
  readonly stdin: { readonly isTerminal: boolean; readonly stream: ReadableStream<Uint8Array> };
  readonly stdout: Output;
  readonly stderr: Diagnostics;
  /** Whether colour is wanted at all (NO_COLOR); whether it is used also depends on the output. */
  readonly wantsColor: boolean;
  readonly clock: Stopwatch;
  readonly random: Random;
  /** CPU time that the thread of this program has used so far, as exactly as the system tells it. */
  cpuMs(): number;
  /** Columns of the terminal. */
  columns(): number;
  /** The file's first `maxBytes` + 1 bytes, all of it when it has no more; throws when it cannot be read. */
  readFile(path: string, maxBytes: number): Uint8Array;
  /** Writes a file, the folders on its way included; throws when that can't be done. */
  writeFile(path: string, text: string): void;
  /** Whether this process is permitted to write there, and to read what it wrote. */
  mayWrite(path: string): boolean;
  /** Takes the terminal over, for an interactive program. */
  openKeyboard(): Keyboard;
  /** Calls `handler` at every {@link END_SIGNALS} instead of ending; the function given back ends that. */
  onEndSignal(handler: () => void): () => void;
  /** Calls `handler` when the terminal hangs up (SIGHUP) instead of ending; the function given back ends that. */
  onHangup(handler: () => void): () => void;
  /** Ends the process at once. */
  exit(code: number): void;
}
