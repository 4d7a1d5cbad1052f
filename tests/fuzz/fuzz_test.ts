/**
 * Runs every decoder of untrusted bytes on its corpus and on seeded mutations of it.
 *
 * `deno test … tests/fuzz -- --seconds=600` runs for that time, shared by the targets, from a random seed (`--seed=S`
 * repeats a run); `--target=NAME` runs one target. Failing inputs are written to the corpus.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SeededRandom } from "../support/seeded_random.ts";
import { COMMAND_LINE, CONFIG_FILE, SHELL_LINES } from "./command_line.ts";
import { CLIENT_FRAMES, HANDSHAKE, PEER_FRAMES, SECRET_HANDSHAKE } from "./connections.ts";
import { HTTP_REQUESTS } from "./http_requests.ts";
import { IDENTITY_FILE, LOG_FILES } from "./data_folder.ts";
import { DENOKV_ENTRIES } from "./denokv_entries.ts";
import { corpusOf, fuzz } from "./fuzzer.ts";
import { MAX_INPUT_BYTES, mutated } from "./mutator.ts";
import { SNAPSHOT_FILES } from "./snapshot_files.ts";
import { STATE_RECORDS } from "./state_records.ts";
import type { FuzzTarget } from "./target.ts";

const TARGETS: readonly FuzzTarget[] = [
  HANDSHAKE,
  SECRET_HANDSHAKE,
  CLIENT_FRAMES,
  PEER_FRAMES,
  HTTP_REQUESTS,
  LOG_FILES,
  IDENTITY_FILE,
  SNAPSHOT_FILES,
  STATE_RECORDS,
  CONFIG_FILE,
  COMMAND_LINE,
  SHELL_LINES,
  DENOKV_ENTRIES,
];
/** The short run: always the same inputs, and fewer of them on a slow machine. */
const SHORT = { seed: 1, runs: 1_000, maxMs: 1_500 };

function option(name: string): string | null {
  return Deno.args.find((argument) => argument.startsWith(`--${name}=`))?.split("=")[1] ?? null;
}

const seconds = option("seconds");
const only = option("target");
const targets = TARGETS.filter(({ name }) => only === null || name === only);
const options = seconds === null ? SHORT : {
  seed: Number(option("seed") ?? Math.floor(Math.random() * 2 ** 31)),
  runs: Number.POSITIVE_INFINITY,
  maxMs: Number(seconds) * 1_000 / targets.length,
};

for (const target of targets) {
  Deno.test(`${target.name}: ${target.promise}`, async () => {
    const inputs = await fuzz(target, options);
    assert(inputs > corpusOf(target).size, "something beside the corpus was tried");
    // deno-lint-ignore no-console -- a long run prints its result and its seed
    if (seconds !== null) console.log(`${target.name}: ${inputs} inputs with --seed=${options.seed}`);
  });
}

Deno.test("mutator: the same seed makes the same inputs, and none exceeds the limit", () => {
  const corpus = [new Uint8Array(100).fill(7), new Uint8Array(0), new Uint8Array(MAX_INPUT_BYTES)];
  const make = (seed: number): Uint8Array =>
    mutated({ corpus, tokens: [Uint8Array.of(1, 2)] }, new SeededRandom(seed));
  const seeds = Array.from({ length: 500 }, (_, seed) => seed);
  assertEquals(seeds.map(make), seeds.map(make));
  assertEquals(seeds.map(make).filter(({ length }) => length > MAX_INPUT_BYTES), []);
  assert(new Set(seeds.map((seed) => make(seed).join())).size > 200, "seeds differ");
});

Deno.test("fuzzer: an input that breaks the promise is named, also for unhandled rejections and memory", async () => {
  const broken = { ...SHELL_LINES, run: () => Promise.reject(new Error("broken")) };
  await assertRejects(() => fuzz(broken, SHORT), Error, "breaks the promise that every line is executed");
  const behind: FuzzTarget = {
    ...SHELL_LINES,
    run: async () => {
      void Promise.reject(new Error("unhandled"));
      await new Promise<void>((resolve) => queueMicrotask(resolve));
    },
  };
  await assertRejects(() => fuzz(behind, SHORT), Error, "breaks the promise");
  const bomb = {
    ...SHELL_LINES,
    run: () => {
      kept.push(new Uint8Array(256 * 1024 * 1024));
      return Promise.resolve();
    },
  };
  const kept: Uint8Array[] = [];
  await assertRejects(() => fuzz(bomb, SHORT), Error, "breaks the promise");
});
