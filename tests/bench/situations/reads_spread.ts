/** Reads at the leader and at all nodes. */
import { type Figure, reported } from "./figures.ts";
import { GETS, type Situation, type Work } from "./lab.ts";

const SECONDS = 4;

/** The situation. */
export const readsSpread: Situation = {
  name: "reads spread",
  about:
    "64 connections with 4 gets of 256 bytes in flight each: linearizable at the leader, linearizable over the three " +
    "nodes (a follower requests the read index from the leader), and stale over the three nodes. All nodes and the " +
    "generator share the cores of one machine; on separate machines the gain is larger.",
  rounds: 3,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    const work: Work = { seconds: lab.seconds(SECONDS), mix: GETS, inFlight: 4 };
    await lab.load(nodes, { ...work, seconds: 1, loadsKeys: true });
    const get = async (direct: NonNullable<Work["direct"]>): Promise<number> =>
      (await lab.load(nodes, { ...work, direct })).throughput;
    const leader = await get({ consistency: "linearizable", nodes: "leader" });
    const spread = await get({ consistency: "linearizable", nodes: "all" });
    const stale = await get({ consistency: "stale", nodes: "all" });
    return [
      reported("linearizable, leader", leader, "gets/s"),
      reported("linearizable, three nodes", spread, "gets/s"),
      reported("stale, three nodes", stale, "gets/s"),
      reported("linearizable, three nodes against the leader", spread / leader, "×"),
      reported("stale, three nodes against the leader", stale / leader, "×"),
    ];
  },
};
