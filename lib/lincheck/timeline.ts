/**
 * The picture of a violation: a lane for each client, a bar for each operation from its call to its return.
 *
 * Along the axis stand the calls and returns in their order, each as wide as the next: what matters is what came before
 * what, and a stale read may lie hours behind the write that it missed.
 */
import type { Excerpt, Figure, Part } from "./excerpt.ts";
import { type Html, html } from "./html.ts";
import type { Cause } from "./verdict.ts";
import { answerText, labelOf, requestText } from "./words.ts";

const LANES_LEFT = 84;
const LANE_HEIGHT = 50;
const BAR_TOP = 22;
const BAR_HEIGHT = 18;
const TOP = 34;
const AXIS_HEIGHT = 26;
const RIGHT = 28;
/** Widths that one step along the axis may have, so that most pictures fit a window. */
const STEP_WIDTH = { least: 15, most: 120, picture: 1_010 };
/** Room for the words at the break, whichever side of it they stand. */
const LEAST_WIDTH = 760;
const BREAK_WORDS_WIDTH = 330;
const CHARACTER_WIDTH = 6.7;
const MAX_TICKS = 9;

/** Marks before an operation's label that distinguish the parts without colour. */
export const MARKS: Readonly<Record<Part, string>> = {
  violating: "✗ ",
  earlier: "◀ ",
  seen: "◆ ",
  replaced: "■ ",
  expected: "● ",
  witness: "▲ ",
  bystander: "",
};

/** The source of a picture. */
export interface TimelineOptions {
  readonly cause: Cause;
  /** Labels name the key where there are several. */
  readonly keys: readonly string[];
  /** Times count from here. */
  readonly startedAt: number;
}

/** Where times and clients lie. */
interface Layout {
  readonly width: number;
  readonly height: number;
  readonly lanes: ReadonlyMap<number, number>;
  readonly times: readonly number[];
  readonly x: (time: number) => number;
}

/** The picture as an SVG element. */
export function timeline({ figures }: Excerpt, options: TimelineOptions): Html {
  const layout = layoutOf(figures, options.cause);
  const { width, height, lanes } = layout;
  return html`
    <svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img"
      aria-labelledby="picture-title picture-text">
    <title id="picture-title">Operations by client, in the order of time</title>
    <desc id="picture-text">The table "All operations shown" has the same in words.</desc>
    ${[...lanes].map(([client, y]) => laneOf(client, { y, width }))}
    ${breakOf(options.cause, layout)}
    ${byWeight(figures).map((figure) => barOf(figure, { layout, options, figures }))}
    ${axisOf(layout, options.startedAt)}
    </svg>
  `;
}

function layoutOf(figures: readonly Figure[], cause: Cause): Layout {
  const all = figures.flatMap((
    { operation: { calledAt, returnedAt } },
  ) => [calledAt, returnedAt ?? calledAt]);
  if (cause.kind === "stuck") all.push(cause.from, cause.until);
  const times = [...new Set(all.filter(Number.isFinite))].sort((a, b) => a - b);
  const ranks = new Map(times.map((time, rank) => [time, rank]));
  const { least, most, picture } = STEP_WIDTH;
  const step = Math.floor(Math.min(most, Math.max(least, picture / Math.max(1, times.length))));
  const clients = [...new Set(figures.map(({ operation }) => operation.client))].sort((a, b) => a - b);
  const lanes = new Map(clients.map((client, i) => [client, TOP + i * LANE_HEIGHT]));
  return {
    width: Math.max(LEAST_WIDTH, LANES_LEFT + times.length * step + RIGHT),
    height: TOP + clients.length * LANE_HEIGHT + AXIS_HEIGHT,
    lanes,
    times,
    x: (time) => LANES_LEFT + (ranks.get(time) ?? times.length) * step,
  };
}

function laneOf(client: number, { y, width }: { readonly y: number; readonly width: number }): Html {
  return html`
    <g class="lane">
      <text x="8" y="${y + BAR_TOP + 13}">client ${client}</text>
      <line x1="${LANES_LEFT}" x2="${width}" y1="${y + LANE_HEIGHT - 4}" y2="${y + LANE_HEIGHT - 4}" />
    </g>
  `;
}

