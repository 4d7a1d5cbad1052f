/** The processes of stock clients that run while a cluster is disturbed, and the check of what they report. */
import { assertEquals } from "@std/assert";
import { check, CHECK_LIMITS } from "../../../../lib/lincheck/mod.ts";
import { CHECKOUT } from "../../../support/checkout.ts";
import { eventually } from "../../../support/eventually.ts";
import { CLIENT_ENVIRONMENT } from "../../../support/denokv/server.ts";
import { denoCommand, Process } from "../../../support/processes/process.ts";
import type { Recording } from "./history_main.ts";

const PROGRAMS = "tests/cluster/denokv/faults/programs.mjs";
const RECORDER = "tests/cluster/denokv/faults/history_main.ts";
/** A watch of a client may pause for a minute after its connection broke. */
const END_MS = 240_000;
const PROGRESS_MS = 120_000;

/** The last line that programs.mjs prints. */
export interface Result {
  /** Sets that were acknowledged to all programs. */
  readonly sets: number;
  /** States that their watches showed. */
  readonly states: number;
  /** Times that they began a watch. */
  readonly begun: number;
  /** Calls that failed, by the text of the error. */
  readonly errors: Readonly<Record<string, number>>;
  /** Sentences: what was lost, counted twice, or not shown by a watch. */
  readonly problems: readonly string[];
}

/** How to run a script with a stock client. */
export interface Runtime {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Where its packages are. Default the checkout. */
  readonly cwd?: string;
}

/** A later Deno, whose client differs. */
export const OTHER_DENO = "2.9.8";

/** Returns the stock client of this Deno, or of the one at `path`. */
export function denoRuntime(path = Deno.execPath()): Runtime {
  const flags = ["--quiet", "--no-config", "--allow-all", "--unstable-kv", "--no-check"];
  const name = path === Deno.execPath() ? `Deno ${Deno.version.deno}` : `Deno ${OTHER_DENO}`;
  return { name, command: [path, "run", ...flags, `${CHECKOUT}${PROGRAMS}`] };
}

/** Returns the stock client of Node, whose package is installed in `folder`. */
export async function nodeRuntime(folder: string, node = "node"): Promise<Runtime> {
  await Deno.copyFile(`${CHECKOUT}${PROGRAMS}`, `${folder}/programs.mjs`);
  return { name: node === "node" ? "Node" : "newest Node", command: [node, "programs.mjs"], cwd: folder };
}

/** Options of {@link Programs}. */
export interface ProgramsOptions {
  /** Distinguishes their keys from those of other processes. */
  readonly name: string;
  readonly runtime: Runtime;
  readonly count: number;
  readonly urls: readonly string[];
  readonly explain: () => string;
}

/** A process of programs that set, count and watch. Use with `await using`. */
export class Programs implements AsyncDisposable {
  readonly #process: Process;
  readonly #explain: () => string;

  constructor({ name, runtime, count, urls, explain }: ProgramsOptions) {
    const [command, ...args] = runtime.command;
    this.#process = Process.start(command, [...args, name, `${count}`, ...urls], {
      cwd: runtime.cwd ?? CHECKOUT,
      name: `${name} (${runtime.name})`,
      env: CLIENT_ENVIRONMENT,
      keepsInput: true,
    });
    this.#explain = (): string => `${this.#process.printed}\n${explain()}`;
  }

  /** Waits until some more writes are acknowledged: to any of the programs, or to each of them. */
  async progress(writes: number, to: "any" | "each"): Promise<void> {
    const goal = this.#acknowledged(to) + writes;
    await eventually(`${writes} more writes are acknowledged to ${to} of the programs`, () => {
      if (this.#process.hasEnded) throw new Error("the programs have ended");
      return this.#acknowledged(to) >= goal ? true : null;
    }, { deadlineMs: PROGRESS_MS, explain: this.#explain });
  }

  /** Ends the programs; throws if anything that was acknowledged is not there, or not once. */
  async verify(): Promise<Result> {
    await this.#process.endInput();
    const { code, stdout } = await this.#process.end({ deadlineMs: END_MS, explain: this.#explain });
    assertEquals(code, 0, this.#explain());
    const result: Result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    assertEquals(result.problems, [], this.#explain());
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  #acknowledged(to: "any" | "each"): number {
    const lines = [...this.#process.printed.matchAll(/acknowledged (\d+), least (\d+)/g)];
    return Number(lines.at(-1)?.[to === "any" ? 1 : 2] ?? 0);
  }
}

/** A process whose operations are recorded. Use with `await using`. */
export class RecordedClients implements AsyncDisposable {
  readonly #process: Process;
  readonly #explain: () => string;

  /** The first URL is of a node that must not stop. */
  constructor(urls: readonly string[], explain: () => string) {
    const [command, ...args] = denoCommand(RECORDER, {
      permissions: ["--allow-all", "--unstable-kv", "--no-check"],
      args: urls,
    });
    const options = { cwd: CHECKOUT, name: "recorded clients", env: CLIENT_ENVIRONMENT, keepsInput: true };
    this.#process = Process.start(command, args, options);
    this.#explain = (): string => `${this.#process.printed.slice(0, 20_000)}\n${explain()}`;
  }

  /** Waits until they have begun. */
  async begun(): Promise<void> {
    await this.#process.waitForOutput(/recorded/, { explain: this.#explain });
  }

  /** Ends them; throws unless their history is linearizable and every sum was counted once. */
  async verify(): Promise<{ readonly operations: number; readonly sums: number }> {
    await this.#process.endInput();
    const { code, stdout } = await this.#process.end({ deadlineMs: END_MS, explain: this.#explain });
    assertEquals(code, 0, this.#explain());
    const { history, sums, counter }: Recording = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    assertEquals(counter, sums, "the counter has every acknowledged sum once");
    const verdict = check(history, { ...CHECK_LIMITS, now: () => performance.now() });
    assertEquals(verdict.kind, "linearizable", JSON.stringify(verdict).slice(0, 5_000));
    return { operations: history.length, sums };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
