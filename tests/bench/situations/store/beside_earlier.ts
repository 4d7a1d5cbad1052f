/** Throughput beside the code of version 0.1.0. */
import { EARLIER_COMMIT, unpackEarlier } from "../../../support/processes/earlier.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";
import { atLeast, type Figure, reported } from "../figures.ts";
import { GETS, type Situation, type Work } from "../lab.ts";

const KEYS = 10_000;
const SECONDS = 5;

/** A load on both versions, and the goal of their ratio. */
const LOADS: readonly {
  readonly name: string;
  readonly unit: string;
  readonly work: Partial<Work>;
  readonly goal: number;
}[] = [
  { name: "put, 64 clients", unit: "puts/s", work: {}, goal: 1.25 },
  { name: "put, 64 × 16 in flight", unit: "puts/s", work: { inFlight: 16 }, goal: 1.4 },
  { name: "get, 64 clients", unit: "gets/s", work: { mix: GETS }, goal: 1 },
  { name: "get, 64 × 16 in flight", unit: "gets/s", work: { mix: GETS, inFlight: 16 }, goal: 1 },
];

/** The situation. */
export const besideEarlier: Situation = {
  name: "beside 0.1.0",
  about:
    `Two clusters with ${
      KEYS / 1_000
    },000 keys, one of this version and one of 0.1.0 (commit ${EARLIER_COMMIT} of this ` +
    "repository), both loaded by this version's client in turn, in an order that alternates; the other cluster is idle. The " +
    "first goal for 64 × 16 in flight was 1.0; that of the work on the write path is 1.4.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using earlier = await TemporaryFolder.make();
    if (!unpackEarlier(earlier.path)) {
      throw new Error(`Commit ${EARLIER_COMMIT} is not in this clone's history.`);
    }
    await using now = await lab.startNodes();
    await using before = await lab.startNodes({ checkout: earlier.path });
    for (const nodes of [now, before]) {
      await lab.load(nodes, { keyCount: KEYS, loadsKeys: true, seconds: lab.seconds(5), inFlight: 16 });
    }
    const figures: Figure[] = [];
    for (let turn = 0; turn < lab.count(5, 1); turn++) {
      for (const { name, unit, work, goal } of LOADS) {
        const rates = new Map<string, number>();
        const sides = [["now", now], ["before", before]] as const;
        for (const [side, nodes] of turn % 2 === 0 ? sides : sides.toReversed()) {
          const load = { ...work, keyCount: KEYS, seconds: lab.seconds(SECONDS) };
          rates.set(side, (await lab.load(nodes, load)).throughput);
        }
        const [ofNow, ofBefore] = [rates.get("now") ?? NaN, rates.get("before") ?? NaN];
        figures.push(
          reported(name, ofNow, unit),
          reported(`${name}, 0.1.0`, ofBefore, unit),
          atLeast(goal, `${name}, against 0.1.0`, ofNow / ofBefore, "×"),
        );
      }
    }
    return figures;
  },
};
