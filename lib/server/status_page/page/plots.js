/** The plots: one line for each member, over the last five minutes. */
import { h, s, sample } from "./dom.js";
import { bytesText, durationText, microsText, rateText, WINDOW_MS } from "./model.js";

const WIDTH = 300;
const HEIGHT = 80;
/** The times that plots show before the page is open for all of the window. */
const SPANS_MS = [60_000, 120_000];
/** A longer time without a point is shown as a gap. */
const GAP_MS = 5_000;

const P99 = "99th percentile";
/** Each with its series of the points, how its values are written, and the least top of its scale. */
const PLOTS = [
  { title: "Requests a second", series: "requests", text: rateText, least: 10 },
  { title: "Write latency", note: P99, series: "writes", text: microsText, least: 10_000 },
  { title: "Read latency", note: P99, series: "reads", text: microsText, least: 10_000 },
  { title: "Sync of the log", note: P99, series: "syncs", text: microsText, least: 10_000 },
  { title: "Event-loop delay", note: P99, series: "loop", text: microsText, least: 10_000 },
  { title: "Resident memory", series: "memory", text: bytesText, least: 64 * 2 ** 20, isBinary: true },
];

/** Returns all plots of the members, for the time for which they are watched, up to the window. */
export function plots(members, { nowMs, watchedMs }) {
  const spanMs = SPANS_MS.find((span) => span >= watchedMs) ?? WINDOW_MS;
  return PLOTS.map((plot) => plotOf(plot, members, { nowMs, spanMs }));
}

function plotOf({ title, note = "", series, text, least, isBinary }, members, { nowMs, spanMs }) {
  const values = members.flatMap(({ points }) => points.map((point) => point[series] ?? 0));
  const scale = { top: topOf(Math.max(least, ...values), isBinary), nowMs, spanMs };
  const lines = members.flatMap((member, position) =>
    stretchesOf(member.points, series).map((stretch) =>
      s("polyline", {
        class: `n${position % 5 + 1}`,
        points: stretch.map((at) => placeOf(at, series, scale)).join(" "),
      })
    )
  );
  const grid = [0, HEIGHT / 2, HEIGHT].map((y) =>
    s("line", { x1: 0, y1: y, x2: WIDTH, y2: y, class: y === HEIGHT ? "base" : null })
  );
  const ago = `${durationText(spanMs)} ago`;
  const label = `${title} ${note}: a line for each node from ${ago} until now, on a scale from 0 to ${
    text(scale.top)
  }`;
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "plot", role: "img" };
  return h(
    "figure",
    {},
    h("figcaption", {}, title, h("span", {}, note), h("span", { class: "top" }, text(scale.top))),
    s("svg", { ...box, "aria-label": label }, grid, lines),
    h("p", { class: "times", "aria-hidden": "true" }, h("span", {}, ago), h("span", {}, "now")),
    h("ul", { class: "key" }, members.map((member, position) => keyOf(member, position, { series, text }))),
  );
}

function keyOf({ id, reason, points }, position, { series, text }) {
  const value = reason === null ? points.at(-1)?.[series] ?? null : null;
  return h("li", {}, sample(position), h("span", {}, `Node ${id}`), " ", h("b", {}, text(value)));
}

/** Returns the parts of a series between its gaps. */
function stretchesOf(points, series) {
  const stretches = [];
  let lastMs = -Infinity;
  for (const point of points) {
    if (point[series] === null) continue;
    if (point.atMs - lastMs > GAP_MS) stretches.push([]);
    stretches.at(-1).push(point);
    lastMs = point.atMs;
  }
  return stretches;
}

function placeOf(point, series, { top, nowMs, spanMs }) {
  const x = WIDTH * (1 - (nowMs - point.atMs) / spanMs);
  const y = HEIGHT * (1 - point[series] / top);
  return `${x.toFixed(1)},${y.toFixed(1)}`;
}

/** Returns the least of 1, 2, 5, 10, … (of 1, 2, 4, 8, …) that is no smaller. */
function topOf(value, isBinary) {
  if (isBinary) return 2 ** Math.ceil(Math.log2(value));
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value);
}
