/**
 * The promises of a whole cluster (Raft Figure 3, thesis §6.4), checked on three nodes and what is known of their past:
 * who led which term, and what was ever committed.
 */
import { assert } from "../../lib/platform/assert.ts";
import type { NodeView } from "./node_promises.ts";

/** What was committed anywhere so far. */
export interface Committed {
  /** The entries, one character each (node_promises.ts). */
  readonly log: string;
  /** For each entry the term in which it was committed, never falling. */
  readonly terms: readonly number[];
}

/** Three nodes in the order of the circle. */
export type Nodes = readonly [NodeView, NodeView, NodeView];

const MAJORITY = 2;

/** A promise that the nodes break, or null; `changed` is the position of the node to which something happened. */
export function brokenInCluster(nodes: Nodes, changed: number, committed: string): string | null {
  const node = at(nodes, changed);
  if (nodes.filter(({ disk }) => disk.startsWith(committed)).length < MAJORITY) {
    return "what is committed is on the disks of a majority";
  }
  for (let step = 1; step < nodes.length; step++) {
    const other = at(nodes, changed + step);
    const agree = logsMatch(node.log, other.log) && logsMatch(node.log, other.disk) &&
      logsMatch(node.disk, other.log) && logsMatch(node.disk, other.disk);
    if (!agree) return "logs that agree at an entry agree before it";
    const matches = knowsTruly(node, other, step) && knowsTruly(other, node, nodes.length - step);
    if (!matches) return "a leader takes nothing for replicated that is not on the other's disk";
  }
  return null;
}

/** What is committed by what a node knows and what was known before: null when the two differ. */
export function committedWith(committed: Committed, { log, commitIndex, term }: NodeView): Committed | null {
  const known = log.slice(0, commitIndex);
  if (committed.log.startsWith(known)) return committed;
  if (!known.startsWith(committed.log)) return null;
  const more = known.length - committed.log.length;
  return { log: known, terms: [...committed.terms, ...new Array<number>(more).fill(term)] };
}

/**
 * Whether a node that begins to lead has everything that was committed in earlier terms (Raft §5.4). A late vote may
 * still elect the leader of a term that is over: what later terms have committed it need not have.
 */
export function isComplete({ log, term }: NodeView, committed: Committed): boolean {
  const later = committed.terms.findIndex((committedIn) => committedIn >= term);
  return log.startsWith(later === -1 ? committed.log : committed.log.slice(0, later));
}

/** Two logs that hold the same entry at an index hold the same entries before it. */
function logsMatch(one: string, other: string): boolean {
  if (one === other) return true;
  for (let length = Math.min(one.length, other.length); length > 0; length--) {
    if (one[length - 1] === other[length - 1]) return one.startsWith(other.slice(0, length));
  }
  return true;
}

/** Whether `other`, so many steps round the circle, holds what `leader` thinks; later terms may have rewritten it. */
function knowsTruly(leader: NodeView, other: NodeView, step: number): boolean {
  if (leader.role !== "leader" || other.durable.term > leader.term) return true;
  const matched = leader.matched[step - 1] ?? 0;
  return other.disk.startsWith(leader.log.slice(0, matched));
}

function at(nodes: Nodes, position: number): NodeView {
  const node = nodes[position % nodes.length];
  assert(node !== undefined, "there are three nodes");
  return node;
}
