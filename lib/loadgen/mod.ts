/**
 * Load on a store, and how long the store took: what `client bench` runs, and what the side-by-side run of
 * tests/bench puts on every peer alike, so that all of them are measured with the same ruler.
 *
 * `generator.ts` keeps requests under way and times them, `histogram.ts` keeps the times, `keys.ts` chooses keys,
 * `load_meter.ts` tells whether the generator itself was the bound.
 *
 * Left out: whether answers are right (lib/lincheck judges that), and how to reach a store: a {@link Target} is handed in.
 *
 * @module
 */
export * from "./generator.ts";
export * from "./histogram.ts";
export * from "./keys.ts";
export * from "./load_meter.ts";
export * from "./figures.ts";
export * from "./mix.ts";
export { type Ended, perform, type Request, type WorkloadClient } from "./perform.ts";
export * from "./random.ts";
export { MAX_KEYS, MAX_PREFIX_BYTES } from "./requests.ts";
export * from "./text.ts";
export * from "./workload.ts";
