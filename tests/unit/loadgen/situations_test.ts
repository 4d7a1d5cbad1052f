/** The situations' run: rows and goals, kept results, the page, the plot, and when requests are due. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { dueBy } from "../../bench/situations/open_loop_main.ts";
import {
  atLeast,
  atMost,
  type Figure,
  mergeResults,
  neverMore,
  reported,
  rowsOf,
  type SituationResults,
} from "../../bench/situations/figures.ts";
import { growthPlot } from "../../bench/situations/growth_plot.ts";
import { situationsPage } from "../../bench/situations/page.ts";

function results(
  name: string,
  figures: readonly Figure[],
  failures: readonly string[] = [],
): SituationResults {
  return { name, date: "2026-01-01", isQuick: false, rounds: 1, loadAverage: 0.1, figures, failures };
}

Deno.test("rowsOf: figures of one name are one row, and reach the goal by their median or, for neverMore, each", () => {
  const figures = [
    atMost(10, "time", 3, "ms"),
    reported("memory", 5, "MB"),
    atMost(10, "time", 40, "ms"),
    atMost(10, "time", 9, "ms"),
    atLeast(0.9, "ratio", 0.8, "×"),
    neverMore(0, "terms", 0, ""),
    neverMore(0, "terms", 0, ""),
    neverMore(0, "terms", 1, ""),
    neverMore(2, "retries", 2, ""),
    atMost(0, "terms without a report", NaN, ""),
  ];
  const rows = rowsOf(figures).map(({ what, spread: { median }, samples, isReached }) =>
    [what, median, samples, isReached] as const
  );
  assertEquals(rows, [
    ["time", 9, 3, true],
    ["memory", 5, 1, null],
    ["ratio", 0.8, 1, false],
    ["terms", 0, 3, false],
    ["retries", 2, 1, true],
    ["terms without a report", NaN, 1, false],
  ]);
});

Deno.test("mergeResults: a new result replaces the old one of its name, and no other is removed", () => {
  const before = [
    results("c", [reported("x", 1, "")]),
    results("a", [reported("y", 1, "")]),
    results("gone", []),
  ];
  const now = [results("b", []), results("c", [reported("x", 2, "")])];
  const merged = mergeResults(before, now, ["a", "b", "c", "d"]);
  assertEquals(merged.map(({ name }) => name), ["a", "b", "c"]);
  assertEquals(merged[2]?.figures, [reported("x", 2, "")]);
});

Deno.test("situationsPage: it says which goals were reached, which were not, and which figures could not be measured", () => {
  const machine = {
    system: "linux",
    cpu: "a cpu",
    cores: 2,
    memoryBytes: 8e9,
    loadAverage: 0.1,
    syncMs: 0.2,
  };
  const situations = [
    results("killed", [atMost(1_000, "again after", 1_234, "ms"), atMost(70, "memory", 60, "MB")]),
    results("growth", [
      { ...reported("put, keys: 10000", 90, "puts/s"), point: { panel: "keys", series: "put", x: 10_000 } },
      { ...reported("get, keys: 10000", 20.5, "gets/s"), point: { panel: "keys", series: "get", x: 10_000 } },
    ]),
    results("stopped", [reported("rate", 5, "puts/s"), reported("rate", 7, "puts/s")], ["it did not start"]),
  ];
  const text = situationsPage({ command: "deno task bench:situations", machine, situations }, {
    killed: "A node is killed.",
  });
  assertMatch(text, /\| killed +\| again after \| ≤ 1 000 \| 1 234 ms +\| +\| 1 +\| \*\*not reached\*\* \|/);
  assertMatch(text, /\| memory +\| ≤ 70 +\| 60 MB +\| +\| 1 +\| reached/);
  assertMatch(text, /\| rate +\| +\| 6 puts\/s +\| 5 – 7 +\| 2 /);
  assertMatch(text, /\| keys +\| 10 000 +\| 90\/s +\| 20\.5\/s/);
  assertMatch(text, /\*\*killed\*\* .*: A node is killed\./);
  assertMatch(text, /\*\*Not measured:\*\* it did not start/);
});

Deno.test("growthPlot: it has a panel for each growing quantity and a mark for the median of each point", () => {
  const figure = (panel: string, x: number, value: number): Figure => ({
    ...reported(`put, ${panel}: ${x}`, value, "puts/s"),
    point: { panel, series: "put", x },
  });
  assertEquals(growthPlot([reported("no place", 1, "")]), null);
  const svg = growthPlot([
    figure("keys", 1_000, 90),
    figure("keys", 1_000, 110),
    figure("keys", 1_000_000, 50),
    figure("nodes", 3, 10),
  ]) ?? "";
  assertEquals(svg.match(/operations a second against \w+/g)?.length, 2);
  assertEquals(svg.match(/<circle/g)?.length, 3);
  assertMatch(svg, /put, 1000: 100\/s/);
  assert(!svg.includes("NaN"));
});

Deno.test("dueBy: requests of an open loop are due at even intervals, the first at once", () => {
  assertEquals([0, 9.9, 10, 100].map((elapsedMs) => dueBy(elapsedMs, 100)), [1, 1, 2, 11]);
});
