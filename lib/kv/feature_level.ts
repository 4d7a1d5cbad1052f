/**
 * The feature level: which meaning the commands of the log have. It is part of the state and only rises, so all nodes
 * apply an entry alike, of whichever version they are.
 *
 * Level 1 is the meaning of version 0.1.0. At level 2 the history of keys is kept, a transaction that changes nothing
 * does not advance the revision, transactions may have branches, keys may be attached to leases and expire, and
 * snapshots are written in format version 2. The leader raises the level once every member of the cluster has said that it knows the higher one.
 */

import { type Command, unwrapped } from "./command.ts";
import { assertNever } from "../platform/assert.ts";

/** The level of a new cluster, and of states that say nothing about it. */
export const FIRST_FEATURE_LEVEL = 1;
/** The highest level that this version of kvraft knows. */
export const FEATURE_LEVEL = 2;
/** From this level on, a transaction that changes nothing leaves the revision as it is. */
export const EMPTY_CHANGE_LEVEL = 2;
/** From this level on, transactions may have branches (branching_command.ts). */
export const BRANCHING_LEVEL = 2;
/** From this level on, earlier versions of keys are kept until they are compacted. */
export const HISTORY_LEVEL = 2;
/** From this level on there are leases and keys that expire (leases/lease_command.ts). */
export const LEASE_LEVEL = 2;

/** From this level on there are users, roles and tokens (auth/auth_command.ts). */
export const AUTH_LEVEL = 2;

/** From this level on, the end of the key space is reserved for databases (databases/reserved_keys.ts). */
export const DATABASE_LEVEL = 2;

/** Whether a command, with all its parts, exists at a feature level. At a lower one every version refuses it. */
export function isOfLevel(given: Command, featureLevel: number): boolean {
  const command = unwrapped(given);
  if (command !== given && featureLevel < AUTH_LEVEL) return false;
  switch (command.kind) {
    case "transaction":
      return featureLevel >= LEASE_LEVEL || command.mutations.every(({ kind }) => kind !== "expiringPut");
    case "branchingTransaction":
      return featureLevel >= BRANCHING_LEVEL;
    case "compact":
      return featureLevel >= HISTORY_LEVEL;
    case "grantLease":
    case "revokeLease":
    case "keepLeasesAlive":
    case "deleteExpired":
      return featureLevel >= LEASE_LEVEL;
    case "changeAuth":
      return featureLevel >= AUTH_LEVEL;
    case "databaseWrite":
    case "changeDatabases":
      return featureLevel >= DATABASE_LEVEL;
    case "registerSession":
    case "expireSessions":
    case "raiseFeatureLevel":
      return true;
    default:
      return assertNever(command);
  }
}

/** From this level on, keys can be watched. */
export const WATCH_LEVEL = 2;

/** The state has, or an entry raises it to, a level that this version of kvraft does not know. */
export class NewerFeatureLevelError extends Error {
  override readonly name = "NewerFeatureLevelError";
  /** Stable name of this error. */
  readonly code = "newerFeatureLevel";

  /** `what` names the snapshot or entry. */
  constructor(what: string, level: number) {
    super(
      `Cannot apply ${what}: it was written at feature level ${level} by a newer version of kvraft, and this one knows ` +
        `levels up to ${FEATURE_LEVEL}. Upgrade this node.`,
    );
  }
}
