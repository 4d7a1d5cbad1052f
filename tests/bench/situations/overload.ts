/** Twice the load that the cluster can serve. */
import { LatencyHistogram } from "../../../lib/loadgen/mod.ts";
import { atLeast, type Figure, neverMore, reported } from "./figures.ts";
import type { Lab, Situation } from "./lab.ts";
import type { Nodes } from "./nodes.ts";
import type { OpenLoop, OpenLoopAnswer } from "./open_loop_main.ts";

const CONNECTIONS = 64;
const IN_FLIGHT = 16;
/** Small values, for which the generator on the same cores is too slow, and larger ones, for which it is fast enough. */
const VALUE_BYTES = [256, 16_384];
const KEY_COUNT = 1_000;
const SECONDS = 10;
const OVERLOAD = 2;
const GOAL_OF_PEAK = 0.9;

/** The situation. */
export const overload: Situation = {
  name: "overload",
  about:
    `First the peak is measured: ${CONNECTIONS} connections to the leader, ${IN_FLIGHT} puts in flight on each. Then puts ` +
    "are due at twice that rate, independent of the answers, on as many connections, each with at most 1024 in flight, " +
    "like the client library: further puts are held back and counted. Times are from when a put was due. The generator " +
    "shares the cores with the nodes; if it uses most of a core, it limits the rate. The share of puts that were due in " +
    "time is a figure.",
  rounds: 3,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    const figures: Figure[] = [];
    for (const valueBytes of VALUE_BYTES) figures.push(...await overloadWith(valueBytes, { lab, nodes }));
    return figures;
  },
};

async function overloadWith(
  valueBytes: number,
  { lab, nodes }: { readonly lab: Lab; readonly nodes: Nodes },
): Promise<readonly Figure[]> {
  const leader = await nodes.waitForLeader();
  const peak = await lab.load(nodes, {
    seconds: lab.seconds(SECONDS),
    inFlight: IN_FLIGHT,
    clients: CONNECTIONS,
    valueBytes,
    keyCount: KEY_COUNT,
    direct: { consistency: "linearizable", nodes: "leader" },
  });
  const before = { status: await nodes.status(leader), memory: nodes.residentBytes(leader) };
  const loop: OpenLoop = {
    address: nodes.address(leader),
    connections: CONNECTIONS,
    ratePerSecond: OVERLOAD * peak.throughput,
    seconds: lab.seconds(SECONDS),
    valueBytes,
    keyCount: KEY_COUNT,
  };
  const answer: OpenLoopAnswer = await lab.runScript("tests/bench/situations/open_loop_main.ts", loop);
  const after = { status: await nodes.status(leader), memory: nodes.residentBytes(leader) };
  const terms = (after.status?.term ?? NaN) - (before.status?.term ?? NaN);
  lab.say(`  not done: ${JSON.stringify(answer.refused)}`);
  if (terms !== 0) lab.say(nodes.logs());
  const accepted = answer.acceptedPerSecond;
  const others = Object.entries(answer.refused).filter(([code]) => code !== "busy");
  const percent = (count: number): number => count / answer.due * 100;
  const dueShare = answer.due / answer.elapsedMs * 1_000 / loop.ratePerSecond;
  const size = `${valueBytes} B: `;
  return [
    reported(`${size}peak, closed loop`, peak.throughput, "puts/s"),
    reported(`${size}fell due, of the rate asked for`, dueShare, "×"),
    reported(`${size}accepted`, accepted, "puts/s"),
    atLeast(GOAL_OF_PEAK, `${size}accepted against the peak`, accepted / peak.throughput, "×"),
    reported(`${size}p99 at the peak`, peak.p99Ms, "ms"),
    reported(`${size}p99 of accepted`, LatencyHistogram.from(answer.latency).percentileMs(0.99), "ms"),
    reported(`${size}answered busy`, percent(answer.refused["busy"] ?? 0), "% of due"),
    reported(`${size}kept back by the clients`, percent(answer.keptBack), "% of due"),
    reported(
      `${size}failed otherwise`,
      percent(others.reduce((sum, [, count]) => sum + count, 0)),
      "% of due",
    ),
    reported(`${size}leader's memory before`, before.memory / 1e6, "MB"),
    reported(`${size}leader's memory after`, after.memory / 1e6, "MB"),
    neverMore(0, `${size}terms that began`, terms, ""),
    reported(`${size}generator`, answer.cpuShare * 100, "% of a core"),
  ];
}
