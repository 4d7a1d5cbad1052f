/** Rules about the data of the cluster: how far nodes lag, and the bounds of what is stored. */
import { type Found, type ObservedCluster, type Rule } from "../finding.ts";

/** Entries from which on a node lags. */
const LAG_ENTRIES = 1_000;
const QUOTA_WARNING = 0.8;
const QUOTA_PROBLEM = 0.95;
/** Share of its bound from which on the history is about to be compacted. */
const HISTORY_FULL = 0.9;

/** A voter lacks many entries of the leader's log. */
const LAGGING: Rule = {
  name: "lagging-node",
  why: "Its stale reads are old, it cannot lead, and if it takes long it needs a whole snapshot.",
  find: (cluster) =>
    lagging(cluster, "voter").filter(({ id }) => cluster.answered.has(id)).map(({ id, lag }) => ({
      severity: "warning",
      node: id,
      what: `n${id} lacks ${lag} entries of the leader's log.`,
      remedy: "If the number falls, wait. Else see its disk, its links and its log.",
    })),
};

/** A learner is behind, or does not answer. */
const LEARNER: Rule = {
  name: "learner-behind",
  why: "A learner that does not catch up never becomes a voter, and the log is kept longer for it.",
  find(cluster): readonly Found[] {
    const behind = new Map(lagging(cluster, "learner").map(({ id, lag }) => [id, `lacks ${lag} entries`]));
    const learners = cluster.members.filter(({ role }) => role === "learner");
    for (const { id } of learners) if (!cluster.answered.has(id)) behind.set(id, "does not answer");
    return [...behind].map(([id, state]): Found => ({
      severity: "warning",
      node: id,
      what: `The learner n${id} ${state}.`,
      remedy: `Start it or wait. If it is not needed any more: member remove ${id}.`,
    }));
  },
};

function lagging(
  { leader, members }: ObservedCluster,
  role: "voter" | "learner",
): readonly { readonly id: number; readonly lag: number }[] {
  if (leader === null) return [];
  const { peers, lastLogIndex } = leader.report.status;
  const ids = members.filter((member) => member.role === role).map(({ id }) => id);
  return peers.filter(({ id }) => ids.includes(id)).map(({ id, matchIndex }) => ({
    id,
    lag: lastLogIndex - matchIndex,
  }))
    .filter(({ lag }) => lag >= LAG_ENTRIES);
}

/** The last attempt to take a snapshot failed. */
const SNAPSHOT: Rule = {
  name: "snapshot-fails",
  why: "The log grows without a snapshot, until the disk is full, and a start takes longer.",
  find: ({ nodes }) =>
    nodes.flatMap(({ id, report: { snapshot, counters } }): readonly Found[] =>
      snapshot.lastFailure === null ? [] : [{
        severity: "problem",
        node: id,
        what:
          `n${id} could not take its last snapshot (${counters.snapshotFailures} failed since its start): ${
            snapshot.lastFailure.replace(/\.$/, "")
          }.`,
        remedy:
          "Do what the reason says: most often free disk space, or correct the owner of the data directory.",
      }]
    ),
};

/** Intervals between backups after which one is missing. */
const LATE_BACKUPS = 3;

/** The scheduled backups of a node fail, or are late. */
const BACKUP: Rule = {
  name: "backup-fails",
  why: "Without a new backup, what is deleted by mistake or lost with the machines is lost for good.",
  find: ({ nodes }) =>
    nodes.flatMap(({ id, report: { backup, wallClockMs, uptimeMs } }): readonly Found[] => {
      if (backup === null) return [];
      const { everyMs, lastSuccessAtMs, lastFailure } = backup;
      if (lastFailure !== null) {
        const what = `n${id} could not write its last backup: ${lastFailure.replace(/\.$/, "")}.`;
        const remedy =
          "Do what the reason says: most often free space in the directory of --backup-to, or correct its owner.";
        return [{ severity: "problem", node: id, what, remedy }];
      }
      const ageMs = lastSuccessAtMs === null ? uptimeMs : Math.min(wallClockMs - lastSuccessAtMs, uptimeMs);
      if (ageMs < LATE_BACKUPS * everyMs) return [];
      const remedy = "A node without a leader writes none: see the other findings, and its log.";
      const what = `n${id} has written no backup for ${
        Math.floor(ageMs / everyMs)
      } intervals of --backup-every.`;
      return [{ severity: "warning", node: id, what, remedy }];
    }),
};

/** The quota is nearly used. */
const QUOTA: Rule = {
  name: "quota",
  why: "At the quota only deletes are taken.",
  find({ nodes, leader }): readonly Found[] {
    const { id, report } = leader ?? nodes[0] ?? {};
    const { usedBytes = 0, limitBytes = null } = report?.quota ?? {};
    if (id === undefined || limitBytes === null || usedBytes < QUOTA_WARNING * limitBytes) return [];
    return [{
      severity: usedBytes >= QUOTA_PROBLEM * limitBytes ? "problem" : "warning",
      node: id,
      what: `${
        Math.floor(100 * usedBytes / limitBytes)
      } % of the quota is used: ${usedBytes} of ${limitBytes} bytes.`,
      remedy: "Delete keys, or raise --quota-bytes on all nodes as far as their memory allows.",
    }];
  },
};

/** Watches were cancelled because their history was compacted, or will be. */
const HISTORY: Rule = {
  name: "history",
  why: "A watch whose history was compacted has missed changes: its program has to read everything again.",
  find: ({ nodes }) =>
    nodes.flatMap(({ id, report: { counters, watches, history } }): readonly Found[] => {
      const remedy =
        "Raise --history-bytes and --history-seconds on all nodes, or make the programs that watch faster.";
      if (counters.compactedWatches > 0) {
        const what =
          `n${id} cancelled ${counters.compactedWatches} watches since its start: their history was compacted.`;
        return [{ severity: "warning", node: id, what, remedy }];
      }
      if (watches.behind === 0 || history.bytes < HISTORY_FULL * history.limitBytes) return [];
      const what =
        `${watches.behind} watches of n${id} are behind, and the history is about to be compacted.`;
      return [{ severity: "warning", node: id, what, remedy }];
    }),
};

/** The rules of this file, the most important first. */
export const DATA: readonly Rule[] = [SNAPSHOT, BACKUP, QUOTA, LAGGING, LEARNER, HISTORY];
