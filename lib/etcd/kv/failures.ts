/** The statuses of transactions that the store could not execute. */
import {
  MAX_TRANSACTION_KEYS,
  MAX_TRANSACTION_RESULT_BYTES,
  type TransactionFailure,
} from "../../kv/branching_command.ts";
import { MAX_LEASE_KEYS } from "../../kv/leases/lease_command.ts";
import { assertNever } from "../../platform/assert.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";

/** Returns the status of a transaction that has failed and changed nothing. */
export function failureOf(reason: TransactionFailure): EtcdError {
  switch (reason) {
    case "keyNotFound":
    case "leaseNotFound":
    case "compacted":
    case "futureRevision":
      return etcdError(reason);
    case "tooManyKeys":
      return new EtcdError(
        "resourceExhausted",
        `kvraft: a transaction or deletion may read and delete ${MAX_TRANSACTION_KEYS} keys of ranges. Use smaller ranges.`,
      );
    case "resultTooLarge":
      return new EtcdError(
        "resourceExhausted",
        `kvraft: the answers of a transaction or deletion have more than ${MAX_TRANSACTION_RESULT_BYTES} bytes. Read less.`,
      );
    case "tooManyLeaseKeys":
      return new EtcdError("resourceExhausted", `kvraft: the lease has ${MAX_LEASE_KEYS} keys already`);
    case "notANumber":
      return new EtcdError("unknown", "kvraft: the value is not a number");
    default:
      return assertNever(reason);
  }
}
