/** Faults of random_network.ts: each seed disables some of them, so that the others combine. */
import type { SeededRandom } from "../seeded_random.ts";

/** The enabled faults of a run (swarm testing). */
export interface RaftFaults {
  readonly loss: number;
  readonly repetition: number;
  readonly reordering: boolean;
  readonly cuts: boolean;
  readonly crashes: boolean;
  readonly slowDisks: boolean;
  readonly transfers: boolean;
  readonly snapshots: boolean;
  readonly changes: boolean;
}

/** The faults of a run. */
export function drawRaftFaults(random: SeededRandom): RaftFaults {
  return {
    loss: random.pick([0, 0.05, 0.3]),
    repetition: random.pick([0, 0.1, 0.4]),
    reordering: random.chance(0.5),
    cuts: random.chance(0.5),
    crashes: random.chance(0.6),
    slowDisks: random.chance(0.5),
    transfers: random.chance(0.5),
    snapshots: random.chance(0.7),
    changes: random.chance(0.7),
  };
}
