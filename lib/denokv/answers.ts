/**
 * The answers of the data path, and the statuses of failures. Deno's client repeats a request without end after any 5xx,
 * npm's ten times, and neither after a 4xx. So 503 is for what passes and has certainly changed nothing; anything else is 4xx.
 */
import type { KvraftError, KvraftErrorCode } from "../client/errors.ts";
import { isTransient, reasonOf } from "../client/retry.ts";
import type { WebResponse } from "../web/mod.ts";

const PROTOBUF_HEADERS = { "content-type": "application/x-protobuf" };
const TEXT_HEADERS = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };

/** The answer to a write. */
export interface WriteAnswer {
  readonly response: WebResponse;
  /** Whether the write was made, or may have been: the same write must not be made again. */
  readonly wasApplied: boolean;
}

/** Returns the response with a protobuf message. */
export function protobuf(body: Uint8Array): WebResponse {
  return { status: 200, headers: PROTOBUF_HEADERS, body };
}

/** Returns the response of a failure, with its cause for the users of the client. */
export function failure(status: number, message: string): WebResponse {
  return { status, headers: TEXT_HEADERS, body: message };
}

/** Errors that pass, besides those of {@link isTransient}: the client is closed when its front end stops. */
const PASSING_CODES: readonly KvraftErrorCode[] = ["closed", "aborted", "tooManyWatches"];

/** Returns the response for an error of the store. */
export function failureOf(error: KvraftError): WebResponse {
  return failure(statusOf(error), reasonOf(error.message));
}

function statusOf(error: KvraftError): number {
  const { code, outcome } = error;
  // A write that may have been made must not be made again.
  if (outcome !== "not-applied") return 409;
  if (isTransient(error) || PASSING_CODES.includes(code) || isOfOlderNodes(error)) return 503;
  if (code === "authentication") return 401;
  return code === "permissionDenied" ? 403 : 400;
}

/** Whether a request is refused while nodes of an older version are replaced. Nodes have no code of its own for that. */
function isOfOlderNodes({ message }: KvraftError): boolean {
  return /every node [a-z ]*must run kvraft/.test(message);
}
