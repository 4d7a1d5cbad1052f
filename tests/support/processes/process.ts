/**
 * Programs that tests start: kvraft from source with exactly the permissions of the executable, and other programs.
 *
 * A process is killed when its `await using` block ends, and the error of a failed wait contains its output.
 */
import { join } from "@std/path";
import { permissionFlags } from "../../../tools/permissions.ts";
import { v8Flags } from "../../../tools/v8_flags.ts";
import { CHECKOUT } from "../checkout.ts";
import { eventually, type WaitOptions, within } from "../eventually.ts";

/** The line that the server prints once, when it serves. */
export const READY_LINE = /ready to serve/;

/** Registries may be slow. */
const REGISTRY_MS = 180_000;

/** Options of a process. */
export interface StartOptions {
  /** Working directory, the base of relative paths and permissions. */
  readonly cwd: string;
  /** Name in the log: `node 1`. */
  readonly name?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; nothing unless given. */
  readonly input?: string;
  /** Whether standard input ends only with {@link Process.endInput}. */
  readonly keepsInput?: boolean;
  /** Absolute path of the checkout whose kvraft runs. Default this one. */
  readonly checkout?: string;
}

/** The exit of a program. */
export interface Finished {
  readonly code: number;
  /** Null unless a signal ended it. */
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs, or has ended. */
export class Process implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when the program has ended and everything it printed was read. */
  readonly finished: Promise<Finished>;
  readonly #name: string;
  readonly #child: Deno.ChildProcess;
  #printed = "";
  #ended = false;

  private constructor(
    child: Deno.ChildProcess,
    { name, input, keepsInput }: { name: string; input: string; keepsInput: boolean },
  ) {
    this.#child = child;
    this.#name = name;
    this.pid = child.pid;
    this.finished = this.#finish(keepsInput ? null : input);
  }

  /** Starts `command`; use with `await using`. */
  static start(command: string, args: readonly string[], options: StartOptions): Process {
    const child = new Deno.Command(command, {
      args: [...args],
      cwd: options.cwd,
      env: { NO_COLOR: "1", ...options.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { name = command, input = "", keepsInput = false } = options;
    return new Process(child, { name, input, keepsInput });
  }

  /** Everything printed so far, both streams in the order it arrived. */
  get printed(): string {
    return this.#printed;
  }

  /** Whether the program has ended. */
  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Waits until what was printed matches `pattern`; fails at once when the program ends without. */
  async waitForOutput(pattern: RegExp, options: WaitOptions = {}): Promise<void> {
    const what = `${this.#name} prints ${pattern}`;
    const printedIt = await eventually(what, () => {
      if (pattern.test(this.#printed)) return true;
      return this.#ended ? false : null;
    }, { explain: () => this.#printed, ...options });
    if (!printedIt) throw new Error(`${this.#name} ended without printing ${pattern}:\n${this.#printed}`);
  }

  /** Ends standard input, for a program that was started with `keepsInput`. */
  async endInput(): Promise<void> {
    await this.#feed("");
  }

  /** Sends a signal; without effect when the program has ended. */
  signal(signal: Deno.Signal): void {
    if (this.#ended) return;
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It ends at this moment, and that was not reported yet.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** Ends the program as a failing machine would (SIGKILL) and waits until it has ended. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.finished;
  }

  /** Waits until the program ends by itself. */
  async end(options: WaitOptions = {}): Promise<Finished> {
    return await within(`${this.#name} ends`, this.finished, { explain: () => this.#printed, ...options });
  }

  /** Asks the program to end (SIGTERM) and waits for it. */
  async stop(): Promise<Finished> {
    this.signal("SIGTERM");
    return await this.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #feed(input: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    try {
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
    } catch {
      // A program need not read its input.
    }
  }

  /** `input`: null where it is ended later. */
  async #finish(input: string | null): Promise<Finished> {
    const [stdout, stderr, status] = await Promise.all([
      this.#collect(this.#child.stdout),
      this.#collect(this.#child.stderr),
      this.#child.status,
      input === null ? null : this.#feed(input),
    ]);
    this.#ended = true;
    return { code: status.code, signal: status.signal, stdout, stderr };
  }

  async #collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
    let text = "";
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      this.#printed += chunk;
    }
    return text;
  }
}

/** Returns the flags with which this machine finds `@std/*`, relative to a checkout. */
const importFlags: readonly string[] = (() => {
  const { stdout } = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-config", "tools/std_imports.ts"],
    cwd: CHECKOUT,
  }).outputSync();
  return new TextDecoder().decode(stdout).trim().split(/\s+/).filter((flag) => flag !== "");
})();

/** Returns the command that runs `kvraft` with `args`, and the permissions and the flags of V8 of the executable. */
export function kvraftCommand(args: readonly string[], checkout = CHECKOUT): readonly [string, ...string[]] {
  const permissions = [...permissionFlags(), ...v8Flags(checkout)];
  return denoCommand("main.ts", { permissions, args, checkout });
}

/** A script's permissions, arguments and checkout (default: this one). */
export interface ScriptOptions {
  readonly permissions: readonly string[];
  readonly args: readonly string[];
  readonly checkout?: string;
}

/** Returns the command that runs a script of a checkout from any directory; its path is relative to the checkout. */
export function denoCommand(
  script: string,
  { permissions, args, checkout = CHECKOUT }: ScriptOptions,
): readonly [string, ...string[]] {
  return [
    Deno.execPath(),
    "run",
    "--quiet",
    `--config=${join(checkout, "deno.json")}`,
    ...importFlags.map((flag) => flag.replace("--import-map=", `--import-map=${join(checkout, "/")}`)),
    ...permissions,
    join(checkout, script),
    ...args,
  ];
}

/** Starts `kvraft` with these arguments in `options.cwd`. */
export function startKvraft(args: readonly string[], options: StartOptions): Process {
  const [program, ...programArgs] = kvraftCommand(args, options.checkout);
  return Process.start(program, programArgs, { name: "kvraft", ...options });
}

/** Runs `kvraft` with these arguments until it ends. */
export async function runKvraft(args: readonly string[], options: StartOptions): Promise<Finished> {
  await using process = startKvraft(args, options);
  return await process.end();
}

/** Whether a program is installed: it runs with an argument that asks for its version. */
export function runs(program: string, argument: string): boolean {
  try {
    return new Deno.Command(program, { args: [argument], stdout: "null", stderr: "null" }).outputSync()
      .success;
  } catch {
    return false;
  }
}

/** Returns whether a command that installs something from a registry ends without an error. */
export async function succeeds(command: string, args: readonly string[], cwd: string): Promise<boolean> {
  try {
    await using process = Process.start(command, args, { cwd });
    return (await process.end({ deadlineMs: REGISTRY_MS })).code === 0;
  } catch {
    return false;
  }
}

/** Prints why a test was skipped, for reasons outside this project. */
export function skip(reason: string): void {
  // deno-lint-ignore no-console -- the output of a test run names skipped tests
  console.log(`skipped: ${reason}`);
}
