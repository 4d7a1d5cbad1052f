/**
 * Decides whether a request, or the command of a write, is let through by the present state of this node, and records what
 * is refused. Only called while authentication is enabled.
 */
import {
  type AuthState,
  type Command,
  type Denial,
  denialOf,
  type KeySet,
  type PlainCommand,
  type Requester,
  requiredRights,
  type Requirement,
  type StateMachine,
  type Transaction,
  unwrapped,
  type UserRights,
} from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import type { ClientRequest } from "../../protocol/client_frames.ts";
import type { NodeId } from "../../raft/mod.ts";
import { type ErrorAnswer, notApplied } from "../reply.ts";
import type { AuditedRequest, AuditLog } from "./audit_log.ts";
import type { ConnectionIdentity, CurrentUser } from "./connection_identity.ts";
import { describeChangeOf, describeKeys, keysOfDenial, keysOfRequirement } from "./describe_keys.ts";
import { isOfFrontEnd, refusalOfFrontEnd } from "./front_end_rights.ts";
import { readKeyOf, REQUEST_RIGHTS, requirementOf } from "./request_rights.ts";

/** The dependencies of the decisions. */
export interface AccessOptions {
  readonly stateMachine: () => StateMachine;
  readonly audit: AuditLog;
}

/** A request or command of a user. */
interface Attempt {
  /** The kind of the request or of its command. */
  readonly name: string;
  readonly requirement: Requirement;
  /** The command of a write; null for another request. */
  readonly command: PlainCommand | null;
  readonly identity: ConnectionIdentity;
  readonly user: CurrentUser;
}

/** The decisions of one node. */
export class Access {
  readonly #options: AccessOptions;
  readonly #leases: Pick<Requester, "leasedKeyFrom" | "leaseOwner">;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.#leases = {
      leasedKeyFrom: (leaseId, from) => options.stateMachine().leasedKeyFrom(leaseId, from),
      leaseOwner: (leaseId) => options.stateMachine().lease(leaseId)?.ownerId ?? 0,
    };
  }

  /** The users and roles of the present state. */
  get auth(): AuthState {
    return this.#options.stateMachine().auth;
  }

  /**
   * Returns why a request is refused, or null for one that is let through. Of a write it decides only whether the connection
   * has a user: the command is decoded after that ({@link refusalOfCommand}).
   */
  refusalOf(request: ClientRequest, identity: ConnectionIdentity): ErrorAnswer | null {
    // The usual read, without the table of rights, the look-up in which is the largest part of the cost of users for a get.
    if (request.kind === "get" && this.#mayGet(request.key, identity)) return null;
    return this.#refusalOf(request, identity, { isFirst: true });
  }

  /** Decides again about a request that was let through before: its answer must keep the rights of the present state. */
  refusalNow(request: ClientRequest, identity: ConnectionIdentity): ErrorAnswer | null {
    return this.#refusalOf(request, identity, { isFirst: false });
  }

  #mayGet(key: Uint8Array, identity: ConnectionIdentity): boolean {
    if (identity.isOfDatabases) return false;
    const user = identity.user(this.auth);
    return user !== null && user.rights.allows("read", key);
  }

  #refusalOf(
    request: ClientRequest,
    identity: ConnectionIdentity,
    { isFirst }: { readonly isFirst: boolean },
  ): ErrorAnswer | null {
    const { kind } = request;
    const { isAudited, needs } = REQUEST_RIGHTS[kind];
    if (needs === "nothing") return null;
    if (identity.isOfDatabases) return refusalOfFrontEnd(request);
    const user = identity.user(this.auth);
    // Before anything is read of the request.
    if (user === null) return this.refusalWithoutUser(kind, identity);
    if (needs === "command") return null;
    const key = readKeyOf(request);
    if (key !== null && user.rights.allows("read", key)) return null;
    const attempt = { name: kind, requirement: requirementOf(request), command: null, identity, user };
    const refusal = this.#refusalFor(attempt);
    if (refusal === null && isFirst && isAudited) this.#recordAllowed(attempt);
    return refusal;
  }

  /** Returns the refusal of a request of a connection without a user. */
  refusalWithoutUser(name: string, identity: ConnectionIdentity): ErrorAnswer {
    const refusal = identity.refusal();
    const { remote, certificateName } = identity;
    const certificate = certificateName === null ? {} : { certificate: certificateName };
    this.#options.audit.refused(
      { user: null, ...certificate, remote, request: name, keys: null },
      refusal.code,
    );
    return refusal;
  }

  /** Returns why the command of a write is refused, or null. */
  refusalOfCommand(
    command: PlainCommand,
    identity: ConnectionIdentity,
    user: CurrentUser,
  ): ErrorAnswer | null {
    // The usual write, without an object for each of its rights: their check is within 3 % of its cost.
    const isPlain = command.kind === "transaction" && hasPlainRights(command, user.rights);
    if (isPlain && !this.#options.audit.recordsAllowed) return null;
    const attempt = { name: command.kind, requirement: requiredRights(command), command, identity, user };
    const refusal = this.#refusalFor(attempt);
    if (refusal === null) this.#recordAllowed(attempt);
    return refusal;
  }

  /**
   * Returns why this leader refuses a command that another node has forwarded, or null. The other node has checked it by
   * its own state, which may be old.
   */
  refusalOfForwarded(command: Command, from: NodeId): ErrorAnswer | null {
    // Its node has taken it from a front end of its own; the state machine knows whether its access token is good.
    if (isOfFrontEnd(command)) return null;
    // The state machine trusts the check of the present auth revision, and this node can tell that of its own state only.
    if (command.kind === "authorized" && command.identity.authRevision > this.auth.revision) return behind();
    const { auth } = this;
    const identity = command.kind === "authorized" && auth.holds(command.identity) ? command.identity : null;
    const user = identity === null ? null : auth.userById(identity.userId);
    const plain = unwrapped(command);
    const requirement = requiredRights(plain);
    const denial = user === null || identity === null
      ? null
      : this.#denialOf(requirement, { user, identity });
    if (user !== null && denial === null) return null;
    const refusal = user === null || denial === null
      ? withoutIdentity()
      : permissionDenied(denial, user.name, requirement);
    const keys = inWords(denial === null ? null : keysOfDenial(denial));
    this.#options.audit.refused(
      { user: user?.name ?? null, remote: `node ${from}`, request: plain.kind, keys, ...changeIn(plain) },
      refusal.code,
    );
    return refusal;
  }

  #refusalFor({ name, requirement, command, identity, user: current }: Attempt): ErrorAnswer | null {
    const { user } = current;
    const denial = this.#denialOf(requirement, current);
    if (denial === null) return null;
    const refusal = permissionDenied(denial, user.name, requirement);
    const { remote } = identity;
    const keys = inWords(keysOfDenial(denial));
    this.#options.audit.refused(
      { user: user.name, remote, request: name, keys, ...changeIn(command) },
      refusal.code,
    );
    return refusal;
  }

  #denialOf(
    requirement: Requirement,
    { user: { id, name }, identity }: Pick<CurrentUser, "user" | "identity">,
  ): Denial | null {
    if (requirement.kind === "signedIn") return null;
    const { auth } = this;
    const isByToken = auth.isToken(identity);
    const rights = auth.rightsOf(id);
    return denialOf(requirement, { userId: id, name, rights, isByToken, ...this.#leases });
  }

  #recordAllowed({ name, requirement, command, identity: { remote }, user: { user } }: Attempt): void {
    const { audit } = this.#options;
    if (!audit.recordsAllowed) return;
    const keys = inWords(keysOfRequirement(requirement));
    audit.allowed({ user: user.name, remote, request: name, keys, ...changeIn(command) });
  }
}

