/**
 * How a leader changes who belongs to the cluster: joint consensus with learners (Raft §6, thesis §4.2 and §4.3).
 *
 * Any change of voters takes two entries. The joint configuration decides from when it is appended, by a majority of
 * the old voters and one of the new; once it is committed, whoever leads appends the final one. So there is no moment
 * in which old and new voters could decide apart, whatever is lost or truncated in between.
 *
 * A change of learners or of what is known of members changes no majority, and is one entry.
 */
import { assert } from "../assert.ts";
import { assertTarget, finalOf, jointOf, plainOf } from "./configurations.ts";
import { bestSuccessor } from "./leader.ts";
import { entryBytes } from "./log.ts";
import { newPeer } from "./progress.ts";
import { isJoint, isVoter } from "./quorum.ts";
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
  assertTarget(target);
  const { log, limits } = state;
  const { newest, newestIndex } = log.configurations;
  if (role.transfer !== null) return "transferring";
  // A leader that has committed nothing in its term may not know the newest committed configuration, and two leaders
  // could go on from different ones without a common majority (Ongaro's correction of 2015; thesis §4.1 as printed
  // lacks it).
  if (log.commitIndex < role.termStartIndex) return "notReady";
  if (newestIndex > log.commitIndex || isJoint(newest.confState)) return "changeUnderWay";
  if (role.unappliedBytes > limits.uncommittedBytes) return "busy";
  const staysSame = sameNodes(newest.confState.voters, target.confState.voters);
  return appendConfiguration(state, role, staysSame ? plainOf(newest, target) : jointOf(newest, target));
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
  const leaves = !isVoter(newest.confState, state.id);
  const isMember = newest.members.some(({ id }) => id === state.id);
  if (!leaves && role.peers.size === newest.members.length - (isMember ? 1 : 0)) return;
  sayCommitted(state, role, { everybody: leaves });
  followMembers(state, role);
  if (leaves) stepAside(state, role);
}

/** Peers become the nodes of the newest configuration and of those it has not replaced for good. */
export function followMembers(state: RaftState, role: Leader): void {
  const { configurations, commitIndex, lastIndex } = state.log;
  const nodes = configurations.nodesFrom(commitIndex);
  for (const node of [...role.peers.keys()]) if (!nodes.has(node)) role.peers.delete(node);
  for (const node of nodes) {
    if (node !== state.id && !role.peers.has(node)) role.peers.set(node, newPeer(lastIndex));
  }
}

function appendConfiguration(state: RaftState, role: Leader, configuration: Configuration): Entry {
  const { log, term } = state;
  const data = state.configurationCodec.encode(configuration);
  const entry: Entry = { index: log.lastIndex + 1, term, kind: "configuration", data };
  role.unappliedBytes += entryBytes(entry);
  log.write([entry]);
  followMembers(state, role);
  assert(log.configurations.newestIndex === entry.index, "a configuration decides once it is appended");
  return entry;
}

/**
 * The last word to nodes that are out: a heartbeat that lets them know that the change is committed, so that they need
 * not find out by being refused. (Only what a node is known to have can be committed there.)
 */
function sayCommitted(state: RaftState, role: Leader, { everybody }: { everybody: boolean }): void {
  const { log, id: from, term } = state;
  const stay = log.configurations.nodesFrom(log.commitIndex);
  const round = role.reads.lastRound;
  for (const [to, { progress }] of role.peers) {
    if (stay.has(to) && !everybody) continue;
    const leaderCommit = Math.min(log.commitIndex, progress.matchIndex);
    state.send({ kind: "heartbeat", from, to, term, leaderCommit, round });
  }
}

/**
 * A leader that is out, or votes no more, has managed a cluster without counting itself until the change was committed;
 * now it steps down (Raft §6, thesis §4.2.2). The best-placed voter need not wait for its silence (thesis §3.10).
 */
function stepAside(state: RaftState, role: Leader): void {
  const { id: from, term } = state;
  const to = bestSuccessor(state, role);
  if (to !== null) state.send({ kind: "timeoutNow", from, to, term });
  becomeFollower(state, term, null);
}

function sameNodes(one: readonly NodeId[], other: readonly NodeId[]): boolean {
  return one.length === other.length && one.every((node, position) => node === other[position]);
}
