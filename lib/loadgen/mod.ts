/**
 * Load on a store, and how long the store took: what `client bench` runs, and what the side-by-side run of
 * tests/bench puts on every peer alike, so that all of them are measured by the same code.
 *
 * `generator.ts` keeps requests in flight and times them, `histogram.ts` keeps the times, `keys.ts` chooses keys,
 * `generator_cost.ts` finds out whether the generator itself was the bottleneck. `workload.ts` runs the clients of
 * `client check`; `requests.ts` chooses their operations, `perform.ts` carries one out, `branches.ts` those
 * with branches, `figures.ts` counts the outcomes. `watching/` has watchers and leases beside such a workload.
 *
 * Not here: whether answers are right (lib/lincheck checks that), and how to reach a store: the caller passes a
 * {@link Target}.
 *
 * @module
 */
export * from "./figures.ts";
export * from "./generator.ts";
export * from "./generator_cost.ts";
export * from "./histogram.ts";
export * from "./keys.ts";
export * from "./perform.ts";
export * from "./texts.ts";
export { drawBranches, performBranches } from "./branches.ts";
export {
  DEFAULT_MIX,
  isWrite,
  MAX_KEYS,
  MAX_PREFIX_BYTES,
  type Mix,
  OPERATION_KINDS,
  type OperationKind,
  SeenKeys,
} from "./requests.ts";
export * from "./watching/watched_workload.ts";
export type { WatchClient } from "./watching/watchers.ts";
export * from "./workload.ts";
