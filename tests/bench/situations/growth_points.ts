/** One place on the axis of a plot: puts and gets under some work. */
import type { Figure } from "./figures.ts";
import { GETS, type Lab, type Work } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

/** Gets after puts, all of whose keys are there by then. */
export async function putsAndGets(
  lab: Lab,
  nodes: Nodes,
  { panel, x, work }: { readonly panel: string; readonly x: number; readonly work: Work },
): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const [series, more] of [["put", { loadsKeys: true }], ["get", { mix: GETS }]] as const) {
    const { throughput } = await lab.load(nodes, { ...work, seconds: lab.seconds(work.seconds), ...more });
    lab.say(`  ${series}, ${panel}: ${x}: ${throughput.toFixed(0)}/s`);
    figures.push({
      what: `${series}, ${panel}: ${x}`,
      unit: `${series}s/s`,
      value: throughput,
      goal: null,
      point: { panel, series, x },
    });
  }
  return figures;
}
