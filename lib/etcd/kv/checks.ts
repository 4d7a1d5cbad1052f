/** The checks of requests that etcd makes before it reads or writes anything, in its order. */
import { MAX_BRANCHING_OPERATIONS } from "../../kv/branching_command.ts";
import { keyText } from "../../kv/keys.ts";
import { assertNever } from "../../platform/assert.ts";
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SORT_ORDER,
  SORT_TARGET,
  type TxnRequest,
} from "../messages/kv.ts";
import { etcdError } from "../rpc/status.ts";

/** Conditions, and operations of each branch, that etcd takes in a transaction; those within others have what is left. */
const MAX_OPERATIONS = 128;

/** Throws EtcdError for a read without a key, or in an order that does not exist. */
export function checkRange({ key, sortOrder, sortTarget }: RangeRequest): void {
  if (key.length === 0) throw etcdError("keyNotProvided");
  if (!isOneOf(sortOrder, SORT_ORDER.descend) || !isOneOf(sortTarget, SORT_TARGET.value)) {
    throw etcdError("invalidSortOption");
  }
}

/** Throws EtcdError for a put without a key, or with what it is to keep. */
export function checkPut({ key, value, lease, ignoreValue, ignoreLease }: PutRequest): void {
  if (key.length === 0) throw etcdError("keyNotProvided");
  if (ignoreValue && value.length > 0) throw etcdError("valueProvided");
  if (ignoreLease && lease !== 0n) throw etcdError("leaseProvided");
}

/** Throws EtcdError for a deletion without a key. */
export function checkDelete({ key }: DeleteRangeRequest): void {
  if (key.length === 0) throw etcdError("keyNotProvided");
}

/** Throws EtcdError for a transaction that is too large, has an invalid part, or writes a key twice. */
export function checkTxn(request: TxnRequest): void {
  checkParts(request, MAX_OPERATIONS);
  // The store counts all parts together. Checked before the keys are compared with each other, which bounds that.
  if (partsOf(request) > MAX_BRANCHING_OPERATIONS) throw etcdError("tooManyOperations");
  writtenBy(request.success);
  writtenBy(request.failure);
}

function checkParts({ compare, success, failure }: TxnRequest, maxOperations: number): void {
  const operations = Math.max(compare.length, success.length, failure.length);
  if (operations > maxOperations) throw etcdError("tooManyOperations");
  for (const { key } of compare) if (key.length === 0) throw etcdError("keyNotProvided");
  for (const operation of success) checkOperation(operation, maxOperations - operations);
  for (const operation of failure) checkOperation(operation, maxOperations - operations);
}

function checkOperation({ request }: RequestOp, maxOperations: number): void {
  switch (request?.kind) {
    case undefined:
      throw etcdError("keyNotFound");
    case "requestRange":
      return checkRange(request.value);
    case "requestPut":
      return checkPut(request.value);
    case "requestDeleteRange":
      return checkDelete(request.value);
    case "requestTxn":
      return checkParts(request.value, maxOperations);
    default:
      return assertNever(request);
  }
}

/** Returns the number of conditions and operations of a transaction and of those in it. */
function partsOf({ compare, success, failure }: TxnRequest): number {
  let parts = compare.length + success.length + failure.length;
  for (const { request } of [...success, ...failure]) {
    if (request?.kind === "requestTxn") parts += partsOf(request.value);
  }
  return parts;
}

/** The keys that a list of operations may write, as texts: they are compared often. */
interface Written {
  readonly puts: ReadonlySet<string>;
  readonly deletes: readonly DeletedKeys[];
}

/** Deleted keys, from `start` to `end`; `end` null for the one key. */
interface DeletedKeys {
  readonly start: string;
  readonly end: string | null;
}

/**
 * Returns what operations may write. Throws EtcdError if one key may be put twice, or put and deleted, as etcd finds it: the
 * branches of a transaction exclude each other, a key that one transaction puts may be deleted by a later one beside it,
 * and a deletion to the end of all keys (`range_end` 0) meets no put.
 */
function writtenBy(operations: readonly RequestOp[]): Written {
  const puts = new Set<string>();
  const deletes: DeletedKeys[] = [];
  const add = (key: string): void => {
    if (puts.has(key) || deletes.some((deleted) => hasKey(deleted, key))) throw etcdError("duplicateKey");
    puts.add(key);
  };
  for (const { request } of operations) {
    if (request?.kind === "requestDeleteRange") deletes.push(deletedKeys(request.value));
  }
  for (const { request } of operations) {
    if (request?.kind !== "requestTxn") continue;
    const [success, failure] = [writtenBy(request.value.success), writtenBy(request.value.failure)];
    for (const key of success.puts) add(key);
    for (const key of failure.puts) if (!success.puts.has(key)) add(key);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const { request } of operations) {
    if (request?.kind === "requestPut") add(keyText(request.value.key));
  }
  return { puts, deletes };
}

function deletedKeys({ key, rangeEnd }: DeleteRangeRequest): DeletedKeys {
  return { start: keyText(key), end: rangeEnd.length === 0 ? null : keyText(rangeEnd) };
}

function hasKey({ start, end }: DeletedKeys, key: string): boolean {
  return end === null ? key === start : key >= start && key < end;
}

function isOneOf(number: number, last: number): boolean {
  return number >= 0 && number <= last;
}
