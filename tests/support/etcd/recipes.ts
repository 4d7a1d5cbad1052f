/** A process of clientv3 and its recipes (tests/etcd/driver/recipes.go), which runs while a cluster is disturbed. */
import { assertEquals } from "@std/assert";
import { check, CHECK_LIMITS, type Operation } from "../../../lib/lincheck/mod.ts";
import { CHECKOUT } from "../checkout.ts";
import { eventually } from "../eventually.ts";
import { Process } from "../processes/process.ts";

const PROGRESS_MS = 60_000;
const END_MS = 120_000;

/** The parts of the program and how often each has finished something. */
export type Counts = Readonly<Record<string, number>>;

/** The last line of the program. */
interface Report {
  readonly problems: readonly string[] | null;
  readonly counts: Counts;
  readonly history: readonly Operation[];
}

/** The process. Use with `await using`. */
export class Recipes implements AsyncDisposable {
  readonly #process: Process;
  readonly #explain: () => string;

  /** Starts the program that `driverProgram` returned. */
  constructor(program: string, addresses: readonly string[], explain: () => string) {
    this.#process = Process.start(program, ["recipes", addresses.join(",")], {
      cwd: CHECKOUT,
      name: "recipes of clientv3",
      keepsInput: true,
    });
    this.#explain = (): string => `${this.#process.printed.slice(-10_000)}\n${explain()}`;
  }

  /** Waits until each part has finished something more. */
  async progress(): Promise<void> {
    const before = this.#counts() ?? {};
    await eventually("each part of the program finishes something", () => {
      if (this.#process.hasEnded) throw new Error("the program has ended");
      const now = this.#counts();
      if (now === null) return null;
      return Object.entries(now).every(([part, count]) => count > (before[part] ?? 0)) ? true : null;
    }, { deadlineMs: PROGRESS_MS, explain: this.#explain });
  }

  /** Ends the program; throws if it saw anything wrong, or its history is not linearizable. */
  async verify(): Promise<Counts> {
    await this.#process.endInput();
    const { code, stdout } = await this.#process.end({ deadlineMs: END_MS, explain: this.#explain });
    assertEquals(code, 0, this.#explain());
    const { problems, counts, history }: Report = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    assertEquals(problems, null);
    const verdict = check(history, { ...CHECK_LIMITS, now: () => performance.now() });
    assertEquals(verdict.kind, "linearizable", JSON.stringify(verdict).slice(0, 5_000));
    return counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  #counts(): Counts | null {
    const [line] = this.#process.printed.split("\n").filter((one) => one.startsWith(`{"progress"`)).slice(-1);
    if (line === undefined || !line.endsWith("}}")) return null;
    const { progress }: { progress: Counts } = JSON.parse(line);
    return progress;
  }
}
