/**
 * Plans changes of membership: the next configuration, or why a change is refused. Pure: no I/O, no time.
 *
 * Refused are an id that was used before (the old node may have voted and acknowledged entries), an address of another
 * member, a second change during another, and a change after which no majority of the voters would be reachable: such a
 * change could hardly be committed, and the next failure would make the cluster unavailable.
 */
import { assert, assertNever } from "../../platform/assert.ts";
import type { MembershipChange } from "../../protocol/messages.ts";
import { configurationProblem } from "../../protocol/configuration.ts";
import { MAX_MEMBERS, MAX_REMOVED_IDS, MAX_VOTERS } from "../../protocol/limits.ts";
import {
  type Configuration,
  type ConfState,
  type MemberRecord,
  type NodeId,
  stepsTo,
  targetProblem,
} from "../../raft/mod.ts";

/** The situation in which a change is planned. */
export interface MembershipSituation {
  readonly configuration: Configuration;
  /** Whether a voter answers the leader now; the leader itself does. */
  readonly isReachable: (node: NodeId) => boolean;
  /** Whether to change even where too few voters are reachable. */
  readonly force: boolean;
}

/** The plan for a change. */
export type MembershipPlan =
  | {
    readonly kind: "propose";
    readonly configuration: Configuration;
    /** The risk of a forced change; null where there is none. */
    readonly risk: string | null;
  }
  /** The configuration has the change already. */
  | { readonly kind: "done" }
  | { readonly kind: "refused"; readonly reason: string };

/** The node at the address of a change: one that joins, or a member with a new address. */
export interface JoiningNode {
  readonly id: NodeId;
  readonly address: string;
  readonly dataId: number;
}

/**
 * Returns why a configuration must not be proposed, or null. Every plan is checked: a configuration that is invalid, or
 * leads to an invalid one, would fail an assertion of the core, and a retry of the request would stop the next leader, too.
 */
export function planProblem(target: Configuration, current: Configuration): string | null {
  const problem = targetProblem(target, current);
  if (problem !== null) return `the configuration would be invalid: ${problem}`;
  for (const step of [target, ...stepsTo(target, current)]) {
    const stepProblem = configurationProblem(step);
    if (stepProblem !== null) return `the configuration would be invalid: ${stepProblem}`;
  }
  return null;
}

/** Plans a change. `joiningNode` is the node found at the address of the change; null before it was asked, or where the change names no address. */
export function planChange(
  change: MembershipChange,
  situation: MembershipSituation,
  joiningNode: JoiningNode | null,
): MembershipPlan {
  const { configuration } = situation;
  if (configuration.confState.votersOutgoing.length > 0) {
    return refused("another change is in progress; try again when `members` shows no node as leaving");
  }
  switch (change.kind) {
    case "add":
      return planAdd(change, situation, joiningNode);
    case "replace":
      return planReplace(change, situation, joiningNode);
    case "remove":
      return planRemove(change.id, situation);
    case "promote":
      return planPromote(change.id, situation);
    case "demote":
      return planDemote(change.id, situation);
    case "update":
      return planUpdate(change, situation, joiningNode);
    default:
      return assertNever(change);
  }
}

/**
 * Plans the promotion that a leader makes by itself: a learner that has caught up becomes a voter, in the place of another
 * if it was added so. A replacement needs no reachable majority, since it keeps the number of voters; one more voter does.
 */
export function planPromotion(id: NodeId, situation: MembershipSituation): MembershipPlan {
  const isReplacement = replacedBy(id, situation.configuration) !== null;
  return planPromote(id, { ...situation, force: situation.force || isReplacement });
}

/** Returns the configuration in which a learner has become a voter, and the node that it replaces is removed. */
function promoted(configuration: Configuration, id: NodeId): Configuration {
  const replaced = replacedBy(id, configuration);
  const record = { ...recordOf(configuration, id), autoPromote: false, replaces: null };
  const { voters, learners } = configuration.confState;
  const confState = confStateOf({
    voters: [...voters, id],
    learners: learners.filter((learner) => learner !== id),
  });
  const grown = { ...withMember(configuration, record), confState };
  return replaced === null ? grown : withoutMember(grown, replaced);
}

/** Returns the voter that a learner replaces; null when there is none, or it no longer votes. */
function replacedBy(id: NodeId, configuration: Configuration): NodeId | null {
  const { replaces } = recordOf(configuration, id);
  return replaces !== null && configuration.confState.voters.includes(replaces) ? replaces : null;
}

/** Returns the configuration with data ids for the members whose id was not known. */
export function withDataIds(
  configuration: Configuration,
  dataIds: ReadonlyMap<NodeId, number>,
): Configuration {
  const members = configuration.members.map((member) =>
    member.dataId === null ? { ...member, dataId: dataIds.get(member.id) ?? null } : member
  );
  return { ...configuration, members };
}

