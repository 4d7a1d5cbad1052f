/** Throughput as connections become more. */
import type { Figure } from "./figures.ts";
import { putsAndGets } from "./growth.ts";
import type { Situation } from "./lab.ts";

const SECONDS = 4;
/** With so many connections the first round alone takes seconds, and one program is too slow to open them. */
const MANY = 10_000;
const SECONDS_OF_MANY = 15;
const GENERATORS_OF_MANY = 4;
const CONNECTIONS = [1, 10, 100, 1_000, MANY];
const QUICK_CONNECTIONS = [1, 10, 100, 1_000];
const MAX_CONNECTIONS = 12_000;

/** The situation. */
export const manyConnections: Situation = {
  name: "many connections",
  about:
    "Throughput against connections to the leader, each with one request in flight, also in growth.svg. Measured without " +
    `the client library, which dials another node after a second without an answer: ${MANY} of its clients on these two ` +
    "cores would mainly reconnect. Refused puts are not counted.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const flags = [
      "--max-connections",
      `${MAX_CONNECTIONS}`,
      "--connections-per-address",
      `${MAX_CONNECTIONS}`,
    ];
    await using nodes = await lab.startNodes({ flags });
    const figures: Figure[] = [];
    for (const x of lab.isQuick ? QUICK_CONNECTIONS : CONNECTIONS) {
      const isMany = x >= MANY;
      const work = {
        seconds: isMany ? SECONDS_OF_MANY : SECONDS,
        clients: x,
        generators: isMany ? GENERATORS_OF_MANY : 1,
        direct: { consistency: "linearizable", nodes: "leader" },
      } as const;
      figures.push(...await putsAndGets(lab, nodes, { panel: "connections", x, work }));
    }
    return figures;
  },
};
