/** Compares the outcomes of the same programs on two databases, and shortens a program whose outcomes differ. */
import { answersOf } from "./answers.ts";
import { type ProgramKind, programOf } from "./generator.ts";
import { stepText } from "./step.ts";

/** A database to compare. */
export interface Compared {
  readonly name: string;
  /** The argument of `Deno.openKv`. */
  readonly database: string;
  /** Whether a commit that fails changes nothing: see RunnerOptions. */
  readonly isAllOrNothing: boolean;
}

/** Deno's own database, in memory. */
export const LOCAL: Compared = { name: "Deno", database: ":memory:", isAllOrNothing: false };

/** Programs to run. */
export interface Selection extends ProgramKind {
  readonly seeds: readonly number[];
  /** Positions of the only steps to run. Default all. */
  readonly kept?: readonly number[];
}

/** A program whose outcomes differ. */
export interface Difference extends ProgramKind {
  readonly seed: number;
  /** Positions of the steps that were run. */
  readonly kept: readonly number[];
  /** Position, among those, of the first step whose outcomes differ. */
  readonly step: number;
  readonly outcomes: readonly [string, string];
}

/** Two databases. */
export type Pair = readonly [Compared, Compared];

/** Returns the first difference of every program whose outcomes are not equal. */
export async function differencesBetween(
  pair: Pair,
  { seeds, isAlone, kept }: Selection,
): Promise<readonly Difference[]> {
  const [first, second] = await Promise.all(
    pair.map(({ database, isAllOrNothing }) =>
      answersOf({ database, seeds, isAlone, kept: kept ?? null, isAllOrNothing })
    ),
  );
  return seeds.flatMap((seed) => {
    const [left, right] = [first?.get(seed) ?? [], second?.get(seed) ?? []];
    const steps = kept ?? programOf(seed, { isAlone }).map((_, position) => position);
    const step = steps.findIndex((_, position) => left[position] !== right[position]);
    if (step < 0) return [];
    const outcomes = [left[step] ?? "none", right[step] ?? "none"] as const;
    return [{ seed, isAlone, kept: steps, step, outcomes }];
  });
}

/** Leaves out the steps that the difference does not need. */
export async function shortened(difference: Difference, pair: Pair): Promise<Difference> {
  const { seed, isAlone } = difference;
  let least: Difference = { ...difference, kept: difference.kept.slice(0, difference.step + 1) };
  for (const position of least.kept.toReversed()) {
    const kept = least.kept.filter((one) => one !== position);
    const [smaller] = await differencesBetween(pair, { seeds: [seed], isAlone, kept });
    if (smaller !== undefined) least = { ...smaller, kept: smaller.kept.slice(0, smaller.step + 1) };
  }
  return least;
}

/** Returns a difference for a person, with the steps before it. */
export function differenceText(
  { seed, isAlone, kept, step, outcomes }: Difference,
  [first, second]: Pair,
): string {
  const program = programOf(seed, { isAlone });
  const steps = kept.slice(0, step + 1).flatMap((position) => {
    const one = program[position];
    return one === undefined ? [] : [`  ${position}: ${stepText(one)}`];
  });
  return [
    `program ${seed}${isAlone ? ", alone," : ""} differs at step ${kept[step]}:`,
    ...steps,
    `  ${first.name}: ${outcomes[0]}`,
    `  ${second.name}: ${outcomes[1]}`,
  ].join("\n");
}
