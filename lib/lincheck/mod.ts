/**
 * Checks whether what clients saw of a store is linearizable, and says where it is not.
 *
 * `history.ts` is what was recorded; `checker.ts` cuts it into components, searches each for an order (`search.ts`), puts
 * the orders together and replays them (`store.ts`). The answer is exact or "undecided": bounds of time and memory never
 * make it guess.
 *
 * `page.ts` shows a violation to people: the answers, the possible states, and a picture.
 *
 * `watches/check_watches.ts` checks what watchers of keys saw, together with the history.
 *
 * @module
 */
export * from "./history.ts";
export * from "./transactions/transaction.ts";
export { check, CHECK_LIMITS } from "./checker.ts";
export type { CheckLimits } from "./search_memory.ts";
export type { Condition, KeyState } from "./model.ts";
export { type PageOptions, violationPage } from "./page.ts";
export { replay, type ReplayFailure, type Turn } from "./store.ts";
export type * from "./verdict.ts";
export type * from "./watches/findings.ts";
export { checkWatches } from "./watches/check_watches.ts";
export { watchViolationPage } from "./watches/page.ts";
export type * from "./watches/record.ts";
export { findingText } from "./watches/words.ts";
