/**
 * The invariants of a cluster (Raft Figure 3, thesis §6.4), checked on the states of three nodes, the leaders of all terms
 * and all entries ever committed.
 */
import { assert } from "../../lib/platform/assert.ts";
import type { NodeView } from "./node_invariants.ts";

/** The entries committed on any node so far. */
export interface Committed {
  /** The entries, one character each (node_invariants.ts). */
  readonly log: string;
  /** The term in which each entry was committed, ascending. */
  readonly terms: readonly number[];
}

/** Three nodes in cyclic order. */
export type Nodes = readonly [NodeView, NodeView, NodeView];

const MAJORITY = 2;

/** Returns the invariant that the nodes violate, or null; `changed` is the position of the node that changed. */
export function violationInCluster(nodes: Nodes, changed: number, committed: string): string | null {
  const node = at(nodes, changed);
  if (nodes.filter(({ disk }) => disk.startsWith(committed)).length < MAJORITY) {
    return "what is committed is on the disks of a majority";
  }
  for (let step = 1; step < nodes.length; step++) {
    const other = at(nodes, changed + step);
    const agree = logsMatch(node.log, other.log) && logsMatch(node.log, other.disk) &&
      logsMatch(node.disk, other.log) && logsMatch(node.disk, other.disk);
    if (!agree) return "logs that agree at an entry agree before it";
    const matches = isMatchCorrect(node, other, step) && isMatchCorrect(other, node, nodes.length - step);
    if (!matches) return "matchIndex covers only entries on the follower's disk";
  }
  return null;
}

/** Returns `committed` extended by the commit index of a node; null if the two contradict each other. */
export function committedWith(committed: Committed, { log, commitIndex, term }: NodeView): Committed | null {
  const known = log.slice(0, commitIndex);
  if (committed.log.startsWith(known)) return committed;
  if (!known.startsWith(committed.log)) return null;
  const more = known.length - committed.log.length;
  return { log: known, terms: [...committed.terms, ...new Array<number>(more).fill(term)] };
}

/**
 * Returns whether a new leader has every entry committed in earlier terms (Raft §5.4). A late vote can still elect the
 * leader of an old term, which need not have the entries committed in later terms.
 */
export function isComplete({ log, term }: NodeView, committed: Committed): boolean {
  const later = committed.terms.findIndex((committedIn) => committedIn >= term);
  return log.startsWith(later === -1 ? committed.log : committed.log.slice(0, later));
}

/** Returns whether two logs with the same entry at an index have the same entries before it (Log Matching). */
function logsMatch(one: string, other: string): boolean {
  if (one === other) return true;
  for (let length = Math.min(one.length, other.length); length > 0; length--) {
    if (one[length - 1] === other[length - 1]) return one.startsWith(other.slice(0, length));
  }
  return true;
}

/** Returns whether `other`, `step` positions further, has the entries up to its matchIndex; later terms may replace them. */
function isMatchCorrect(leader: NodeView, other: NodeView, step: number): boolean {
  if (leader.role !== "leader" || other.durable.term > leader.term) return true;
  const matched = leader.matched[step - 1] ?? 0;
  return other.disk.startsWith(leader.log.slice(0, matched));
}

function at(nodes: Nodes, position: number): NodeView {
  const node = nodes[position % nodes.length];
  assert(node !== undefined, "there are three nodes");
  return node;
}
