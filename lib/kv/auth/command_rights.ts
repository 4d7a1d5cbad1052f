/**
 * The rights that a command needs, and the decision whether a user has them. The node that receives a command decides by
 * its state, and every replica again when the command is applied, where the state has changed meanwhile.
 */
import type { Branches, KeySet, Operation } from "../branching_command.ts";
import type { Check, Command, Mutation, PlainCommand } from "../command.ts";
import { assertNever } from "../../platform/assert.ts";
import { type DatabaseMutation, VALUE_ENCODING } from "../databases/database_command.ts";
import { databaseRange } from "../databases/reserved_keys.ts";
import { NO_OWNER } from "../leases/lease_table.ts";
import type { AuthChange, Grant, GrantedKeys, Right } from "./auth_command.ts";
import type { KeyRange, UserRights } from "./user_rights.ts";

/**
 * A right over all keys that are attached to a lease now; for a lease without keys, over at least one key, and to write also to
 * have granted it.
 */
export interface LeaseRight {
  readonly right: Right;
  readonly leaseId: number;
}

/** The rights that a request or command needs. */
export type Requirement =
  /** Any user. */
  | { readonly kind: "signedIn" }
  /** All of these rights, and at least one over some key. */
  | { readonly kind: "keys"; readonly grants: readonly Grant[]; readonly leases: readonly LeaseRight[] }
  /** This right over at least one key: others share the sessions, leases and watches that it takes. */
  | { readonly kind: "anyKey"; readonly right: Right }
  /** The right `admin` over all keys: operates the cluster. */
  | { readonly kind: "admin" }
  /** The role root. */
  | { readonly kind: "root" }
  /** The user of this name itself, or the role root. */
  | { readonly kind: "ownUser"; readonly user: string }
  /**
   * The user of this name itself, signed in by its password or certificate, or the role root: a token that was stolen must not
   * become one that lasts longer.
   */
  | { readonly kind: "ownCredentials"; readonly user: string }
  /** No user may. */
  | { readonly kind: "never" };

/** The user who asks, and the state by which it is decided. */
export interface Requester {
  readonly userId: number;
  readonly name: string;
  readonly rights: UserRights;
  /** Whether it has signed in by a token. */
  readonly isByToken: boolean;
  /**
   * Returns the first key that is attached to a lease and not below `from`, or null. It is in key order; the caller owns
   * it or it is valid until the next entry.
   */
  readonly leasedKeyFrom: (leaseId: number, from: Uint8Array) => Uint8Array | null;
  /** Returns the id of the user who has granted a lease; 0 where none has, and for a lease that does not exist. */
  readonly leaseOwner: (leaseId: number) => number;
}

/**
 * The missing right of a user: a right over keys, the role root, a sign-in by password or certificate, or (`never`)
 * nothing that a user can have.
 */
export type Denial =
  | ({ readonly kind: "keys" } & Grant)
  | { readonly kind: "anyKey"; readonly right: Right }
  /** The lease is another user's, and has no keys. */
  | { readonly kind: "leaseOfOther" }
  | { readonly kind: "root" }
  | { readonly kind: "signInByPassword" }
  | { readonly kind: "never" };

const WRITE_ANY: Requirement = { kind: "anyKey", right: "write" };
const ADMIN: Requirement = { kind: "admin" };
const NEVER: Requirement = { kind: "never" };
const NO_KEY = new Uint8Array(0);
const ALL_KEYS: GrantedKeys = { kind: "range", start: NO_KEY, end: null };

/** Returns the rights that a command of a client needs; the commands of the leader are `never` a client's. */
export function requiredRights(command: Command): Requirement {
  switch (command.kind) {
    case "transaction":
      return new Rights().ofTransaction(command.checks, command.mutations);
    case "branchingTransaction":
      return new Rights().ofBranches(command);
    case "registerSession":
    case "grantLease":
      return WRITE_ANY;
    case "revokeLease":
      return { kind: "keys", grants: [], leases: [{ right: "write", leaseId: command.leaseId }] };
    case "compact":
      return ADMIN;
    case "changeAuth":
      return rightsToChange(command.change);
    case "databaseWrite": {
      const keys: GrantedKeys = { kind: "range", ...databaseRange(command.databaseId) };
      const grants: Grant[] = [{ right: "write", keys }];
      // Whether a sum fails tells about the number that is stored: with bounds it can be found out digit by digit.
      if (command.checks.length > 0 || command.mutations.some(isSumOfV8)) {
        grants.push({ right: "read", keys });
      }
      return { kind: "keys", grants, leases: [] };
    }
    case "changeDatabases":
      return { kind: "root" };
    case "keepLeasesAlive":
      return {
        kind: "keys",
        grants: [],
        leases: command.leaseIds.map((leaseId) => ({ right: "write", leaseId })),
      };
    case "expireSessions":
    case "raiseFeatureLevel":
    case "deleteExpired":
    case "authorized":
      return NEVER;
    default:
      return assertNever(command);
  }
}

/** Whether the rights that a command needs may depend on the keys of a lease: these change without a change of users. */
export function concernsLeases(command: PlainCommand): boolean {
  if (command.kind !== "transaction") {
    return command.kind === "revokeLease" || command.kind === "keepLeasesAlive" ||
      command.kind === "branchingTransaction";
  }
  // A loop without a function: every transaction of a user is looked at.
  for (const mutation of command.mutations) if (mutation.kind === "expiringPut") return true;
  return false;
}

