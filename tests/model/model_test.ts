/**
 * Everything that can happen to three nodes of the core within small bounds (`deno task model` takes larger ones), and
 * whether the ways that are found can be walked with the production core alone.
 */
import { assertEquals } from "@std/assert";
import { runScript } from "../support/raft/script.ts";
import { explore, type Findings } from "./explorer.ts";
import { goldenScript } from "./golden_script.ts";
import type { Step } from "./way.ts";
import { SHORT_WORLDS, type World } from "./world.ts";

/** Far more than any of these worlds has. */
const MAX_STATES = 3_000_000;

for (const world of SHORT_WORLDS) {
  Deno.test(`nothing that can happen in the small world "${world.name}" breaks a promise`, () => {
    const findings = explore(world, { maxStates: MAX_STATES });
    const { violation, isComplete, met } = findings;
    assertEquals(violation === null ? null : goldenScript(world, violation), null);
    assertEquals({ isComplete, notMet: world.meets.filter((name) => met[name] === 0) }, {
      isComplete: true,
      notMet: [],
    });
    assertEquals(standingAfterScript(world, findings), standingInModel(findings));
  });
}

/** How the nodes stand after the longest way, walked as a golden script by nodes with their true names. */
function standingAfterScript(world: World, { longestWay }: Findings): readonly string[] {
  const script = goldenScript(world, { promise: "none is broken here", steps: longestWay }) + "> status\n";
  return runScript(script).split("> status\n")[1]?.trim().split("\n").map((line) => line.trim()) ?? [];
}

/** How they stand by the model. */
function standingInModel({ longestWay }: Findings): readonly string[] {
  return [0, 1, 2].map((position) => {
    const last = longestWay.findLast(({ node }) => node === position);
    return last === undefined ? "" : standing(last);
  });
}

function standing(
  { node, named, view: { role, term, vote, leader, commitIndex, firstIndex, log } }: Step,
): string {
  const name = (id: number | null): string => id === null ? "none" : String((named[id - 1] ?? 0) + 1);
  return `${node + 1} is ${role} term=${term} vote=${name(vote)} leader=${name(leader)} ` +
    `commit=${commitIndex}${firstIndex === 1 ? "" : ` first=${firstIndex}`} last=${log.length}`;
}
