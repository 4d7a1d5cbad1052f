/** The interface to the process, and its implementation by Deno. Tests have an implementation of their own. */
import { errorMessage } from "../platform/errors.ts";
import { fileErrorReason, problemOfMode } from "../platform/private_file.ts";
import type { Readable, Writable } from "node:stream";
import process from "node:process";
import { dirname, resolve } from "@std/path";
import { ExitCode, InputError, OutputClosedError, OutputError } from "./errors.ts";
import { isYes, type SecretEnd, SecretLine } from "./sign_in/secret_line.ts";
import { terminalLine, terminalText } from "./text.ts";
import type { Clock, Random } from "../platform/clock.ts";
import { DenoDisk } from "../platform/deno_disk.ts";
import type { Disk } from "../platform/disk.ts";
import { SystemClock } from "../platform/system.ts";

/** The part of a clock that measures durations. */
export type Stopwatch = Pick<Clock, "now" | "after">;

/** Standard output. */
export interface Output {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /**
   * Writes all of it: bytes unchanged, text through terminalText if it goes to a terminal. Throws {@link
   * OutputClosedError} if the reader has closed it, {@link OutputError} if it cannot be written.
   */
  write(text: string | Uint8Array): Promise<void>;
}

/** Standard error. */
export interface Diagnostics {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /** Writes at once, through terminalText if it goes to a terminal. Ignores errors. */
  write(text: string): void;
  /** Shows a line in place of the one with the cursor. Only for a terminal. */
  showLine(line: string): void;
}

/** The streams of a terminal, for an interactive program. */
export interface Terminal {
  readonly input: Readable;
  readonly output: Writable;
}

/** Signals that ask a program to end. */
const END_SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** The environment variables that the program reads, and has permission for (deno.json). */
export type EnvironmentVariable = "HOME" | "KVRAFT_CLUSTER" | "KVRAFT_CONTEXT" | "XDG_CONFIG_HOME";

/** The process. */
export interface Environment {
  /** Standard input. Reading it rejects with {@link InputError} if that fails. */
  readonly stdin: { readonly isTerminal: boolean; readonly stream: ReadableStream<Uint8Array> };
  readonly stdout: Output;
  readonly stderr: Diagnostics;
  /** Whether colour is enabled (NO_COLOR); it is used on terminals only. */
  readonly wantsColor: boolean;
  readonly clock: Stopwatch;
  readonly random: Random;
  /** Returns the CPU time that the thread of this program has used. */
  cpuMs(): number;
  /** Returns the width of the terminal. */
  columns(): number;
  /**
   * Returns the first `maxBytes` + 1 bytes of a file. Throws an error whose message is the reason if it cannot be read.
   */
  readFile(path: string, maxBytes: number): Uint8Array;
  /** Reads a file with a secret, as {@link readFile}. Warns once of a file that others may open. */
  readSecretFile(path: string, maxBytes: number): Uint8Array;
  /** Writes a file and creates its directories, its owner's alone. Throws an error whose message is the reason if that fails. */
  writeFile(path: string, text: string): void;
  /** The files of this machine; a command uses only paths that its user named (`confinedDisk`). */
  readonly disk: Disk;
  /**
   * Writes a file, its owner's alone, as a whole or not at all. Creates its directories, and throws, as {@link writeFile}.
   */
  replaceFile(path: string, text: string): void;
  /**
   * Runs `work` while no other process does so for the same file: it holds a lock on `<path>.lock`. Without a lock where
   * the directory cannot be written, or locks nothing: what `work` writes says why.
   */
  withLock<T>(path: string, work: () => T): T;
  /**
   * Adds text at the end of a file in one write, so that several programs may do so. A new file is its owner's alone. Creates
   * its directories, and throws, as {@link writeFile}.
   */
  appendFile(path: string, text: string): void;
  /** Returns the value of an environment variable; null if it is not set, empty, or not permitted to be read. */
  variable(name: EnvironmentVariable): string | null;
  /** Returns the absolute path of one that may be relative to the working directory. */
  absolute(path: string): string;
  /** Returns whether Deno's permissions let this process write there, and read what it wrote. */
  mayWrite(path: string): boolean;
  /** Opens the terminal for an interactive program. */
  openTerminal(): Terminal;
  /** Shows a prompt on the terminal and reads a secret, which is not shown. Only if standard input is a terminal. */
  readSecret(prompt: string): Promise<SecretEnd>;
  /** Asks a question on the terminal, and returns whether the answer is yes. Only as {@link readSecret}. */
  confirm(question: string): Promise<boolean>;
  /**
   * Calls `handler` at every {@link END_SIGNALS} instead of ending the process. Returns a function that undoes this.
   */
  onEndSignal(handler: () => void): () => void;
  /**
   * Calls `handler` when the terminal hangs up (SIGHUP) instead of ending the process. Returns a function that undoes
   * this.
   */
  onHangup(handler: () => void): () => void;
  /** Ends the process at once. */
  exit(code: number): void;
}

