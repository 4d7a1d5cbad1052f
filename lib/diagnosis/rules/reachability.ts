/** Rules about which nodes answer, and which reach each other. */
import type { HeardFrom } from "../../protocol/diagnostics/report.ts";
import { type Found, namesOf, type ObservedCluster, type Rule } from "../finding.ts";

/** Time without a ping of a connected node, which sends one every second, after which its connection counts as silent. */
const SILENT_LINK_MS = 3_500;
/** How long ago an event may be that still counts. */
const RECENT_MS = 600_000;
/** Connections of one node to another within that time from which on they are too many. */
const MANY_CONNECTIONS = 3;
/** Changes of leader within that time from which on they are too many. */
const MANY_LEADERS = 5;
/** Time after a start in which connections and elections are usual. */
const STARTING_MS = 5_000;

/** A majority of the voters does not answer. */
const NO_QUORUM: Rule = {
  name: "no-quorum",
  why:
    "A write and a linearizable read need a majority of the voters. Until then the cluster serves stale reads only.",
  find(cluster): readonly Found[] {
    const { voters, working, margin } = votersOf(cluster);
    if (voters.length === 0 || margin >= 0) return [];
    const silent = voters.filter((id) => !working.includes(id));
    const what = `${silent.length} of the ${voters.length} voters do not answer: ${namesOf(silent)}.`;
    return [{
      severity: "critical",
      node: null,
      what,
      remedy:
        `Start ${
          namesOf(silent)
        } again with their data directories. If a majority of these is lost for good, use ` +
        "kvraft server recover.",
    }];
  },
};

/** A majority answers, and none of it leads. */
const NO_LEADER: Rule = {
  name: "no-leader",
  why: "Nothing can be written without a leader. An election takes one or two election timeouts.",
  find(cluster): readonly Found[] {
    if (cluster.nodes.length === 0 || cluster.leader !== null || votersOf(cluster).margin < 0) return [];
    const isHeardLeader = cluster.nodes.some(({ report: { status, heardFrom } }) =>
      heardFrom.some((link) => link.id === status.leader && !cluster.answered.has(link.id) && isHeard(link))
    );
    if (isHeardLeader) return []; // the leader is silent for this client only
    return [{
      severity: "critical",
      node: null,
      what: "No node leads, though a majority of the voters answers.",
      remedy:
        "Wait a few seconds and run doctor again. If there is still no leader, look for links that are down, slow disks " +
        "and full disks below.",
    }];
  },
};

/** A node does not answer. */
const SILENT_NODE: Rule = {
  name: "silent-node",
  why: "Clients that use the node have to find another one.",
  find(cluster): readonly Found[] {
    return cluster.descriptions.flatMap((one): readonly Found[] => {
      if (one.kind !== "silent") return [];
      const hearing = hearingFrom(cluster, one.id);
      const others = hearing.length === 0 ? "" : ` ${namesOf(hearing)} still hear from it.`;
      const remedy = hearing.length > 0
        ? "The node runs. If it refuses this client, do what the reason says; else see that this machine can dial its " +
          "address (firewall, network, certificate)."
        : one.state === "notAnswering"
        ? "See whether its process is stopped or its machine overloaded, and whether the network between here and there works."
        : votersOf(cluster).margin < 0
        ? "Start it again with its data directory. A new node can take its place only once a majority of the voters answers."
        : "Start it again. If its data directory is lost, have a new node take its place: member replace.";
      const what = `n${one.id} at ${one.address} does not answer: ${one.reason.replace(/\.$/, "")}.${others}`;
      return [{ severity: "problem", node: one.id, what, why: effectOfSilence(cluster, one.id), remedy }];
    });
  },
};

/** Returns what follows from it that a node does not answer, for the cluster and for clients. */
function effectOfSilence(cluster: ObservedCluster, id: number): string {
  const { voters, working, margin } = votersOf(cluster);
  if (!voters.includes(id) || working.includes(id)) return SILENT_NODE.why;
  if (margin < 0) {
    return "It is one of the voters that are missing for a majority: nothing can be written until then.";
  }
  return margin === 0
    ? "The cluster stops if one more voter fails, and clients that use the node have to find another one."
    : "The cluster tolerates fewer further failures, and clients that use the node have to find another one.";
}

/** The voters, those of them that work, and how many of these may still fail: negative without a majority. */
interface Voters {
  readonly voters: readonly number[];
  readonly working: readonly number[];
  readonly margin: number;
}

/** Returns the voters. One that does not answer this client, and is heard by a node that does, works. */
function votersOf(cluster: ObservedCluster): Voters {
  const voters = cluster.members.filter(({ role }) => role === "voter").map(({ id }) => id);
  const working = voters.filter((id) => cluster.answered.has(id) || hearingFrom(cluster, id).length > 0);
  return { voters, working, margin: working.length - Math.floor(voters.length / 2) - 1 };
}

/** Returns the answering nodes that hear from a node. */
function hearingFrom({ nodes }: ObservedCluster, id: number): readonly number[] {
  return nodes.filter(({ report }) => report.heardFrom.some((link) => link.id === id && isHeard(link)))
    .map((node) => node.id);
}

