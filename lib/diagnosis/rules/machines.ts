/** Rules about the machine of a node: its disk, clock, memory, descriptors and speed. */
import type { NodeReport } from "../../protocol/diagnostics/report.ts";
import { type Found, type ObservedCluster, type Rule, type Severity } from "../finding.ts";

/** 99th percentile of the syncs from which on a disk is slow. */
const SLOW_SYNC_MICROS = 100_000;
/** Delay of the event loop from which on a node is slow. */
const SLOW_LOOP_MICROS = 250_000;
/** Difference of two clocks from which on it is reported, beside the uncertainty of its measurement. */
const CLOCK_OFFSET_MS = 500;
/** The same from which on it is a problem. */
const WRONG_CLOCK_MS = 10_000;
/** Descriptors below which a node is short of them. */
const FEW_DESCRIPTORS = 128;
const NEARLY_ALL = 0.9;
/** Time after a start in which a node is busy with it. */
const STARTING_MS = 30_000;

/** Makes a rule that looks at each report by itself. */
function perNode(
  { name, why, find }: Pick<Rule, "name" | "why"> & {
    readonly find: (report: NodeReport) => Omit<Found, "node"> | null;
  },
): Rule {
  return {
    name,
    why,
    find: ({ nodes }) =>
      nodes.flatMap(({ id, report }) => {
        const found = find(report);
        return found === null ? [] : [{ ...found, node: id, what: `n${id}: ${found.what}` }];
      }),
  };
}

const DISK_FULL = perNode({
  name: "disk-full",
  why:
    "Once the reserved space is used, a leader transfers leadership or refuses writes that add data; a node that " +
    "cannot write at all acknowledges nothing.",
  find: ({ status: { disk } }) =>
    disk === "ok" ? null : {
      severity: disk === "full" ? "critical" : "problem",
      what: disk === "full"
        ? "the disk is full, and the node does not take part."
        : "the disk is full or nearly full: snapshots fail, and the log has only the space that it has reserved.",
      remedy: "Free disk space where its data directory is; the node goes on by itself.",
    },
});

const SLOW_DISK = perNode({
  name: "slow-disk",
  why:
    "Every write waits for the sync of a majority of the disks, and a leader that waits too long loses its lead.",
  find: ({ latency: { syncP99Micros, syncMaxMicros }, config }) => {
    if (syncP99Micros === null || syncP99Micros < SLOW_SYNC_MICROS) return null;
    const timeoutMs = Number(settingOf(config, "election-timeout-ms") ?? 1_000);
    const severity: Severity = syncP99Micros >= timeoutMs * 500 ? "problem" : "warning";
    return {
      severity,
      what: `one sync of the log in a hundred took ${
        millis(syncP99Micros)
      } or longer in the last seconds, the slowest ${millis(syncMaxMicros ?? syncP99Micros)}.`,
      remedy:
        "See what else uses the disk. Give the data directory a disk of its own, with a write cache that survives a loss of " +
        "power.",
    };
  },
});

const SLOW_LOOP = perNode({
  name: "slow-loop",
  why: "Everything that a node does waits meanwhile: heartbeats, votes and answers.",
  find: ({ latency: { loopDelayP99Micros }, uptimeMs }) =>
    loopDelayP99Micros === null || loopDelayP99Micros < SLOW_LOOP_MICROS || uptimeMs < STARTING_MS ? null : {
      severity: "warning",
      what: `its event loop was late by ${millis(loopDelayP99Micros)} or more, once in a hundred times.`,
      remedy:
        "See whether the machine is overloaded or was suspended. Give the node a core of its own, or spread its clients.",
    },
});

