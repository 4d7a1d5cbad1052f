/** What metrics over HTTP cost those who write. */
import { type Figure, told } from "./figures.ts";
import type { Lab, Situation } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

const SECONDS = 5;
const SCRAPE_INTERVAL_MS = 1_000;

/** The situation. */
export const httpCost: Situation = {
  name: "cost of --http",
  about:
    "64 clients put to two clusters by turns: one without --http, one with it whose nodes are each asked for their " +
    "metrics once a second. The other cluster stands by idle.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using without = await lab.startNodes();
    await using withHttp = await lab.startNodes({ http: true });
    const figures: Figure[] = [];
    for (let turn = 0; turn < lab.count(5, 1); turn++) {
      const order = turn % 2 === 0 ? [without, withHttp] : [withHttp, without];
      const rates = new Map<Nodes, number>();
      for (const nodes of order) rates.set(nodes, await putRate(lab, nodes, nodes === withHttp));
      const [bare, served] = [rates.get(without) ?? NaN, rates.get(withHttp) ?? NaN];
      figures.push(
        told("without", bare, "puts/s"),
        told("with, and scraped", served, "puts/s"),
        told("with against without", served / bare, "×"),
      );
    }
    return figures;
  },
};

async function putRate(lab: Lab, nodes: Nodes, isScraped: boolean): Promise<number> {
  const scrape = async (): Promise<void> => {
    for (const id of nodes.ids) await (await fetch(`http://${nodes.httpAddress(id)}/metrics`)).text();
  };
  const failures: unknown[] = [];
  const timer = isScraped
    ? setInterval(() => void scrape().catch((error) => failures.push(error)), SCRAPE_INTERVAL_MS)
    : null;
  try {
    return (await lab.load(nodes, { seconds: lab.seconds(SECONDS) })).throughput;
  } finally {
    if (timer !== null) clearInterval(timer);
    if (failures.length > 0) lab.say(`  a scrape failed: ${failures[0]}`);
  }
}
