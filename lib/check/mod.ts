/**
 * Checks whether what clients saw of a store is linearizable, and says where it is not.
 *
 * `history.ts` is what was recorded; `checker.ts` cuts it into components, searches each for an order (`search.ts`), puts
 * the orders together and replays them (`store.ts`). The answer is exact or "undecided": bounds of time and memory never
 * make it guess.
 *
 * Left out: a page that draws a history; a violation names the operation, the states that were possible and the order
 * before it, which is what a caller shows.
 *
 * @module
 */
export * from "./history.ts";
export { check, CHECK_LIMITS } from "./checker.ts";
export type { CheckLimits } from "./budget.ts";
export type { KeyState } from "./model.ts";
export { replay, type ReplayFailure, type Turn } from "./store.ts";
export type * from "./verdict.ts";
