/**
 * Model checking of three nodes of the core with small bounds (`deno task model` has larger ones). It also runs the longest
 * path as a script on the production core.
 */
import { assertEquals } from "@std/assert";
import { runScript } from "../support/raft/script.ts";
import { explore, type Findings } from "./explorer.ts";
import { goldenScript } from "./golden_script.ts";
import type { Step } from "./path.ts";
import { type Scenario, SHORT_SCENARIOS } from "./scenario.ts";

/** A limit that none of these scenarios reaches. */
const MAX_STATES = 3_000_000;

for (const scenario of SHORT_SCENARIOS) {
  Deno.test(`core: every invariant holds in all states of the scenario "${scenario.name}"`, () => {
    const findings = explore(scenario, { maxStates: MAX_STATES });
    const { violation, isComplete, met } = findings;
    assertEquals(violation === null ? null : goldenScript(scenario, violation), null);
    assertEquals({ isComplete, notMet: scenario.covers.filter((name) => met[name] === 0) }, {
      isComplete: true,
      notMet: [],
    });
    assertEquals(statusAfterScript(scenario, findings), statusInModel(findings));
  });
}

/** Returns the status of the nodes after the longest path, run as a golden script. */
function statusAfterScript(scenario: Scenario, { longestPath }: Findings): readonly string[] {
  const script = goldenScript(scenario, { invariant: "none", steps: longestPath }) + "> status\n";
  return runScript(script).split("> status\n")[1]?.trim().split("\n").map((line) => line.trim()) ?? [];
}

/** Returns the status of the nodes in the model. */
function statusInModel({ longestPath }: Findings): readonly string[] {
  return [0, 1, 2].map((position) => {
    const last = longestPath.findLast(({ node }) => node === position);
    return last === undefined ? "" : statusText(last);
  });
}

function statusText(
  { node, named, view: { role, term, vote, leader, commitIndex, firstIndex, log } }: Step,
): string {
  const name = (id: number | null): string => id === null ? "none" : String((named[id - 1] ?? 0) + 1);
  return `${node + 1} is ${role} term=${term} vote=${name(vote)} leader=${name(leader)} ` +
    `commit=${commitIndex}${firstIndex === 1 ? "" : ` first=${firstIndex}`} last=${log.length}`;
}
