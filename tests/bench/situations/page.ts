/** Generates docs/benchmarks/situations.md from measurements; nothing in it is written by hand. */
import type { Machine } from "../machine.ts";
import { markdownTable, number } from "../page.ts";
import { spreadOf } from "../measurements.ts";
import { type Bound, type Figure, type Row, rowsOf, type SituationResults } from "./figures.ts";

/** The content of the page. */
export interface Situations {
  readonly command: string;
  readonly machine: Machine;
  readonly situations: readonly SituationResults[];
}

/** Returns the page; `abouts` has the description of each situation. */
export function situationsPage(
  { command, machine, situations }: Situations,
  abouts: Readonly<Record<string, string>>,
): string {
  return [
    "# kvraft under failures, overload and growth",
    "",
    "<!-- Written by `deno task bench:situations`; do not edit. -->",
    "",
    `Three nodes from source, with the permissions of the compiled executable, on one machine (${machine.cpu}, ${machine.cores} ` +
    `cores, ${Math.round(machine.memoryBytes / 1e9)} GB memory, ${machine.system}; one fdatasync takes ` +
    `${
      number(machine.syncMs)
    } ms), which they share with the generator. Last run: \`${command}\`; to repeat one situation: ` +
    "`deno task bench:situations --only <name>`. " +
    "[README.md](README.md) has the comparison with other stores.",
    "",
    "Unless noted, a goal applies to the median of all measurements of a figure; the smallest and the largest are in the " +
    "next column.",
    "",
    ...markdownTable(
      ["situation", "figure", "goal", "median", "least – greatest", "of", ""],
      situations.flatMap(({ name, figures }) =>
        rowsOf(figures.filter(isAlone)).map((row) => cellsOf(name, row))
      ),
    ),
    "",
    "## The situations",
    "",
    ...situations.flatMap((result) => [
      `- **${result.name}** (${result.date}, ${result.rounds} ${
        result.rounds === 1 ? "round" : "rounds"
      }, load average before ${number(result.loadAverage)}${
        result.isQuick ? ", **short form: not for comparison**" : ""
      }): ${abouts[result.name] ?? ""}`,
      ...result.failures.map((why) => `  **Not measured:** ${why}`),
    ]),
    "",
    ...growthText(situations.flatMap(({ figures }) => figures)),
  ].join("\n");
}

/** Returns whether a figure is in the main table; figures of a plot have another table. */
function isAlone({ point }: Figure): boolean {
  return point === undefined;
}

/** Returns the table of the plot: a row for each place, a column for each series. */
function growthText(figures: readonly Figure[]): readonly string[] {
  const placed = figures.flatMap(({ point, value }) => point === undefined ? [] : [{ ...point, value }]);
  if (placed.length === 0) return [];
  const series = [...new Set(placed.map((one) => one.series))];
  const places = Map.groupBy(placed, ({ panel, x }) => `${panel} ${x}`);
  const rows = [...places.values()].map((same) => [
    same[0]?.panel ?? "",
    figureText(same[0]?.x ?? 0),
    ...series.map((name) => {
      const spread = spreadOf(same.filter((one) => one.series === name).map(({ value }) => value));
      return spread === null ? "" : `${figureText(spread.median)}/s`;
    }),
  ]);
  return [
    "## Growth",
    "",
    ...markdownTable(["what grows", "to", ...series], rows),
    "",
    "![throughput against connections, values, keys and nodes](growth.svg)",
    "",
  ];
}

/** Returns a row of the table, also for the terminal. */
export function cellsOf(
  name: string,
  { what, unit, goal, spread, samples, isReached }: Row,
): readonly string[] {
  const { median, least, greatest } = spread;
  return [
    name,
    what,
    goal === null ? "" : boundText(goal),
    `${figureText(median)} ${unit}`.trim(),
    samples === 1 ? "" : `${figureText(least)} – ${figureText(greatest)}`,
    `${samples}`,
    isReached === null ? "" : isReached ? "reached" : "**not reached**",
  ];
}

function boundText({ kind, value }: Bound): string {
  const sign = kind === "atLeast" ? "≥" : "≤";
  return `${sign} ${figureText(value)}${kind === "neverMore" ? " each time" : ""}`;
}

/** Returns a number with three significant digits, or all digits from 100 on. */
function figureText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 100) return `${value}`;
  return Math.abs(value) >= 100
    ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ")
    : number(value);
}
