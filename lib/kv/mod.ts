/**
 * The key-value store as a deterministic state machine: the same log makes the same state on every node.
 *
 * `command.ts` defines commands and results (`branching_command.ts` the full form of transactions), `validate.ts`
 * validates them, `state_machine.ts` applies them to the keys (`store.ts`, which contains a paged store of `pages/`; the
 * full form is planned first, in `transaction_plan.ts`), each once per session and sequence number
 * (`sessions/`), and `record.ts` defines the records of the state in snapshots and hashes. The module is pure:
 * it has no clock or randomness, and no encodings but those of databases (`databases/`), whose values it calculates with. Users, roles and tokens are in `auth/`. Leases are in `leases/`; their keys are indexed in the paged store.
 */
export * from "./auth/auth_command.ts";
export { type AuthState, type AuthView, type Role, type Token, type User } from "./auth/auth_state.ts";
export * from "./auth/command_rights.ts";
export { type KeyRange, UserRights } from "./auth/user_rights.ts";
export type { AuthRecord } from "./auth/auth_records.ts";
export { compareGrants, compareNames, ownGrant, ownPassword } from "./auth/auth_values.ts";
export {
  grantedKeyBytes,
  validateAuthChange,
  validateAuthName,
  validateGrant,
  validatePasswordHash,
} from "./auth/validate_auth.ts";
export * from "./branching_command.ts";
export * from "./command.ts";
export * from "./databases/database_command.ts";
export * from "./databases/range_reads.ts";
export { describeWriteFailure } from "./databases/number_mutation.ts";
export { type AccessToken, type Database, databaseOf, isOpen, type Registry } from "./databases/registry.ts";
export {
  DATABASE_PREFIX_BYTES,
  databaseKey,
  databasePrefix,
  databaseRange,
  isReserved,
  keysBelowReserved,
  listingBelowReserved,
  REGISTRY_KEY,
  RESERVED_START,
} from "./databases/reserved_keys.ts";
export { readV8Number, type V8Number } from "./databases/v8_number.ts";
export { validateDatabaseName, validateDatabaseWrite } from "./databases/validate_databases.ts";
export * from "./databases/versionstamp.ts";
export { entryBytes } from "./outcomes.ts";
export { compareKeys, prefixEnd, successor } from "./keys.ts";
export {
  AUTH_LEVEL,
  BRANCHING_LEVEL,
  DATABASE_LEVEL,
  EMPTY_CHANGE_LEVEL,
  FEATURE_LEVEL,
  FIRST_FEATURE_LEVEL,
  HISTORY_LEVEL,
  isOfLevel,
  LEASE_LEVEL,
  NewerFeatureLevelError,
  WATCH_LEVEL,
} from "./feature_level.ts";
export * from "./leases/lease_command.ts";
export { LEASE_LIMITS, type LeaseLimits } from "./leases/leases.ts";
export { validateLeaseCommand, validateLeaseId } from "./leases/validate_leases.ts";
export type { AnswerRecord, HeaderRecord, KeyRecord, SessionRecord, StateRecord } from "./record.ts";
export type { TransactionResult, WriteResult } from "./record.ts";
export type { StructureFigures } from "./pages/check_store.ts";
export type { EventReader } from "./pages/event_reader.ts";
export { StoreLoadError } from "./pages/store_loader.ts";
export { SESSION_LIMITS, type SessionLimits } from "./sessions/session_table.ts";
export { StateMachine } from "./state_machine.ts";
export type { Readability } from "./store.ts";
export type { Restoring, StateMachineOptions, StateView } from "./state_records.ts";
export {
  keepsStoreLimits,
  validateCommand,
  validateHistoryQuery,
  validateKey,
  validateKeyLength,
  validateListQuery,
  validateRevision,
} from "./validate.ts";
export type { CommandLimits, CommandProblem } from "./validate.ts";
export { validateWatch } from "./validate_watch.ts";
export { type ScanPage, type ScanQuery, validateScan } from "./scan.ts";
export { sizeOfBranches } from "./validate_branches.ts";
