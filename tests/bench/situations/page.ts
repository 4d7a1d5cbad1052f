/** docs/benchmarks/situations.md, made from what was measured; nothing in it is written by hand. */
import type { Machine } from "../machine.ts";
import { markdownTable, number } from "../page.ts";
import { type Bound, type Row, rowsOf, type SituationResults } from "./figures.ts";

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
    "Figures beside others' are in [README.md](README.md).",
    "",
    "A goal is judged by the median of all measurements of a figure; the least and the greatest are beside it.",
    "",
    ...markdownTable(
      ["situation", "figure", "goal", "median", "least – greatest", "of", ""],
      situations.flatMap(({ name, figures }) => rowsOf(figures).map((row) => cellsOf(name, row))),
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
    ...(situations.some(({ figures }) => figures.some(({ point }) => point !== undefined))
      ? ["![throughput against connections, values, keys and nodes](growth.svg)", ""]
      : []),
  ].join("\n");
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
  return `${kind === "atMost" ? "≤" : "≥"} ${figureText(value)}`;
}

/** Three digits that count, and all digits of what is larger. */
function figureText(value: number): string {
  if (value === 0) return "0";
  return Math.abs(value) >= 100
    ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ")
    : number(value);
}
