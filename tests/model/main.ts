/**
 * The command that runs the model checker: `deno task model`.
 *
 *     --states N         the maximum number of states of a scenario (default: 6,000,000; about 60 bytes each)
 *     --scenario NAME    only this scenario
 *     --short            the scenarios of `deno task test`
 *
 * It prints one line for each scenario and a sum. It prints a violation as a golden script of minimal length and exits with
 * 1. Copy the script to tests/golden/raft: `deno task golden` adds the result of each step.
 */
// deno-lint-ignore-file no-console -- this is a command
import { parseArgs } from "node:util";
import { explore, type Findings } from "./explorer.ts";
import { goldenScript } from "./golden_script.ts";
import { LONG_SCENARIOS, SHORT_SCENARIOS } from "./scenario.ts";

const DEFAULT_STATES = 6_000_000;

if (import.meta.main) Deno.exit(main(Deno.args));

function main(args: string[]): number {
  const { values: flags } = parseArgs({
    args,
    options: {
      states: { type: "string" },
      scenario: { type: "string" },
      short: { type: "boolean", default: false },
    },
  });
  const maxStates = Number(flags.states ?? DEFAULT_STATES);
  const scenarios = (flags.short ? SHORT_SCENARIOS : LONG_SCENARIOS).filter(({ name }) =>
    name === (flags.scenario ?? name)
  );
  if (scenarios.length === 0) {
    console.log(
      `There is no scenario "${flags.scenario}". Scenarios: ${
        LONG_SCENARIOS.map(({ name }) => name).join(", ")
      }`,
    );
    return 1;
  }
  const begin = performance.now();
  let [states, actions] = [0, 0];
  for (const scenario of scenarios) {
    const scenarioBegin = performance.now();
    const findings = explore(scenario, { maxStates });
    console.log(`${scenario.name.padEnd(18)} ${findingsText(findings, performance.now() - scenarioBegin)}`);
    states += findings.states;
    actions += findings.actions;
    if (findings.violation !== null) {
      console.log(`\n${goldenScript(scenario, findings.violation)}`);
      return 1;
    }
  }
  const seconds = ((performance.now() - begin) / 1_000).toFixed(0);
  console.log(
    `${scenarios.length} scenarios, ${counted(states)} states, ${
      counted(actions)
    } actions in ${seconds} s: no invariant is violated`,
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