/** Returns what a user lacks, or null for one that has all rights that are needed. */
export function denialOf(requirement: Requirement, requester: Requester): Denial | null {
  const { rights } = requester;
  switch (requirement.kind) {
    case "signedIn":
      return null;
    case "keys":
      return rights.isRoot ? null : deniedGrant(requirement, requester);
    case "anyKey":
      return deniedAnyKey(requirement.right, rights);
    case "admin":
      return rights.allowsAll("admin") ? null : { kind: "keys", right: "admin", keys: ALL_KEYS };
    case "root":
      return rights.isRoot ? null : { kind: "root" };
    case "ownUser":
      return rights.isRoot || requirement.user === requester.name ? null : { kind: "root" };
    case "ownCredentials":
      if (rights.isRoot) return null;
      if (requirement.user !== requester.name) return { kind: "root" };
      return requester.isByToken ? { kind: "signInByPassword" } : null;
    case "never":
      return { kind: "never" };
    default:
      return assertNever(requirement);
  }
}

/** Whether a user has all rights that are needed. */
export function isAllowed(requirement: Requirement, requester: Requester): boolean {
  return denialOf(requirement, requester) === null;
}

function isSumOfV8(mutation: DatabaseMutation): boolean {
  return mutation.kind === "sum" && mutation.value[0] === VALUE_ENCODING.v8;
}

function rightsToChange(change: AuthChange): Requirement {
  switch (change.kind) {
    case "setPassword":
    case "addToken":
      return { kind: "ownCredentials", user: change.user };
    case "revokeToken":
      return { kind: "ownUser", user: change.user };
    case "setEnabled":
    case "addUser":
    case "removeUser":
    case "grantRole":
    case "revokeRole":
    case "addRole":
    case "removeRole":
    case "addGrant":
    case "removeGrant":
      return { kind: "root" };
    default:
      return assertNever(change);
  }
}

function deniedGrant(
  { grants, leases }: Extract<Requirement, { readonly kind: "keys" }>,
  requester: Requester,
): Denial | null {
  for (const { right, keys } of grants) {
    if (!requester.rights.allowsKeys(right, keys)) return { kind: "keys", right, keys };
  }
  for (const lease of leases) {
    const denial = deniedLease(lease, requester);
    if (denial !== null) return denial;
  }
  // An empty transaction, or a lease without keys: a user without rights must not take a session by it.
  return deniedAnyKey(grants[0]?.right ?? leases[0]?.right ?? "write", requester.rights);
}

function deniedAnyKey(right: Right, rights: UserRights): Denial | null {
  return rights.allowsSome(right) ? null : { kind: "anyKey", right };
}

/**
 * Returns why a user does not have a right over a lease, or null. A lease without keys is its owner's alone: any other user
 * could end it, or attach a key by which the owner loses it. O(ranges of the user × log n).
 */
function deniedLease({ right, leaseId }: LeaseRight, requester: Requester): Denial | null {
  const { rights, leasedKeyFrom } = requester;
  const ranges = rights.ranges(right);
  if (ranges.isAll) return null;
  const first = leasedKeyFrom(leaseId, NO_KEY);
  if (first === null) {
    return right === "write" && isOfOther(leaseId, requester) ? { kind: "leaseOfOther" } : null;
  }
  let key: Uint8Array | null = first;
  while (key !== null) {
    const range: KeyRange | null = ranges.rangeWith(key);
    if (range === null) return { kind: "keys", right, keys: { kind: "key", key } };
    key = range.end === null ? null : leasedKeyFrom(leaseId, range.end);
  }
  return null;
}

function isOfOther(leaseId: number, { userId, leaseOwner }: Requester): boolean {
  const owner = leaseOwner(leaseId);
  return owner !== NO_OWNER && owner !== userId;
}

/** Collects the rights that a transaction needs, whichever branch it takes. */
class Rights {
  readonly #grants: Grant[] = [];
  readonly #leases: LeaseRight[] = [];

  ofTransaction(checks: readonly Check[], mutations: readonly Mutation[]): Requirement {
    for (const { key } of checks) this.#add("read", { kind: "key", key });
    for (const mutation of mutations) {
      this.#add("write", { kind: "key", key: mutation.key });
      if (mutation.kind === "expiringPut") this.#attach(mutation.leaseId);
    }
    return this.#requirement;
  }

  ofBranches(branches: Branches): Requirement {
    this.#addBranches(branches);
    return this.#requirement;
  }

  get #requirement(): Requirement {
    return { kind: "keys", grants: this.#grants, leases: this.#leases };
  }

  /** Adds those of all levels; the decoder and the validation bound their number. */
  #addBranches({ conditions, then, else: otherwise }: Branches): void {
    for (const { keys } of conditions) this.#add("read", keys);
    for (const operation of then) this.#addOperation(operation);
    for (const operation of otherwise) this.#addOperation(operation);
  }

  #addOperation(operation: Operation): void {
    switch (operation.kind) {
      case "put": {
        const keys: KeySet = { kind: "key", key: operation.key };
        this.#add("write", keys);
        if (operation.returnPrevious) this.#add("read", keys);
        if (operation.leaseId !== "keep") this.#attach(operation.leaseId);
        break;
      }
      case "delete":
        this.#add("write", operation.keys);
        if (operation.returnPrevious) this.#add("read", operation.keys);
        break;
      case "get":
        this.#add("read", operation.keys);
        break;
      case "sum":
      case "min":
      case "max":
        this.#add("write", { kind: "key", key: operation.key });
        break;
      case "transaction":
        this.#addBranches(operation);
        break;
      default:
        assertNever(operation);
    }
  }

  /** Adds the right to attach a key to a lease: a user who may not write its keys could keep its holder from ending it. */
  #attach(leaseId: number | null): void {
    if (leaseId !== null) this.#leases.push({ right: "write", leaseId });
  }

  #add(right: Right, keys: GrantedKeys): void {
    this.#grants.push({ right, keys });
  }
}
