/**
 * The rights that each kind of request needs while authentication is enabled. This is the only table of them: a kind of
 * request without a line does not compile.
 */
import {
  compareKeys,
  type Grant,
  type KeySet,
  type ListQuery,
  prefixEnd,
  type ReadRange,
  type Requirement,
  type Right,
} from "../../kv/mod.ts";
import type { ClientRequest, RequestFrame, RequestKind } from "../../protocol/client_frames.ts";

/**
 * The rights that a kind of request needs. `nothing`: a connection that has not signed in may ask, too. `command`: a user with the
 * rights of the command in the request, which are checked once the command is decoded (lib/server/writes.ts).
 */
type Needs<K extends RequestKind> =
  | "nothing"
  | "command"
  | Requirement
  | ((request: RequestFrame<K>) => Requirement);

/** How a kind of request is checked. */
interface Rule<K extends RequestKind> {
  readonly needs: Needs<K>;
  /** Of a kind that needs no more than to read one key: that key. Then the usual answer is found without an object. */
  readonly reads?: (request: RequestFrame<K>) => Uint8Array;
  /** Whether `--audit-log on` records it when it is let through: a change, or a part of operating the cluster. */
  readonly isAudited: boolean;
}

const USER: Requirement = { kind: "signedIn" };
const READ_ANY: Requirement = { kind: "anyKey", right: "read" };
const ROOT: Requirement = { kind: "root" };
const OPERATOR: Requirement = { kind: "admin" };

/** The rule of each kind of request. */
export const REQUEST_RIGHTS: { readonly [K in RequestKind]: Rule<K> } = {
  signIn: { needs: "nothing", isAudited: false },
  authStatus: { needs: "nothing", isAudited: false },
  readAuth: { needs: readOfUsers, isAudited: true },
  write: { needs: "command", isAudited: true },
  get: { ...readingKey(({ key }) => key), isAudited: false },
  getAt: { ...readingKey(({ key }) => key), isAudited: false },
  keyHistory: { ...readingKey(({ query: { key } }) => key), isAudited: false },
  list: { needs: readOfRange, isAudited: false },
  listAt: { needs: readOfRange, isAudited: false },
  watch: { needs: ({ keys, visibleOnly }) => visibleOnly ? READ_ANY : readOf(keys), isAudited: false },
  cancelWatch: { needs: USER, isAudited: false },
  watchProgress: { needs: USER, isAudited: false },
  readEvents: { needs: ({ keys }) => readOf(keys), isAudited: false },
  lease: { needs: ({ leaseId, keys }) => keys ? rightsOfLeases("read", [leaseId]) : USER, isAudited: false },
  listLeases: { needs: USER, isAudited: false },
  keepAlive: { needs: ({ leaseIds }) => rightsOfLeases("write", leaseIds), isAudited: true },
  readRanges: { needs: ({ ranges }) => readOfRanges(ranges), isAudited: false },
  scan: { needs: ({ query }) => readOfRanges([query]), isAudited: false },
  listDatabases: { needs: ({ secrets }) => secrets ? ROOT : USER, isAudited: true },
  status: { needs: USER, isAudited: false },
  describeNode: { needs: USER, isAudited: false },
  memberStatus: { needs: USER, isAudited: false },
  stateHash: { needs: OPERATOR, isAudited: true },
  transferLeadership: { needs: OPERATOR, isAudited: true },
  changeMembership: { needs: OPERATOR, isAudited: true },
  takeSnapshot: { needs: OPERATOR, isAudited: true },
  readSnapshot: { needs: OPERATOR, isAudited: false },
  closeSnapshot: { needs: OPERATOR, isAudited: false },
};

/** Returns the key of a request that needs no more than to read one key; null for all others. */
export function readKeyOf(request: ClientRequest): Uint8Array | null {
  return readKeyOfKind(request.kind, request);
}

function readKeyOfKind<K extends RequestKind>(kind: K, request: RequestFrame<K>): Uint8Array | null {
  const { reads } = REQUEST_RIGHTS[kind];
  return reads === undefined ? null : reads(request);
}

/** Returns the rights that the user of a request needs; of a write none but to have signed in. */
export function requirementOf(request: ClientRequest): Requirement {
  return requirementOfKind(request.kind, request);
}

function requirementOfKind<K extends RequestKind>(kind: K, request: RequestFrame<K>): Requirement {
  const { needs } = REQUEST_RIGHTS[kind];
  if (typeof needs === "function") return needs(request);
  return needs === "nothing" || needs === "command" ? USER : needs;
}

/** Returns the rule of a kind of request that reads one key. */
function readingKey<K extends RequestKind>(
  reads: (request: RequestFrame<K>) => Uint8Array,
): Pick<Rule<K>, "needs" | "reads"> {
  return { needs: (request) => readOf({ kind: "key", key: reads(request) }), reads };
}

function readOf(keys: KeySet): Requirement {
  return { kind: "keys", grants: [{ right: "read", keys }], leases: [] };
}

function readOfRanges(ranges: readonly Pick<ReadRange, "start" | "end">[]): Requirement {
  const grants = ranges.map(({ start, end }): Grant => ({
    right: "read",
    keys: { kind: "range", start, end },
  }));
  return { kind: "keys", grants, leases: [] };
}

/** A listing of more than the user may read is refused, unless it asks for the visible keys only. */
function readOfRange(
  { query, visibleOnly }: { readonly query: ListQuery; readonly visibleOnly: boolean },
): Requirement {
  return visibleOnly ? READ_ANY : readOf(rangeOf(query));
}

/** A user may read about itself. */
function readOfUsers({ user, role }: RequestFrame<"readAuth">): Requirement {
  return user !== null && role === null ? { kind: "ownUser", user } : { kind: "root" };
}

function rightsOfLeases(right: Right, leaseIds: readonly number[]): Requirement {
  return { kind: "keys", grants: [], leases: leaseIds.map((leaseId) => ({ right, leaseId })) };
}

/** Returns the range of a query: its prefix within its bounds, wherever in it the page begins. */
export function rangeOf({ prefix, start, end }: ListQuery): KeySet {
  const endOfPrefix = prefixEnd(prefix);
  return {
    kind: "range",
    start: start !== null && compareKeys(start, prefix) > 0 ? start : prefix,
    end: end !== null && (endOfPrefix === null || compareKeys(end, endOfPrefix) < 0) ? end : endOfPrefix,
  };
}
