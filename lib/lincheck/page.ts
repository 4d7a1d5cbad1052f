/**
 * A violation as a page for people: one HTML document that needs nothing from elsewhere. First the sentence, then the
 * picture, then what was possible and what was not.
 */
import { assertNever } from "../platform/assert.ts";
import { type Excerpt, excerptOf, type Part, type ShownTurn } from "./excerpt.ts";
import type { History } from "./history.ts";
import { Html, html, PAGE_STYLE } from "./html.ts";
import { MARKS, spanText, timeline } from "./timeline.ts";
import { type Cause, keyOfMisfit, type PossibleState, type Violation } from "./verdict.ts";
import { answerText, keyStateText, misfitText, requestText, shown, stateText } from "./words.ts";

/** Further content of a page. */
export interface PageOptions {
  /** Where the history comes from, in a line under the heading. Default: no such line. */
  readonly about?: string;
  /** Times count from here. Default: the first call. */
  readonly startedAt?: number;
}

type Stuck = Extract<Cause, { readonly kind: "stuck" }>;

/** The source of every part of a page. */
interface Source {
  readonly history: History;
  /** The violation's. */
  readonly keys: readonly string[];
  readonly startedAt: number;
}

/** Possible states of a key that the first sentences name; a table has all. */
const MAX_STATES_IN_SENTENCE = 3;

const PART_WORDS: Readonly<Record<Exclude<Part, "bystander">, string>> = {
  violating: "no order explains it",
  earlier: "returned before, and has no smaller revision",
  seen: "wrote what it returned",
  replaced: "had replaced that before it asked",
  expected: "wrote what it should have returned",
  witness: "returned what leaves no other time",
};

/**
 * The page of a violation, as text of an HTML document.
 *
 * @example
 * ```ts
 * import { check, CHECK_LIMITS, type History, violationPage } from "./mod.ts";
 *
 * export function pageOf(history: History): string | null {
 *   const verdict = check(history, { ...CHECK_LIMITS, now: () => performance.now() });
 *   return verdict.kind === "violation" ? violationPage(history, verdict) : null;
 * }
 * ```
 */
export function violationPage(history: History, violation: Violation, options: PageOptions = {}): string {
  const { cause, keys } = violation;
  const excerpt = excerptOf(history, violation);
  const startedAt = options.startedAt ??
    history.reduce((least, { calledAt }) => Math.min(least, calledAt), Infinity);
  const source: Source = { history, keys, startedAt };
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
        <title>Not linearizable</title>
        <style>${new Html(PAGE_STYLE)}</style>
      </head>
      <body>
        <main>
    <h1>✗ Not linearizable</h1>
    ${options.about === undefined ? html`` : html`<p class="about">${options.about}</p>`}
    <section class="verdict" aria-label="What is wrong">
    ${sentencesOf(cause, source)}
    </section>
    <h2 id="picture">What happened on ${keysText(keys)}</h2>
    <div class="scroll" role="region" aria-labelledby="picture" tabindex="0">
    ${timeline(excerpt, { cause, keys, startedAt })}
    </div>
    ${legendOf(excerpt)}
    ${cause.kind === "stuck" ? possibleOf(cause, source) : html``}
    ${cause.kind === "stuck" ? orderOf(excerpt, { cause, source }) : html``}
    ${operationsOf(excerpt, source)}
        </main>
      </body>
    </html>
  `.toString().trimStart();
}

function sentencesOf(cause: Cause, source: Source): Html {
  switch (cause.kind) {
    case "revisions":
      return html`<p><strong>The revisions contradict the time.</strong> First this operation returned:</p>
<p>${operationText(cause.early, source)}</p>
<p>Only then this one was called, and it has no greater revision:</p>
<p>${operationText(cause.late, source)}</p>`;
    case "stuck":
      return html`<p><strong>No order of the operations explains this answer:</strong></p>
<p>${operationText(cause.operation, source)}</p>
${foundText(cause, source)}
${windowText(cause, source)}`;
    default:
      return assertNever(cause);
  }
}

/** When the operation must have happened, where others' revisions tell. */
function windowText({ narrowedBy, from, until }: Stuck, { startedAt }: Source): Html {
  if (narrowedBy.length === 0) return html``;
  const returnedAt = Number.isFinite(until) ? until : null;
  return html`<p>It can only have happened from ${
    spanText({ calledAt: from, returnedAt }, startedAt)
  }: what the operations marked ${MARKS.witness.trim()} returned leaves no other time.</p>`;
}

/** Returns the state that the answer does not fit, if that is one key. */
function foundText({ possible, morePossible }: Stuck, { keys }: Source): Html {
  const [first, ...others] = possible;
  const key = first === undefined ? null : keyOfMisfit(first.misfit);
  if (first === undefined || key === null || others.some(({ misfit }) => keyOfMisfit(misfit) !== key)) {
    return html``;
  }
  const states = [...new Set(possible.map((each) => stateText(each.states[keys.indexOf(key)] ?? null)))];
  const isShort = !morePossible && states.length <= MAX_STATES_IN_SENTENCE;
  const found = isShort
    ? html`${states.map((state, i) => html`${i === 0 ? "" : "or "}<code>${state}</code>`)}`
    : html`one of ${states.length}${morePossible ? " or more" : ""} things, listed below`;
  const misfits = new Set(possible.map(({ misfit }) => misfitText(misfit, () => "")));
  return html`<p>In every order that explains all that came before, <code>${
    shown(key)
  }</code> was then ${found}. ${misfits.size === 1 ? [...misfits].join("") : ""}</p>`;
}

function operationText(index: number, { history, keys, startedAt }: Source): Html {
  const operation = history[index];
  if (operation === undefined) return html``;
  return html`client ${operation.client}: <code>${requestText(operation)}</code> returned <code>${
    answerText(operation, keys)
  }</code> (${spanText(operation, startedAt)})`;
}

function keysText(keys: readonly string[]): Html {
  const [first, ...others] = keys;
  if (first === undefined) return html`the store`;
  return others.length === 0 ? html`<code>${shown(first)}</code>` : html`${keys.length} keys`;
}

function legendOf({ figures, omitted }: Excerpt): Html {
  const parts = new Set(figures.map(({ part }) => part));
  const items = Object.entries(PART_WORDS).flatMap(([part, words]) => {
    const found = [...parts].find((each) => each === part);
    return found === undefined ? [] : [html`<li>${MARKS[found]}${words}</li>`];
  });
  const rest = omitted === 0 ? "" : ` ${omitted} more operations on these keys are not shown.`;
  return html`<ul class="legend">
${items}
<li>a bar goes from call to return; dashed: it is unknown whether it happened; dotted: it did not</li>
<li>calls and returns stand in their order, not to scale.${rest}</li>
</ul>`;
}

/** Returns the possible states, and why none of them fits. */
function possibleOf({ possible, morePossible }: Stuck, { keys, history, startedAt }: Source): Html {
  const nameOf = (index: number): string => {
    const operation = history[index];
    return operation === undefined
      ? "an operation"
      : `client ${operation.client}'s ${requestText(operation)} (${spanText(operation, startedAt)})`;
  };
  const more = morePossible ? html`<p>There are more of them.</p>` : html``;
  return html`
    <h2>What it could have found, and why that is not it</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">in some order of all that came before</th>
          <th scope="col">but</th>
        </tr>
      </thead>
      <tbody>
    ${possible.map((each) =>
      html`
        <tr>
          <td class="code">${statesText(each, keys)}</td>
          <td>${misfitText(each.misfit, nameOf)}</td>
        </tr>
      `
    )}
      </tbody>
    </table>${more}
  `;
}

