/** A violation by watches as a page for people: the sentences, and a table of what each watch shows near the first one. */
import { hasKey } from "../transactions/transaction.ts";
import { Html, html, PAGE_STYLE } from "../html.ts";
import type { PageOptions } from "../page.ts";
import { answerText, requestText, shown } from "../words.ts";
import { Coverage } from "./coverage.ts";
import { madeBy } from "./effects.ts";
import type { WatchFinding, WatchViolation } from "./findings.ts";
import type { WatchedRun } from "./record.ts";
import { eventText, findingText, watchText } from "./words.ts";

/** Revisions before and after the one of a finding that the table has. */
const NEAR_REVISIONS = 6;
/** Most watches in the table. */
const MAX_COLUMNS = 8;

/** Returns the page of a violation, as text of an HTML document. */
export function watchViolationPage(
  run: WatchedRun,
  violation: WatchViolation,
  options: PageOptions = {},
): string {
  const { findings, total } = violation;
  const startedAt = options.startedAt ??
    run.history.reduce((least, { calledAt }) => Math.min(least, calledAt), Infinity);
  const texts = findings.map((finding) => findingText(finding, { run, startedAt }));
  const [first] = findings;
  const rest = total - findings.length;
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
        <title>Watches are wrong</title>
        <style>${new Html(PAGE_STYLE)}</style>
      </head>
      <body>
        <main>
    <h1>✗ Watches are wrong</h1>
    ${options.about === undefined ? html`` : html`<p class="about">${options.about}</p>`}
    <section class="verdict" aria-label="What is wrong">
    <p><strong>What watches showed contradicts itself, or the answers that clients received:</strong></p>
    ${texts.map((text) => html`<p>${text}</p>`)}
    ${rest === 0 ? html`` : html`<p>${rest} more contradictions are not shown.</p>`}
    </section>
    ${first === undefined ? html`` : tableOf(first, run)}
        </main>
      </body>
    </html>
  `.toString().trimStart();
}

/** Returns what each watch shows near the revision of a finding: of its key, or of all keys. */
function tableOf({ revision, key }: WatchFinding, run: WatchedRun): Html {
  const watches = run.watches.flatMap((record, watch) =>
    key === null || hasKey(record.keys, key) ? [{ record, watch }] : []
  ).slice(0, MAX_COLUMNS);
  const coverage = new Coverage(run.watches);
  return html`
    <h2>What the watches of ${key === null ? "all keys" : html`<code>${shown(key)}</code>`} show</h2>
    <div class="scroll" role="region" aria-label="What the watches show" tabindex="0">
      <table>
        <thead>
          <tr>
          <th scope="col">revision</th>
          <th scope="col">made by</th>
    ${watches.map(({ record }) => html`<th scope="col">${watchText(record)}</th>`)}
        </tr>
        </thead>
        <tbody>
    ${revisionsNear(revision, { key, run }).map((each) =>
      html`
        <tr class="${each === revision ? "violating" : ""}">
              <td class="number">${each}</td>
              <td class="code">${authorText(each, run)}</td>
        ${watches.map(({ watch }) =>
          html`<td class="code">${shownText(watch, { revision: each, key, run, coverage })}</td>`
        )}
            </tr>
      `
    )}
      </tbody>
      </table>
    </div>
  `;
}

/** Returns revisions at which the key was changed, according to watches, and the one of the finding. */
function revisionsNear(
  revision: number,
  { key, run }: { readonly key: string | null; readonly run: WatchedRun },
): readonly number[] {
  const all = new Set([revision]);
  for (const { notices } of run.watches) {
    for (const notice of notices) {
      if (notice.kind !== "events") continue;
      if (key === null || notice.events.some((event) => event.key === key)) all.add(notice.revision);
    }
  }
  const sorted = [...all].sort((a, b) => a - b);
  const position = sorted.indexOf(revision);
  return sorted.slice(Math.max(0, position - NEAR_REVISIONS), position + NEAR_REVISIONS + 1);
}

function authorText(revision: number, { history }: WatchedRun): string {
  const author = history.find((operation) => {
    const made = madeBy(operation);
    return made.kind !== "nothing" && made.revision === revision;
  });
  return author === undefined
    ? ""
    : `client ${author.client}: ${requestText(author)}, ${answerText(author, [])}`;
}

function shownText(
  watch: number,
  { revision, key, run, coverage }: {
    readonly revision: number;
    readonly key: string | null;
    readonly run: WatchedRun;
    readonly coverage: Coverage;
  },
): string {
  const events = (run.watches[watch]?.notices ?? []).flatMap((notice) =>
    notice.kind === "events" && notice.revision === revision ? notice.events : []
  ).filter((event) => key === null || event.key === key);
  if (events.length > 0) {
    return events.map((event) => key === null ? `${shown(event.key)}: ${eventText(event)}` : eventText(event))
      .join("; ");
  }
  const isCovered = (["put", "delete"] as const).some((kind) => coverage.covers(watch, { revision, kind }));
  return isCovered ? "nothing" : "not covered";
}
