/**
 * How a leader changes who belongs to the cluster: joint consensus with learners (Raft §6, thesis §4.2 and §4.3).
 *
 * Any change of voters takes two entries. The joint configuration decides from when it is appended, by a majority of
 * the old voters and one of the new; once it is committed, whoever leads appends the final one. So there is no moment
 * in which old and new voters could decide apart, whatever is lost or truncated in between.
 *
 * A change of learners or of what is known of members changes no majority, and is one entry.
 */
import { assert } from "../platform/assert.ts";
import { finalOf, stepsTo, targetProblem } from "./configurations.ts";
import { bestSuccessor } from "./leader.ts";
import { entryBytes } from "./log.ts";
import { newPeer, type Peer } from "./progress.ts";
import { isJoint, isVoter, members } from "./quorum.ts";
import type { Leader } from "./role.ts";
import type { RaftState } from "./state.ts";
import { becomeFollower } from "./transitions.ts";
import type { Configuration, Entry, NodeId } from "./types.ts";

/** Why a leader does not begin a change. */
export type ConfigurationRefusal = "transferring" | "busy" | "changeUnderWay" | "notReady";

/** Begins the way to `target`: its first entry, or why there is none. */
export function proposeChange(
  state: RaftState,
  role: Leader,
  target: Configuration,
): Entry | ConfigurationRefusal {
  const { log, limits } = state;
  const { newest, newestIndex } = log.configurations;
  const problem = targetProblem(target, newest);
  assert(problem === null, `a target was checked before it is proposed (${problem})`);
  if (role.transfer !== null) return "transferring";
  // A leader that has committed nothing in its term may not know the newest committed configuration, and two leaders
  // could go on from different ones without a common majority (Ongaro's correction of 2015; thesis §4.1 as printed
  // lacks it).
  if (log.commitIndex < role.termStartIndex) return "notReady";
  if (newestIndex > log.commitIndex || isJoint(newest.confState)) return "changeUnderWay";
  if (role.unappliedBytes > limits.uncommittedBytes) return "busy";
  const [first] = stepsTo(target, newest);
  return appendConfiguration(state, role, first);
}

/**
 * Takes the steps that follow from the newest configuration being committed: a joint one is left, nodes that are out
 * are let go, a leader that is out itself steps down. Called whenever the leader may have learned something.
 */
export function settleConfiguration(state: RaftState, role: Leader): void {
  const { configurations, commitIndex } = state.log;
  const { newest, newestIndex } = configurations;
  if (newestIndex > commitIndex) return;
  if (isJoint(newest.confState)) {
    // The target of a transfer has the log as it stands, and leaves the joint configuration in its turn.
    if (role.transfer === null) appendConfiguration(state, role, finalOf(newest));
    return;
  }
  if (isVoter(newest.confState, state.id)) dropRemovedPeers(state, role);
  else stepDownAfterRemoval(state, role);
}

function appendConfiguration(state: RaftState, role: Leader, configuration: Configuration): Entry {
  const { log, term } = state;
  const data = state.configurationCodec.encode(configuration);
  const entry: Entry = { index: log.lastIndex + 1, term, kind: "configuration", data };
  role.unappliedBytes += entryBytes(entry);
  log.write([entry]);
  assert(log.configurations.newestIndex === entry.index, "a configuration decides once it is appended");
  for (const node of members(configuration.confState)) {
    if (node !== state.id && !role.peers.has(node)) role.peers.set(node, newPeer(log.lastIndex));
  }
  return entry;
}

/**
 * Nodes that are out are sent the log until they have the entry that says so, and then the word that it is committed, so
 * that they know and need not be refused. One that does not answer is waited for no longer than for an election.
 */
function dropRemovedPeers(state: RaftState, role: Leader): void {
  const { configurations, commitIndex } = state.log;
  const stay = configurations.nodesFrom(commitIndex);
  if (role.removalWaitTicks === null && role.peers.size === stay.size - (stay.has(state.id) ? 1 : 0)) return;
  const leaving = [...role.peers].filter(([node]) => !stay.has(node));
  const isOver = (role.removalWaitTicks ?? 0) >= state.electionTicks;
  const ready = leaving.filter(([, peer]) =>
    isOver || peer.progress.matchIndex >= configurations.newestIndex
  );
  for (const [node, peer] of ready) {
    announceCommit(state, role, [node, peer]);
    role.peers.delete(node);
  }
  role.removalWaitTicks = ready.length === leaving.length ? null : role.removalWaitTicks ?? 0;
}

/** A heartbeat between the others; only what a node is known to have can be committed there. */
function announceCommit(state: RaftState, role: Leader, [to, { progress }]: [NodeId, Peer]): void {
  const { log, id: from, term } = state;
  const leaderCommit = Math.min(log.commitIndex, progress.matchIndex);
  state.send({ kind: "heartbeat", from, to, term, leaderCommit, round: role.reads.lastRound });
}

/**
 * A leader that is out, or votes no more, has managed a cluster without counting itself until the change was committed;
 * now it steps down (Raft §6, thesis §4.2.2). The best-placed voter need not wait for its silence (thesis §3.10).
 */
function stepDownAfterRemoval(state: RaftState, role: Leader): void {
  const { id: from, term } = state;
  for (const entry of role.peers) announceCommit(state, role, entry);
  const to = bestSuccessor(state, role);
  if (to !== null) state.send({ kind: "timeoutNow", from, to, term });
  becomeFollower(state, term, null);
}
