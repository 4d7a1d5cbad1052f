/** What one node shows of itself, and the promises that can be checked on it alone whenever something happens to it. */
import type { HardState, NodeId, RaftDump, Role } from "../../lib/raft/mod.ts";
import type { Effects, Input, ModelNode } from "./node.ts";
import type { RaftDisk } from "../support/raft/disk.ts";
import { regression, unfulfilledClaim } from "../support/raft/promises.ts";
import { ELECTION_TICKS, entryMark, marksIn, SELF } from "./node.ts";

/** A state of a node, as far as choosing inputs and checking promises needs it. */
export interface NodeView {
  readonly role: Role["kind"];
  readonly term: number;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commitIndex: number;
  /** Index of the first entry that was not cut off. */
  readonly firstIndex: number;
  /** Whether it has applied more than its newest snapshot holds. */
  readonly mayCompact: boolean;
  /**
   * The log in memory and the log on disk, one character an entry (see {@link entryMark}); what was cut off is there
   * too, as the snapshot that holds it knows it.
   */
  readonly log: string;
  readonly disk: string;
  readonly durable: HardState;
  /** Whether a write is under way. */
  readonly isWriting: boolean;
  /** Whether that takes so long that the node may not campaign. */
  readonly isDiskStuck: boolean;
  /** Whether it takes a leader to be alive. */
  readonly hearsLeader: boolean;
  /** Of a leader: rounds of heartbeats it began; else 0. */
  readonly rounds: number;
  /** Of a leader: matchIndex of nodes 2 and 3 (as seen by it); else zeros. */
  readonly matched: readonly [number, number];
}

/** The term of an entry by its mark. */
export function markedTerm(mark: string): number {
  return mark.charCodeAt(0) >> 1;
}

/** Looks at a node. */
export function viewOf(node: ModelNode): NodeView {
  const { role, term, vote, log, persistingTicks } = node.dump();
  const leader = role.kind === "leader" ? role : null;
  return {
    role: role.kind,
    term,
    vote,
    leader: leader !== null ? SELF : role.kind === "follower" ? role.leader : null,
    commitIndex: log.commitIndex,
    firstIndex: log.compacted.index + 1,
    mayCompact: log.appliedIndex > log.snapshotIndex,
    log: node.marks(),
    disk: diskMarks(node.disk),
    durable: node.disk.hardState,
    isWriting: node.disk.underWay !== null,
    isDiskStuck: persistingTicks !== null && persistingTicks >= ELECTION_TICKS,
    hearsLeader: hearsLeader(role),
    rounds: leader?.reads.lastRound ?? 0,
    matched: [leader?.peers.get(2)?.progress.matchIndex ?? 0, leader?.peers.get(3)?.progress.matchIndex ?? 0],
  };
}

/** What a disk holds; where its snapshot is newer than its log, a restart makes that the log. */
function diskMarks({ compacted, entries, snapshot }: RaftDisk): string {
  const state = marksIn(snapshot);
  const log = state.slice(0, compacted.index) + entries.map(entryMark).join("");
  return log.startsWith(state) ? log : state;
}

function hearsLeader(role: RaftDump["role"]): boolean {
  return role.kind === "follower" && role.leader !== null && role.elapsedTicks === 0;
}

/** A promise that a node broke when `input` took it from one state to another, or null. */
export function brokenBy(
  { before, after, input, effects }: {
    readonly before: NodeView;
    readonly after: NodeView;
    readonly input: Input;
    readonly effects: Effects;
  },
): string | null {
  const wrong = regression(before.durable, after.durable) ??
    (input.kind === "restart" ? null : regression(before, after));
  if (wrong !== null) return wrong;
  if (input.kind !== "restart") {
    if (after.commitIndex < before.commitIndex) return "the commit index never goes back";
  }
  if (before.role === "leader" && after.role === "leader" && before.term === after.term) {
    if (!after.log.startsWith(before.log)) return "a leader never changes what is in its log";
    const committed = after.log[after.commitIndex - 1];
    if (after.commitIndex > before.commitIndex && committed !== undefined) {
      if (markedTerm(committed) !== after.term) {
        return "a leader commits by counting only entries of its own term";
      }
    }
  }
  for (const entry of effects.applied) {
    if (after.log[entry.index - 1] !== entryMark(entry)) return "a node applies what is in its log";
  }
  for (const message of effects.sent) {
    const claim = unfulfilledClaim(message, { hardState: after.durable, lastIndex: after.disk.length });
    if (claim !== null) return claim;
  }
  return null;
}
