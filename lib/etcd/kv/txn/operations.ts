/** Converts the operations of etcd's transactions to those of the store. */
import type { Branches, Operation } from "../../../kv/branching_command.ts";
import { MAX_LIST_ENTRIES, MAX_VALUE_BYTES } from "../../../kv/command.ts";
import { assert, assertNever } from "../../../platform/assert.ts";
import type { PutRequest, RangeRequest, RequestOp, TxnRequest } from "../../messages/kv.ts";
import { existingLeaseId, storeRevision } from "../../revisions.ts";
import { etcdError } from "../../rpc/status.ts";
import { checkWritable, keySetOf } from "../keys.ts";
import { hasFilters, isKeyOrder, isReverse } from "../range/selection.ts";
import { conditionsOf } from "./conditions.ts";

/** Returns the conditions and operations of a checked transaction. Throws EtcdError. */
export function branchesOf({ compare, success, failure }: TxnRequest): Branches {
  return {
    conditions: compare.flatMap(conditionsOf),
    then: success.map(operationOf),
    else: failure.map(operationOf),
  };
}

/** Returns the operation of a checked put. Throws EtcdError. */
export function putOperation(request: PutRequest): Operation {
  const { key, value, lease, prevKv, ignoreValue, ignoreLease } = request;
  checkWritable(key);
  if (value.length > MAX_VALUE_BYTES) throw etcdError("requestTooLarge");
  const put: Operation = {
    kind: "put",
    key,
    value: ignoreValue ? null : value,
    returnPrevious: prevKv,
    leaseId: ignoreLease ? "keep" : lease === 0n ? null : existingLeaseId(lease),
    expiresAtMs: null,
  };
  if (!keepsLeaseAlone(request)) return put;
  // The store lets a put keep the lease of a key that does not exist, which etcd refuses. One that keeps the value fails.
  const isPresent = { kind: "version", keys: keySetOf({ key, rangeEnd: NO_END }), ...NOT_ZERO } as const;
  return {
    kind: "transaction",
    conditions: [isPresent],
    then: [put],
    else: [{ ...put, value: null }],
  };
}

/** Whether a put is one that {@link putOperation} makes a transaction of. */
export function keepsLeaseAlone({ ignoreValue, ignoreLease }: PutRequest): boolean {
  return ignoreLease && !ignoreValue;
}

const NO_END = new Uint8Array(0);
const NOT_ZERO = { comparison: "notEqual", number: 0 } as const;

function operationOf({ request }: RequestOp): Operation {
  assert(request !== null, "the operations of a transaction were checked");
  switch (request.kind) {
    case "requestRange":
      return getOperation(request.value);
    case "requestPut":
      return putOperation(request.value);
    case "requestDeleteRange":
      return { kind: "delete", keys: keySetOf(request.value), returnPrevious: request.value.prevKv };
    case "requestTxn":
      return { kind: "transaction", ...branchesOf(request.value) };
    default:
      return assertNever(request);
  }
}

/** Returns the operation of a read, which reads what its answer is chosen from. */
function getOperation(request: RangeRequest): Operation {
  const { revision, countOnly } = request;
  return {
    kind: "get",
    keys: keySetOf(request),
    limit: countOnly ? 1 : readLimit(request),
    reverse: isReverse(request),
    revision: revision <= 0 ? null : storeRevision(revision),
  };
}

/** Returns how many entries an answer is chosen from; 0 for all. */
function readLimit(request: RangeRequest): number {
  const { limit } = request;
  if (limit <= 0 || limit > MAX_LIST_ENTRIES || hasFilters(request)) return 0;
  return isKeyOrder(request) ? limit : 0;
}
