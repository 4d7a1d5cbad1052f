/** Ten million small keys on three nodes of one machine. */
import { atLeast, atMost, type Figure, reported } from "../figures.ts";
import type { Situation } from "../lab.ts";

const KEYS = 10_000_000;
const QUICK_KEYS = 100_000;
const FEW_KEYS = 10_000;
const VALUE_BYTES = 100;
const SECONDS = 8;
const GOAL_MB = 2_200;
const GOAL_OF_FEW = 0.8;

/** The situation. */
export const tenMillionKeys: Situation = {
  name: "ten million keys",
  about:
    "Ten million keys of 16 bytes with values of 100 bytes are put to one cluster, and 10,000 to another. Then 64 clients " +
    "with 16 puts in flight each overwrite random keys of both in turn; the other cluster is idle. Memory is that of each " +
    "node at the end.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using many = await lab.startNodes();
    await using few = await lab.startNodes();
    const keys = lab.count(KEYS, QUICK_KEYS);
    const work = { valueBytes: VALUE_BYTES, inFlight: 16 };
    const startedAt = performance.now();
    await lab.load(many, { ...work, keyCount: keys, loadsKeys: true, seconds: 1 });
    const loadSeconds = (performance.now() - startedAt) / 1_000;
    lab.say(`  ${keys} keys put in ${loadSeconds.toFixed(0)} s`);
    await lab.load(few, { ...work, keyCount: FEW_KEYS, loadsKeys: true, seconds: 1 });
    const figures: Figure[] = [reported("keys put at", keys / loadSeconds, "puts/s")];
    for (let turn = 0; turn < lab.count(5, 1); turn++) {
      const seconds = lab.seconds(SECONDS);
      const manyPuts = (await lab.load(many, { ...work, keyCount: keys, seconds })).throughput;
      const fewPuts = (await lab.load(few, { ...work, keyCount: FEW_KEYS, seconds })).throughput;
      figures.push(
        reported("put, all keys", manyPuts, "puts/s"),
        reported("put, 10,000 keys", fewPuts, "puts/s"),
        atLeast(GOAL_OF_FEW, "put, all keys against 10,000 keys", manyPuts / fewPuts, "×"),
      );
    }
    const memory = many.ids.map((id) =>
      atMost(GOAL_MB, "resident memory of a node", many.residentBytes(id) / 1e6, "MB")
    );
    return [...figures, ...memory];
  },
};
