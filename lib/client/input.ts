/**
 * Converts the arguments of calls to requests: encodes text and checks every argument before anything is sent. Also the
 * cursors of listings.
 */
import type { ChangeAuth } from "../kv/auth/auth_command.ts";
import type { Branches, BranchingTransaction } from "../kv/branching_command.ts";
import {
  type Check,
  type HistoryQuery,
  type KeyValue,
  type ListQuery,
  MAX_VALUE_BYTES,
  type Mutation,
  type Transaction,
  writtenValue,
} from "../kv/command.ts";
import type { ChangeDatabases, DatabaseWrite } from "../kv/databases/database_command.ts";
import type { GrantLease, RevokeLease } from "../kv/leases/lease_command.ts";
import {
  type CommandProblem,
  validateCommand,
  validateHistoryQuery,
  validateKey,
  validateListQuery,
  validateRevision,
} from "../kv/validate.ts";
import { sizeOfBranches } from "../kv/validate_branches.ts";
import { AddressError, formatAddress } from "../platform/address.ts";
import { assertNever } from "../platform/assert.ts";
import { shortened } from "../platform/errors.ts";
import type { Consistency, MembershipChange } from "../protocol/messages.ts";
import { parseContacts } from "../protocol/node_list.ts";
import {
  checkBoolean,
  checkChoice,
  checkList,
  checkNumber,
  checkObject,
  checkText,
  describeValue,
  toBytes,
  toView,
  unknownKind,
} from "./argument_checks.ts";
import { InvalidRequestError, KeyTooLargeError, type KvraftError, ValueTooLargeError } from "./errors.ts";
import type {
  Bytes,
  ConsistencyOptions,
  HistoryOptions,
  ListOptions,
  TransactionCheck,
  TransactionMutation,
  TransactionRequest,
} from "./types.ts";

/** The default number of entries of a page. */
const DEFAULT_LIST_LIMIT = 100;
/** The longest time that a call may take, which is the longest that a timer can measure. */
const MAX_TIMEOUT_MS = 2_147_483_647;
/** The bits of the first byte of a cursor: its direction, and whether 8 bytes with the revision follow. */
const REVERSE_BIT = 1;
const REVISION_BIT = 2;
const REVISION_BYTES = 8;
const NO_BYTES = new Uint8Array(0);
const NO_CHECKS: readonly Check[] = [];
const CONSISTENCIES: readonly Consistency[] = ["linearizable", "stale"];

/** A write that has no stamp yet. */
export type UnstampedWrite =
  | Omit<Transaction, "session">
  | Omit<BranchingTransaction, "session">
  | Omit<GrantLease, "session">
  | Omit<RevokeLease, "session">
  | Omit<ChangeAuth, "session">
  | Omit<DatabaseWrite, "session">
  | Omit<ChangeDatabases, "session">;

/** A transaction in the short form, as a call of this client makes it. */
export type ShortRequest = Omit<TransactionRequest, "then" | "else"> & Pick<Transaction, "returnCurrent">;

/** A write as a call of this client makes it. */
export type WriteRequest =
  | ShortRequest
  | { readonly branches: Branches; readonly mutations?: never; readonly command?: never }
  /** A command on a lease, on users and roles, or on databases. */
  | {
    readonly command: Exclude<
      UnstampedWrite,
      { readonly kind: "transaction" | "branchingTransaction" }
    >;
    readonly mutations?: never;
  };

/** Returns the bytes of a key to be read. Throws {@link KvraftError} for an invalid key. */
export function toKey(key: Bytes): Uint8Array {
  const bytes = toBytes(key, "key");
  throwProblem(validateKey(bytes));
  return bytes;
}

/**
 * Returns a write for the store. Its bytes may be the caller's, so it is encoded before the caller continues.
 *
 * Values are checked against the largest limit of the protocol only. The leader enforces a lower one: otherwise a single
 * node with another setting, or a malicious one, could make this client refuse every value.
 */
export function toWrite(request: WriteRequest): UnstampedWrite {
  if (request.mutations === undefined) {
    return request.command ?? toBranchingTransaction(request.branches);
  }
  const checks = request.checks === undefined
    ? NO_CHECKS
    : checkList(request.checks, "the checks of a transaction").map(toCheck);
  const mutations = checkList(request.mutations, "the mutations of a transaction").map(toMutation);
  const limits = { maxValueBytes: MAX_VALUE_BYTES };
  throwProblem(validateCommand({ kind: "transaction", session: null, checks, mutations }, limits));
  return request.returnCurrent === undefined
    ? { kind: "transaction", checks, mutations }
    : { kind: "transaction", checks, mutations, returnCurrent: true };
}

function toBranchingTransaction(branches: Branches): UnstampedWrite {
  const transaction = { kind: "branchingTransaction", session: null, ...branches } as const;
  throwProblem(validateCommand(transaction, { maxValueBytes: MAX_VALUE_BYTES }));
  return transaction;
}

