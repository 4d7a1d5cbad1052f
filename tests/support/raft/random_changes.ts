/** Random membership changes for random_network.ts. */
import type { Configuration, NodeId } from "../../../lib/raft/mod.ts";
import { configurationOf } from "./configuration.ts";
import type { SeededRandom } from "../seeded_random.ts";

/** More voters would reach no new situations. */
const MAX_VOTERS = 5;

/** Returns a configuration to propose after `current`; null when none was drawn. `joining` was never a member. */
export function randomTarget(
  random: SeededRandom,
  current: Configuration,
  joining: NodeId | null,
): Configuration | null {
  const { voters, learners } = current.confState;
  const removed = current.removedIds;
  const voter = random.pick(voters);
  const learner = learners.length > 0 ? random.pick(learners) : joining;
  const without = (ids: readonly NodeId[], id: NodeId | null): NodeId[] => ids.filter((one) => one !== id);
  switch (random.below(7)) {
    case 0:
      if (joining === null) return null;
      return configurationOf({ voters, learners: [...learners, joining], removed });
    case 1:
      if (learner === null || voters.length >= MAX_VOTERS) return null;
      return configurationOf({ voters: [...voters, learner], learners: without(learners, learner), removed });
    case 2:
      if (voters.length === 1) return null;
      return configurationOf({ voters: without(voters, voter), learners: [...learners, voter], removed });
    case 3:
      if (voters.length === 1) return null;
      return configurationOf({ voters: without(voters, voter), learners, removed: [...removed, voter] });
    case 4:
      if (learner === null) return null;
      return configurationOf({
        voters: [...without(voters, voter), learner],
        learners: without(learners, learner),
        removed: [...removed, voter],
      });
    case 5:
      if (!learners.some((id) => id === learner) || learner === null) return null;
      return configurationOf({
        voters,
        learners: without(learners, learner),
        removed: [...removed, learner],
      });
    default:
      return anything(random, current, joining);
  }
}

/** Draws a new role for every node: from one voter to all, or from some voters to others. */
function anything(
  random: SeededRandom,
  current: Configuration,
  joining: NodeId | null,
): Configuration | null {
  const ids = [...current.members.map(({ id }) => id), ...(joining === null ? [] : [joining])];
  const roles = ids.map((id) => ({
    id,
    role: random.pick(["voter", "voter", "learner", "removed"] as const),
  }));
  const withRole = (wanted: string): NodeId[] =>
    roles.filter(({ role }) => role === wanted).map(({ id }) => id);
  const voters = withRole("voter");
  if (voters.length === 0 || voters.length > MAX_VOTERS) return null;
  const removed = [...current.removedIds, ...withRole("removed").filter((id) => id !== joining)];
  return configurationOf({ voters, learners: withRole("learner"), removed });
}
