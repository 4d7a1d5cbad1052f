/** Processes of stock clients that write and watch keys, and what they have printed. */
import { assertEquals } from "@std/assert";
import { CHECKOUT } from "../../../support/checkout.ts";
import { eventually } from "../../../support/eventually.ts";
import { CLIENT_ENVIRONMENT } from "../../../support/denokv/server.ts";
import { Process } from "../../../support/processes/process.ts";

const PROGRAMS = "tests/cluster/denokv/watch/programs.mjs";
/** A watch of a client may pause for some seconds after its connection broke. */
const DEADLINE_MS = 120_000;

/** A key of Deno KV. */
export type Key = readonly (string | number)[];

/** How to run the programs with a stock client. */
export interface Runtime {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
}

/** A state that a watch has shown. */
export interface ShownState {
  /** The number of the watch. */
  readonly name: string;
  readonly numbers: readonly (number | null)[];
  readonly versionstamps: readonly (string | null)[];
}

/** Returns the stock client of this Deno. */
export function denoRuntime(): Runtime {
  const flags = ["--quiet", "--no-config", "--allow-all", "--unstable-kv", "--no-check"];
  return { command: [Deno.execPath(), "run", ...flags, `${CHECKOUT}${PROGRAMS}`], cwd: CHECKOUT };
}

/** Returns the stock client of Node, whose package is installed in `folder`. */
export async function nodeRuntime(folder: string): Promise<Runtime> {
  await Deno.copyFile(`${CHECKOUT}${PROGRAMS}`, `${folder}/programs.mjs`);
  return { command: ["node", "programs.mjs"], cwd: folder };
}

/** Starts a program of programs.mjs, which ends with its input. */
function start({ command: [command, ...args], cwd }: Runtime, name: string, program: object): Process {
  return Process.start(command, [...args, JSON.stringify(program)], {
    cwd,
    name,
    env: CLIENT_ENVIRONMENT,
    keepsInput: true,
  });
}

/** A program that writes. Use with `await using`. */
export class Writer implements AsyncDisposable {
  readonly #process: Process;

  constructor(
    runtime: Runtime,
    options: {
      readonly url: string;
      readonly keys: readonly Key[];
      readonly bytes?: number;
      readonly pauseMs?: number;
    },
  ) {
    this.#process = start(runtime, "writer", { program: "write", bytes: 10, pauseMs: 5, ...options });
  }

  /** The last number that was printed as written. */
  get written(): number {
    return Number([...this.#process.printed.matchAll(/written (\d+)/g)].at(-1)?.[1] ?? 0);
  }

  /** Waits until some more commits were acknowledged. */
  async progress(commits: number): Promise<void> {
    const goal = this.written + commits;
    await eventually(`${commits} more commits are acknowledged`, () => {
      if (this.#process.hasEnded) throw new Error("the writer has ended");
      return this.written >= goal || null;
    }, { deadlineMs: DEADLINE_MS, explain: () => this.#process.printed });
  }

  /** Ends it; resolves to the last commit. */
  async end(): Promise<{ readonly number: number; readonly versionstamp: string }> {
    await this.#process.endInput();
    const { code, stdout } = await this.#process.end({ deadlineMs: DEADLINE_MS });
    assertEquals(code, 0, this.#process.printed);
    return JSON.parse(/last (.*)/.exec(stdout)?.[1] ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

/** A program that watches. Use with `await using`. */
export class Watcher implements AsyncDisposable {
  readonly #process: Process;

  constructor(
    runtime: Runtime,
    options: {
      readonly url: string;
      readonly keys: readonly Key[];
      readonly watches?: number;
      readonly slowMs?: number;
      readonly isApart?: boolean;
    },
  ) {
    this.#process = start(runtime, "watcher", { program: "watch", watches: 1, slowMs: 0, ...options });
  }

  /** Everything that the program has printed. */
  get printed(): string {
    return this.#process.printed;
  }

  /** The states so far, those of all its watches. */
  get states(): readonly ShownState[] {
    return [...this.#process.printed.matchAll(/^state (\{.*\})$/gm)].map(([, json = ""]) => JSON.parse(json));
  }

  /** Waits until this many states were shown. */
  async shows(states: number): Promise<void> {
    await this.#until(`${states} states are shown`, () => this.states.length >= states);
  }

  /** Waits until the last state of each watch has all keys at this versionstamp. */
  async showsLast(versionstamp: string, watches = 1): Promise<void> {
    await this.#until(`all watches show ${versionstamp}`, () => {
      const last = new Map(this.states.map((state) => [state.name, state.versionstamps]));
      return last.size === watches && [...last.values()].flat().every((shown) => shown === versionstamp);
    });
  }

  /** Throws unless each state is that of one commit, and none comes after a later one. */
  verifyOrder(): void {
    const last = new Map<string, number>();
    for (const { name, numbers } of this.states) {
      const [number = null] = numbers;
      assertEquals(numbers.every((other) => other === number), true, `keys of one commit differ: ${numbers}`);
      assertEquals((number ?? 0) >= (last.get(name) ?? 0), true, `${number} after ${last.get(name)}`);
      last.set(name, number ?? 0);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  async #until(what: string, isTrue: () => boolean): Promise<void> {
    await eventually(what, () => {
      if (this.#process.hasEnded) throw new Error("the watcher has ended");
      return isTrue() || null;
    }, { deadlineMs: DEADLINE_MS, explain: () => this.#process.printed.slice(-5_000) });
  }
}
