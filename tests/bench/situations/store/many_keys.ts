/** A store with a million keys beside one with ten thousand. */
import { atLeast, type Figure, reported } from "../figures.ts";
import { GETS, type Situation, type Work } from "../lab.ts";

const KEYS = 1_000_000;
const QUICK_KEYS = 100_000;
const FEW_KEYS = 10_000;
const VALUE_BYTES = 256;
const SECONDS = 5;
const GOAL_OF_FEW = 0.9;

/** A load on both stores. */
const LOADS: readonly { readonly name: string; readonly unit: string; readonly work: Partial<Work> }[] = [
  { name: "put, 64 clients", unit: "puts/s", work: {} },
  { name: "put, 64 × 16 in flight", unit: "puts/s", work: { inFlight: 16 } },
  { name: "get, 64 clients", unit: "gets/s", work: { mix: GETS } },
];

/** The situation. */
export const manyKeys: Situation = {
  name: "a million keys",
  about:
    "A million keys of 16 bytes with values of 256 bytes are put to one cluster, and 10,000 to another. Then 64 clients put " +
    "or get random keys of both in turn, in an order that alternates; the other cluster is idle.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using many = await lab.startNodes();
    await using few = await lab.startNodes();
    const keys = lab.count(KEYS, QUICK_KEYS);
    const startedAt = performance.now();
    const fill = { valueBytes: VALUE_BYTES, loadsKeys: true, seconds: 1 };
    await lab.load(many, { ...fill, keyCount: keys });
    const loadSeconds = (performance.now() - startedAt) / 1_000;
    lab.say(`  ${keys} keys put in ${loadSeconds.toFixed(0)} s`);
    await lab.load(few, { ...fill, keyCount: FEW_KEYS });
    const figures: Figure[] = [reported("keys put at", keys / loadSeconds, "puts/s")];
    for (let turn = 0; turn < lab.count(5, 1); turn++) {
      for (const { name, unit, work } of LOADS) {
        const rates = new Map<number, number>();
        const sides = [[keys, many], [FEW_KEYS, few]] as const;
        for (const [keyCount, nodes] of turn % 2 === 0 ? sides : sides.toReversed()) {
          const load = { ...work, valueBytes: VALUE_BYTES, keyCount, seconds: lab.seconds(SECONDS) };
          rates.set(keyCount, (await lab.load(nodes, load)).throughput);
        }
        const [ofMany, ofFew] = [rates.get(keys) ?? NaN, rates.get(FEW_KEYS) ?? NaN];
        figures.push(
          reported(`${name}, all keys`, ofMany, unit),
          reported(`${name}, 10,000 keys`, ofFew, unit),
          atLeast(GOAL_OF_FEW, `${name}, all keys against 10,000 keys`, ofMany / ofFew, "×"),
        );
      }
    }
    return figures;
  },
};
