/**
 * The key-value store as a deterministic state machine: the same log makes the same state on every node.
 *
 * `command.ts` says what may be asked and what is answered, `validate.ts` what is let in, `state_machine.ts` applies it
 * to the keys (`store.ts`, whose values lie in the slabs of `value_slabs.ts`) once per session and sequence number
 * (`session_table.ts`), and `record.ts` is the state as a snapshot or a hash sees it. The room is pure: it knows no
 * bytes on a wire or a disk, no clock and no chance.
 *
 * Left out, and why:
 * - older versions of a key: reads are of the present, and a snapshot view is consistent for as long as it is held;
 * - leases and expiring keys: they will be mutations of their own, driven by log time as sessions are;
 * - reading in a transaction: a failed check answers with the key as it stands, which is what retry loops need.
 */
export * from "./command.ts";
export type { AnswerRecord, HeaderRecord, KeyRecord, SessionRecord, StateRecord } from "./record.ts";
export type { TransactionResult } from "./record.ts";
export { SESSION_LIMITS, type SessionLimits } from "./session_table.ts";
export { type Restoring, StateMachine, type StateMachineOptions, type StateView } from "./state_machine.ts";
export { keepsStoreLimits, validateCommand, validateKey, validateListQuery } from "./validate.ts";
export type { CommandLimits, CommandProblem } from "./validate.ts";
