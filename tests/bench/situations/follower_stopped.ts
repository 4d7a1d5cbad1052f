/** A follower that is suspended for long while clients write, and the cost of its recovery. */
import { atLeast, type Figure, reported } from "./figures.ts";
import type { Situation } from "./lab.ts";

const MEASURED_SECONDS = 10;
const STOPPED_AFTER_SHARE = 0.15;
const GOAL_OF_BEFORE = 0.9;

/** The situation. */
export const followerStopped: Situation = {
  name: "follower stopped",
  about:
    "64 clients put; then one follower is stopped (SIGSTOP) under the same load for --stopped-seconds (30; 600 for the " +
    "goal); then it resumes, without load, until it has applied all entries. If the leader has cut its log in the " +
    "meantime, it sends a snapshot first.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes();
    const leader = await nodes.waitForLeader();
    const follower = nodes.ids.find((id) => id !== leader) ?? 0;
    const before = await lab.load(nodes, { seconds: lab.seconds(MEASURED_SECONDS) });
    const memoryBefore = nodes.residentBytes(leader);
    const loading = lab.load(nodes, { seconds: lab.stoppedSeconds });
    // Within the load's warm-up, so that the whole measurement is without the follower.
    await lab.rest(lab.stoppedSeconds * STOPPED_AFTER_SHARE);
    const following = await nodes.status(follower);
    nodes.signal(follower, "SIGSTOP");
    const during = await loading;
    const memoryAfter = nodes.residentBytes(leader);
    const leading = await nodes.status(leader);
    const resumedAt = performance.now();
    nodes.signal(follower, "SIGCONT");
    await nodes.waitUntilLevel();
    const catchUpSeconds = (performance.now() - resumedAt) / 1_000;
    const behind = (leading?.lastLogIndex ?? NaN) - (following?.appliedIndex ?? NaN);
    const needsSnapshot = (leading?.firstLogIndex ?? 0) > (following?.lastLogIndex ?? 0) + 1;
    return [
      reported("before", before.throughput, "puts/s"),
      reported("while it is stopped", during.throughput, "puts/s"),
      atLeast(GOAL_OF_BEFORE, "throughput against before", during.throughput / before.throughput, "×"),
      reported("stopped for", lab.stoppedSeconds, "s"),
      reported("leader's memory before", memoryBefore / 1e6, "MB"),
      reported("leader's memory after", memoryAfter / 1e6, "MB"),
      reported("behind when it goes on", behind, "entries"),
      reported("caught up after", catchUpSeconds, "s"),
      reported("caught up at", behind / catchUpSeconds, "entries/s"),
      reported("over a snapshot (1) or the log alone (0)", needsSnapshot ? 1 : 0, ""),
    ];
  },
};
