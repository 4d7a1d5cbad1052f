/**
 * Replays seeds of the simulated hostile programs: `deno run -A … tests/fuzz/hostile/main.ts 1..50 [--trace]`.
 */
// deno-lint-ignore-file no-console -- this is a command
import { runSimulated, SCENARIOS } from "./simulated.ts";

const [range = "1..20"] = Deno.args;
const [from = 1, to = from] = range.split("..").map(Number);
const trace = Deno.args.includes("--trace") ? (line: string): void => console.log(line) : null;
let failed = 0;
for (let seed = from; seed <= to; seed++) {
  const begin = performance.now();
  const report = await runSimulated(seed, trace);
  const { problems: [problem], frames, longestWaitMs, calls, hash } = report;
  const sent = [...frames.values()].reduce((sum, count) => sum + count, 0);
  console.log(
    `seed ${seed} (${JSON.stringify(SCENARIOS[seed % SCENARIOS.length])}): ${sent} frames, ${calls} calls, ` +
      `longest wait ${longestWaitMs.toFixed(0)} ms, hash ${hash}, ${
        (performance.now() - begin).toFixed(0)
      } ms real`,
  );
  if (problem === undefined) continue;
  failed += 1;
  console.log(`  ${problem}`);
}
Deno.exit(failed > 0 ? 1 : 0);
