/** Put, DeleteRange and Txn: writes that the cluster makes exactly once. */
import type { Branches, OperationOutcome } from "../../kv/branching_command.ts";
import { MAX_VALUE_BYTES } from "../../kv/command.ts";
import type { WriteResult } from "../../client/writer.ts";
import { wrongAnswer } from "../../client/writer.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import type {
  DeleteRangeRequest,
  DeleteRangeResponseGiven,
  PutRequest,
  PutResponseGiven,
  TxnRequest,
  TxnResponseGiven,
} from "../messages/kv.ts";
import { existingLeaseId } from "../revisions.ts";
import type { Call } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { checkDelete, checkPut, checkTxn } from "./checks.ts";
import { failureOf } from "./failures.ts";
import { checkWritable, keySetOf } from "./keys.ts";
import { deleteAnswer, putAnswer, txnAnswer, WrongOutcomeError } from "./txn/answers.ts";
import { branchesOf, putOperation } from "./txn/operations.ts";

const PUT = "put a key";
const DELETE = "delete keys";
const TXN = "execute a transaction";

/** A result of a transaction with branches. */
interface Executed {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly outcomes: readonly OperationOutcome[];
}

/** Writes a key. Rejects with EtcdError or KvraftError. */
export function put(context: EtcdContext, request: PutRequest, call: Call): Promise<PutResponseGiven> {
  const { key, value, lease, prevKv, ignoreValue, ignoreLease } = request;
  checkPut(request);
  if (prevKv || ignoreValue || ignoreLease) return putOver(context, request, call);
  checkWritable(key);
  if (value.length > MAX_VALUE_BYTES) throw etcdError("requestTooLarge");
  const mutation = lease === 0n
    ? { kind: "put", key, value } as const
    : { kind: "put", key, value, leaseId: existingLeaseId(lease) } as const;
  return call.core.write({ mutations: [mutation] }, { action: PUT, options: call }, (result) => {
    if (result.kind === "transactionFailed") throw failureOf(result.reason);
    if (result.kind !== "applied") throw wrongAnswer(PUT);
    return { header: headerOf(context, result.revision) };
  });
}

/** Writes a key with a part, or for an answer, that depends on what is there. */
async function putOver(context: EtcdContext, request: PutRequest, call: Call): Promise<PutResponseGiven> {
  const branches = { conditions: [], then: [putOperation(request)], else: [] };
  const { revision, outcomes } = await execute(branches, PUT, call);
  const answer = answered(PUT, () => putAnswer(request, only(outcomes)));
  return { ...answer, header: headerOf(context, revision) };
}

/** Deletes a key, or all keys of a range, in one revision. */
export async function deleteRange(
  context: EtcdContext,
  request: DeleteRangeRequest,
  call: Call,
): Promise<DeleteRangeResponseGiven> {
  checkDelete(request);
  const operation = { kind: "delete", keys: keySetOf(request), returnPrevious: request.prevKv } as const;
  const { revision, outcomes } = await execute({ conditions: [], then: [operation], else: [] }, DELETE, call);
  const answer = answered(DELETE, () => deleteAnswer(request, only(outcomes)));
  return { ...answer, header: headerOf(context, revision) };
}

/** Executes a transaction. */
export async function txn(context: EtcdContext, request: TxnRequest, call: Call): Promise<TxnResponseGiven> {
  checkTxn(request);
  const executed = await execute(branchesOf(request), TXN, call);
  const answer = answered(TXN, () => txnAnswer(request, executed, executed.revision));
  return { ...answer, header: headerOf(context, executed.revision) };
}

/** Executes a transaction with branches. */
function execute(branches: Branches, action: string, call: Call): Promise<Executed> {
  return call.core.write({ branches }, { action, options: call }, (result: WriteResult) => {
    if (result.kind === "transactionFailed") throw failureOf(result.reason);
    if (result.kind !== "executed") throw wrongAnswer(action);
    const { revision, succeeded, outcomes } = result;
    // It was executed, and its answer is no longer remembered.
    if (outcomes === "omitted") throw etcdError("timeout");
    return { revision, succeeded, outcomes };
  });
}

/** Returns an answer; throws a KvraftError if the outcomes are not those of the request. */
function answered<T>(action: string, answer: () => T): T {
  try {
    return answer();
  } catch (error) {
    throw error instanceof WrongOutcomeError ? wrongAnswer(action) : error;
  }
}

function only(outcomes: readonly OperationOutcome[]): OperationOutcome {
  const [outcome] = outcomes;
  if (outcome === undefined || outcomes.length > 1) throw new WrongOutcomeError();
  return outcome;
}
