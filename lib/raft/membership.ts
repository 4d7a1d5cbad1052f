/**
 * Membership changes by joint consensus with learners (Raft §6, thesis §4.2 and §4.3).
 *
 * A change of voters takes two entries. The joint configuration is in force from when it is appended, and needs a majority
 * of the old voters and one of the new; once it is committed, the leader of that time appends the final one. So the old
 * and the new voters can never decide independently, even if entries are lost or truncated in between.
 *
 * A change of learners or of member records changes no majority, and is one entry.
 */
import { assert } from "../platform/assert.ts";
import { becomeFollower } from "./election.ts";
import { entryBytes } from "./log.ts";
import { newTrackedPeer, type TrackedPeer } from "./progress.ts";
import { isJoint, isVoter, members } from "./quorum.ts";
import type { Leader, RaftState } from "./state.ts";
import { sendTimeoutNowToSuccessor } from "./transfer.ts";
import type { Configuration, ConfState, Entry, MemberRecord, NodeId } from "./types.ts";

/** Reason for which a leader does not begin a change. */
export type ConfigurationRefusal = "transferring" | "busy" | "changeUnderWay" | "notReady";

/**
 * The result of a proposed configuration. `changeUnderWay`: the one before is not committed yet, or is joint;
 * `notReady`: this leader has not committed an entry of its term yet. Try again.
 */
export type ConfigurationProposed =
  | { readonly kind: "accepted"; readonly index: number; readonly term: number }
  | { readonly kind: "refused"; readonly reason: "notLeader" | ConfigurationRefusal };

/** Appends the first entry of the change to `target` and returns it, or returns why the change is refused. */
export function proposeChange(
  state: RaftState,
  role: Leader,
  target: Configuration,
): Entry | ConfigurationRefusal {
  const { log, limits } = state;
  const { newest, newestIndex } = log.configurations;
  const problem = targetProblem(target, newest);
  assert(problem === null, `a target is checked before it is proposed (${problem})`);
  if (role.transfer !== null) return "transferring";
  // A leader that has committed nothing in its term may not know the newest committed configuration, and two leaders
  // could change different ones without a common majority (Ongaro's correction of 2015; thesis §4.1 as printed lacks
  // it).
  if (log.commitIndex < role.termStartIndex) return "notReady";
  if (newestIndex > log.commitIndex || isJoint(newest.confState)) return "changeUnderWay";
  if (role.unappliedBytes > limits.uncommittedBytes) return "busy";
  const [first] = stepsTo(target, newest);
  return appendConfiguration(state, role, first);
}

/**
 * Takes the steps that follow once the newest configuration is committed: it leaves a joint configuration, drops removed
 * peers, and steps down when it is no longer a voter itself. Called after every input.
 */
export function advanceConfiguration(state: RaftState, role: Leader): void {
  const { configurations, commitIndex } = state.log;
  const { newest, newestIndex } = configurations;
  if (newestIndex > commitIndex) return;
  if (isJoint(newest.confState)) {
    // During a transfer the log does not grow; the target leaves the joint configuration when it leads.
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
  assert(log.configurations.newestIndex === entry.index, "a configuration is in force once it is appended");
  for (const node of members(configuration.confState)) {
    if (node !== state.id && !role.peers.has(node)) role.peers.set(node, newTrackedPeer(log.lastIndex));
  }
  return entry;
}

/**
 * Drops removed peers. A removed peer receives the log until it has the entry that removes it, and then a heartbeat with
 * its commit, so that it learns of its removal. A peer that does not respond is dropped after an election timeout.
 */
function dropRemovedPeers(state: RaftState, role: Leader): void {
  const { configurations, commitIndex } = state.log;
  const remaining = configurations.nodesFrom(commitIndex);
  if (
    role.removalWaitTicks === null && role.peers.size === remaining.size - (remaining.has(state.id) ? 1 : 0)
  ) return;
  const leaving = [...role.peers].filter(([node]) => !remaining.has(node));
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

/** Sends a heartbeat outside the rounds, with as much of commitIndex as the peer is known to have. */
export function announceCommit(
  state: RaftState,
  role: Leader,
  [to, { progress }]: [NodeId, TrackedPeer],
): void {
  const { log, id: from, term } = state;
  const leaderCommit = Math.min(log.commitIndex, progress.matchIndex);
  state.send({ kind: "heartbeat", from, to, term, leaderCommit, round: role.reads.lastRound });
}

/**
 * Steps down. Until the change was committed, this leader managed the cluster without counting itself (Raft §6, thesis
 * §4.2.2).
 */
function stepDownAfterRemoval(state: RaftState, role: Leader): void {
  for (const entry of role.peers) announceCommit(state, role, entry);
  sendTimeoutNowToSuccessor(state, role);
  becomeFollower(state, state.term, null);
}

/**
 * Returns the joint configuration between two configurations (Raft §6), in which both majorities decide. A node that is
 * being removed is not among `removedIds` yet, as its vote still counts.
 */
export function jointOf(current: Configuration, target: Configuration): Configuration {
  const { voters, learners } = target.confState;
  return successor(current, target, { voters, learners, votersOutgoing: current.confState.voters });
}

/** Returns the configuration that follows a joint one. */
export function finalOf(joint: Configuration): Configuration {
  return successor(joint, joint, { ...joint.confState, votersOutgoing: [] });
}

/** Returns the configuration after `current` that does not change voters; dropped members become removed nodes. */
export function withSameVoters(current: Configuration, target: Configuration): Configuration {
  return successor(current, target, target.confState);
}

/** Returns the configurations that are appended one after the other to change from `current` to `target`. */
export function stepsTo(
  target: Configuration,
  current: Configuration,
): readonly [Configuration, ...Configuration[]] {
  const before = current.confState.voters;
  const after = target.confState.voters;
  const staysSame = before.length === after.length &&
    before.every((node, position) => node === after[position]);
  if (staysSame) return [withSameVoters(current, target)];
  const joint = jointOf(current, target);
  return [joint, finalOf(joint)];
}

/** Returns the rule that forbids the change from `current` to the given target, as a sentence; null when it is allowed. */
export function targetProblem(
  { confState, members: records, removedIds }: Configuration,
  current: Configuration,
): string | null {
  const { voters, learners, votersOutgoing } = confState;
  if (voters.length === 0) return "a cluster has at least one voter";
  if (votersOutgoing.length > 0) return "a target is not a joint configuration: the core makes those";
  for (const ids of [voters, learners, records.map(({ id }) => id), removedIds]) {
    if (ids.some((id, position) => position > 0 && id <= (ids[position - 1] ?? 0))) return "lists are sorted";
  }
  if (learners.some((id) => voters.includes(id))) return "a node is a voter or a learner";
  const ids = members(confState);
  const isExact = ids.length === records.length && ids.every((id, position) => records[position]?.id === id);
  if (!isExact) return "the members are the voters and learners";
  const removed = [...current.removedIds, ...removedIds];
  return ids.some((id) => removed.includes(id)) ? "the id of a removed node is not used again" : null;
}

function successor(current: Configuration, target: Configuration, confState: ConfState): Configuration {
  const records = new Map<NodeId, MemberRecord>();
  for (const record of [...current.members, ...target.members]) records.set(record.id, record);
  const ids = members(confState);
  const gone = [...current.removedIds, ...target.removedIds, ...current.members.map(({ id }) => id)];
  const removedIds = [...new Set(gone)].filter((id) => !ids.includes(id)).sort((a, b) => a - b);
  return {
    confState,
    members: ids.flatMap((id) => records.get(id) ?? []),
    removedIds,
  };
}
