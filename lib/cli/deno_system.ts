/** The process, through Deno, with nothing but the permissions of the compiled binary. */
import process from "node:process";
import { dirname } from "@std/path";
import type { Timer } from "../platform/clock.ts";
import { InputError, OutputClosedError, OutputError } from "./errors.ts";
import { END_SIGNALS, type Keyboard, type Stopwatch, type System } from "./system.ts";
import { terminalLine, terminalText } from "./terminal.ts";

/** Columns where the terminal does not say. */
const DEFAULT_COLUMNS = 80;

/** Bytes of standard input that are read at a time. */
const INPUT_CHUNK_BYTES = 65_536;

const utf8 = new TextEncoder();
const isOutputTerminal = Deno.stdout.isTerminal();
const isErrorTerminal = Deno.stderr.isTerminal();

const STOPWATCH: Stopwatch = {
  now: () => performance.now(),
  after(delayMs, callback): Timer {
    const id = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(id) };
  },
};

/** The process that this program runs in. */
export function denoSystem(): System {
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
    clock: STOPWATCH,
    random: Math.random,
    cpuMs,
    columns,
    readFile,
    writeFile,
    mayWrite: (path) =>
      Deno.permissions.querySync({ name: "write", path }).state === "granted" &&
      Deno.permissions.querySync({ name: "read", path }).state === "granted",
    openKeyboard: (): Keyboard => ({ input: process.stdin, output: process.stdout }),
    onEndSignal: (handler) => onSignals(END_SIGNALS, handler),
    onHangup: (handler) => onSignals(["SIGHUP"], handler),
    exit: (code) => Deno.exit(code),
  };
}

/** Standard input, whose errors are told as such. */
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

async function writeOutput(text: string | Uint8Array): Promise<void> {
  let rest = typeof text === "string" ? utf8.encode(isOutputTerminal ? terminalText(text) : text) : text;
  try {
    while (rest.length > 0) rest = rest.subarray(await Deno.stdout.write(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) {
      throw new OutputClosedError("Nobody reads the output any more.");
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

function readFile(path: string, maxBytes: number): Uint8Array {
  try {
    using file = Deno.openSync(path);
    const { size, isFile } = file.statSync();
    // A pipe or a device has no size: it is read up to the limit.
    const buffer = new Uint8Array((isFile && size > 0 ? Math.min(maxBytes, size) : maxBytes) + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = file.readSync(buffer.subarray(length));
      if (count === null) break;
      length += count;
    }
    return buffer.slice(0, length);
  } catch (error) {
    throw new Error(reasonOf(error), { cause: error });
  }
}

function writeFile(path: string, text: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.writeTextFileSync(path, text);
  } catch (error) {
    throw new Error(reasonOf(error), { cause: error });
  }
}

/** What the system said, without its number: `No space left on device`. */
function systemReason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/ \(os error \d+\)$/, "");
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.NotCapable) {
    return "this program may read only what is in the directory it was started in; start it where the file is, " +
      "or copy the file there";
  }
  if (error instanceof Deno.errors.PermissionDenied) return "its owner does not permit it";
  return systemReason(error);
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
    // A log that nobody reads must not take the node down.
  }
}