/** Width of a terminal that does not report it. */
const DEFAULT_COLUMNS = 80;

/** Modes of what is written: a history of a check has keys and values, which are the user's alone. */
const OWNERS_FILE = 0o600;
const OWNERS_DIRECTORY = 0o700;

/** Bytes of standard input that are read at once. */
const INPUT_CHUNK_BYTES = 65_536;

const utf8 = new TextEncoder();
const isOutputTerminal = Deno.stdout.isTerminal();
const isErrorTerminal = Deno.stderr.isTerminal();

/** Returns the environment of the real process. */
export function denoEnvironment(): Environment {
  return {
    stdin: {
      isTerminal: Deno.stdin.isTerminal(),
      get stream(): ReadableStream<Uint8Array> {
        return readInput();
      },
    },
    stdout: { isTerminal: isOutputTerminal, write: writeOutput },
    stderr: {
      isTerminal: isErrorTerminal,
      write: (text) => writeDiagnostics(isErrorTerminal ? terminalText(text) : text),
      showLine: (line) => writeDiagnostics(terminalLine(line)),
    },
    wantsColor: !Deno.noColor,
    clock: new SystemClock(),
    random: Math.random,
    cpuMs,
    columns,
    readFile,
    readSecretFile,
    writeFile,
    disk: new DenoDisk(),
    replaceFile,
    withLock,
    appendFile,
    variable,
    absolute: resolve,
    mayWrite: (path) =>
      Deno.permissions.querySync({ name: "write", path }).state === "granted" &&
      Deno.permissions.querySync({ name: "read", path }).state === "granted",
    openTerminal: (): Terminal => ({ input: process.stdin, output: process.stdout }),
    readSecret: (prompt) => readTyped(prompt, new SecretLine()),
    confirm: async (question) => isYes(await readTyped(question, new SecretLine({ echo: writeDiagnostics }))),
    onEndSignal: (handler) => onSignals(END_SIGNALS, handler),
    onHangup: (handler) => onSignals(["SIGHUP"], handler),
    exit: (code) => Deno.exit(code),
  };
}

/** Returns standard input as a stream that fails with {@link InputError}. */
function readInput(): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller): Promise<void> {
      const buffer = new Uint8Array(INPUT_CHUNK_BYTES);
      try {
        const length = await Deno.stdin.read(buffer);
        if (length === null) controller.close();
        else controller.enqueue(buffer.subarray(0, length));
      } catch (error) {
        const message = `Cannot read standard input: ${systemReason(error)}. Give it a file or a pipe.`;
        controller.error(new InputError(message, { cause: error }));
      }
    },
  }, { highWaterMark: 0 });
}

/** Keys that were typed before the prompt for them was shown, such as a pasted password behind another one. */
let typedAhead = "";

async function readTyped(prompt: string, line: SecretLine): Promise<SecretEnd> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const buffer = new Uint8Array(INPUT_CHUNK_BYTES);
  const restore = (): void => Deno.stdin.setRaw(false);
  // The shell that started this program would go on without echo.
  const unlisten = onSignals(["SIGTERM", "SIGHUP"], () => {
    restore();
    Deno.exit(ExitCode.unavailable);
  });
  writeDiagnostics(terminalText(prompt));
  Deno.stdin.setRaw(true);
  try {
    for (let keys = typedAhead;;) {
      const taken = line.take(keys);
      typedAhead = taken?.rest ?? "";
      if (taken !== null) return taken.end;
      const length = await Deno.stdin.read(buffer);
      if (length === null) return { kind: "cancelled" };
      keys = decoder.decode(buffer.subarray(0, length), { stream: true });
    }
  } finally {
    buffer.fill(0);
    restore();
    unlisten();
    writeDiagnostics("\n");
  }
}