/** Returns whether a key has the expected value; null expects that the key does not exist. */
export function isExpected(expect: Bytes | null, entry: KeyValue | null): boolean {
  if (expect === null || entry === null) return expect === entry;
  return areEqual(toView(expect, "expected value"), entry.value);
}

/** Returns the bytes of keys and values in a write. */
export function bytesOf(write: UnstampedWrite): number {
  if (write.kind === "branchingTransaction") return sizeOfBranches(write).bytes;
  if (write.kind === "databaseWrite") return databaseWriteBytes(write);
  if (write.kind !== "transaction") return 0;
  const { checks, mutations } = write;
  let bytes = 0;
  for (const check of checks) bytes += check.key.length + (check.kind === "value" ? check.value.length : 0);
  for (const mutation of mutations) {
    bytes += mutation.key.length + (writtenValue(mutation)?.length ?? 0);
  }
  return bytes;
}

function databaseWriteBytes({ checks, mutations }: Omit<DatabaseWrite, "session">): number {
  let bytes = 0;
  for (const { key } of checks) bytes += key.length;
  for (const mutation of mutations) {
    bytes += mutation.key.length + (mutation.kind === "delete" ? 0 : mutation.value.length);
  }
  return bytes;
}

/** Returns the consistency of a read. */
export function toConsistency(options: ConsistencyOptions): Consistency {
  const { consistency = "linearizable" } = checkObject(options, "the options of a read");
  return checkChoice(consistency, CONSISTENCIES, "the consistency");
}

/** A page of a listing; `revision` is null for the present state. */
export interface ListRequest {
  readonly query: ListQuery;
  readonly revision: number | null;
  /** Whether keys that the user may not read are left out. */
  readonly visibleOnly: boolean;
  readonly keysOnly: boolean;
}

/** Returns the request of one page of a listing. */
export function toListRequest(options: ListOptions): ListRequest {
  const reverse = checkBoolean(checkObject(options, "the options of a listing").reverse ?? false, "reverse");
  const given = toRevision(options.revision);
  const cursor = options.cursor === undefined || options.cursor === null
    ? null
    : decodeCursor(options.cursor, { reverse, revision: given });
  const query: ListQuery = {
    prefix: options.prefix === undefined ? NO_BYTES : toBytes(options.prefix, "prefix"),
    start: options.start === undefined ? null : toBytes(options.start, "start"),
    end: options.end === undefined ? null : toBytes(options.end, "end"),
    after: cursor === null ? null : cursor.key,
    reverse,
    limit: checkNumber(options.limit ?? DEFAULT_LIST_LIMIT, "limit"),
  };
  throwProblem(validateListQuery(query));
  const visibleOnly = checkBoolean(options.visibleOnly ?? false, "visibleOnly");
  const keysOnly = checkBoolean(options.keysOnly ?? false, "keysOnly");
  return { query, visibleOnly, keysOnly, revision: cursor === null ? given : cursor.revision };
}

/** Returns the query of one page of a key's history. */
export function toHistoryQuery(key: Bytes, options: HistoryOptions): HistoryQuery {
  const { limit, before } = checkObject(options, "the options of a history");
  const query = {
    key: toBytes(key, "key"),
    limit: checkNumber(limit ?? DEFAULT_LIST_LIMIT, "limit"),
    before: before === undefined || before === null ? null : checkNumber(before, "before"),
  };
  throwProblem(validateHistoryQuery(query));
  return query;
}

/** Returns a checked revision; null where none is given. */
export function toRevision(revision: number | undefined): number | null {
  return revision === undefined ? null : checkRevision(revision);
}

/** Returns a checked revision. */
export function checkRevision(revision: number): number {
  throwProblem(validateRevision(checkNumber(revision, "revision")));
  return revision;
}

