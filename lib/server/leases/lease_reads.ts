/** Reads of leases: one with its keys, or a page of all. The time that is left is estimated from this node's clock. */
import { assertNever } from "../../platform/assert.ts";
import {
  type CommandProblem,
  type LeaseState,
  MAX_LIST_ENTRIES,
  type StateMachine,
  validateKeyLength,
  validateLeaseId,
} from "../../kv/mod.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import type { ReadSize } from "../read_scheduler.ts";

/** The requests that read leases. */
export type LeaseRead = RequestFrame<"lease" | "listLeases">;

/** The state that is read, with the log's time as this node estimates it. */
export interface LeaseReadState {
  readonly stateMachine: StateMachine;
  readonly logTimeMs: number;
}

/** Returns the problem of a read, or null when it is valid. */
export function validateLeaseRead(request: LeaseRead): CommandProblem | null {
  switch (request.kind) {
    case "lease":
      return validateLeaseId(request.leaseId) ??
        (request.after === null ? null : validateKeyLength(request.after));
    case "listLeases":
      return request.limit >= 1 && request.limit <= MAX_LIST_ENTRIES ? null : {
        kind: "invalidRequest",
        message: `Cannot list ${request.limit} leases: the limit is from 1 to ${MAX_LIST_ENTRIES}.`,
      };
    default:
      return assertNever(request);
  }
}

/** Returns the answer to a read, and its size. */
export function answerLeaseRead(
  request: LeaseRead,
  { stateMachine, logTimeMs }: LeaseReadState,
): { readonly answer: ServerFrame<"leaseResult" | "leasesResult">; readonly size: ReadSize } {
  const { requestId } = request;
  const { revision } = stateMachine;
  switch (request.kind) {
    case "lease": {
      const { leaseId, after } = request;
      const found = stateMachine.lease(leaseId);
      const { keys, more } = found === null || !request.keys
        ? { keys: [], more: false }
        : stateMachine.leaseKeys(leaseId, { after, limit: MAX_LIST_ENTRIES });
      const lease = found === null ? null : { ...remaining(found, logTimeMs), keys, more };
      const bytes = keys.reduce((sum, key) => sum + key.length, 0);
      const answer = { kind: "leaseResult", requestId, lease, revision } as const;
      return { answer, size: { entries: keys.length, bytes, looked: 0 } };
    }
    case "listLeases": {
      const { leases: found, more } = stateMachine.leases(request);
      const leases = found.map((lease) => remaining(lease, logTimeMs));
      const answer = { kind: "leasesResult", requestId, leases, more, revision } as const;
      return { answer, size: { entries: leases.length, bytes: 0, looked: 0 } };
    }
    default:
      return assertNever(request);
  }
}

function remaining(
  { leaseId, ttlMs, deadlineMs, keyCount }: LeaseState,
  logTimeMs: number,
): {
  readonly leaseId: number;
  readonly ttlMs: number;
  readonly remainingMs: number;
  readonly keyCount: number;
} {
  return { leaseId, ttlMs, remainingMs: Math.max(0, deadlineMs - logTimeMs), keyCount };
}