const MEMORY = perNode({
  name: "memory",
  why: "A process whose heap is full ends, and the node restarts from its log and snapshot.",
  find: ({ memory }) => {
    const { heapBytes = 0, heapLimitBytes = null } = memory ?? {};
    if (heapLimitBytes === null || heapBytes < NEARLY_ALL * heapLimitBytes) return null;
    return {
      severity: "problem",
      what: `${percent(heapBytes, heapLimitBytes)} of the JavaScript heap is used.`,
      remedy:
        "Spread watches and clients over the nodes, grant fewer leases, or give the node a larger heap: docs/operations.md.",
    };
  },
});

const DESCRIPTORS = perNode({
  name: "descriptors",
  why: "Without a descriptor the log cannot open its next file, and no client or node can connect.",
  find: ({ descriptors: { free }, connections: { maxClients, configuredClients } }) => {
    const remedy = "Raise the limit (ulimit -n; LimitNOFILE= of systemd) and restart the node.";
    if (free !== null && free < FEW_DESCRIPTORS) {
      return { severity: "problem", what: `it may open only ${free} more files and connections.`, remedy };
    }
    return maxClients >= configuredClients ? null : {
      severity: "warning",
      what:
        `it takes ${maxClients} clients in place of the configured ${configuredClients}, for want of file descriptors.`,
      remedy,
    };
  },
});

const CONNECTIONS = perNode({
  name: "connections",
  why: "Further clients are refused and have to use other nodes.",
  find: ({ connections: { clients, maxClients } }) =>
    clients < NEARLY_ALL * maxClients ? null : {
      severity: "warning",
      what: `${clients} of at most ${maxClients} clients are connected.`,
      remedy: "Raise --max-connections, or name all nodes to all clients, so that they spread.",
    },
});

/** The clocks of two nodes differ. */
const CLOCK: Rule = {
  name: "clock",
  why: "Keys with a time to live, tokens and certificates end by the clock of the node that looks at them.",
  find({ descriptions, leader }: ObservedCluster): readonly Found[] {
    const from = descriptions.find(({ id, kind }) => kind === "answered" && id === leader?.id) ??
      descriptions.find(({ kind }) => kind === "answered");
    if (from?.kind !== "answered") return [];
    const measured = from.members.filter((member) => member.kind === "reachable")
      .toSorted((a, b) => a.clockOffsetMs - b.clockOffsetMs);
    // A leader's own clock may be the wrong one. Of two clocks it is not known which one is right.
    const reference = measured.length < 3
      ? measured.find(({ id }) => id === from.id)
      : measured[Math.floor(measured.length / 2)];
    if (reference === undefined) return [];
    return measured.flatMap(({ id, clockOffsetMs, roundTripMicros }): readonly Found[] => {
      const differenceMs = clockOffsetMs - reference.clockOffsetMs;
      const leastMs = Math.abs(differenceMs) - (roundTripMicros + reference.roundTripMicros) / 2_000;
      if (leastMs < CLOCK_OFFSET_MS) return [];
      const direction = differenceMs > 0 ? "ahead of" : "behind";
      return [{
        severity: leastMs >= WRONG_CLOCK_MS ? "problem" : "warning",
        node: id,
        what: `n${id}: its clock is ${
          (Math.abs(differenceMs) / 1_000).toFixed(1)
        } s ${direction} that of n${reference.id}.`,
        remedy: "Run a time service (chrony, systemd-timesyncd) on all machines of the cluster.",
      }];
    });
  },
};

/** Returns the value of a setting of a node. */
function settingOf(config: NodeReport["config"], name: string): string | null {
  return config.find((setting) => setting.name === name)?.value ?? null;
}

function millis(micros: number): string {
  return `${Math.round(micros / 1_000)} ms`;
}

function percent(part: number, whole: number): string {
  return `${Math.floor(100 * part / whole)} %`;
}

/** The rules of this file, the most important first. */
export const MACHINES: readonly Rule[] = [
  DISK_FULL,
  SLOW_DISK,
  DESCRIPTORS,
  MEMORY,
  CLOCK,
  SLOW_LOOP,
  CONNECTIONS,
];
