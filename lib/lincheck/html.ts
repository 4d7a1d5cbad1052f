/** Text that is put into a page is escaped unless it is markup already: there is no way to forget it. */

/** Markup. Made by {@link html} alone. */
export class Html {
  readonly #markup: string;

  /** Takes markup as it is. */
  constructor(markup: string) {
    this.#markup = markup;
  }

  /** The markup as text, to be written out. */
  toString(): string {
    return this.#markup;
  }
}

/** Markup with values in it: texts and numbers are escaped, markup stays as it is. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | number | Html | readonly Html[])[]
): Html {
  const filled = values.map((value, i) => `${rendered(value)}${parts[i + 1] ?? ""}`);
  return new Html(`${parts[0] ?? ""}${filled.join("")}`);
}

function rendered(value: string | number | Html | readonly Html[]): string {
  if (value instanceof Html) return value.toString();
  if (typeof value === "string" || typeof value === "number") return escapeHtml(String(value));
  return value.map((each) => each.toString()).join("\n");
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  )
    .replaceAll("'", "&#39;");
}

/** The page's style sheet. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fbfbf9; --card: #fff; --faint: #687078; --line: #d9dbd8;
  --bad: #b3261e; --bad-soft: #fbe3e0; --seen: #7a3fb0; --expected: #14713d; --witness: #8a5a00; --bar: #c9d3dd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --paper: #15181b; --card: #1d2125; --faint: #9aa3ab;
  --line: #363c42; --bad: #ff8a80; --bad-soft: #47211f; --seen: #c9a2f2; --expected: #6fd39a; --witness: #e8b84f;
  --bar: #46525d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px; max-width: 1260px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 8px; font-size: 24px; color: var(--bad); }
h2 { margin: 28px 0 8px; font-size: 17px; }
p { margin: 6px 0; }
code, td { overflow-wrap: anywhere; }
code, svg text, td.code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.about { margin: 0 0 14px; color: var(--faint); }
.verdict { padding: 14px 18px; border: 1px solid var(--bad); border-left-width: 8px; border-radius: 6px;
  background: var(--card); }
.verdict strong { color: var(--bad); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; background: var(--card); }
.scroll:focus-visible { outline: 2px solid var(--seen); }
svg { display: block; }
svg text { font-size: 11px; fill: var(--ink); paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
.lane text { fill: var(--faint); }
.lane line, .axis line { stroke: var(--line); }
.axis text { fill: var(--faint); font-size: 10px; }
.bar rect { fill: var(--bar); stroke: var(--faint); }
.bar.unknown rect { fill: none; stroke-dasharray: 4 3; }
.bar .open { stroke: var(--faint); stroke-dasharray: 4 3; }
.bar.notApplied rect { fill: none; stroke-dasharray: 1 3; }
.bar.notApplied text { fill: var(--faint); }
.bar.violating rect { fill: var(--bad); stroke: var(--bad); stroke-width: 2; }
.bar.violating text, .bar.earlier text { fill: var(--bad); font-weight: 700; }
.bar.earlier rect { fill: var(--bad-soft); stroke: var(--bad); stroke-width: 2; }
.bar.seen rect { stroke: var(--seen); stroke-width: 3; }
.bar.seen text { fill: var(--seen); font-weight: 700; }
.bar.replaced rect { stroke: var(--witness); stroke-width: 3; }
.bar.replaced text { fill: var(--witness); font-weight: 700; }
.bar.expected rect { stroke: var(--expected); stroke-width: 3; }
.bar.expected text { fill: var(--expected); font-weight: 700; }
.bar.witness rect { stroke: var(--witness); stroke-width: 3; }
.bar.witness text { fill: var(--witness); font-weight: 700; }
.break rect { fill: var(--bad-soft); }
.break line { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 6 3; }
.break text { fill: var(--bad); font-weight: 700; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; margin: 8px 0 0; list-style: none; color: var(--faint);
  font-size: 13px; }
table { width: 100%; border-collapse: collapse; font-size: 13px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
td.time { white-space: nowrap; }
@media (max-width: 900px) { th, td.time { white-space: normal; } th, td { padding: 4px 5px; } }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.violating td { background: var(--bad-soft); font-weight: 600; }
tr:last-child td { border-bottom: 0; }
`;
