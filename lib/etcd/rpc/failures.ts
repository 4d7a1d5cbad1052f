/** The statuses of requests that the cluster has refused or not answered. */
import { KvraftError, type KvraftErrorCode } from "../../client/errors.ts";
import { assertNever } from "../../platform/assert.ts";
import { MalformedMessageError } from "../protobuf/field.ts";
import { EtcdError, etcdError } from "./status.ts";

/** Returns the status of an error. An error that is none of those that a request may meet is a fault: it is thrown again. */
export function toEtcdError(error: unknown, { hasToken }: { readonly hasToken: boolean }): EtcdError {
  if (error instanceof EtcdError) return error;
  if (error instanceof MalformedMessageError) {
    return new EtcdError("internal", `grpc: error unmarshalling request: ${error.message}`);
  }
  if (!(error instanceof KvraftError)) throw error;
  // What may have been carried out is unavailable: clients do not repeat a write after that.
  if (error.outcome === "unknown") return etcdError("timeout");
  return statusOf(error.code, { hasToken, message: error.message });
}

/** Returns the status of a refusal that has changed nothing. */
function statusOf(
  code: KvraftErrorCode,
  { hasToken, message }: { readonly hasToken: boolean; readonly message: string },
): EtcdError {
  switch (code) {
    case "noLeader":
    case "notLeader":
    case "unavailable":
      return etcdError("noLeader");
    case "timeout":
    case "sessionExpired":
    case "answerOmitted":
    case "aborted":
      return etcdError("timeout");
    case "closed":
      return etcdError("stopped");
    case "keyTooLarge":
    case "valueTooLarge":
      return etcdError("requestTooLarge");
    case "busy":
    case "tooManyWatches":
      return etcdError("tooManyRequests");
    case "storageFull":
      return etcdError("noSpace");
    case "compacted":
      return etcdError("compacted");
    case "futureRevision":
      return etcdError("futureRevision");
    case "authentication":
      return etcdError(hasToken ? "invalidToken" : "userEmpty");
    case "permissionDenied":
      return etcdError("permissionDenied");
    case "leaseNotFound":
      return etcdError("leaseNotFound");
    case "leaseExists":
      return etcdError("leaseExists");
    case "transactionFailed":
    case "invalidRequest":
      return new EtcdError("invalidArgument", `kvraft: ${message}`);
    case "membershipRefused":
    case "authChangeRefused":
    case "tooManyLeases":
    case "tooManyLeaseKeys":
    case "versionMismatch":
    case "leaseLost":
    case "databaseNotFound":
    case "databasesChangeRefused":
      return new EtcdError("failedPrecondition", `kvraft: ${message}`);
    case "internal":
      return new EtcdError("unknown", `kvraft: ${message}`);
    default:
      return assertNever(code);
  }
}
