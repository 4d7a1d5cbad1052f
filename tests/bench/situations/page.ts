/** docs/benchmarks/situations.md, made from what was measured; nothing in it is written by hand. */
import type { Machine } from "../machine.ts";
import { markdownTable, number } from "../page.ts";
import { spreadOf } from "../measurements.ts";
import { type Bound, type Figure, type Row, rowsOf, type SituationResults } from "./figures.ts";

/** Everything on the page. */
export interface Situations {
  readonly command: string;
  readonly machine: Machine;
  readonly situations: readonly SituationResults[];
}

/** The page; `abouts` says of each situation what is done in it. */
export function situationsPage(
  { command, machine, situations }: Situations,
  abouts: Readonly<Record<string, string>>,
): string {
  return [
    "# kvraft in its situations",
    "",
    "<!-- Written by `deno task bench:situations`; do not edit. -->",
    "",
    `Three nodes from source, permitted what the compiled form is, on one machine (${machine.cpu}, ${machine.cores} ` +
    `cores, ${Math.round(machine.memoryBytes / 1e9)} GB memory, ${machine.system}; one fdatasync takes ` +
    `${
      number(machine.syncMs)
    } ms) that they share with each other and with the generator. Last run: \`${command}\`. ` +
    "Figures beside others' are those of `deno task bench`.",
    "",
    "Unless it says otherwise, a goal is judged by the median of all measurements of a figure; the least and the " +
    "greatest are beside it.",
    "",
    ...markdownTable(
      ["situation", "figure", "goal", "median", "least – greatest", "of", ""],
      situations.flatMap(({ name, figures }) =>
        rowsOf(figures.filter(isAlone)).map((row) => cellsOf(name, row))
      ),
    ),
    "",
    "## What was done",
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

/** Those that stand in a plot have a table of their own. */
function isAlone({ point }: Figure): boolean {
  return point === undefined;
}

/** A row for each place of the plot, with what each series has there. */
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

/** One row of the table, also for the terminal. */
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

/** Three digits that count, and all digits of what is larger. */
function figureText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 100) return `${value}`;
  return Math.abs(value) >= 100
    ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ")
    : number(value);
}
