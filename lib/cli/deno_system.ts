/** The process, through Deno, with nothing but the permissions of the compiled binary. */
import process from "node:process";
import { dirname } from "@std/path";
import type { Timer } from "../net/clock.ts";
import { OutputClosedError } from "./errors.ts";
import { END_SIGNALS, type Keyboard, type Stopwatch, type System } from "./system.ts";

/** Columns where the terminal does not say. */
const DEFAULT_COLUMNS = 80;

const utf8 = new TextEncoder();

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
        return Deno.stdin.readable;
      },
    },
    stdout: { isTerminal: Deno.stdout.isTerminal(), write: writeOutput },
    stderr: { isTerminal: Deno.stderr.isTerminal(), write: writeDiagnostics },
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
    onEndSignal,
    exit: (code) => Deno.exit(code),
  };
}

async function writeOutput(text: string | Uint8Array): Promise<void> {
  let rest = typeof text === "string" ? utf8.encode(text) : text;
  try {
    while (rest.length > 0) rest = rest.subarray(await Deno.stdout.write(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) {
      throw new OutputClosedError("Nobody reads the output any more.");
    }
    throw error;
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
    const buffer = new Uint8Array(Math.min(maxBytes, file.statSync().size) + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = file.readSync(buffer.subarray(length));
      if (count === null) break;
      length += count;
    }
    return buffer.subarray(0, length);
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

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.NotCapable) {
    return "this program may read only what is in the directory it was started in; start it where the file is, " +
      "or copy the file there";
  }
  if (error instanceof Deno.errors.PermissionDenied) return "its owner does not permit it";
  return error instanceof Error ? error.message : String(error);
}

function onEndSignal(handler: () => void): () => void {
  for (const signal of END_SIGNALS) Deno.addSignalListener(signal, handler);
  return () => {
    for (const signal of END_SIGNALS) Deno.removeSignalListener(signal, handler);
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
