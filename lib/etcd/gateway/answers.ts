/** Answers of the gateway: HTTP statuses, bodies of failures, and the header fields of CORS. */
import { assertNever } from "../../platform/assert.ts";
import type { EtcdError, StatusName } from "../rpc/status.ts";
import type { WebHeaders } from "../../web/mod.ts";

/** Header fields by which pages of any origin may read answers, as etcd sends them by default. */
export const CORS_HEADERS: WebHeaders = {
  "access-control-allow-headers": "accept, content-type, authorization",
  "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
  "access-control-allow-origin": "*",
};

/** Header fields of an answer in JSON. */
export const JSON_HEADERS: WebHeaders = { "content-type": "application/json", ...CORS_HEADERS };

/** Returns the body of a failure. Clients of etcd 3.4 and older read `error`, which newer servers do not send. */
export function failureOf({ code, message }: EtcdError): string {
  return JSON.stringify({ code, message, error: message });
}

/** Returns the last line of a stream that has failed. */
export function streamFailureOf({ code, message }: EtcdError): string {
  return `${JSON.stringify({ error: { code, message } })}\n`;
}

/** Returns the HTTP status of a failure, by the table of the gRPC gateway. */
export function httpStatusOf(status: StatusName): number {
  switch (status) {
    case "ok":
      return 200;
    case "cancelled":
      return 499;
    case "invalidArgument":
    case "failedPrecondition":
    case "outOfRange":
      return 400;
    case "unauthenticated":
      return 401;
    case "permissionDenied":
      return 403;
    case "notFound":
      return 404;
    case "alreadyExists":
    case "aborted":
      return 409;
    case "resourceExhausted":
      return 429;
    case "unimplemented":
      return 501;
    case "unavailable":
      return 503;
    case "deadlineExceeded":
      return 504;
    case "unknown":
    case "internal":
    case "dataLoss":
      return 500;
    default:
      return assertNever(status);
  }
}
