/** Small requests while other clients send large ones. */
import { type Figure, reported } from "./figures.ts";
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
      reported("p99 of 256 B alone", alone.p99Ms, "ms"),
      reported("p99 of 256 B beside 1 MiB", beside.p99Ms, "ms"),
      reported("p99 beside against alone", beside.p99Ms / alone.p99Ms, "×"),
      reported("p50 of 256 B alone", alone.p50Ms, "ms"),
      reported("p50 of 256 B beside 1 MiB", beside.p50Ms, "ms"),
      reported("256 B alone", alone.throughput, "puts/s"),
      reported("256 B beside 1 MiB", beside.throughput, "puts/s"),
      reported("1 MiB", large.throughput * LARGE_BYTES / 1e6, "MB/s"),
    ];
  },
};
