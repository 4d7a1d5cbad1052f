/** Small requests while somebody else's are large. */
import { type Figure, told } from "./figures.ts";
import type { Situation } from "./lab.ts";

const SECONDS = 5;
const LARGE_BYTES = 1_048_576;
const LARGE_KEYS = 50;

/** The situation. */
export const mixedSizes: Situation = {
  name: "small beside large",
  about:
    "64 clients put 256 bytes, alone and together with one client that puts values of 1 MiB one after the other.",
  rounds: 3,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    const seconds = lab.seconds(SECONDS);
    const alone = await lab.load(nodes, { seconds });
    const [beside, large] = await Promise.all([
      lab.load(nodes, { seconds }),
      lab.load(nodes, {
        seconds,
        clients: 1,
        valueBytes: LARGE_BYTES,
        keyCount: LARGE_KEYS,
        prefix: "large/",
      }),
    ]);
    return [
      told("p99 of 256 B alone", alone.p99Ms, "ms"),
      told("p99 of 256 B beside 1 MiB", beside.p99Ms, "ms"),
      told("p99 beside against alone", beside.p99Ms / alone.p99Ms, "×"),
      told("p50 of 256 B alone", alone.p50Ms, "ms"),
      told("p50 of 256 B beside 1 MiB", beside.p50Ms, "ms"),
      told("256 B alone", alone.throughput, "puts/s"),
      told("256 B beside 1 MiB", beside.throughput, "puts/s"),
      told("1 MiB", large.throughput * LARGE_BYTES / 1e6, "MB/s"),
    ];
  },
};
