/** An environment in memory: input is given, output is kept. */
// The program imports these when they are used, from disk; a test that waits for some turns of the event loop has them already.
import "../../../../lib/cli/client.ts";
import "../../../../lib/cli/processes/gateway.ts";
import { resolve } from "@std/path";
import { PassThrough } from "node:stream";
import type {
  Diagnostics,
  Environment,
  EnvironmentVariable,
  Output,
  Terminal,
} from "../../../../lib/cli/environment.ts";
import { OutputClosedError, OutputError } from "../../../../lib/cli/errors.ts";
import type { SecretEnd } from "../../../../lib/cli/sign_in/secret_line.ts";
import { terminalLine, terminalText } from "../../../../lib/cli/text.ts";
import { seededRandom } from "../../../../lib/loadgen/mod.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";

/** Options of the environment. */
export interface FakeEnvironmentOptions {
  /** Chunks of standard input; a terminal when null. Default: no bytes. */
  readonly input?: readonly (string | Uint8Array)[] | null;
  /** Standard input in place of `input`, for input that does not end yet. */
  readonly stdin?: ReadableStream<Uint8Array>;
  readonly terminal?: boolean;
  readonly color?: boolean;
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly columns?: number;
  readonly isDiskFull?: boolean;
  readonly variables?: Readonly<Partial<Record<EnvironmentVariable, string>>>;
  /** The error of reading standard input. */
  readonly inputError?: Error;
  /** Whether standard output fails. */
  readonly isOutputFull?: boolean;
  /** Secrets that are typed, one for each prompt; Ctrl-C where there are none left. */
  readonly secrets?: readonly string[];
  /** The answer to every question. */
  readonly confirms?: boolean;
}

/** Keeps what is written to it, until its reader goes away. */
export class FakeOutput implements Output {
  bytes = new Uint8Array();
  isClosed = false;
  isFull = false;

  constructor(readonly isTerminal: boolean) {}

  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  write(text: string | Uint8Array): Promise<void> {
    if (this.isClosed) return Promise.reject(new OutputClosedError("closed"));
    if (this.isFull) return Promise.reject(new OutputError("No space left on device", { cause: null }));
    const shown = typeof text === "string" && this.isTerminal ? terminalText(text) : text;
    const added = typeof shown === "string" ? new TextEncoder().encode(shown) : shown;
    const bytes = new Uint8Array(this.bytes.length + added.length);
    bytes.set(this.bytes);
    bytes.set(added, this.bytes.length);
    this.bytes = bytes;
    return Promise.resolve();
  }
}

/** Keeps what is written to it. */
export class FakeDiagnostics implements Diagnostics {
  text = "";

  constructor(readonly isTerminal: boolean) {}

  write(text: string): void {
    this.text += this.isTerminal ? terminalText(text) : text;
  }

  showLine(line: string): void {
    this.text += terminalLine(line);
  }
}

function* chunksOf(
  input: FakeEnvironmentOptions["input"],
  { inputError }: FakeEnvironmentOptions,
): Generator<Uint8Array> {
  if (inputError !== undefined) throw inputError;
  for (const chunk of input ?? []) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
}

/** The process. */
export class FakeEnvironment implements Environment {
  readonly stdin: Environment["stdin"];
  readonly stdout: FakeOutput;
  readonly stderr: FakeDiagnostics;
  readonly wantsColor: boolean;
  readonly clock = new ManualClock();
  readonly random = seededRandom(1);
  readonly disk = new MemoryDisk();
  /** Written files by path. */
  readonly written = new Map<string, string>();
  /** Streams of the terminal. */
  readonly terminal = { input: new PassThrough(), output: new PassThrough() };
  /** Prompts for secrets, and questions, that were shown. */
  readonly prompts: string[] = [];
  /** CPU time that the program reports. */
  cpuTimeMs = 0;
  /** Exit codes that were requested. */
  readonly exits: number[] = [];
  readonly #options: FakeEnvironmentOptions;
  readonly #signalHandlers = new Set<() => void>();
  readonly #hangupHandlers = new Set<() => void>();

  constructor(options: FakeEnvironmentOptions = {}) {
    const { input = [], terminal = false, color = false } = options;
    this.#options = options;
    this.stdin = {
      isTerminal: input === null,
      stream: options.stdin ?? ReadableStream.from(chunksOf(input, options)),
    };
    this.stdout = new FakeOutput(terminal);
    this.stdout.isFull = options.isOutputFull ?? false;
    this.stderr = new FakeDiagnostics(terminal);
    this.wantsColor = color;
  }

  /** Whether a listener for signals is registered. */
  get listensForSignals(): boolean {
    return this.#signalHandlers.size + this.#hangupHandlers.size > 0;
  }

  cpuMs(): number {
    return this.cpuTimeMs;
  }

  columns(): number {
    return this.#options.columns ?? 80;
  }

  readFile(path: string, maxBytes: number): Uint8Array {
    const file = this.written.get(path) ?? this.#options.files?.[path];
    if (file === undefined) throw new Error("there is no such file");
    return (typeof file === "string" ? new TextEncoder().encode(file) : file).subarray(0, maxBytes + 1);
  }

  readSecretFile(path: string, maxBytes: number): Uint8Array {
    return this.readFile(path, maxBytes);
  }

  writeFile(path: string, text: string): void {
    if (this.#options.isDiskFull === true) throw new Error("the disk is full");
    this.written.set(path, text);
  }

  appendFile(path: string, text: string): void {
    this.writeFile(path, `${this.written.get(path) ?? ""}${text}`);
  }

  replaceFile(path: string, text: string): void {
    this.writeFile(path, text);
  }

  withLock<T>(_path: string, work: () => T): T {
    return work();
  }

  variable(name: EnvironmentVariable): string | null {
    return this.#options.variables?.[name] ?? null;
  }

  absolute(path: string): string {
    return resolve("/work", path);
  }

  mayWrite(path: string): boolean {
    return !path.startsWith("/srv/");
  }

  openTerminal(): Terminal {
    return this.terminal;
  }

  readSecret(prompt: string): Promise<SecretEnd> {
    const secret = this.#options.secrets?.[this.prompts.length];
    this.prompts.push(prompt);
    return Promise.resolve(secret === undefined ? { kind: "cancelled" } : { kind: "typed", secret });
  }

  confirm(question: string): Promise<boolean> {
    this.prompts.push(question);
    return Promise.resolve(this.#options.confirms ?? false);
  }

  onEndSignal(handler: () => void): () => void {
    this.#signalHandlers.add(handler);
    return () => void this.#signalHandlers.delete(handler);
  }

  /** SIGINT or SIGTERM comes. */
  signal(): void {
    for (const handler of this.#signalHandlers) handler();
  }

  onHangup(handler: () => void): () => void {
    this.#hangupHandlers.add(handler);
    return () => void this.#hangupHandlers.delete(handler);
  }

  /** SIGHUP comes. */
  hangup(): void {
    for (const handler of this.#hangupHandlers) handler();
  }

  exit(code: number): void {
    this.exits.push(code);
  }
}
