/** Pauses while a snapshot is taken or sent, and the start from one, beside version 0.1.0. */
import { EARLIER_COMMIT, unpackEarlier } from "../../../support/processes/earlier.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";
import { measureSnapshots, type SnapshotFigures } from "../../snapshots.ts";
import { atMost, type Figure, reported } from "../figures.ts";
import type { Situation } from "../lab.ts";

const KEYS = 1_000_000;
const QUICK_KEYS = 50_000;
const VALUE_BYTES = 256;
const SECONDS = 5;
const GOAL_GAP_MS = 25;
const GOAL_START = 0.4;

/** The situation. */
export const pauses: Situation = {
  name: "pauses",
  about: "What `deno task bench:snapshots` measures, with this version and with 0.1.0 " +
    `(commit ${EARLIER_COMMIT} of this repository) one after the other: 16 clients put to a million keys of 16 bytes with ` +
    "values of 256 bytes while the leader takes a snapshot, and while an empty node is sent one. A gap is the longest time " +
    'between two answers to any client. A start is from the process\'s start to its line "ready to serve".',
  rounds: 3,
  async measure(lab): Promise<readonly Figure[]> {
    await using earlier = await TemporaryFolder.make();
    const run = { keys: lab.count(KEYS, QUICK_KEYS), valueBytes: VALUE_BYTES, seconds: lab.seconds(SECONDS) };
    const now = await measureSnapshots(run);
    const before = unpackEarlier(earlier.path)
      ? await measureSnapshots({ ...run, checkout: earlier.path })
      : null;
    return [
      atMost(GOAL_GAP_MS, "longest gap during a snapshot", now.during.longestGapMs, "ms"),
      atMost(GOAL_GAP_MS, "longest gap while an empty node is fed", now.emptyNode.longestGapMs, "ms"),
      reported("longest gap without either", now.before.longestGapMs, "ms"),
      reported("throughput during a snapshot against before", now.throughputRatio, "×"),
      reported("duration of the snapshot", now.snapshotMs / 1_000, "s"),
      reported("empty node caught up after", now.emptyNode.caughtUpMs / 1_000, "s"),
      reported("start from the snapshot", now.startMs, "ms"),
      ...(before === null ? [] : beside(now, before)),
    ];
  },
};

function beside(now: SnapshotFigures, before: SnapshotFigures): readonly Figure[] {
  return [
    reported("0.1.0: longest gap during a snapshot", before.during.longestGapMs, "ms"),
    reported("0.1.0: longest gap while an empty node is fed", before.emptyNode.longestGapMs, "ms"),
    reported("0.1.0: longest gap without either", before.before.longestGapMs, "ms"),
    reported("0.1.0: start from the snapshot", before.startMs, "ms"),
    atMost(GOAL_START, "start from the snapshot against 0.1.0", now.startMs / before.startMs, "×"),
  ];
}
