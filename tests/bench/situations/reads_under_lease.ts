/** The gain of reads under a lease. */
import { type Figure, reported } from "./figures.ts";
import { GETS, type Lab, type Situation, type Work } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

const SECONDS = 4;
const TURNS = 5;

/** Throughput and latency of gets. */
interface Gets {
  readonly name: string;
  readonly work: Partial<Work>;
}

const ALL_GETS: readonly Gets[] = [
  { name: "1 client", work: { clients: 1 } },
  { name: "64 clients", work: {} },
  {
    name: "64 clients over the three nodes",
    work: { direct: { consistency: "linearizable", nodes: "all" } },
  },
];

/** The situation. */
export const readsUnderLease: Situation = {
  name: "reads under a lease",
  about: "Linearizable gets of 256 bytes from two clusters in turn: one with default settings, one with " +
    "--read-mode lease. The other cluster is idle.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using asking = await lab.startNodes();
    await using leasing = await lab.startNodes({ flags: ["--read-mode", "lease"] });
    for (const nodes of [asking, leasing]) await lab.load(nodes, { seconds: 1, mix: GETS, loadsKeys: true });
    const figures: Figure[] = [];
    for (let turn = 0; turn < lab.count(TURNS, 1); turn++) {
      for (const gets of ALL_GETS) {
        figures.push(...await compare(lab, { asking, leasing, gets, isReversed: turn % 2 === 1 }));
      }
    }
    return figures;
  },
};

async function compare(
  lab: Lab,
  { asking, leasing, gets: { name, work }, isReversed }: {
    readonly asking: Nodes;
    readonly leasing: Nodes;
    readonly gets: Gets;
    readonly isReversed: boolean;
  },
): Promise<readonly Figure[]> {
  const measure = async (nodes: Nodes): Promise<{ readonly rate: number; readonly p50Ms: number }> => {
    const { throughput, p50Ms } = await lab.load(nodes, {
      seconds: lab.seconds(SECONDS),
      mix: GETS,
      ...work,
    });
    return { rate: throughput, p50Ms };
  };
  const first = await measure(isReversed ? leasing : asking);
  const second = await measure(isReversed ? asking : leasing);
  const [asked, leased] = isReversed ? [second, first] : [first, second];
  return [
    reported(`${name}: by default`, asked.rate, "gets/s"),
    reported(`${name}: under a lease`, leased.rate, "gets/s"),
    reported(`${name}: under a lease against by default`, leased.rate / asked.rate, "×"),
    reported(`${name}: p50 by default`, asked.p50Ms, "ms"),
    reported(`${name}: p50 under a lease`, leased.p50Ms, "ms"),
  ];
}
