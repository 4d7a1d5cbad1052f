/** Makes random programs: the same seed makes the same program. */
import { hostileSteps } from "./hostile.ts";
import { Choices, kvStep, prelude } from "./requests.ts";
import type { Program } from "./step.ts";
import { watchProgram } from "./watches.ts";

const MIN_STEPS = 15;
const MORE_STEPS = 30;

/** Returns the program of a seed. */
export function programOf(seed: number): Program {
  const choices = new Choices(seed);
  const { random } = choices;
  const kind = random.below(10);
  const length = MIN_STEPS + random.below(MORE_STEPS);
  const first = random.chance(0.8) ? prelude(choices) : [];
  if (kind < 3) return [...first, ...watchProgram(choices, length)];
  const steps = Array.from({ length }, () => kvStep(choices));
  return [...first, ...(kind === 3 ? hostileSteps(choices) : []), ...steps];
}