/** Two nodes that both answer do not reach each other, in one direction or in both. */
const LINK_DOWN: Rule = {
  name: "link-down",
  why:
    "Messages between nodes go over connections in both directions. Without one of them the two cannot vote for each " +
    "other or copy entries.",
  find({ nodes }): readonly Found[] {
    return nodes.flatMap((from, position) =>
      nodes.slice(position + 1).flatMap((to): readonly Found[] => {
        const there = isDelivered(from, to);
        const back = isDelivered(to, from);
        if (there && back) return [];
        const what = there || back
          ? `The link from n${there ? to.id : from.id} to n${
            there ? from.id : to.id
          } is down, and works in the other direction.`
          : `n${from.id} and n${to.id} do not reach each other, though both answer.`;
        return [{
          severity: "problem",
          node: there ? to.id : from.id,
          what,
          remedy:
            "See that each of the two can dial the address of the other (member list): firewall, routes, certificates, " +
            "peer secret. Their logs have the reason (event peerUnreachable).",
        }];
      })
    );
  },
};

/** Whether messages of `from` arrive at `to`, as far as both say. */
function isDelivered(
  from: ObservedCluster["nodes"][number],
  to: ObservedCluster["nodes"][number],
): boolean {
  const sends = from.report.heardFrom.find(({ id }) => id === to.id)?.connectedTo ?? true;
  const hears = to.report.heardFrom.find(({ id }) => id === from.id);
  return sends && (hears === undefined || isHeard(hears));
}

function isHeard({ connectedFrom, agoMs }: HeardFrom): boolean {
  return connectedFrom && agoMs !== null && agoMs < SILENT_LINK_MS;
}

/** Two processes connect as one node. */
const TWO_PROCESSES: Rule = {
  name: "two-processes",
  why: "Both act as one voter: they can vote twice in one term, and acknowledged writes can be lost.",
  find({ nodes }): readonly Found[] {
    const ids = new Set(
      nodes.flatMap(({ report }) => recent(report, "twoProcesses").map(({ node }) => node)),
    );
    return [...ids].filter((id) => id !== null).sort((a, b) => a - b).map((id) => ({
      severity: "critical",
      node: id,
      what: `Two processes connect as n${id}, or did within the last ten minutes.`,
      remedy:
        "Stop the one that does not run on the node's own data directory: most likely a copy of it that was started.",
    }));
  },
};

/** The connections of a node were opened again and again. */
const RESTARTS: Rule = {
  name: "restarts",
  why:
    "A node that restarts, or whose connections break, again and again is no reliable member of a majority.",
  find({ nodes }): readonly Found[] {
    const byNode = new Map<number, { readonly count: number; readonly oldestMs: number }>();
    for (const { report } of nodes) {
      const events = recent(report, "peerConnected").filter(({ node }) => node !== null);
      for (const [node, same] of Map.groupBy(events, ({ node }) => node ?? 0)) {
        const count = same.reduce((sum, { times }) => sum + times, 0);
        const oldestMs = report.wallClockMs - Math.min(...same.map(({ atMs }) => atMs));
        if (count > (byNode.get(node)?.count ?? MANY_CONNECTIONS)) byNode.set(node, { count, oldestMs });
      }
    }
    return [...byNode].sort(([a], [b]) => a - b).map(([id, { count, oldestMs }]) => {
      const uptimeMs = nodes.find((node) => node.id === id)?.report.uptimeMs ?? 0;
      // A process that has run since before the first of these connections did not restart.
      const mayHaveRestarted = uptimeMs < oldestMs;
      return {
        severity: "warning",
        node: id,
        what: `n${id} was connected ${count} times within ten minutes${
          uptimeMs > 0 && mayHaveRestarted ? `; its process runs for ${Math.round(uptimeMs / 1_000)} s` : ""
        }.`,
        remedy: mayHaveRestarted
          ? "Read the end of its log before each restart: the line with event=nodeStops has the reason. Without one " +
            "something killed it, such as the kernel for want of memory (journalctl -k)."
          : "Look for a network that loses connections, or for a machine that stops for seconds.",
      };
    });
  },
};

/** The leader changes often. */
const LEADER_CHANGES: Rule = {
  name: "leader-changes",
  why: "Each election is a pause of one or two election timeouts in which nothing is written.",
  find({ nodes }): readonly Found[] {
    const most = Math.max(
      0,
      ...nodes.map(({ report }) =>
        recent(report, "becameLeader").length + recent(report, "leaderKnown").length
      ),
    );
    if (most < MANY_LEADERS) return [];
    return [{
      severity: "warning",
      node: null,
      what: `There were ${most} elections within ten minutes.`,
      remedy:
        "Look for slow disks and event loops below. If the network between the nodes is slow, raise --election-timeout-ms " +
        "on all nodes.",
    }];
  },
};

/** Returns a node's events of a name within the last ten minutes, without those of its start. */
function recent(
  { events, wallClockMs, startedAtMs }: ObservedCluster["nodes"][number]["report"],
  name: string,
): ObservedCluster["nodes"][number]["report"]["events"] {
  const since = Math.max(wallClockMs - RECENT_MS, name === "twoProcesses" ? 0 : startedAtMs + STARTING_MS);
  return events.filter((event) => event.name === name && event.atMs >= since);
}

/** The rules of this file, the most important first. */
export const REACHABILITY: readonly Rule[] = [
  NO_QUORUM,
  NO_LEADER,
  TWO_PROCESSES,
  LINK_DOWN,
  SILENT_NODE,
  RESTARTS,
  LEADER_CHANGES,
];
