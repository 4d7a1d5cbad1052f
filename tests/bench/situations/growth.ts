/** Throughput as values grow and keys and nodes become more. */
import type { Figure } from "./figures.ts";
import { GETS, type Lab, type Situation, type Work } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

const SECONDS = 2;
const VALUE_BYTES = [16, 256, 4_096, 65_536, 1_048_576];
const KEYS = [1_000, 10_000, 100_000, 1_000_000, 5_000_000];
const QUICK_KEYS = [1_000, 10_000];
const NODES = [1, 3, 5, 7];
/** For large values: fewer connections and few keys, so that all values fit into memory several times. */
const FEW_CLIENTS = 16;
const FEW_KEYS = 50;

/** The situation. */
export const growth: Situation = {
  name: "growth",
  about: "Throughput against size of values (16 clients), number of keys (64 clients), and nodes (64 " +
    "clients), also in growth.svg. All nodes share the cores of one machine, so the figures for more nodes show their " +
    "cost, not the throughput on separate machines.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const figures: Figure[] = [];
    for (const x of NODES) {
      await using nodes = await lab.startNodes({ count: x });
      figures.push(...await putsAndGets(lab, nodes, { panel: "nodes", x, work: { seconds: SECONDS } }));
    }
    {
      await using nodes = await lab.startNodes();
      for (const x of VALUE_BYTES) {
        const few = { clients: FEW_CLIENTS, keyCount: FEW_KEYS };
        const work = { seconds: SECONDS, valueBytes: x, ...few, prefix: `size-${x}/` };
        figures.push(...await putsAndGets(lab, nodes, { panel: "bytes of a value", x, work }));
      }
    }
    // Last, because it keeps the disk busy afterwards with the gigabytes that it wrote.
    {
      await using nodes = await lab.startNodes();
      for (const x of lab.isQuick ? QUICK_KEYS : KEYS) {
        figures.push(
          ...await putsAndGets(lab, nodes, { panel: "keys", x, work: { seconds: SECONDS, keyCount: x } }),
        );
      }
    }
    return figures;
  },
};

/** Measures gets after puts, when all keys exist. */
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
