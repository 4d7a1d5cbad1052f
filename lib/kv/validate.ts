/**
 * Validation of requests. The client validates so that an error costs no round trip; the server validates again, since it
 * does not trust clients.
 *
 * Applied commands are validated against the fixed limits alone ({@link keepsStoreLimits}): settings may change, and
 * applying an old log must always give the same state.
 */
import {
  type Check,
  type Command,
  type HistoryQuery,
  type ListQuery,
  MAX_COMMAND_BYTES,
  MAX_LIST_ENTRIES,
  MAX_TRANSACTION_OPERATIONS,
  MAX_VALUE_BYTES,
  type Mutation,
  type PlainCommand,
  type RegisterSession,
  type SessionStamp,
  type Transaction,
  unwrapped,
  writtenValue,
} from "./command.ts";
import { assertNever } from "../platform/assert.ts";
import { validateAuthChange } from "./auth/validate_auth.ts";
import type { BranchingTransaction } from "./branching_command.ts";
import { changesReservedKeys } from "./databases/reserved_keys.ts";
import { validateDatabasesChange, validateDatabaseWrite } from "./databases/validate_databases.ts";
import { keyText } from "./keys.ts";
import { validateAttachment, validateLeaseCommand } from "./leases/validate_leases.ts";
import {
  type CommandLimits,
  type CommandProblem,
  firstProblem,
  invalid,
  validateKey,
  validateKeyLength,
  validateValueLength,
} from "./problems.ts";
import { sizeOfBranches, validateBranches } from "./validate_branches.ts";
import { stampProblem } from "./sessions/session.ts";

export { type CommandLimits, type CommandProblem, validateKey, validateKeyLength } from "./problems.ts";

/** Maximum encoded bytes of a command's own fields, and of each operation's fields besides key and value. */
const COMMAND_OVERHEAD_BYTES = 64;
const OPERATION_OVERHEAD_BYTES = 32;

/**
 * Returns the problem of a command of a client, or null when it is valid.
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
export function validateCommand(given: Command, limits: CommandLimits): CommandProblem | null {
  const command = unwrapped(given);
  switch (command.kind) {
    case "transaction":
      return validateTransaction(command, limits) ?? validateKeysOutside(command);
    case "branchingTransaction":
      return validateBranchingTransaction(command, limits) ?? validateKeysOutside(command);
    case "registerSession":
      return validateRegistration(command);
    case "expireSessions":
      return invalid("Cannot expire sessions: only the leader advances the store's clock.");
    case "raiseFeatureLevel":
      return invalid("Cannot raise the feature level: only the leader does.");
    case "compact":
      return validateRevision(command.revision);
    case "grantLease":
    case "revokeLease":
      return validateLeaseCommand(command) ?? validateStamp(command.session);
    case "keepLeasesAlive":
      return validateLeaseCommand(command);
    case "deleteExpired":
      return invalid("Cannot delete expired keys: only the leader does.");
    case "changeAuth":
      return validateAuthChange(command.change) ?? validateStamp(command.session);
    case "databaseWrite":
      return validateDatabaseWrite(command, limits) ?? validateStamp(command.session);
    case "changeDatabases":
      return validateDatabasesChange(command.change) ?? validateStamp(command.session);
    default:
      return assertNever(command);
  }
}

/**
 * Whether a command of the log keeps the store's fixed limits, which do not depend on settings. Every leader validates its
 * clients' commands (see {@link validateCommand}), so only an entry of a faulty or hostile node fails here. All replicas
 * must decide alike, so this rule never changes.
 */
export function keepsStoreLimits(given: Command): boolean {
  const command = unwrapped(given);
  switch (command.kind) {
    case "transaction":
      return validateTransaction(command, { maxValueBytes: MAX_VALUE_BYTES }) === null;
    case "branchingTransaction":
      return validateBranchingTransaction(command, { maxValueBytes: MAX_VALUE_BYTES }) === null;
    case "registerSession":
    case "expireSessions":
    case "raiseFeatureLevel":
    case "compact":
      return true;
    case "grantLease":
    case "revokeLease":
    case "keepLeasesAlive":
    case "deleteExpired":
      return validateLeaseCommand(command) === null;
    case "changeAuth":
      return validateAuthChange(command.change) === null;
    case "databaseWrite":
      return validateDatabaseWrite(command, { maxValueBytes: MAX_VALUE_BYTES }) === null;
    case "changeDatabases":
      return validateDatabasesChange(command.change) === null;
    default:
      return assertNever(command);
  }
}

