/** The health of the node that a front end uses, as etcd's clients and pages ask for it. */
import { KvraftError } from "../client/errors.ts";
import type { NodeStatus } from "../protocol/messages.ts";
import type { ServedNode } from "./context.ts";

/** Part of the quota that is left when the alarm is raised: a hundredth, */
const SPARE_PART = 0.01;
/** but not less than the largest request takes, */
const SPARE_BYTES = 1_572_864;
/** nor more than a quarter of a small quota. */
const MAX_SPARE_PART = 0.25;

/** The alarms that a node raises; etcd's others do not exist in kvraft. */
export type Alarm = "NOSPACE";

/**
 * Returns the alarms of a node: whether so little of its quota, or of its disk, is left that writes are refused or soon will
 * be. An alarm ends by itself once there is space again.
 */
export function alarmsOf({ stateBytes, quotaBytes, disk }: NodeStatus): readonly Alarm[] {
  return disk !== "ok" || isNearQuota(stateBytes, quotaBytes) ? ["NOSPACE"] : [];
}

function isNearQuota(stateBytes: number, quotaBytes: number | null): boolean {
  if (quotaBytes === null) return false;
  const spare = Math.min(Math.max(SPARE_PART * quotaBytes, SPARE_BYTES), MAX_SPARE_PART * quotaBytes);
  return stateBytes > quotaBytes - spare;
}

/** The checks that pages name, as etcd does. */
export const CHECKS = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"] as const;
/** One of {@link CHECKS}. */
export type Check = typeof CHECKS[number];

/** Resolves to why a check fails, or null. */
export async function problemOf(check: Check, node: ServedNode): Promise<string | null> {
  switch (check) {
    case "data_corruption":
    case "serializable_read":
      // Damaged data ends a node, and one that answers can read its own state.
      return null;
    case "linearizable_read":
      return await node.isReadable() ? null : "etcdserver: request timed out";
    case "non_learner": {
      const status = await statusOf(node);
      if (status === null) return "etcdserver: request timed out";
      const isVoter = status.members.some(({ id, role }) => id === status.id && role === "voter");
      return isVoter ? null : "not supported for learner";
    }
  }
}

/** Resolves to why the node is not healthy, in etcd's words, or null. */
export async function healthProblem(
  node: ServedNode,
  { isSerializable, excluded }: {
    /** Whether the node's own state is enough, without a leader. */
    readonly isSerializable: boolean;
    /** Alarms that do not count. */
    readonly excluded: readonly string[];
  },
): Promise<string | null> {
  const status = await statusOf(node);
  const alarm = status === null ? undefined : alarmsOf(status).find((name) => !excluded.includes(name));
  if (alarm !== undefined) return `ALARM ${alarm}`;
  if (isSerializable) return status === null ? "RANGE ERROR:etcdserver: request timed out" : null;
  if (node.view().leader === 0n) return "RAFT NO LEADER";
  return await node.isReadable() ? null : "RANGE ERROR:etcdserver: request timed out";
}

/** Resolves to the node's status; to null if it does not tell it. */
async function statusOf(node: ServedNode): Promise<NodeStatus | null> {
  try {
    return await node.status();
  } catch (error) {
    if (error instanceof KvraftError) return null;
    throw error;
  }
}
