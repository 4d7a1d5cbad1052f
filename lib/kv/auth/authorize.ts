/** The decision whether a command is executed while authentication is enabled, alike on every replica. */
import type { Command, PlainCommand, RefusalReason } from "../command.ts";
import { assertNever } from "../../platform/assert.ts";
import type { LeaseState } from "../leases/lease_command.ts";
import { NO_OWNER } from "../leases/lease_table.ts";
import { type AuthorizedCommand, NODE_IDENTITY } from "./auth_command.ts";
import type { AuthState } from "./auth_state.ts";
import { concernsLeases, isAllowed, type Requester, requiredRights } from "./command_rights.ts";

/** The state by which a command is admitted. */
interface AuthorizingState {
  readonly auth: AuthState;
  /** As in {@link Requester}. */
  leasedKeyFrom(leaseId: number, from: Uint8Array): Uint8Array | null;
  lease(leaseId: number): Pick<LeaseState, "ownerId"> | null;
}

/** The id of a command of no user. */
export const NO_USER = 0;

/**
 * Returns the id of the user for whom a command is executed, 0 for no user, or why it is not executed. While authentication
 * is disabled no command has a user.
 */
export function admittedUser(command: Command, state: AuthorizingState): number | RefusalReason {
  if (!state.auth.enabled) return NO_USER;
  if (command.kind !== "authorized") return needsUser(command) ? "unauthenticated" : NO_USER;
  if (command.identity.userId === NODE_IDENTITY.userId) {
    return isOfNode(command.command) ? NO_USER : "unauthenticated";
  }
  return refusalOfUser(command, state) ?? command.identity.userId;
}

/** Whether a node may make a command of clients itself. A write needs an access token, which is checked when it is executed. */
function isOfNode({ kind }: PlainCommand): boolean {
  return kind === "compact" || kind === "databaseWrite";
}

/**
 * Whether a command is refused that has no user. The leader proposes the other kinds itself; a node adds the user to every
 * command that it receives from a client. One without may have been received before authentication was enabled.
 */
function needsUser(command: PlainCommand): boolean {
  switch (command.kind) {
    case "transaction":
    case "branchingTransaction":
    case "registerSession":
    case "grantLease":
    case "revokeLease":
    case "changeAuth":
    case "changeDatabases":
    // That it names an access token does not show that its sender knows the token.
    case "databaseWrite":
    case "compact":
    case "keepLeasesAlive":
      return true;
    case "expireSessions":
    case "raiseFeatureLevel":
    case "deleteExpired":
      return false;
    default:
      return assertNever(command);
  }
}

/**
 * Returns why a command of a user is not executed, or null. The node that received it has checked it by the state of its
 * auth revision, so it is checked again only if there was a change since, or if the decision depends on the keys of a
 * lease.
 */
function refusalOfUser(
  { identity, command }: AuthorizedCommand,
  state: AuthorizingState,
): RefusalReason | null {
  const { auth } = state;
  const isCurrent = identity.authRevision === auth.revision;
  if (isCurrent && !concernsLeases(command)) return null;
  const user = auth.userById(identity.userId);
  if (user === null || !auth.holds(identity)) return "unauthenticated";
  const leasedKeyFrom: Requester["leasedKeyFrom"] = (leaseId, from) => state.leasedKeyFrom(leaseId, from);
  const isByToken = auth.isToken(identity);
  const leaseOwner: Requester["leaseOwner"] = (leaseId) => state.lease(leaseId)?.ownerId ?? NO_OWNER;
  const { id: userId, name } = user;
  const requester = { userId, name, rights: auth.rightsOf(userId), isByToken, leasedKeyFrom, leaseOwner };
  return isAllowed(requiredRights(command), requester) ? null : "permissionDenied";
}
