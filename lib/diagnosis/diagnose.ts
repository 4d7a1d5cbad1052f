/** Applies all rules to the answers of the nodes. */
import type { NodeDescription } from "../client/types.ts";
import { type Finding, observe, type Rule, SEVERITIES } from "./finding.ts";
import { AGREEMENT } from "./rules/agreement.ts";
import { DATA } from "./rules/data.ts";
import { MACHINES } from "./rules/machines.ts";
import { REACHABILITY } from "./rules/reachability.ts";

/** No node answers: there is nothing that the other rules could look at. */
const NO_NODE: Rule = {
  name: "no-node",
  why: "Either the cluster is down, or this machine cannot reach it.",
  find: ({ descriptions, answered }) =>
    answered.size > 0 ? [] : [{
      severity: "critical",
      node: null,
      what: descriptions.length === 0 ? "No node answers." : "No member answers.",
      remedy: "Check the addresses of --cluster and the network, and whether the nodes run.",
    }],
};

/** All rules. docs/operations.md has a section for each. */
export const RULES: readonly Rule[] = [NO_NODE, ...REACHABILITY, ...MACHINES, ...AGREEMENT, ...DATA];

/** Returns what is wrong with a cluster, the worst first. */
export function diagnose(descriptions: readonly NodeDescription[]): readonly Finding[] {
  const cluster = observe(descriptions);
  const findings = RULES.flatMap(({ name: rule, why: usual, find }) =>
    find(cluster).map(({ severity, node, what, remedy, why = usual }) => (
      { rule, severity, node, what, why, remedy, see: `docs/operations.md#${rule}` }
    ))
  );
  return findings.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
}
