/** The cost of many leases that are kept alive. */
import { parseAddress } from "../../../lib/platform/address.ts";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { pause } from "../../../lib/platform/promise.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { eventually } from "../../support/eventually.ts";
import { LeaseClient } from "../../support/frames/lease_client.ts";
import { atMost, type Figure, reported } from "./figures.ts";
import type { Lab, Situation } from "./lab.ts";
import { type Nodes, PATIENCE_MS } from "./nodes.ts";

const LEASES = 100_000;
const QUICK_LEASES = 5_000;
const CONNECTIONS = 100;
const TTL_MS = 15_000;
const INTERVAL_MS = 5_000;
const GRANTS_IN_FLIGHT = 10;
const SETTLE_SECONDS = 10;
const MEASURED_SECONDS = 30;
const GOAL_CPU_PERCENT = 15;

/** The situation. */
export const leases: Situation = {
  name: "leases",
  about:
    `${LEASES} leases of ${TTL_MS / 1_000} s, kept alive every ${
      INTERVAL_MS / 1_000
    } s over ${CONNECTIONS} ` +
    "connections to all three nodes, each of which sends one keepAlive for all of its leases, as the client library " +
    "does. The CPU time of the three nodes together, with and without the leases.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    await grantWhenPossible(nodes);
    await lab.rest(lab.seconds(SETTLE_SECONDS));
    const idle = await cpuPercent(lab, nodes);
    const perConnection = lab.count(LEASES, QUICK_LEASES) / CONNECTIONS;
    const holders = await Promise.all(
      Array.from({ length: CONNECTIONS }, (_, number) => Holder.start(nodes, number, perConnection)),
    );
    try {
      await lab.rest(lab.seconds(SETTLE_SECONDS));
      const busy = await cpuPercent(lab, nodes);
      const confirmed = holders.reduce((sum, holder) => sum + holder.confirmed, 0);
      const lost = holders.reduce((sum, holder) => sum + holder.lost, 0);
      return [
        atMost(GOAL_CPU_PERCENT, "CPU of the three nodes", busy, "% of a core"),
        reported("CPU of the three nodes without leases", idle, "% of a core"),
        atMost(0, "leases that ended", lost, "leases"),
        reported("leases kept alive", confirmed, "in all"),
      ];
    } finally {
      for (const holder of holders) await holder.stop();
    }
  },
};

/** Waits until the cluster has leases: the feature level rises once the members are connected. */
async function grantWhenPossible(nodes: Nodes): Promise<void> {
  using client = await connect(nodes, 1);
  await eventually("the cluster has leases", async () => {
    await client.grant(Number.MAX_SAFE_INTEGER, TTL_MS);
    return true;
  }, { deadlineMs: PATIENCE_MS });
}

function connect(nodes: Nodes, node: number): Promise<LeaseClient> {
  const address = parseAddress(nodes.address(node));
  return LeaseClient.open({ network: new DenoNetwork(), clock: new SystemClock(), address });
}

/** Returns the CPU time of all nodes over some seconds. */
async function cpuPercent(lab: Lab, nodes: Nodes): Promise<number> {
  const cpuMs = (): number => nodes.ids.reduce((sum, id) => sum + nodes.cpuMs(id), 0);
  const [before, begin] = [cpuMs(), performance.now()];
  await lab.rest(lab.seconds(MEASURED_SECONDS));
  return (cpuMs() - before) / (performance.now() - begin) * 100;
}

/** One connection with its leases. */
class Holder {
  confirmed = 0;
  lost = 0;
  readonly #client: LeaseClient;
  /** Those that are granted. */
  readonly #leaseIds: number[] = [];
  readonly #clock = new SystemClock();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  private constructor(client: LeaseClient, offsetMs: number) {
    this.#client = client;
    this.#running = this.#keepAlive(offsetMs);
  }

  /** Grants the leases of a connection, and keeps alive those that it has; each connection at its own time. */
  static async start(nodes: Nodes, number: number, leaseCount: number): Promise<Holder> {
    const client = await connect(nodes, nodes.ids[number % nodes.ids.length] ?? 1);
    const holder = new Holder(client, number * INTERVAL_MS / CONNECTIONS);
    // Ids of 53 bits, as a client draws them.
    const firstId = 2 ** 52 + number * 2 ** 32;
    for (let next = 0; next < leaseCount; next += GRANTS_IN_FLIGHT) {
      const some = Array.from(
        { length: GRANTS_IN_FLIGHT },
        (_, position) => firstId + (next + position) * 7_919,
      );
      await Promise.all(some.map((leaseId) => client.grant(leaseId, TTL_MS)));
      holder.#leaseIds.push(...some);
    }
    return holder;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#client.close();
  }

  async #keepAlive(offsetMs: number): Promise<void> {
    const { signal } = this.#stop;
    for (let dueAt = performance.now() + offsetMs; !signal.aborted; dueAt += INTERVAL_MS) {
      await pause(Math.max(0, dueAt - performance.now()), { clock: this.#clock, signal });
      if (signal.aborted || this.#leaseIds.length === 0) continue;
      const ttlsMs = await this.#client.keepAlive(...this.#leaseIds);
      for (const ttlMs of ttlsMs) {
        if (ttlMs === 0) this.lost += 1;
        else this.confirmed += 1;
      }
    }
  }
}
