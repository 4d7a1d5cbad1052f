/** The cost of metrics over HTTP for writers. */
import { SystemClock } from "../../../lib/platform/system.ts";
import { pause } from "../../../lib/platform/promise.ts";
import { type Figure, reported } from "./figures.ts";
import type { Lab, Situation } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

const SECONDS = 5;
const SCRAPE_INTERVAL_MS = 1_000;

/** The situation. */
export const httpCost: Situation = {
  name: "cost of --http",
  about:
    "64 clients put to two clusters in turn: one without --http, one with it, from whose nodes the metrics are read once " +
    "a second. The other cluster is idle.",
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
        reported("without", bare, "puts/s"),
        reported("with, and scraped", served, "puts/s"),
        reported("with against without", served / bare, "×"),
      );
    }
    return figures;
  },
};

async function putRate(lab: Lab, nodes: Nodes, isScraped: boolean): Promise<number> {
  const end = new AbortController();
  const scraping = isScraped ? scrape(nodes, end.signal) : Promise.resolve();
  try {
    return (await lab.load(nodes, { seconds: lab.seconds(SECONDS) })).throughput;
  } finally {
    end.abort();
    await scraping;
  }
}

/** Scrapes the metrics of each node repeatedly. */
async function scrape(nodes: Nodes, signal: AbortSignal): Promise<void> {
  const clock = new SystemClock();
  while (!signal.aborted) {
    for (const id of nodes.ids) await (await fetch(`http://${nodes.httpAddress(id)}/metrics`)).text();
    await pause(SCRAPE_INTERVAL_MS, { clock, signal });
  }
}