/** Where it breaks: the time in which the operation must have happened, and the line that no order gets over. */
function breakOf(cause: Cause, { x, height, times }: Layout): Html {
  if (cause.kind !== "stuck") return html``;
  const from = x(cause.from);
  const until = x(Number.isFinite(cause.until) ? cause.until : times.at(-1) ?? cause.from);
  const bottom = height - AXIS_HEIGHT;
  const isLeft = until > BREAK_WORDS_WIDTH;
  return html`
    <g class="break">
      <rect x="${from}" y="${TOP - 4}" width="${Math.max(2, until - from)}" height="${bottom - TOP + 4}" />
      <line x1="${until}" x2="${until}" y1="10" y2="${bottom}" />
      <text x="${isLeft ? until - 6 : until + 6}" y="18"
        text-anchor="${isLeft ? "end" : "start"}">it breaks here: no order gets beyond this return</text>
    </g>
  `;
}

function barOf(
  figure: Figure,
  { layout: { x, lanes, width }, options, figures }: {
    readonly layout: Layout;
    readonly options: TimelineOptions;
    readonly figures: readonly Figure[];
  },
): Html {
  const { operation, part, index } = figure;
  const { client, calledAt, returnedAt, outcome } = operation;
  const y = (lanes.get(client) ?? TOP) + BAR_TOP;
  const left = x(calledAt);
  const end = returnedAt === null ? width - RIGHT : x(returnedAt);
  const next = figures.filter((other) =>
    other.operation.client === client && other.operation.calledAt > calledAt
  )
    .reduce((least, other) => Math.min(least, x(other.operation.calledAt)), width);
  const whole = wholeLabelOf(figure, options);
  const isCovered = !isMain(figure) &&
    figures.some((other) =>
      isMain(other) && other.operation.client === client && other.operation.calledAt < calledAt &&
      x(other.operation.calledAt) + wholeLabelOf(other, options).length * CHARACTER_WIDTH > left
    );
  const label = isMain(figure) ? whole : isCovered ? "" : clipped(whole, next - left - 4);
  const hangs = isMain(figure) && left + whole.length * CHARACTER_WIDTH > width;
  const title = `${requestText(operation)}\n${answerText(operation, options.keys)}\nclient ${client}, ${
    spanText(operation, options.startedAt)
  }, operation ${index}`;
  const tail = outcome.kind === "unknown"
    ? html`
      <line class="open" x1="${end}" x2="${width - 6}" y1="${y + BAR_HEIGHT / 2}" y2="${y +
        BAR_HEIGHT / 2}" />
    `
    : html``;
  return html`<g class="bar ${part} ${outcome.kind}"><title>${title}</title>${tail}
<rect x="${left}" y="${y}" width="${Math.max(6, end - left)}" height="${BAR_HEIGHT}" rx="4"/>
<text x="${hangs ? end : left}" y="${y - 5}" text-anchor="${hangs ? "end" : "start"}">${label}</text></g>`;
}

function wholeLabelOf({ operation, part }: Figure, { keys }: TimelineOptions): string {
  return `${MARKS[part]}${labelOf(operation, keys)}`;
}

/** Returns whether a part is drawn last, over all others: those of the violation are. */
function byWeight(figures: readonly Figure[]): readonly Figure[] {
  return figures.toSorted((a, b) => Number(isMain(a)) - Number(isMain(b)));
}

function isMain({ part }: Figure): boolean {
  return part === "violating" || part === "earlier";
}

/** `12.3 to 14.0 ms`. */
export function spanText(
  { calledAt, returnedAt }: { readonly calledAt: number; readonly returnedAt: number | null },
  startedAt: number,
): string {
  const called = timeText(calledAt - startedAt);
  return returnedAt === null
    ? `${called} ms, never returned`
    : `${called} to ${timeText(returnedAt - startedAt)} ms`;
}

function timeText(milliseconds: number): string {
  const [whole = "", ...fraction] = String(Math.round(milliseconds * 1_000) / 1_000).split(".");
  return [whole.replace(/\B(?=(\d{3})+$)/g, "\u00a0"), ...fraction].join(".");
}

function axisOf({ times, x, height }: Layout, startedAt: number): Html {
  const every = Math.max(1, Math.ceil(times.length / MAX_TICKS));
  const ticks = times.filter((_, rank) => rank % every === 0);
  const y = height - AXIS_HEIGHT;
  return html`<g class="axis">${
    ticks.map((time) =>
      html`
        <line x1="${x(time)}" x2="${x(time)}" y1="${y}" y2="${y + 5}" />
        <text x="${x(time)}" y="${y + 18}" text-anchor="middle">${timeText(time - startedAt)} ms</text>
      `
    )
  }</g>`;
}

function clipped(label: string, widthPx: number): string {
  const characters = Math.max(3, Math.floor(widthPx / CHARACTER_WIDTH));
  return label.length <= characters ? label : `${label.slice(0, characters - 1)}…`;
}
