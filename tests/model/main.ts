/**
 * The command that explores small worlds: `deno task model`.
 *
 *     --states N      at most so many states of a world (the default: 6,000,000; about 60 bytes each)
 *     --world NAME    only this world
 *     --short         the worlds of `deno task test`
 *
 * One line a world, the sum at the end. A broken promise is printed as a golden script, none of which is shorter, and the
 * command exits with 1. Put the script into tests/golden/raft: `deno task unit -- --update` writes under each step
 * what it gives.
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { explore, type Findings } from "./explorer.ts";
import { goldenScript } from "./golden_script.ts";
import { LONG_WORLDS, SHORT_WORLDS } from "./world.ts";

const DEFAULT_STATES = 6_000_000;

if (import.meta.main) Deno.exit(main(Deno.args));

function main(args: string[]): number {
  const { values: flags } = parseArgs({
    args,
    options: {
      states: { type: "string" },
      world: { type: "string" },
      short: { type: "boolean", default: false },
    },
  });
  const maxStates = Number(flags.states ?? DEFAULT_STATES);
  const worlds = (flags.short ? SHORT_WORLDS : LONG_WORLDS).filter(({ name }) =>
    name === (flags.world ?? name)
  );
  if (worlds.length === 0) {
    console.log(
      `There is no world "${flags.world}". Worlds: ${LONG_WORLDS.map(({ name }) => name).join(", ")}`,
    );
    return 1;
  }
  const begin = performance.now();
  let [states, actions] = [0, 0];
  for (const world of worlds) {
    const worldBegin = performance.now();
    const findings = explore(world, { maxStates });
    console.log(`${world.name.padEnd(18)} ${findingsText(findings, performance.now() - worldBegin)}`);
    states += findings.states;
    actions += findings.actions;
    if (findings.violation !== null) {
      console.log(`\n${goldenScript(world, findings.violation)}`);
      return 1;
    }
  }
  const seconds = ((performance.now() - begin) / 1_000).toFixed(0);
  console.log(
    `${worlds.length} worlds, ${counted(states)} states, ${
      counted(actions)
    } actions in ${seconds} s: no promise is broken`,
  );
  return 0;
}

function findingsText(findings: Findings, elapsedMs: number): string {
  const { states, actions, depth, isComplete, nodeStates, messages, coreRuns, bytes, met } = findings;
  const reach = isComplete ? `complete, ${depth} deep` : `complete to depth ${depth}`;
  const rare = Object.entries(met).filter(([, count]) => count > 0).map(([name, count]) =>
    `${name} ${count}`
  );
  return `${counted(states)} states, ${reach}; ${counted(actions)} actions; ${
    counted(nodeStates)
  } states of a node, ` +
    `${messages} messages, ${counted(coreRuns)} runs of the core; ${(bytes / 2 ** 20).toFixed(0)} MiB, ` +
    `${(elapsedMs / 1_000).toFixed(1)} s; ${rare.join(", ")}`;
}

function counted(count: number): string {
  return count.toLocaleString("en");
}
