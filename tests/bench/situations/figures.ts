/** The figures that a situation measures, and their summary over all rounds. */
import { type Spread, spreadOf } from "../measurements.ts";

/** The goal of a figure. */
export interface Bound {
  /** At most and at least by the median; never more in each single measurement. */
  readonly kind: "atMost" | "atLeast" | "neverMore";
  readonly value: number;
}

/** The position of a figure in a plot. */
export interface Point {
  readonly panel: string;
  readonly series: string;
  readonly x: number;
}

/** One figure, measured once. Those with the same `what` are one row of the table. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly value: number;
  /** Null when it is reported without a goal. */
  readonly goal: Bound | null;
  readonly point?: Point;
}

/** All figures of one `what`. */
export interface Row extends Pick<Figure, "what" | "unit" | "goal"> {
  readonly spread: Spread;
  readonly samples: number;
  /** Null where there is no goal. */
  readonly isReached: boolean | null;
}

/** One situation as it was measured last. */
export interface SituationResults {
  readonly name: string;
  readonly date: string;
  /** Whether it was measured in short form: not for publishing. */
  readonly isQuick: boolean;
  readonly rounds: number;
  /** Load average of the last minute before it began: shows other work on the machine. */
  readonly loadAverage: number;
  readonly figures: readonly Figure[];
  /** Why a round could not be measured. */
  readonly failures: readonly string[];
}

/** Returns a figure without a goal. */
export function reported(what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: null };
}

/** Returns a figure whose median may be at most so much. */
export function atMost(bound: number, what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: { kind: "atMost", value: bound } };
}

/** Returns a figure that may be at most so much in every measurement. */
export function neverMore(bound: number, what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: { kind: "neverMore", value: bound } };
}

/** Returns a figure whose median must be at least so much. */
export function atLeast(bound: number, what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: { kind: "atLeast", value: bound } };
}

/** Groups figures into rows, in the order of their first measurement. */
export function rowsOf(figures: readonly Figure[]): readonly Row[] {
  const byWhat = Map.groupBy(figures, ({ what }) => what);
  return [...byWhat.values()].flatMap((same) => {
    const [first] = same;
    const spread = spreadOf(same.map(({ value }) => value));
    if (first === undefined || spread === null) return [];
    const { what, unit, goal } = first;
    return [{ what, unit, goal, spread, samples: same.length, isReached: isReached(spread, goal) }];
  });
}

function isReached({ median, greatest }: Spread, goal: Bound | null): boolean | null {
  if (goal === null) return null;
  switch (goal.kind) {
    case "atMost":
      return median <= goal.value;
    case "atLeast":
      return median >= goal.value;
    case "neverMore":
      return greatest <= goal.value;
  }
}

/** Replaces earlier results with new ones of the same situation; returns them in the order of `names`. */
export function mergeResults(
  before: readonly SituationResults[],
  now: readonly SituationResults[],
  names: readonly string[],
): readonly SituationResults[] {
  return names.flatMap((name) => {
    const one = now.find((result) => result.name === name) ?? before.find((result) => result.name === name);
    return one === undefined ? [] : [one];
  });
}
