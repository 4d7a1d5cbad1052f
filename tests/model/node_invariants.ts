/** The view of one node, and the invariants that concern one node only. */
import type { HardState, NodeId, RaftDump, Role } from "../../lib/raft/mod.ts";
import type { Effects, Input, ModelNode } from "./node.ts";
import type { RaftDisk } from "../support/raft/disk.ts";
import { regression, unfulfilledClaim } from "../support/raft/promises.ts";
import { ELECTION_TICKS, entryMark, marksIn, SELF } from "./node.ts";

/** The part of a node's state that determines its possible inputs and that the invariants use. */
export interface NodeView {
  readonly role: Role["kind"];
  readonly term: number;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commitIndex: number;
  /** Index of the first entry in the log. */
  readonly firstIndex: number;
  /** Whether entries after the newest snapshot were applied. */
  readonly mayCompact: boolean;
  /**
   * The log in memory and the log on disk, one character per entry (see {@link entryMark}), including removed entries,
   * which come from the snapshot.
   */
  readonly log: string;
  readonly disk: string;
  readonly durable: HardState;
  /** Whether a write is in progress. */
  readonly isWriting: boolean;
  /** Whether the write takes so long that the node does not campaign. */
  readonly isDiskStuck: boolean;
  /** Whether it has just received from its leader. */
  readonly heardFromLeader: boolean;
  /** For a leader, the number of heartbeat rounds; otherwise 0. */
  readonly rounds: number;
  /** For a leader, matchIndex of the nodes with relative ids 2 and 3; otherwise zeros. */
  readonly matched: readonly [number, number];
}

/** Returns the term of an entry from its mark. */
export function markedTerm(mark: string): number {
  return mark.charCodeAt(0) >> 1;
}

/** Returns the view of a node. */
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
    heardFromLeader: heardFromLeader(role),
    rounds: leader?.reads.lastRound ?? 0,
    matched: [leader?.peers.get(2)?.progress.matchIndex ?? 0, leader?.peers.get(3)?.progress.matchIndex ?? 0],
  };
}

/** Returns the log on disk; if the snapshot is newer than the log, a restart uses the snapshot. */
function diskMarks({ compacted, entries, snapshot }: RaftDisk): string {
  const state = marksIn(snapshot);
  const log = state.slice(0, compacted.index) + entries.map(entryMark).join("");
  return log.startsWith(state) ? log : state;
}

function heardFromLeader(role: RaftDump["role"]): boolean {
  return role.kind === "follower" && role.leader !== null && role.elapsedTicks === 0;
}

/** Returns the invariant that a node violated by the transition, or null. */
export function violationBy(
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
    if (after.commitIndex < before.commitIndex) return "the commit index never decreases";
  }
  if (before.role === "leader" && after.role === "leader" && before.term === after.term) {
    if (!after.log.startsWith(before.log)) return "a leader never changes entries of its log";
    const committed = after.log[after.commitIndex - 1];
    if (after.commitIndex > before.commitIndex && committed !== undefined) {
      if (markedTerm(committed) !== after.term) {
        return "a leader commits by counting only entries of its own term";
      }
    }
  }
  for (const entry of effects.applied) {
    if (after.log[entry.index - 1] !== entryMark(entry)) return "a node applies entries of its log";
  }
  for (const message of effects.sent) {
    const claim = unfulfilledClaim(message, { hardState: after.durable, lastIndex: after.disk.length });
    if (claim !== null) return claim;
  }
  return null;
}
