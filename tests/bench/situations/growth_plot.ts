/** Throughput against what grows, as an SVG of four panels; all scales are logarithmic. */
import { spreadOf } from "../measurements.ts";
import { rulesOf, type Scale, scaleOf, tickText } from "../plot.ts";
import type { Figure } from "./figures.ts";

const PANEL = { width: 400, height: 280, left: 60, right: 50, top: 40, bottom: 50 } as const;
const COLUMNS = 2;
const COLORS: Readonly<Record<string, string>> = { put: "#0b6e4f", get: "#1d4e89" };
const GRAY = "#6b7280";

/** A mark: the median of all figures at its position. */
interface Mark {
  readonly series: string;
  readonly x: number;
  readonly value: number;
}

/** Returns the plot of all figures that have a point; null when none has. */
export function growthPlot(figures: readonly Figure[]): string | null {
  const panels = [...Map.groupBy(figures, ({ point }) => point?.panel ?? "")].filter(([panel]) =>
    panel !== ""
  );
  if (panels.length === 0) return null;
  const [width, height] = [PANEL.width * COLUMNS, PANEL.height * Math.ceil(panels.length / COLUMNS)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...panels.flatMap(([panel, own], position) => {
      const [column, row] = [position % COLUMNS, Math.floor(position / COLUMNS)];
      const move = `translate(${column * PANEL.width} ${row * PANEL.height})`;
      return [`<g transform="${move}">`, ...panelOf(panel, marksOf(own)), "</g>"];
    }),
    "</svg>",
    "",
  ].join("\n");
}

function marksOf(figures: readonly Figure[]): readonly Mark[] {
  return [...Map.groupBy(figures, ({ what }) => what).values()].flatMap((same) => {
    const point = same[0]?.point;
    const value = spreadOf(same.map((one) => one.value))?.median ?? 0;
    return point === undefined || !(value > 0) ? [] : [{ series: point.series, x: point.x, value }];
  });
}

function panelOf(panel: string, marks: readonly Mark[]): readonly string[] {
  const [left, right] = [PANEL.left, PANEL.width - PANEL.right];
  const [top, bottom] = [PANEL.top, PANEL.height - PANEL.bottom];
  const x = scaleOf(marks.map((mark) => mark.x), { from: left, to: right });
  const y = scaleOf(marks.map((mark) => mark.value), { from: bottom, to: top });
  const places = [...new Set(marks.map((mark) => mark.x))];
  return [
    `<text x="${left}" y="24" font-size="14">operations a second against ${panel}</text>`,
    ...places.map((place) =>
      `<text x="${x.position(place).toFixed(1)}" y="${bottom + 18}" text-anchor="middle" fill="#555555">${
        placeText(place)
      }</text>`
    ),
    ...rulesOf(y, { left, right }),
    ...[...Map.groupBy(marks, ({ series }) => series)].flatMap(([series, own]) =>
      seriesOf(series, own, { x, y })
    ),
  ];
}

/** Returns the label of a tick: decades as on every axis, other values unchanged. */
function placeText(place: number): string {
  return Number.isInteger(Math.log10(place))
    ? tickText(place)
    : place.toLocaleString("en").replace(/,/g, " ");
}

function seriesOf(
  series: string,
  marks: readonly Mark[],
  { x, y }: { readonly x: Scale; readonly y: Scale },
): readonly string[] {
  const color = COLORS[series] ?? GRAY;
  const placed = marks.map((mark) => ({
    ...mark,
    left: x.position(mark.x).toFixed(1),
    top: y.position(mark.value).toFixed(1),
  }));
  const last = placed.at(-1);
  return [
    `<polyline points="${
      placed.map(({ left, top }) => `${left},${top}`).join(" ")
    }" fill="none" stroke="${color}" stroke-width="2"/>`,
    ...placed.map((mark) =>
      `<circle cx="${mark.left}" cy="${mark.top}" r="4" fill="${color}"><title>${series}, ${mark.x}: ${
        Math.round(mark.value)
      }/s</title></circle>`
    ),
    ...(last === undefined ? [] : [
      `<text x="${Number(last.left) + 10}" y="${Number(last.top) + 4}" fill="${color}">${series}</text>`,
    ]),
  ];
}
