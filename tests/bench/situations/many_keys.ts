/** A store with a million keys. */
import { atLeast, atMost, type Figure, reported } from "./figures.ts";
import { GETS, type Situation, type Work } from "./lab.ts";

const KEYS = 1_000_000;
const QUICK_KEYS = 100_000;
const FEW_KEYS = 1_000;
const KEY_BYTES = "bench/0000000000".length;
const VALUE_BYTES = 256;
const SECONDS = 4;
const GOAL_OF_FEW = 0.85;
const GOAL_OF_BYTES = 1.5;
const GOAL_OVERHEAD_MB = 150;

/** The situation. */
export const manyKeys: Situation = {
  name: "a million keys",
  about:
    "Puts and gets of 64 clients on a store of 1000 keys; then a million keys of 16 bytes with values of 256 bytes are " +
    "put (256 puts in flight), and puts and gets are measured in turn on all of them and on 1000 other keys. Memory is " +
    "that of each node at the end, with a goal of 1.5 × (keys + values) + 150 MB.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    const keys = lab.count(KEYS, QUICK_KEYS);
    const run = async (work: Partial<Work>): Promise<number> =>
      (await lab.load(nodes, { seconds: lab.seconds(SECONDS), valueBytes: VALUE_BYTES, ...work })).throughput;
    const few = { keyCount: FEW_KEYS, prefix: "few---" };
    const emptyPut = await run(few);
    const emptyGet = await run({ ...few, mix: GETS });
    const startedAt = performance.now();
    await run({ keyCount: keys, loadsKeys: true, inFlight: 16, seconds: 1 });
    const loadSeconds = (performance.now() - startedAt) / 1_000;
    lab.say(`  ${keys} keys put in ${loadSeconds.toFixed(0)} s`);
    const figures: Figure[] = [reported("keys put at", keys / loadSeconds, "puts/s")];
    for (let turn = 0; turn < lab.count(3, 1); turn++) {
      const [manyPut, fewPut] = [await run({ keyCount: keys }), await run(few)];
      const [manyGet, fewGet] = [
        await run({ keyCount: keys, mix: GETS }),
        await run({ ...few, mix: GETS }),
      ];
      figures.push(
        reported("put, all keys", manyPut, "puts/s"),
        reported("put, 1000 keys beside them", fewPut, "puts/s"),
        atLeast(GOAL_OF_FEW, "put, all keys against 1000 beside them", manyPut / fewPut, "×"),
        atLeast(GOAL_OF_FEW, "put, all keys against the store with 1000 keys", manyPut / emptyPut, "×"),
        reported("get, all keys", manyGet, "gets/s"),
        reported("get, 1000 keys beside them", fewGet, "gets/s"),
        atLeast(GOAL_OF_FEW, "get, all keys against 1000 beside them", manyGet / fewGet, "×"),
        atLeast(GOAL_OF_FEW, "get, all keys against the store with 1000 keys", manyGet / emptyGet, "×"),
      );
    }
    const goalMb = GOAL_OF_BYTES * keys * (KEY_BYTES + VALUE_BYTES) / 1e6 + GOAL_OVERHEAD_MB;
    const memory = nodes.ids.map((id) =>
      atMost(goalMb, "resident memory of a node", nodes.residentBytes(id) / 1e6, "MB")
    );
    return [...figures, ...memory];
  },
};