function planAdd(
  change: Extract<MembershipChange, { kind: "add" }>,
  situation: MembershipSituation,
  joiningNode: JoiningNode | null,
): MembershipPlan {
  const { configuration } = situation;
  const known = configuration.members.find(({ id }) => id === change.id);
  if (known !== undefined && known.address === change.address) {
    return alreadyAdded(known, { wantsLearner: change.learner, configuration });
  }
  const reason = whyNotNew(change, configuration) ??
    (change.learner ? null : whyNotVoters(configuration.confState.voters.length + 1));
  if (reason !== null) return refused(reason);
  const record = {
    id: change.id,
    address: change.address,
    dataId: joiningNode?.dataId ?? null,
    autoPromote: !change.learner,
    replaces: null,
  };
  return propose(withLearner(configuration, record));
}

/** Plans the repeated addition of a member: it is done, unless the member has another role. */
function alreadyAdded(
  { id, autoPromote }: MemberRecord,
  { wantsLearner, configuration }: { readonly wantsLearner: boolean; readonly configuration: Configuration },
): MembershipPlan {
  const isVoter = configuration.confState.voters.includes(id);
  if (wantsLearner !== (isVoter || autoPromote)) return { kind: "done" };
  if (!wantsLearner) return refused(`node ${id} is a member already, as a learner: promote it instead`);
  return refused(
    isVoter
      ? `node ${id} is a member already, as a voter: demote it instead`
      : `node ${id} is a member already, and becomes a voter once it has caught up: demote it then`,
  );
}

function planReplace(
  change: Extract<MembershipChange, { kind: "replace" }>,
  situation: MembershipSituation,
  joiningNode: JoiningNode | null,
): MembershipPlan {
  const { configuration } = situation;
  const known = configuration.members.find(({ id }) => id === change.id);
  const isReplacing = known?.replaces === change.dead || configuration.removedIds.includes(change.dead);
  if (known?.address === change.address && isReplacing) return { kind: "done" };
  if (!configuration.confState.voters.includes(change.dead)) {
    return refused(`node ${change.dead} is not a voter, so no node can take its place`);
  }
  if (recordOf(configuration, change.dead).address === change.address) {
    return refused(
      `${change.address} is the address of node ${change.dead} until the new one votes: give that another port`,
    );
  }
  const reason = whyNotNew(change, configuration);
  if (reason !== null) return refused(reason);
  const record = {
    id: change.id,
    address: change.address,
    dataId: joiningNode?.dataId ?? null,
    autoPromote: true,
    replaces: change.dead,
  };
  return propose(withLearner(configuration, record));
}

function planRemove(id: NodeId, situation: MembershipSituation): MembershipPlan {
  const { configuration } = situation;
  const { voters } = configuration.confState;
  if (configuration.removedIds.includes(id)) return { kind: "done" };
  if (!isMember(configuration, id)) return refused(`node ${id} is not a member`);
  const reason = whyNotGone(configuration);
  if (reason !== null) return refused(reason);
  const changed = withoutMember(configuration, id);
  return voters.includes(id) ? proposeVoters(changed, situation) : propose(changed);
}

function planPromote(id: NodeId, situation: MembershipSituation): MembershipPlan {
  const { configuration } = situation;
  const { voters } = configuration.confState;
  if (voters.includes(id)) return { kind: "done" };
  if (!isMember(configuration, id)) return refused(`node ${id} is not a member; add it first`);
  const target = promoted(configuration, id);
  const reason = (replacedBy(id, configuration) === null ? null : whyNotGone(configuration)) ??
    whyNotVoters(target.confState.voters.length);
  return reason === null ? proposeVoters(target, situation) : refused(reason);
}

function planDemote(id: NodeId, situation: MembershipSituation): MembershipPlan {
  const { configuration } = situation;
  const { voters, learners } = configuration.confState;
  if (learners.includes(id)) return { kind: "done" };
  if (!isMember(configuration, id)) return refused(`node ${id} is not a member`);
  const remaining = voters.filter((voter) => voter !== id);
  const confState = confStateOf({ voters: remaining, learners: [...learners, id] });
  return proposeVoters({ ...configuration, confState }, situation);
}

