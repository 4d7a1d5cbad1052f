/**
 * Runs a target on its corpus and on mutations of it. An input that breaks the promise is added to the corpus, so that
 * later runs try it first.
 */
import { setImmediate } from "node:timers";
import { assert } from "@std/assert";
import { join } from "@std/path";
import { CHECKOUT } from "../support/checkout.ts";
import { DeadlineError, within } from "../support/eventually.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { mutated } from "./mutator.ts";
import type { FuzzTarget } from "./target.ts";

/** An input that takes longer hangs. */
const INPUT_DEADLINE_MS = 20_000;
/** Bound of the memory growth by one small input: enough for garbage of earlier inputs, too little for a claimed length. */
const MAX_GROWTH_BYTES = 192 * 1024 * 1024;
const REPAIR_CHANCE = 0.6;

/** Bounds of a run. */
export interface FuzzOptions {
  readonly seed: number;
  /** Ends it after so many mutations, … */
  readonly runs: number;
  /** … or after this time, whichever comes first. */
  readonly maxMs: number;
}

/** Returns the inputs of a target in the repository, by name. */
export function corpusOf(target: FuzzTarget): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  const folder = folderOf(target);
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return new Map(names.map((name) => [name, Deno.readFileSync(join(folder, name))]));
}

/** Tries the corpus and then mutations of it; resolves to the number of inputs. Rejects at the first failure. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<number> {
  const begin = performance.now();
  const named = corpusOf(target);
  const corpus = [...named.values()];
  assert(corpus.length > 0, `the corpus of ${target.name} is not empty`);
  using watch = new Watch();
  for (const [name, input] of named) await watch.run(target, { input, name: () => name });
  let runs = 0;
  while (runs < options.runs && performance.now() - begin < options.maxMs) {
    // A seed for each input, so that each can be reproduced alone.
    const random = new SeededRandom(options.seed + runs * 7_919);
    const made = mutated({ corpus, tokens: target.tokens }, random);
    const input = random.chance(REPAIR_CHANCE) ? target.repair(made, random) : made;
    await watch.run(target, { input, name: () => keep(target, input) });
    runs += 1;
  }
  return named.size + runs;
}

/** Writes an input into the corpus; returns its name. */
function keep(target: FuzzTarget, input: Uint8Array): string {
  let hash = 0;
  for (const byte of input) hash = (Math.imul(hash, 31) + byte) >>> 0;
  const name = `found-${hash.toString(16).padStart(8, "0")}`;
  Deno.writeFileSync(join(folderOf(target), name), input);
  return name;
}

function folderOf({ name }: FuzzTarget): string {
  return join(CHECKOUT, "tests/fuzz/corpus", name);
}

/** Runs inputs and detects unhandled rejections and growth of memory. */
class Watch implements Disposable {
  readonly #rejections: unknown[] = [];
  readonly #note = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    this.#rejections.push(event.reason);
  };

  constructor() {
    globalThis.addEventListener("unhandledrejection", this.#note);
  }

  [Symbol.dispose](): void {
    globalThis.removeEventListener("unhandledrejection", this.#note);
  }

  /** Runs one input. `name` is asked only when it fails. */
  async run(
    target: FuzzTarget,
    { input, name }: { readonly input: Uint8Array<ArrayBuffer>; readonly name: () => string },
  ): Promise<void> {
    const before = usedBytes();
    try {
      // A copy, since the program may keep its input.
      await within(`${target.name} is through with an input`, target.run(input.slice()), {
        deadlineMs: INPUT_DEADLINE_MS,
      });
      // Rejections are reported at the end of a turn.
      await new Promise<void>((resolve) => void setImmediate(() => resolve()));
      const [rejection] = this.#rejections.splice(0);
      if (rejection !== undefined) throw rejection;
      const growth = usedBytes() - before;
      assert(growth <= MAX_GROWTH_BYTES, `${input.length} bytes made memory grow by ${growth}`);
    } catch (error) {
      const what = error instanceof DeadlineError ? "hangs" : "breaks the promise";
      throw new Error(
        `tests/fuzz/corpus/${target.name}/${name()} ${what} that ${target.promise}`,
        { cause: error },
      );
    }
  }
}

function usedBytes(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