/** Returns the problem of a listing, or null when it is valid. */
export function validateListQuery(query: ListQuery): CommandProblem | null {
  const bounds = [query.prefix, query.start, query.end, query.after];
  return validateLimit(query.limit) ??
    firstProblem(bounds, (bound) => bound === null ? null : validateKeyLength(bound));
}

/** Returns the problem of a read of a key's history, or null when it is valid. */
export function validateHistoryQuery({ key, limit, before }: HistoryQuery): CommandProblem | null {
  const problem = validateKey(key) ?? validateLimit(limit);
  if (problem !== null || before === null) return problem;
  if (before === 0) return invalid("Cannot read the history before revision 0: no version is older.");
  return validateRevision(before);
}

/** Returns the problem of a revision that a client sends, or null when it is valid. */
export function validateRevision(revision: number): CommandProblem | null {
  if (Number.isSafeInteger(revision) && revision >= 0) return null;
  return invalid(`Cannot use ${revision} as a revision: revisions are integers from 0 up.`);
}

/** Returns the problem of an ordinary command that would change reserved keys. */
function validateKeysOutside(command: PlainCommand): CommandProblem | null {
  if (!changesReservedKeys(command)) return null;
  return invalid("Cannot change keys that begin with eight bytes 255: they are reserved for databases.");
}

function validateLimit(limit: number): CommandProblem | null {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_LIST_ENTRIES) return null;
  return invalid(
    `Cannot list ${limit} entries a page: the limit is an integer from 1 to ${MAX_LIST_ENTRIES}.`,
  );
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
  // Loops without a function for each write: every node validates every write.
  for (const check of checks) {
    const problem = validateCheck(check);
    if (problem !== null) return problem;
  }
  for (const mutation of mutations) {
    const problem = validateMutation(mutation, limits);
    if (problem !== null) return problem;
  }
  if (mutations.length > 1 && new Set(mutations.map(({ key }) => keyText(key))).size < mutations.length) {
    return invalid("Cannot change a key twice in one transaction: keep one of the mutations.");
  }
  return validateSize(encodedBytesBound(transaction)) ?? validateStamp(session);
}

function validateBranchingTransaction(
  transaction: BranchingTransaction,
  limits: CommandLimits,
): CommandProblem | null {
  const problem = validateBranches(transaction, limits);
  if (problem !== null) return problem;
  const { bytes, parts } = sizeOfBranches(transaction);
  return validateSize(COMMAND_OVERHEAD_BYTES + parts * OPERATION_OVERHEAD_BYTES + bytes) ??
    validateStamp(transaction.session);
}

/** Returns the problem of a transaction that is encoded as `bytes` at most. */
function validateSize(bytes: number): CommandProblem | null {
  if (bytes <= MAX_COMMAND_BYTES) return null;
  return invalid(
    `Cannot apply a transaction of about ${bytes} bytes: ` +
      `at most ${MAX_COMMAND_BYTES} are allowed. Split it into smaller ones.`,
  );
}

function validateStamp(session: SessionStamp | null): CommandProblem | null {
  const problem = session === null ? null : stampProblem(session);
  return problem === null ? null : invalid(`Cannot apply a write with this session stamp: ${problem}.`);
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
      // Not the configured limit: the compared value may have been written when that was higher.
      return validateValueLength(check.value, MAX_VALUE_BYTES);
    default:
      return assertNever(check);
  }
}

function validateMutation(mutation: Mutation, limits: CommandLimits): CommandProblem | null {
  const value = writtenValue(mutation);
  const problem = validateKey(mutation.key) ??
    (value === null ? null : validateValueLength(value, limits.maxValueBytes));
  if (problem !== null || mutation.kind !== "expiringPut") return problem;
  if (mutation.leaseId === null && mutation.expiresAtMs === null) {
    return invalid("Cannot use an expiring put without a lease and a time: use a put.");
  }
  return validateAttachment(mutation);
}

/** Returns an upper bound on the bytes of the encoded transaction. */
function encodedBytesBound({ checks, mutations }: Transaction): number {
  let bytes = COMMAND_OVERHEAD_BYTES;
  for (const check of checks) {
    bytes += OPERATION_OVERHEAD_BYTES + check.key.length + (check.kind === "value" ? check.value.length : 0);
  }
  for (const mutation of mutations) {
    bytes += OPERATION_OVERHEAD_BYTES + mutation.key.length + (writtenValue(mutation)?.length ?? 0);
  }
  return bytes;
}
