/** Validation of the commands of leases, and of what a put attaches its key to. */
import { type CommandProblem, firstProblem, invalid } from "../problems.ts";
import { assertNever } from "../../platform/assert.ts";
import { type LeaseCommand, MAX_KEEP_ALIVES, MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS } from "./lease_command.ts";

/** Returns the problem of a command apart from its session stamp, or null when it is valid. */
export function validateLeaseCommand(command: LeaseCommand): CommandProblem | null {
  switch (command.kind) {
    case "grantLease":
      return validateLeaseId(command.leaseId) ?? validateTtl(command.ttlMs);
    case "revokeLease":
      return validateLeaseId(command.leaseId);
    case "keepLeasesAlive": {
      const { length } = command.leaseIds;
      return length >= 1 && length <= MAX_KEEP_ALIVES
        ? firstProblem(command.leaseIds, validateLeaseId)
        : invalid(`Cannot keep ${length} leases alive at once: name from 1 to ${MAX_KEEP_ALIVES}.`);
    }
    case "deleteExpired":
      return Number.isSafeInteger(command.untilMs) && command.untilMs >= 0
        ? null
        : invalid(`Cannot delete keys that expire up to ${command.untilMs}: times are integers from 0 up.`);
    default:
      return assertNever(command);
  }
}

/** Returns the problem of the id of a lease, or null when it is valid. */
export function validateLeaseId(leaseId: number): CommandProblem | null {
  if (Number.isSafeInteger(leaseId) && leaseId >= 1) return null;
  return invalid(`Cannot use ${leaseId} as the id of a lease: ids are integers from 1 to 2^53 - 1.`);
}

/** Returns the problem of what a put attaches its key to, or null when it is valid. */
export function validateAttachment(
  { leaseId, expiresAtMs }: { readonly leaseId: number | null; readonly expiresAtMs: number | null },
): CommandProblem | null {
  const problem = leaseId === null ? null : validateLeaseId(leaseId);
  if (problem !== null || expiresAtMs === null) return problem;
  if (Number.isSafeInteger(expiresAtMs) && expiresAtMs >= 1) return null;
  return invalid(
    `Cannot have a key expire at ${expiresAtMs}: times are milliseconds since 1970, integers from 1 to 2^53 - 1.`,
  );
}

function validateTtl(ttlMs: number): CommandProblem | null {
  if (Number.isSafeInteger(ttlMs) && ttlMs >= MIN_LEASE_TTL_MS && ttlMs <= MAX_LEASE_TTL_MS) return null;
  return invalid(
    `Cannot grant a lease of ${ttlMs} ms: the time to live is an integer from ${MIN_LEASE_TTL_MS} ms (a second) ` +
      `to ${MAX_LEASE_TTL_MS} ms.`,
  );
}
