/** The answers to etcd's transactions, of the outcomes of the store's operations. */
import type { OperationOutcome } from "../../../kv/branching_command.ts";
import { assertNever } from "../../../platform/assert.ts";
import type {
  DeleteRangeRequest,
  DeleteRangeResponseGiven,
  PutRequest,
  PutResponseGiven,
  RangeRequest,
  RangeResponseGiven,
  RequestOp,
  ResponseOpGiven,
  TxnRequest,
  TxnResponseGiven,
} from "../../messages/kv.ts";
import type { HeaderGiven } from "../../messages/common.ts";
import { etcdKeyValue, etcdRevision } from "../../revisions.ts";
import { answeredEntries } from "../entries.ts";
import { hasFilters, isKeyOrder, orderOf, passes } from "../range/selection.ts";
import { keepsLeaseAlone } from "./operations.ts";

/** A branch that was executed. */
export interface Executed {
  readonly succeeded: boolean;
  readonly outcomes: readonly OperationOutcome[];
}

/** Outcomes that are not those of the operations of the request. */
export class WrongOutcomeError extends Error {
  override readonly name = "WrongOutcomeError";
}

/**
 * Returns the answer to a transaction without its header. `revision`: the store's after it. Throws
 * {@link WrongOutcomeError}.
 */
export function txnAnswer(request: TxnRequest, executed: Executed, revision: number): TxnResponseGiven {
  const before = changes(executed.outcomes) ? revision - 1 : revision;
  return new Answers(before).ofBranch(request, executed);
}

/** Returns whether the operations of a branch have changed something. */
function changes(outcomes: readonly OperationOutcome[]): boolean {
  return outcomes.some((outcome) => {
    switch (outcome.kind) {
      case "put":
        return true;
      case "delete":
        return outcome.deleted > 0;
      case "get":
        return false;
      case "transaction":
        return changes(outcome.outcomes);
      default:
        return assertNever(outcome);
    }
  });
}

/** The answers of one transaction, in the order of its operations. */
class Answers {
  /** The store's revision as the operations see it: its next one from the first change on. */
  #revision: number;
  readonly #before: number;

  constructor(before: number) {
    this.#before = before;
    this.#revision = before;
  }

  ofBranch(request: TxnRequest, { succeeded, outcomes }: Executed): TxnResponseGiven {
    const operations = succeeded ? request.success : request.failure;
    if (operations.length !== outcomes.length) throw new WrongOutcomeError();
    const responses = outcomes.map((outcome, index) => this.#answer(operations[index], outcome));
    return { succeeded, responses };
  }

  #answer(operation: RequestOp | undefined, outcome: OperationOutcome): ResponseOpGiven {
    const request = operation?.request ?? null;
    switch (request?.kind) {
      case "requestRange": {
        const value = rangeAnswer(request.value, outcome);
        return { response: { kind: "responseRange", value: { ...value, header: this.#header } } };
      }
      case "requestPut": {
        const value = putAnswer(request.value, outcome);
        this.#revision = this.#before + 1;
        return { response: { kind: "responsePut", value: { ...value, header: this.#header } } };
      }
      case "requestDeleteRange": {
        const value = deleteAnswer(request.value, outcome);
        if (value.deleted !== 0) this.#revision = this.#before + 1;
        return { response: { kind: "responseDeleteRange", value: { ...value, header: this.#header } } };
      }
      case "requestTxn": {
        if (outcome.kind !== "transaction") throw new WrongOutcomeError();
        const value = this.ofBranch(request.value, outcome);
        return { response: { kind: "responseTxn", value: { ...value, header: {} } } };
      }
      case undefined:
        throw new WrongOutcomeError();
      default:
        return assertNever(request);
    }
  }

  get #header(): HeaderGiven {
    return { revision: etcdRevision(this.#revision) };
  }
}

/** Returns the answer to a put without its header. Throws {@link WrongOutcomeError}. */
export function putAnswer(request: PutRequest, outcome: OperationOutcome): PutResponseGiven {
  if (keepsLeaseAlone(request) && outcome.kind === "transaction") {
    const [inner] = outcome.outcomes;
    if (inner === undefined) throw new WrongOutcomeError();
    return putOutcomeAnswer(request, inner);
  }
  return putOutcomeAnswer(request, outcome);
}

function putOutcomeAnswer({ prevKv }: PutRequest, outcome: OperationOutcome): PutResponseGiven {
  if (outcome.kind !== "put") throw new WrongOutcomeError();
  const { previous } = outcome;
  if (!prevKv || previous === null) return {};
  if (previous === "omitted") throw new WrongOutcomeError();
  return { prevKv: etcdKeyValue(previous) };
}

/** Returns the answer to a deletion without its header. Throws {@link WrongOutcomeError}. */
export function deleteAnswer(
  { prevKv }: DeleteRangeRequest,
  outcome: OperationOutcome,
): DeleteRangeResponseGiven {
  if (outcome.kind !== "delete") throw new WrongOutcomeError();
  const { deleted, previous } = outcome;
  return { deleted, prevKvs: prevKv ? previous.map((entry) => etcdKeyValue(entry)) : [] };
}

/** Returns the answer to a read, chosen from what was read for it, without its header. */
function rangeAnswer(request: RangeRequest, outcome: OperationOutcome): RangeResponseGiven {
  if (outcome.kind !== "get") throw new WrongOutcomeError();
  const { count } = outcome;
  if (request.countOnly) return { count };
  let { entries, more } = outcome;
  if (hasFilters(request)) entries = entries.filter((entry) => passes(request, entry));
  if (!isKeyOrder(request)) entries = entries.toSorted(orderOf(request));
  if (request.limit > 0 && entries.length > request.limit) {
    entries = entries.slice(0, request.limit);
    more = true;
  }
  return { kvs: answeredEntries(entries, request), more, count };
}
