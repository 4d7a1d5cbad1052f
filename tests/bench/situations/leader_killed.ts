/** The time without writes after the leader is killed. */
import type { KvClient } from "../../../lib/mod.ts";
import { atMost, type Figure } from "./figures.ts";
import type { Lab, Situation } from "./lab.ts";
import type { Nodes } from "./nodes.ts";

const ELECTION_TIMEOUT_MS = 300;
const GOAL_ELECTION_TIMEOUTS = 2;
const GOAL_MS = 1_000;
const KILLS = 20;
const QUICK_KILLS = 4;
const CLIENTS = 8;

/** The situation. */
export const leaderKilled: Situation = {
  name: "leader killed",
  about:
    `kill -9 of the leader at --election-timeout-ms ${ELECTION_TIMEOUT_MS}, ${KILLS} times; then the node is ` +
    `restarted and has caught up before the next kill. ${CLIENTS} clients, connected to the leader, each put a key once ` +
    "its process has ended; times are from the signal to the first answer, and to the last of the eight.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const flags = ["--election-timeout-ms", `${ELECTION_TIMEOUT_MS}`];
    await using nodes = await lab.startNodes({ flags });
    const clients: KvClient[] = [];
    while (clients.length < CLIENTS) clients.push(await lab.own(nodes.connect()));
    const figures: Figure[] = [];
    for (let kill = 0; kill < lab.count(KILLS, QUICK_KILLS); kill++) {
      figures.push(...await killOnce(lab, nodes, clients));
    }
    await Promise.all(clients.map((client) => client.close()));
    return figures;
  },
};

async function killOnce(lab: Lab, nodes: Nodes, clients: readonly KvClient[]): Promise<readonly Figure[]> {
  const leader = await nodes.waitForLeader();
  await Promise.all(clients.map((client, number) => client.put(`killed/${number}`, "before")));
  const killedAt = performance.now();
  await nodes.kill(leader);
  const times = await Promise.all(clients.map(async (client, number) => {
    await client.put(`killed/${number}`, "after");
    return performance.now() - killedAt;
  }));
  await nodes.startNode(leader);
  await nodes.waitUntilLevel();
  const [first, last] = [Math.min(...times), Math.max(...times)];
  lab.say(`  served again after ${first.toFixed(0)} ms, all clients after ${last.toFixed(0)} ms`);
  return [
    atMost(GOAL_MS, "writes served again after", first, "ms"),
    atMost(GOAL_ELECTION_TIMEOUTS, "the same in election timeouts", first / ELECTION_TIMEOUT_MS, ""),
    atMost(GOAL_MS, "every client served again after", last, "ms"),
  ];
}
