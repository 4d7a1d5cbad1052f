/** Latency against throughput as an SVG, both on logarithmic scales: a point for each number of clients. */
import { type Measurement, measurementsOf, spreadOf } from "./measurements.ts";
import { PEER_NAMES, type PeerName, type Workload } from "./workloads.ts";

const WIDTH = 820;
const HEIGHT = 520;
const MARGIN = { left: 70, right: 130, top: 50, bottom: 60 } as const;
const COLORS: Readonly<Record<PeerName, string>> = {
  kvraft: "#0b6e4f",
  etcd: "#b5462f",
  antietcd: "#8a6d1d",
  echo: "#6b7280",
};

/** The result of a peer with so many clients: the medians of the rounds. */
interface Point {
  readonly clients: number;
  readonly throughput: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A logarithmic scale. */
export interface Scale {
  readonly ticks: readonly number[];
  readonly position: (value: number) => number;
}

/** The plot of the puts. */
export function plot(measurements: readonly Measurement[], workloads: readonly Workload[]): string {
  const series = PEER_NAMES.map((peer) => ({ peer, points: pointsOf(peer, { measurements, workloads }) }))
    .filter(({ points }) => points.length > 0);
  const all = series.flatMap(({ points }) => points);
  const x = scaleOf(all.map(({ throughput }) => throughput), { from: MARGIN.left, to: WIDTH - MARGIN.right });
  const y = scaleOf(all.flatMap(({ p50Ms, p99Ms }) => [p50Ms, p99Ms]), {
    from: HEIGHT - MARGIN.bottom,
    to: MARGIN.top,
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${MARGIN.left}" y="24" font-size="16">Durable puts: latency against throughput</text>`,
    `<text x="${MARGIN.left}" y="41" fill="#555555">1 to 1000 clients; points and lines p50, bars up to p99; right and below is better</text>`,
    ...axes(x, y),
    ...series.flatMap(({ peer, points }) => seriesOf(peer, { points, x, y })),
    "</svg>",
    "",
  ].join("\n");
}

function pointsOf(
  peer: PeerName,
  { measurements, workloads }: {
    readonly measurements: readonly Measurement[];
    readonly workloads: readonly Workload[];
  },
): readonly Point[] {
  return workloads.filter(({ isPlotted }) => isPlotted).flatMap(({ name, load: { clients } }) => {
    const own = measurementsOf(measurements, { workload: name, peer });
    const median = (of: (one: Measurement) => number): number => spreadOf(own.map(of))?.median ?? 0;
    const point = {
      clients,
      throughput: median(({ throughput }) => throughput),
      p50Ms: median(({ p50Ms }) => p50Ms),
      p99Ms: median(({ p99Ms }) => p99Ms),
    };
    return point.throughput > 0 && point.p50Ms > 0 ? [point] : [];
  });
}

/** Whole powers of ten around the values; one decade where there are none. */
export function scaleOf(
  values: readonly number[],
  { from, to }: { readonly from: number; readonly to: number },
): Scale {
  const logs = values.length === 0 ? [0, 1] : values.map(Math.log10);
  const least = Math.floor(Math.min(...logs));
  const greatest = Math.max(least + 1, Math.ceil(Math.max(...logs)));
  return {
    ticks: Array.from({ length: greatest - least + 1 }, (_, step) => 10 ** (least + step)),
    position: (value) => from + (Math.log10(value) - least) / (greatest - least) * (to - from),
  };
}

function axes(x: Scale, y: Scale): string[] {
  const [left, right, top, bottom] = [MARGIN.left, WIDTH - MARGIN.right, MARGIN.top, HEIGHT - MARGIN.bottom];
  return [
    ...x.ticks.flatMap((tick) => {
      const at = x.position(tick).toFixed(1);
      return [
        `<line x1="${at}" y1="${top}" x2="${at}" y2="${bottom}" stroke="#e5e7eb"/>`,
        `<text x="${at}" y="${bottom + 18}" text-anchor="middle" fill="#555555">${tickText(tick)}</text>`,
      ];
    }),
    ...rulesOf(y, { left, right }),
    `<text x="${(left + right) / 2}" y="${bottom + 42}" text-anchor="middle">puts a second</text>`,
    `<text x="18" y="${(top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 18 ${
      (top + bottom) / 2
    })">milliseconds</text>`,
  ];
}

/** Returns a horizontal line for each tick of a vertical axis, with its label. */
export function rulesOf(
  axis: Scale,
  { left, right }: { readonly left: number; readonly right: number },
): string[] {
  return axis.ticks.flatMap((tick) => {
    const at = axis.position(tick);
    return [
      `<line x1="${left}" y1="${at.toFixed(1)}" x2="${right}" y2="${at.toFixed(1)}" stroke="#e5e7eb"/>`,
      `<text x="${left - 8}" y="${(at + 4).toFixed(1)}" text-anchor="end" fill="#555555">${
        tickText(tick)
      }</text>`,
    ];
  });
}

function seriesOf(
  peer: PeerName,
  { points, x, y }: { readonly points: readonly Point[]; readonly x: Scale; readonly y: Scale },
): string[] {
  const color = COLORS[peer];
  const placed = points.map((point) => ({
    ...point,
    left: x.position(point.throughput).toFixed(1),
    middle: y.position(point.p50Ms).toFixed(1),
    upper: y.position(point.p99Ms).toFixed(1),
  }));
  const last = placed.at(-1);
  const line = placed.map(({ left, middle }) => `${left},${middle}`).join(" ");
  return [
    `<polyline points="${line}" fill="none" stroke="${color}" stroke-width="2"/>`,
    ...placed.flatMap(({ left, middle, upper, clients, throughput, p50Ms, p99Ms }) => [
      `<line x1="${left}" y1="${middle}" x2="${left}" y2="${upper}" stroke="${color}" stroke-opacity="0.45"/>`,
      `<circle cx="${left}" cy="${middle}" r="4" fill="${color}"><title>${peer}, ${clients} clients: ${
        Math.round(throughput)
      }/s, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms</title></circle>`,
    ]),
    ...(last === undefined ? [] : [
      `<text x="${Number(last.left) + 10}" y="${Number(last.middle) + 4}" fill="${color}">${peer}</text>`,
    ]),
  ];
}

/** A tick of an axis: `10 k`. */
export function tickText(tick: number): string {
  if (tick >= 1e6) return `${tick / 1e6} M`;
  return tick >= 1_000 ? `${tick / 1_000} k` : String(Number(tick.toPrecision(1)));
}
