/** Executes a transaction in either of its forms. */
import { checkList, checkObject } from "../argument_checks.ts";
import type { ClientCore } from "../core.ts";
import { InvalidRequestError } from "../errors.ts";
import type { Keyspace } from "../keyspace.ts";
import type { CallOptions, TransactionRequest, TransactionResult } from "../types.ts";
import { wrongAnswer } from "../writer.ts";
import { failedAt, toBranches, toBranchingResult } from "./branching.ts";
import type { BranchingRequest, BranchingResult } from "./types.ts";

const ACTION = "apply a transaction";

/** Executes a transaction. Rejects with a KvraftError. */
export async function executeTransaction(
  core: ClientCore,
  keyspace: Keyspace,
  request: (TransactionRequest | BranchingRequest) & CallOptions,
): Promise<TransactionResult | BranchingResult> {
  checkObject(request, "a transaction");
  const hasBranches = request.then !== undefined || request.else !== undefined;
  if (hasBranches === (request.mutations !== undefined)) {
    throw new InvalidRequestError(
      "Cannot apply a transaction: it needs either mutations, or then, else or both.",
    );
  }
  if (request.mutations !== undefined) return await executeShort(core, keyspace, request);
  const { checks = [], then = [], else: otherwise = [], ...options } = request;
  const branches = toBranches({ checks, then, else: otherwise }, keyspace);
  return await core.write({ branches }, { action: ACTION, options }, (result) => {
    const answered = toBranchingResult(branches, result, keyspace);
    if (answered === null) throw wrongAnswer(ACTION);
    return answered;
  });
}

/** Executes a transaction in the short form. */
function executeShort(
  core: ClientCore,
  keyspace: Keyspace,
  { checks, mutations, ...options }: TransactionRequest & CallOptions,
): Promise<TransactionResult> {
  const short = {
    ...(checks === undefined ? {} : { checks: keyed(checks, "the checks of a transaction", keyspace) }),
    mutations: keyed(mutations, "the mutations of a transaction", keyspace),
  };
  return core.write(short, { action: ACTION, options }, (result) => {
    if (result.kind === "applied") {
      return { succeeded: true, failedChecks: [], revision: result.revision };
    }
    if (result.kind === "transactionFailed") {
      const { reason, position, revision } = result;
      throw failedAt(`mutations[${position.join(".")}]`, { reason, revision });
    }
    if (result.kind !== "checksFailed") throw wrongAnswer(ACTION);
    return { succeeded: false, failedChecks: result.failedChecks, revision: result.revision };
  });
}

/** Returns a list of checks or mutations with the keys that the store has. */
function keyed<
  T extends TransactionRequest["mutations"][number] | NonNullable<TransactionRequest["checks"]>[number],
>(
  list: readonly T[],
  what: string,
  keyspace: Keyspace,
): readonly T[] {
  if (keyspace.isAll) return list;
  return checkList(list, what).map((one) => ({
    ...checkObject(one, "a part of it"),
    key: keyspace.toStore(one.key),
  }));
}