/** Returns a checked timeout. */
export function toTimeoutMs(timeoutMs: number): number {
  if (typeof timeoutMs !== "number" || !(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new InvalidRequestError(
      `Cannot wait for ${describeValue(timeoutMs)} ms: timeoutMs is a number from 1 to ${MAX_TIMEOUT_MS}.`,
    );
  }
  return timeoutMs;
}

/** Returns a checked change of the members, with its address in canonical form. */
export function toMembershipChange(change: MembershipChange): MembershipChange {
  throwIfNoNodeId(checkObject(change, "a change of the members").id);
  switch (change.kind) {
    case "add":
      checkBoolean(change.learner, "learner");
      return { ...change, address: toMemberAddress(change.address) };
    case "update":
      return { ...change, address: toMemberAddress(change.address) };
    case "replace":
      throwIfNoNodeId(change.dead);
      return { ...change, address: toMemberAddress(change.address) };
    case "remove":
    case "promote":
    case "demote":
      return change;
    default:
      throw unknownKind(change, "a change of the members");
  }
}

/** Returns checked addresses in canonical form. */
export function toAddresses(cluster: readonly string[]): string[] {
  for (const address of checkList(cluster, "the cluster's addresses")) checkText(address, "an address");
  try {
    return parseContacts(cluster).map(({ address }) => formatAddress(address));
  } catch (error) {
    if (error instanceof AddressError) throw new InvalidRequestError(error.message, { cause: error });
    throw error;
  }
}

function toMemberAddress(address: string): string {
  const text = checkText(address, "a member's address");
  if (text.includes("=")) {
    throw new InvalidRequestError(
      `Cannot use "${shortened(text)}" as a member's address: name host:port only.`,
    );
  }
  const [canonical = text] = toAddresses([text]);
  return canonical;
}

/** Throws for a number that cannot be the id of a node. */
export function throwIfNoNodeId(id: number): void {
  if (Number.isSafeInteger(id) && id >= 1) return;
  throw new InvalidRequestError(
    `Cannot use ${describeValue(id)} as a node's id: ids are integers from 1 up.`,
  );
}

function toCheck(check: TransactionCheck): Check {
  const key = toView(checkObject(check, "a check").key, "key");
  if ("modRevision" in check) {
    return { kind: "modRevision", key, modRevision: checkNumber(check.modRevision, "modRevision") };
  }
  if ("exists" in check) return { kind: "exists", key, exists: checkBoolean(check.exists, "exists") };
  return { kind: "value", key, value: toView(check.value, "value") };
}

function toMutation(mutation: TransactionMutation): Mutation {
  const key = toView(checkObject(mutation, "a mutation").key, "key");
  switch (mutation.kind) {
    case "put": {
      const { leaseId, expiresAtMs } = mutation;
      const value = toView(mutation.value, "value");
      if (leaseId === undefined && expiresAtMs === undefined) return { kind: "put", key, value };
      return {
        kind: "expiringPut",
        key,
        value,
        leaseId: leaseId === undefined ? null : checkNumber(leaseId, "the lease of a put"),
        expiresAtMs: expiresAtMs === undefined ? null : checkNumber(expiresAtMs, "the expiry of a put"),
      };
    }
    case "delete":
      return { kind: "delete", key };
    default:
      throw unknownKind(mutation, "a mutation");
  }
}

/** Throws the error of a problem, if there is one. */
export function throwProblem(problem: CommandProblem | null): void {
  if (problem !== null) throw problemError(problem);
}

function problemError({ kind, message }: CommandProblem): KvraftError {
  switch (kind) {
    case "keyTooLarge":
      return new KeyTooLargeError(message);
    case "valueTooLarge":
      return new ValueTooLargeError(message);
    case "invalidRequest":
      return new InvalidRequestError(message);
    default:
      return assertNever(kind);
  }
}

/** The listing that a cursor belongs to; `revision` is null for the present state. */
interface CursorOf {
  readonly reverse: boolean;
  readonly revision: number | null;
}

/**
 * Returns the cursor behind `key`: where the next page begins, as text that a program passes back unread. It names the
 * last key that was given, the direction and the revision, and no state of a node, so it is valid at any node; without a
 * revision forever.
 */
export function encodeCursor(key: Uint8Array, { reverse, revision }: CursorOf): string {
  const keyStart = revision === null ? 1 : 1 + REVISION_BYTES;
  const bytes = new Uint8Array(keyStart + key.length);
  bytes[0] = (reverse ? REVERSE_BIT : 0) | (revision === null ? 0 : REVISION_BIT);
  if (revision !== null) new DataView(bytes.buffer).setBigUint64(1, BigInt(revision));
  bytes.set(key, keyStart);
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Returns the key and the revision in a cursor. Throws {@link InvalidRequestError} for other text, for the other direction,
 * and for another revision than the given one.
 */
export function decodeCursor(
  cursor: string,
  { reverse, revision: given }: CursorOf,
): { readonly key: Uint8Array; readonly revision: number | null } {
  const bytes = parseBase64Url(checkText(cursor, "a cursor")) ?? NO_BYTES;
  const flags = bytes[0] ?? 0;
  const keyStart = (flags & REVISION_BIT) === 0 ? 1 : 1 + REVISION_BYTES;
  const revision = keyStart === 1 || bytes.length < keyStart
    ? null
    : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(1));
  const isSafe = revision === null || Number.isSafeInteger(revision);
  if (bytes.length <= keyStart || flags > (REVERSE_BIT | REVISION_BIT) || !isSafe) {
    throw new InvalidRequestError(
      "Cannot list: the cursor is not one that a listing gave. Pass it as it came.",
    );
  }
  if (((flags & REVERSE_BIT) !== 0) !== reverse) {
    throw new InvalidRequestError("Cannot list: the cursor comes from a listing in the other direction.");
  }
  if (given !== null && given !== revision) {
    const origin = revision === null ? "of the present" : `at revision ${revision}`;
    throw new InvalidRequestError(
      `Cannot list at revision ${given}: the cursor comes from a listing ${origin}.`,
    );
  }
  return { key: bytes.subarray(keyStart), revision };
}

/** Decodes base64url without padding; null for other text. Node 20 has no `Uint8Array.fromBase64`. */
function parseBase64Url(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(bytes, (character) => character.charCodeAt(0));
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