async function writeOutput(text: string | Uint8Array): Promise<void> {
  let rest = typeof text === "string" ? utf8.encode(isOutputTerminal ? terminalText(text) : text) : text;
  try {
    while (rest.length > 0) rest = rest.subarray(await Deno.stdout.write(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) {
      throw new OutputClosedError("The reader of standard output has closed it.");
    }
    throw new OutputError(systemReason(error), { cause: error });
  }
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

function columns(): number {
  try {
    return Deno.consoleSize().columns || DEFAULT_COLUMNS;
  } catch {
    return DEFAULT_COLUMNS;
  }
}

/** Files with secrets that others may open, of which the user was warned. */
const openSecretFiles = new Set<string>();

function readSecretFile(path: string, maxBytes: number): Uint8Array {
  return readFile(path, maxBytes, ({ mode, uid }) => {
    const problem = problemOfMode({ mode, uid }, { path, mayGroupRead: false });
    if (problem === null || openSecretFiles.has(path)) return;
    openSecretFiles.add(path);
    const warning = `kvraft: warning: the file ${path} has a secret, and ${problem}\n`;
    writeDiagnostics(isErrorTerminal ? terminalText(warning) : warning);
  });
}

function readFile(
  path: string,
  maxBytes: number,
  check: (info: Deno.FileInfo) => void = () => {},
): Uint8Array {
  try {
    using file = Deno.openSync(path);
    const info = file.statSync();
    const { size, isFile } = info;
    // The mode of a pipe, as of a shell's <(…), says nothing.
    if (isFile) check(info);
    // A pipe or a device has no size and is read up to the limit.
    const buffer = new Uint8Array((isFile && size > 0 ? Math.min(maxBytes, size) : maxBytes) + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = file.readSync(buffer.subarray(length));
      if (count === null) break;
      length += count;
    }
    return buffer.slice(0, length);
  } catch (error) {
    throw new Error(fileErrorReason(error), { cause: error });
  }
}

function writeFile(path: string, text: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: OWNERS_DIRECTORY });
    Deno.writeTextFileSync(path, text, { mode: OWNERS_FILE });
  } catch (error) {
    throw new Error(fileErrorReason(error), { cause: error });
  }
}

function appendFile(path: string, text: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: OWNERS_DIRECTORY });
    Deno.writeTextFileSync(path, text, { append: true, mode: OWNERS_FILE });
  } catch (error) {
    throw new Error(fileErrorReason(error), { cause: error });
  }
}

function replaceFile(path: string, text: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: OWNERS_DIRECTORY });
    const target = targetOf(path);
    const unfinished = `${target}.${crypto.randomUUID()}.tmp`;
    const file = Deno.openSync(unfinished, { write: true, createNew: true, mode: OWNERS_FILE });
    try {
      try {
        const bytes = utf8.encode(text);
        for (let start = 0; start < bytes.length;) start += file.writeSync(bytes.subarray(start));
        file.syncSync();
      } finally {
        file.close();
      }
      Deno.renameSync(unfinished, target);
    } catch (error) {
      Deno.removeSync(unfinished);
      throw error;
    }
  } catch (error) {
    throw new Error(fileErrorReason(error), { cause: error });
  }
}

function withLock<T>(path: string, work: () => T): T {
  using _lock = lockOf(path);
  return work();
}

/** Waits for the lock of a file, and returns it; null where there can be none. Closing it releases it. */
function lockOf(path: string): Deno.FsFile | null {
  let file: Deno.FsFile | null = null;
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: OWNERS_DIRECTORY });
    file = Deno.openSync(`${targetOf(path)}.lock`, { write: true, create: true, mode: OWNERS_FILE });
    file.lockSync(true);
    return file;
  } catch {
    file?.close();
    return null;
  }
}

/** Returns the file that a symbolic link leads to, which is replaced in place of the link; other paths as they are. */
function targetOf(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}

function variable(name: EnvironmentVariable): string | null {
  // Without the permission Deno would ask for it on the terminal.
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return null;
  return Deno.env.get(name) || null;
}

/** Returns the reason that the operating system gave, without number and call: `No space left on device`. */
function systemReason(error: unknown): string {
  return errorMessage(error).replace(/ \(os error \d+\).*$/, "");
}

function onSignals(signals: readonly Deno.Signal[], handler: () => void): () => void {
  for (const signal of signals) Deno.addSignalListener(signal, handler);
  return () => {
    for (const signal of signals) Deno.removeSignalListener(signal, handler);
  };
}

function writeDiagnostics(text: string): void {
  let rest = utf8.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(Deno.stderr.writeSync(rest));
  } catch {
    // A server continues when its log cannot be written.
  }
}
