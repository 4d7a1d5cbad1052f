/** How throughput changes as connections, values, keys and nodes become more. */
import type { Figure } from "./figures.ts";
import { GETS, type Lab, type Situation, type Work } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

const SECONDS = 2;
/** With so many clients the first round alone takes seconds, and what is sent before the warm-up ends is not counted. */
const MANY_CLIENTS = 10_000;
const SECONDS_OF_MANY = 15;
const CONNECTIONS = [1, 10, 100, 1_000, 10_000];
const QUICK_CONNECTIONS = [1, 10, 100, 1_000];
const MAX_CONNECTIONS = 12_000;
const VALUE_BYTES = [16, 256, 4_096, 65_536, 1_048_576];
const KEYS = [1_000, 10_000, 100_000, 1_000_000, 5_000_000];
const QUICK_KEYS = [1_000, 10_000];
const NODES = [1, 3, 5, 7];
/** For values: connections fewer, and keys few, so that all of them fit into memory several times. */
const FEW_CLIENTS = 16;
const FEW_KEYS = 50;

/** The situation. */
export const growth: Situation = {
  name: "growth",
  about:
    "Throughput against connections, size of values (16 clients), number of keys (64 clients), and nodes (64 " +
    "clients): growth.svg beside this page. All nodes share this machine's cores, so more of them show what they " +
    "cost, not what they could do on machines of their own.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const figures: Figure[] = [];
    for (const x of NODES) {
      await using nodes = await lab.startNodes({ count: x });
      figures.push(...await measured(lab, nodes, { panel: "nodes", x, work: {} }));
    }
    {
      await using nodes = await lab.startNodes({ flags: ["--max-connections", `${MAX_CONNECTIONS}`] });
      for (const x of lab.isQuick ? QUICK_CONNECTIONS : CONNECTIONS) {
        figures.push(...await measured(lab, nodes, { panel: "connections", x, work: { clients: x } }));
      }
      for (const x of VALUE_BYTES) {
        const work = { valueBytes: x, clients: FEW_CLIENTS, keyCount: FEW_KEYS, prefix: `size-${x}/` };
        figures.push(...await measured(lab, nodes, { panel: "bytes of a value", x, work }));
      }
    }
    // Last: the disk is busy for a while with the gigabytes that it leaves behind.
    {
      await using nodes = await lab.startNodes();
      for (const x of lab.isQuick ? QUICK_KEYS : KEYS) {
        figures.push(...await measured(lab, nodes, { panel: "keys", x, work: { keyCount: x } }));
      }
    }
    return figures;
  },
};

/** Gets after puts, all of whose keys are there by then. */
async function measured(
  lab: Lab,
  nodes: Nodes,
  { panel, x, work }: { readonly panel: string; readonly x: number; readonly work: Omit<Work, "seconds"> },
): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const [series, more] of [["put", { loadsKeys: true }], ["get", { mix: GETS }]] as const) {
    const seconds = (work.clients ?? 0) >= MANY_CLIENTS ? SECONDS_OF_MANY : SECONDS;
    const { throughput } = await lab.load(nodes, { seconds: lab.seconds(seconds), ...work, ...more });
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
