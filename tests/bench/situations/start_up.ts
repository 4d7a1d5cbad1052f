/** The time from the start of a process until it serves. */
import { type Figure, reported } from "./figures.ts";
import type { Situation } from "./lab.ts";

const STARTS = 5;
const LOG_MIB = 1_024;
const VALUE_BYTES = 1_024;
const BYTES_OF_MIB = 1_048_576;

/** The situation. */
export const startUp: Situation = {
  name: "start-up",
  about:
    `From the start of the process to its line "ready to serve" (checked every 20 ms), ${STARTS} times with an ` +
    `empty directory, and ${STARTS} times with a log of ${LOG_MIB} MiB of values of 1 KiB and no snapshot. A cluster of ` +
    "one node, from source; also the time until it has answered a linearizable get, including its election.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const flags = ["--snapshot-log-bytes", `${2 ** 40}`];
    await using nodes = await lab.startNodes({ count: 1, flags, isWarm: false });
    const figures: Figure[] = [];
    for (let start = 0; start < lab.count(STARTS, 2); start++) {
      await nodes.stop(1);
      await nodes.forget(1);
      figures.push(reported("empty directory, ready after", await nodes.startNode(1), "ms"));
    }
    const keyCount = lab.count(LOG_MIB, LOG_MIB / 8) * BYTES_OF_MIB / VALUE_BYTES;
    const work = { seconds: 1, clients: 8, valueBytes: VALUE_BYTES, loadsKeys: true };
    await lab.load(nodes, { ...work, keyCount });
    for (let start = 0; start < lab.count(STARTS, 2); start++) {
      await nodes.stop(1);
      const startedAt = performance.now();
      figures.push(reported("with the log, ready after", await nodes.startNode(1), "ms"));
      await using client = await lab.own(nodes.connect());
      await client.get("bench/0000000000");
      figures.push(reported("with the log, first get answered after", performance.now() - startedAt, "ms"));
    }
    const entries = (await nodes.status(1))?.lastLogIndex ?? 0;
    return [...figures, reported("entries in the log", entries, "")];
  },
};
