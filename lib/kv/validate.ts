/**
 * What a request must satisfy before it may enter the log, or be read for: the same rules in the client, so that an
 * error costs no round trip, and at the server's door, which trusts nobody.
 *
 * What is applied is held against the fixed limits alone ({@link keepsStoreLimits}): a setting may be another tomorrow,
 * and the log must still mean what it meant.
 */
import type { Check, Command, ListQuery, Mutation, RegisterSession, Transaction } from "./command.ts";
import {
  MAX_COMMAND_BYTES,
  MAX_KEY_BYTES,
  MAX_LIST_ENTRIES,
  MAX_TRANSACTION_OPERATIONS,
  MAX_VALUE_BYTES,
} from "./command.ts";
import { assertNever } from "../platform/assert.ts";
import { keyText } from "./keys.ts";
import { stampProblem } from "./session.ts";

/** What is wrong with a request. */
export interface CommandProblem {
  /** The code under which a client gets it. */
  readonly kind: "keyTooLarge" | "valueTooLarge" | "invalidRequest";
  /** A sentence for a person. */
  readonly message: string;
}

/** Bounds that a server may set. */
export interface CommandLimits {
  /** Bytes of a value that may be put; at most MAX_VALUE_BYTES. */
  readonly maxValueBytes: number;
}

/** Bytes that a command's own fields, and those of each of its operations, take at most when encoded. */
const COMMAND_OVERHEAD_BYTES = 64;
const OPERATION_OVERHEAD_BYTES = 32;

/**
 * Why a client may not send this command, or null when it may.
 *
 * @example
 * ```ts
 * import { validateCommand } from "./validate.ts";
 * const key = new Uint8Array(5000);
 * validateCommand(
 *   { kind: "transaction", session: null, checks: [], mutations: [{ kind: "delete", key }] },
 *   { maxValueBytes: 1_048_576 },
 * ); // { kind: "keyTooLarge", message: "Cannot use a key of 5000 bytes: at most 4096 are allowed." }
 * ```
 */
export function validateCommand(command: Command, limits: CommandLimits): CommandProblem | null {
  switch (command.kind) {
    case "transaction":
      return validateTransaction(command, limits);
    case "registerSession":
      return validateRegistration(command);
    case "expireSessions":
      return invalid("Cannot let sessions expire: only the leader itself says that time has passed.");
    default:
      return assertNever(command);
  }
}

/**
 * Whether a command of the log keeps the store's own limits, whatever a server's settings were. Every leader asks more of
 * its clients (see {@link validateCommand}), so only the entry of a faulty or hostile node fails here. This is a rule of
 * the log: every node must judge alike, and an old log must go on meaning what it meant.
 */
export function keepsStoreLimits(command: Command): boolean {
  return command.kind !== "transaction" ||
    validateTransaction(command, { maxValueBytes: MAX_VALUE_BYTES }) === null;
}

/** Why this key can't be one, or null when it can. */
export function validateKey(key: Uint8Array): CommandProblem | null {
  if (key.length === 0) return invalid("Cannot use an empty key: give at least one byte.");
  return validateKeyLength(key);
}

/** Why this listing can't be made, or null when it can. */
export function validateListQuery(query: ListQuery): CommandProblem | null {
  const { limit } = query;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIST_ENTRIES) {
    return invalid(
      `Cannot list ${limit} entries a page: the limit is an integer from 1 to ${MAX_LIST_ENTRIES}.`,
    );
  }
  const bounds = [query.prefix, query.start, query.end, query.after];
  return firstProblem(bounds, (bound) => bound === null ? null : validateKeyLength(bound));
}

function validateTransaction(transaction: Transaction, limits: CommandLimits): CommandProblem | null {
  const { session, checks, mutations } = transaction;
  const operations = checks.length + mutations.length;
  if (mutations.length === 0) {
    return invalid("Cannot apply a transaction without a mutation: add a put or a delete.");
  }
  if (operations > MAX_TRANSACTION_OPERATIONS) {
    return invalid(
      `Cannot apply a transaction of ${operations} operations: ` +
        `at most ${MAX_TRANSACTION_OPERATIONS} checks and mutations are allowed.`,
    );
  }
  const problem = firstProblem(checks, validateCheck) ??
    firstProblem(mutations, (mutation) => validateMutation(mutation, limits));
  if (problem !== null) return problem;
  if (mutations.length > 1 && new Set(mutations.map(({ key }) => keyText(key))).size < mutations.length) {
    return invalid("Cannot change a key twice in one transaction: keep one of the mutations.");
  }
  const bytes = encodedBytesBound(transaction);
  if (bytes > MAX_COMMAND_BYTES) {
    return invalid(
      `Cannot apply a transaction of about ${bytes} bytes: ` +
        `at most ${MAX_COMMAND_BYTES} are allowed. Split it into smaller ones.`,
    );
  }
  const wrongStamp = session === null ? null : stampProblem(session);
  return wrongStamp === null ? null : invalid(`Cannot apply a write with this session stamp: ${wrongStamp}.`);
}

function validateRegistration({ sessionId, openedAt }: RegisterSession): CommandProblem | null {
  const problem = stampProblem({ sessionId, openedAt, sequence: 1, acknowledgedBelow: 1 });
  return problem === null ? null : invalid(`Cannot register a session: ${problem}.`);
}

function validateCheck(check: Check): CommandProblem | null {
  const problem = validateKey(check.key);
  if (problem !== null) return problem;
  switch (check.kind) {
    case "modRevision":
      return Number.isSafeInteger(check.modRevision) && check.modRevision >= 0
        ? null
        : invalid(`Cannot compare with revision ${check.modRevision}: revisions are integers from 0 up.`);
    case "exists":
      return null;
    case "value":
      // Not the configured bound: the value to compare with may have been put when that was higher.
      return validateValueLength(check.value, MAX_VALUE_BYTES);
    default:
      return assertNever(check);
  }
}

function validateMutation(mutation: Mutation, limits: CommandLimits): CommandProblem | null {
  const problem = validateKey(mutation.key);
  if (problem !== null) return problem;
  switch (mutation.kind) {
    case "put":
      return validateValueLength(mutation.value, limits.maxValueBytes);
    case "delete":
      return null;
    default:
      return assertNever(mutation);
  }
}

function validateKeyLength(key: Uint8Array): CommandProblem | null {
  if (key.length <= MAX_KEY_BYTES) return null;
  const message = `Cannot use a key of ${key.length} bytes: at most ${MAX_KEY_BYTES} are allowed.`;
  return { kind: "keyTooLarge", message };
}

function validateValueLength(value: Uint8Array, maxValueBytes: number): CommandProblem | null {
  if (value.length <= maxValueBytes) return null;
  const message = `Cannot use a value of ${value.length} bytes: at most ${maxValueBytes} are allowed.`;
  return { kind: "valueTooLarge", message };
}

/** No encoding that this version makes of the transaction is longer than this. */
function encodedBytesBound({ checks, mutations }: Transaction): number {
  let bytes = COMMAND_OVERHEAD_BYTES;
  for (const operation of [...checks, ...mutations]) {
    const valueBytes = "value" in operation ? operation.value.length : 0;
    bytes += OPERATION_OVERHEAD_BYTES + operation.key.length + valueBytes;
  }
  return bytes;
}

function firstProblem<T>(
  items: readonly T[],
  validate: (item: T) => CommandProblem | null,
): CommandProblem | null {
  for (const item of items) {
    const problem = validate(item);
    if (problem !== null) return problem;
  }
  return null;
}

function invalid(message: string): CommandProblem {
  return { kind: "invalidRequest", message };
}
