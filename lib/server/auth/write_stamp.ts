/** The stamps by which a node finds the first attempt of a write, with the user whose session it is. */
import type { Command, UserStamp } from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";

/** Returns the stamp of a command, or null. */
export function stampOf(command: Command): UserStamp | null {
  switch (command.kind) {
    case "transaction":
    case "branchingTransaction":
    case "grantLease":
    case "revokeLease":
    case "changeAuth":
    case "databaseWrite":
    case "changeDatabases":
      return command.session;
    case "authorized": {
      const stamp = stampOf(command.command);
      if (stamp === null) return null;
      // Not by a spread, which takes longer than the check of the user's rights.
      const { sessionId, sequence, acknowledgedBelow, openedAt } = stamp;
      return { sessionId, sequence, acknowledgedBelow, openedAt, userId: command.identity.userId };
    }
    case "registerSession":
    case "expireSessions":
    case "raiseFeatureLevel":
    case "compact":
    case "keepLeasesAlive":
    case "deleteExpired":
      return null;
    default:
      return assertNever(command);
  }
}

/**
 * Whether two writes with the same stamp are of different users: the second is no retry of the first, and gets no answer to
 * it. A write without a user was sent before authentication was enabled, and its retry may have one.
 */
export function areOfDifferentUsers(a: Pick<UserStamp, "userId">, b: Pick<UserStamp, "userId">): boolean {
  return a.userId !== undefined && b.userId !== undefined && a.userId !== b.userId;
}
