/**
 * Ambushes: faults that strike a node in a rare state. Random timing would seldom strike in the middle of a snapshot
 * transfer, or between the two entries of a membership change.
 */
import type { RareState } from "./coverage.ts";
import type { Fault, FaultKind } from "./plan.ts";
import type { EndOfFault } from "./strike.ts";
import type { Simulation } from "./simulation.ts";

/** Strikes a node. */
export type Ambush = (node: number) => void;

/** The rare states that an ambush waits for. */
const OCCASIONS: readonly RareState[] = [
  "snapshotsBegun",
  "snapshotsTaken",
  "snapshotsSent",
  "snapshotPieces",
  "snapshotPieces",
  "snapshotsReceived",
  "snapshotsReceived",
  "snapshotsInstalled",
  "statesRestored",
  "jointsEntered",
  "jointsEntered",
  "jointsEntered",
  "learnersPromoted",
  "removedLeadersSteppedDown",
];

/** The faults that follow. */
const BLOWS: readonly FaultKind[] = [
  "kill",
  "powerLoss",
  "powerLossOfAll",
  "deathInDiskOperation",
  "deathInDiskOperation",
  "isolation",
  "isolation",
  "muteness",
  "pause",
  "transfer",
];

/** A rare state, the fault that follows it, and the delay between them. */
export interface Blow {
  readonly occasion: RareState;
  readonly kind: FaultKind;
  readonly delayMs: number;
}

/** Numbers in [0, 1) that the fault decides. */
function drawOf({ chance }: Fault): (salt: number) => number {
  return (salt) => (chance * 1_000 * salt) % 1;
}

function drawBlow({ plan }: Simulation, fault: Fault): Blow {
  const draw = drawOf(fault);
  return {
    occasion: OCCASIONS[Math.floor(draw(1) * OCCASIONS.length)] ?? "snapshotsSent",
    kind: BLOWS[Math.floor(draw(7) * BLOWS.length)] ?? "kill",
    delayMs: draw(3) < 0.5 ? 0 : draw(11) * (plan.latencyMs + plan.syncMs),
  };
}

/** Prepares an ambush; its end removes it, and ends its fault if that has begun. */
export function ambush(
  simulation: Simulation,
  fault: Fault & { readonly strike: (blow: Fault) => EndOfFault },
  { occasion, kind, delayMs }: Blow = drawBlow(simulation, fault),
): EndOfFault {
  const { scheduler, plan, coverage } = simulation;
  const draw = drawOf(fault);
  let end: EndOfFault | null = null;
  let isOver = false;
  const strike = (node: number): void => {
    scheduler.after(delayMs, null, () => {
      if (isOver) return;
      simulation.trace(() => `ambush at ${occasion}: ${kind} of n${node}`);
      coverage.count("ambushes");
      end = fault.strike({ ...fault, kind, target: node, chance: draw(13) });
      // A random delay as above, short enough that the run does not wait for it.
      scheduler.after(plan.electionTimeoutMs * (0.2 + 4 * draw(17)), null, stop);
    });
  };
  const stop = (): void => {
    end?.();
    end = null;
  };
  simulation.ambushes.set(strike, occasion);
  return () => {
    isOver = true;
    simulation.ambushes.delete(strike);
    stop();
  };
}