/** The key that does not fit, or else all of them. */
function statesText({ states, misfit }: PossibleState, keys: readonly string[]): string {
  const about = keyOfMisfit(misfit);
  return keys.flatMap((key, i) =>
    about === null || about === key
      ? [keyStateText(key, states[i] ?? null, { withKey: keys.length > 1 })]
      : []
  ).join("; ");
}

/** The end of the furthest order, and the operation that no order can go on with. */
function orderOf({ turns }: Excerpt, { cause, source }: { cause: Stuck; source: Source }): Html {
  const before = (turns[0]?.number ?? 1) - 1;
  return html`
    <h2>The order that gets furthest${before === 0 ? "" : ` (${before} operations come before)`}</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">turn</th>
          ${HEADINGS}
          <th scope="col">after it</th>
        </tr>
      </thead>
      <tbody>
    ${turns.map((turn) => turnRow(turn, source))}
    <tr class="violating">
      <td class="number">✗</td>
      ${cellsOf(cause.operation, source)}
      <td>can't come next</td>
    </tr>
      </tbody>
    </table>
  `;
}

function turnRow({ number, operation, written }: ShownTurn, source: Source): Html {
  const withKey = source.keys.length > 1;
  const after = written.map(([key, state]) => keyStateText(key, state, { withKey })).join("; ");
  return html`
    <tr>
      <td class="number">${number}</td>
      ${cellsOf(operation, source)}
      <td class="code">${after}</td>
    </tr>
  `;
}

function operationsOf({ figures }: Excerpt, source: Source): Html {
  return html`
    <h2>All operations shown</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">operation</th>
          ${HEADINGS}
          <th scope="col">part</th>
        </tr>
      </thead>
      <tbody>
    ${figures.map(({ index, part }) =>
      html`
        <tr class="${part}">
          <td class="number">${index}</td>
          ${cellsOf(index, source)}
          <td>${part === "bystander" ? "" : `${MARKS[part]}${PART_WORDS[part]}`}</td>
        </tr>
      `
    )}
      </tbody>
    </table>
  `;
}

const HEADINGS = html`
  <th scope="col">client</th>
  <th scope="col">called, returned</th>
  <th scope="col">asked</th>
  <th scope="col">answer</th>
`;

/** Returns the cells that both tables of operations have for one. */
function cellsOf(index: number, { history, keys, startedAt }: Source): Html {
  const operation = history[index];
  if (operation === undefined) return html``;
  return html`
    <td class="number">${operation.client}</td>
    <td class="time">${spanText(operation, startedAt)}</td>
    <td class="code">${requestText(operation)}</td>
    <td class="code">${answerText(operation, keys)}</td>
  `;
}