/** Returns the refusal of a request whose user lacks a right that it requires. */
export function permissionDenied(denial: Denial, user: string, requirement: Requirement): ErrorAnswer {
  return notApplied("permissionDenied", `Cannot do this: ${missingRight(denial, user, requirement)}.`);
}

function missingRight(denial: Denial, user: string, requirement: Requirement): string {
  switch (denial.kind) {
    case "keys": {
      // The keys of a lease are not named: the user may not know of them.
      const isOfLease = requirement.kind === "keys" &&
        requirement.grants.every(({ keys }) => keys !== denial.keys);
      const over = isOfLease ? "all keys of the lease" : describeKeys(denial.keys);
      return `user ${user} does not have the right ${denial.right} over ${over}. Ask for a role that grants it`;
    }
    case "anyKey":
      return `user ${user} does not have the right ${denial.right} over any key. Ask for a role that grants it`;
    case "leaseOfOther":
      return `the lease is not one of user ${user}, and has no keys: until it has some, only its own user may do this, ` +
        "and one with the right write over all keys";
    case "root":
      return `user ${user} does not have the role root`;
    case "signInByPassword":
      return `user ${user} has signed in by a token, which may not change the user's password or add tokens. ` +
        "Sign in by password";
    case "never":
      return "only nodes make this command";
    default:
      return assertNever(denial);
  }
}

/** Whether a user has the rights of a transaction that concerns no lease; false for all others. */
function hasPlainRights({ checks, mutations }: Transaction, rights: UserRights): boolean {
  for (const { key } of checks) if (!rights.allows("read", key)) return false;
  for (const { kind, key } of mutations) {
    if (kind === "expiringPut" || !rights.allows("write", key)) return false;
  }
  return true;
}

function changeIn(command: PlainCommand | null): Pick<AuditedRequest, "change"> {
  const change = command === null ? null : describeChangeOf(command);
  return change === null ? {} : { change };
}

function inWords(keys: KeySet | null): string | null {
  return keys === null ? null : describeKeys(keys);
}

function withoutIdentity(): ErrorAnswer {
  return notApplied(
    "unauthenticated",
    "Cannot write: the leader does not know the user or the credential. Sign in again.",
  );
}

/** Returns the refusal of a command that was checked by a newer state than this node has applied. */
function behind(): ErrorAnswer {
  return notApplied("noLeader", "Cannot write: the leader does not know all users and roles yet. Try again.");
}
