/** How long the linearizability checker takes for 100,000 operations of 32 clients: `deno task bench:check`. */
// deno-lint-ignore-file no-console -- a benchmark prints to its terminal
import { check } from "../../../lib/lincheck/mod.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { simulate, type Workload } from "../../unit/lincheck/simulated_store.ts";

/** The documented bound. */
const LIMITS = { now: () => performance.now(), timeMs: 60_000, configurations: 4_000_000 };

const BASE: Omit<Workload, "random"> = {
  operations: 100_000,
  clients: 32,
  keys: 100,
  values: null,
  unknown: 0.01,
  forgotten: 0,
  wide: 0,
  branching: 0,
  past: 0,
};

/** The variations; "wide" operations are transactions and listings, which order the keys relative to each other. */
const WORKLOADS: Readonly<Record<string, Partial<Workload>>> = {
  "100 keys": {},
  "100 keys, every outcome known": { unknown: 0 },
  "100 keys, no revisions": { forgotten: 1 },
  "100 keys, 10 % wide": { wide: 0.1 },
  "16 keys, 15 % wide": { keys: 16, wide: 0.15 },
  "10 keys, 10 % wide, 0.1 % unknown": { keys: 10, wide: 0.1, unknown: 0.001 },
  "10 keys, 10 % wide": { keys: 10, wide: 0.1 },
  "1 key": { keys: 1 },
};

console.log(
  "100,000 operations of 32 clients; 1 % of the writes of unknown outcome where nothing else is said",
);
for (const [name, differences] of Object.entries(WORKLOADS)) {
  const random = new SeededRandom(1);
  const history = simulate({ ...BASE, ...differences, random: () => random.next() });
  const start = performance.now();
  const { kind } = check(history, LIMITS);
  const seconds = (performance.now() - start) / 1_000;
  console.log(`${name.padEnd(34)} ${kind.padEnd(13)} ${seconds.toFixed(1).padStart(5)} s`);
}
