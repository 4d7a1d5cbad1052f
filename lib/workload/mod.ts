/**
 * Clients at work on a store, and an account of what they did and were told: what lib/check judges.
 *
 * `requests.ts` decides what to do (pure: chance is handed in), `perform.ts` does it, `workload.ts` runs the clients
 * and keeps the history, `figures.ts` counts. Who disturbs the store meanwhile is none of its business: a user does,
 * or a test.
 *
 * Left out: measuring how fast a store is (lib/bench does). Each client waits for one answer before it goes on, which is what a
 * history needs and a benchmark does not.
 *
 * @module
 */
export * from "./figures.ts";
export * from "./mix.ts";
export { type Ended, perform, type Request, type WorkloadClient } from "./perform.ts";
export * from "./random.ts";
export { MAX_KEYS, MAX_PREFIX_BYTES } from "./requests.ts";
export * from "./text.ts";
export * from "./workload.ts";
