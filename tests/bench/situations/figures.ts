/** What a situation measures, and what becomes of it over all rounds. */
import { type Spread, spreadOf } from "../measurements.ts";

/** What a figure is to be. */
export interface Bound {
  /** At most and at least by the median; never more in each single measurement. */
  readonly kind: "atMost" | "atLeast" | "neverMore";
  readonly value: number;
}

/** Where a figure stands in a plot. */
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
  /** Null: it is only told. */
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
  /** Of the last minute, before it began: what else the machine had to do. */
  readonly loadAverage: number;
  readonly figures: readonly Figure[];
  /** Why a round of it could not be measured. */
  readonly failures: readonly string[];
}

/** A figure without a goal. */
export function told(what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: null };
}

/** A figure that is to be at most so much. */
export function atMost(bound: number, what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: { kind: "atMost", value: bound } };
}

/** A figure that is to be at most so much each time. */
export function neverMore(bound: number, what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: { kind: "neverMore", value: bound } };
}

/** A figure that is to be at least so much. */
export function atLeast(bound: number, what: string, value: number, unit: string): Figure {
  return { what, unit, value, goal: { kind: "atLeast", value: bound } };
}

/** The rows of figures, in the order in which each came first. */
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

/** What was measured before, with what was measured now in its place; in the order of `names`. */
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