function planUpdate(
  { id, address }: { readonly id: NodeId; readonly address: string },
  { configuration }: MembershipSituation,
  found: JoiningNode | null,
): MembershipPlan {
  if (!isMember(configuration, id)) return refused(`node ${id} is not a member`);
  const record = recordOf(configuration, id);
  if (record.address === address) return { kind: "done" };
  const holder = configuration.members.find((member) => member.address === address);
  if (holder !== undefined) return refused(`${address} is the address of node ${holder.id}`);
  if (found !== null && record.dataId !== null && found.dataId !== record.dataId) {
    return refused(
      `what answers at ${address} has the id of node ${id} and another data directory. Start node ${id} there with its own, ` +
        "or replace it: member replace",
    );
  }
  return propose(withMember(configuration, { ...record, address }));
}

/** Returns why no node may be added with this id and address, or null. */
function whyNotNew(
  { id, address }: { readonly id: NodeId; readonly address: string },
  { members, removedIds }: Configuration,
): string | null {
  if (removedIds.includes(id)) {
    return `node ${id} was a member before, and an id is never used again: its old data may still exist. Take a new id`;
  }
  if (members.some((member) => member.id === id)) return `node ${id} is a member already, at another address`;
  const holder = members.find((member) => member.address === address);
  if (holder !== undefined) return `${address} is the address of node ${holder.id}`;
  if (members.length >= MAX_MEMBERS) return `a cluster has at most ${MAX_MEMBERS} members`;
  return null;
}

function whyNotVoters(voters: number): string | null {
  return voters > MAX_VOTERS
    ? `a cluster has at most ${MAX_VOTERS} voters; add it with --learner, or remove another first`
    : null;
}

/** Returns why no further node may be removed, or null. */
function whyNotGone({ removedIds }: Configuration): string | null {
  return removedIds.length >= MAX_REMOVED_IDS
    ? `${MAX_REMOVED_IDS} nodes were removed before, which is the maximum; demote it, or move to a new ` +
      "cluster with a backup"
    : null;
}

/** Plans a configuration with other voters: refused where too few of them answer, unless it is forced. */
function proposeVoters(configuration: Configuration, situation: MembershipSituation): MembershipPlan {
  const { voters } = configuration.confState;
  if (voters.length === 0) return refused("a cluster needs a voter");
  const { isReachable, force } = situation;
  const silent = voters.filter((voter) => !isReachable(voter));
  const majority = Math.floor(voters.length / 2) + 1;
  const reachable = voters.length - silent.length;
  if (reachable >= majority) return propose(configuration);
  const who = `node ${silent.join(" and node ")}`;
  const risk =
    `nothing can be written, and no linearizable read answered, before ${majority} of these answer (${who} must come ` +
    "back); with their data lost, only `recover` or a backup bring the cluster back";
  if (force) return propose(configuration, risk);
  return refused(
    `of the ${voters.length} voters that there would be, ${majority} must answer, and only ${reachable} do ` +
      `(${who} does not): the cluster would stop, and could not take the change back. Bring them up first. ` +
      `With --force it is done nevertheless: ${risk}`,
  );
}

/** Returns a configuration with one more learner. */
function withLearner(configuration: Configuration, record: MemberRecord): Configuration {
  const { voters, learners } = configuration.confState;
  const confState = confStateOf({ voters, learners: [...learners, record.id] });
  return { ...withMember(configuration, record), confState };
}

/** Returns a configuration in which a member has this record. */
function withMember(configuration: Configuration, record: MemberRecord): Configuration {
  const others = configuration.members.filter(({ id }) => id !== record.id);
  return { ...configuration, members: [...others, record].sort((a, b) => a.id - b.id) };
}

/** Returns a configuration without a node. Its id cannot be used again, and no learner replaces it any more. */
function withoutMember(configuration: Configuration, id: NodeId): Configuration {
  const { voters, learners } = configuration.confState;
  const members = configuration.members.filter((member) => member.id !== id)
    .map((member) => member.replaces === id ? { ...member, replaces: null } : member);
  return {
    confState: confStateOf({
      voters: voters.filter((voter) => voter !== id),
      learners: learners.filter((learner) => learner !== id),
    }),
    members,
    removedIds: [...configuration.removedIds, id].sort((a, b) => a - b),
  };
}

function confStateOf({ voters, learners }: Pick<ConfState, "voters" | "learners">): ConfState {
  const sorted = (nodes: readonly NodeId[]): NodeId[] => [...nodes].sort((a, b) => a - b);
  return { voters: sorted(voters), learners: sorted(learners), votersOutgoing: [] };
}

function isMember({ members }: Configuration, id: NodeId): boolean {
  return members.some((member) => member.id === id);
}

function recordOf({ members }: Configuration, id: NodeId): MemberRecord {
  const record = members.find((member) => member.id === id);
  assert(record !== undefined, "a change names a member");
  return record;
}

function propose(configuration: Configuration, risk: string | null = null): MembershipPlan {
  return { kind: "propose", configuration, risk };
}

function refused(reason: string): MembershipPlan {
  return { kind: "refused", reason };
}
