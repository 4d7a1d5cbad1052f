/** The result of `check`: as text, as JSON, and for a violation as a history file and a page. */
import type { KvraftErrorCode } from "../../../client/errors.ts";
import { type History, type Operation, type Undecided, type Violation } from "../../../lincheck/mod.ts";
import {
  bytesOfText,
  type Count,
  type Figures,
  OPERATION_KINDS,
  type OperationKind,
} from "../../../loadgen/mod.ts";
import { watchLines, type WatchReport } from "./check_watches.ts";
import { assertNever } from "../../../platform/assert.ts";
import { errorMessage } from "../../../platform/errors.ts";
import type { Environment } from "../../environment.ts";
import { type Answer, answer } from "../../command.ts";
import { ExitCode } from "../../errors.ts";
import { errorsText, escapeBytes, table, withThousands } from "../../text.ts";

/** Kinds of operation, by the names of the commands for them. */
export const KIND_NAMES: Readonly<Record<OperationKind, string>> = {
  put: "put",
  get: "get",
  delete: "delete",
  compareAndSet: "cas",
  transaction: "transaction",
  branchingTransaction: "branches",
  list: "list",
};

/** The verdict of a run. */
export type CheckVerdict =
  /** An order of all operations explains every answer. `presumed`: writes of unknown outcome that are applied in it. */
  | { readonly kind: "linearizable"; readonly presumed: number }
  /** There is no such order. The report has the history, the page shows where it breaks. */
  | {
    readonly kind: "violation";
    /** Sentences for people. */
    readonly explanation: string;
    readonly report: CheckFile;
    readonly page: CheckFile;
  }
  /** Watches contradict each other, or the answers. The report has the run, the page shows what they saw. */
  | {
    readonly kind: "watchViolation";
    /** Sentences for people, at least one. */
    readonly explanations: readonly string[];
    /** The number of all contradictions. */
    readonly total: number;
    readonly report: CheckFile;
    readonly page: CheckFile;
  }
  /** The search for an order reached a limit. */
  | { readonly kind: "undecided"; readonly reason: Undecided["reason"]; readonly operations: number }
  /** No operation was answered, so there is nothing to check. */
  | { readonly kind: "nothingAnswered" }
  /** No watch was begun, so that there is nothing to check of them. */
  | { readonly kind: "nothingWatched" };

/** The reason why a run ended. */
export type CheckEnd = "duration" | "interrupted" | "full";

/** The result of a run. */
export interface CheckReport {
  readonly verdict: CheckVerdict;
  /** The figures of watches that were right; null without watchers too. */
  readonly watching: WatchReport | null;
  readonly end: CheckEnd;
  readonly ranMs: number;
  readonly clients: number;
  readonly keys: number;
  readonly seed: number;
  readonly prefix: Uint8Array;
  readonly figures: Figures;
  /** Number of failed operations by error code. */
  readonly errors: ReadonlyMap<KvraftErrorCode, number>;
  /** Whether its keys could be removed. */
  readonly isCleared: boolean;
}

/** Returns the answer of a run. */
export function checkAnswer(report: CheckReport): Answer {
  return answer({
    text: () => ({ output: checkText(report), note: "" }),
    json: () => checkDocument(report),
    exitCode: EXIT_CODES[report.verdict.kind],
    outcome: "The run came to its end, and its report is lost.",
  });
}

/** Contradictions of watches that the text has. */
const MAX_EXPLANATIONS = 5;

const EXIT_CODES: Readonly<Record<CheckVerdict["kind"], ExitCode>> = {
  linearizable: ExitCode.done,
  violation: ExitCode.no,
  watchViolation: ExitCode.no,
  undecided: ExitCode.unknown,
  nothingAnswered: ExitCode.unavailable,
  nothingWatched: ExitCode.unavailable,
};

/** Returns the report as text, the verdict first. */
function checkText(report: CheckReport): string {
  const { figures, errors, ranMs } = report;
  const perSecond = ranMs === 0 ? 0 : figures.operations / ranMs * 1_000;
  const lines = [
    verdictText(report),
    ...(report.watching === null ? [] : watchLines(report.watching)),
    "",
    `${withThousands(figures.operations)} operations in ${seconds(ranMs)} (${withThousands(perSecond)}/s), ` +
    `${workText(report)}${END_TEXT[report.end]}`,
    ...countsTable(figures),
    `errors: ${errors.size === 0 ? "none" : errorsText(errors)}`,
  ];
  if (figures.longestWithoutWriteMs !== null) {
    lines.push(`longest time without a successful write: ${seconds(figures.longestWithoutWriteMs)}`);
  }
  if (!report.isCleared) {
    lines.push(`Not all of its keys could be removed; they begin with ${escapeBytes(report.prefix)}`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** Returns the report as a document. */
function checkDocument(report: CheckReport): Readonly<Record<string, unknown>> {
  const { figures, verdict, ranMs } = report;
  const { operations, answered, notApplied, unknown } = figures;
  return {
    verdict: verdict.kind,
    ...("explanation" in verdict ? { explanation: verdict.explanation } : {}),
    ...("explanations" in verdict
      ? { explanation: verdict.explanations.join(" "), contradictions: verdict.total }
      : {}),
    report: "report" in verdict ? pathOf(verdict.report) : null,
    page: "page" in verdict ? pathOf(verdict.page) : null,
    ...(report.watching === null ? {} : { watching: report.watching }),
    end: report.end,
    ranMs: Math.round(ranMs),
    operations,
    answered,
    notApplied,
    unknown,
    byKind: Object.fromEntries(OPERATION_KINDS.map((kind) => [KIND_NAMES[kind], figures.byKind[kind]])),
    errors: Object.fromEntries([...report.errors].sort()),
    longestWithoutWriteMs: figures.longestWithoutWriteMs === null
      ? null
      : Math.round(figures.longestWithoutWriteMs),
    clients: report.clients,
    keys: report.keys,
    seed: report.seed,
    prefix: escapeBytes(report.prefix),
    cleared: report.isCleared,
  };
}

/** Returns `8 clients, 16 keys, seed 7`. */
export function workText({ clients, keys, seed }: Pick<CheckReport, "clients" | "keys" | "seed">): string {
  return `${clients} ${clients === 1 ? "client" : "clients"}, ${keys} ${
    keys === 1 ? "key" : "keys"
  }, seed ${seed}`;
}

const END_TEXT: Readonly<Record<CheckEnd, string>> = {
  duration: "",
  interrupted: "; ended by Ctrl-C",
  full: "; ended early, since no longer history is kept",
};

function verdictText({ verdict, figures }: CheckReport): string {
  switch (verdict.kind) {
    case "linearizable": {
      const { unknown } = figures;
      const presumed = unknown === 0
        ? ""
        : ` Of ${writes(unknown)} of unknown outcome, ${verdict.presumed} must have happened in it.`;
      return `LINEARIZABLE: an order of the operations explains every answer.${presumed}`;
    }
    case "violation":
      return [`NOT LINEARIZABLE: ${verdict.explanation}`, ...fileLines(verdict)].join("\n");
    case "watchViolation": {
      const [first, ...others] = verdict.explanations;
      const more = verdict.total - MAX_EXPLANATIONS;
      return [
        `WATCHES WRONG: ${first}`,
        ...others.slice(0, MAX_EXPLANATIONS - 1),
        ...(more > 0 ? [`There are ${withThousands(more)} more contradictions.`] : []),
        ...fileLines(verdict),
      ].join("\n");
    }
    case "undecided":
      return `UNDECIDED: neither an order of ${
        withThousands(verdict.operations)
      } operations nor that there is ` +
        `none was found within ${verdict.reason === "time" ? "the time" : "the memory"} for it.\n` +
        "Try a shorter run, fewer clients or more keys.";
    case "nothingAnswered":
      return "NOTHING DONE: no operation was answered, so there is nothing to check.";
    case "nothingWatched":
      return "NOTHING WATCHED: no node began a watch. Watches begin once every node has reported that it runs " +
        "kvraft 0.2 or later.";
    default:
      return assertNever(verdict);
  }
}

function fileLines({ report, page }: CheckFiles): readonly string[] {
  return [
    fileText(`The report ${report.path}`, "has the history", report),
    fileText(`The page ${page.path}`, "shows where it breaks; open it in a browser", page),
  ];
}

function fileText(name: string, says: string, { problem }: CheckFile): string {
  return problem === null ? `${name} ${says}.` : `${name} could not be written: ${problem}.`;
}

/** Returns the path of a file; null if it was not written. */
function pathOf({ path, problem }: CheckFile): string | null {
  return problem === null ? path : null;
}

function countsTable(figures: Figures): string[] {
  const row = (name: string, { operations, answered, notApplied, unknown }: Count): string[] => [
    `  ${name}`,
    ...[operations, answered, notApplied, unknown].map(withThousands),
  ];
  return table([
    ["", "operations", "answered", "failed", "unknown"],
    ...OPERATION_KINDS.filter((kind) => figures.byKind[kind].operations > 0)
      .map((kind) => row(KIND_NAMES[kind], figures.byKind[kind])),
    row("all", figures),
  ]);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function writes(count: number): string {
  return count === 1 ? "1 write" : `${withThousands(count)} writes`;
}

/** Returns a sentence that names the operations; times count from `startedAt`. */
export function explanationOf(
  { cause, keys, operations }: Violation,
  { history, startedAt }: { readonly history: History; readonly startedAt: number },
): string {
  const name = (position: number): string => {
    const operation = history[position];
    return operation === undefined ? "an operation" : nameOf(operation, startedAt);
  };
  switch (cause.kind) {
    case "stuck": {
      const on = keys.length === 1 ? escaped(keys[0] ?? "") : `${keys.length} keys`;
      return `no order of the ${operations.length} operations on ${on} explains the answer to ` +
        `${name(cause.operation)}.`;
    }
    case "revisions":
      return `${name(cause.early)} had returned before ${
        name(cause.late)
      } was called, and yet the later one ` +
        "tells of no greater revision.";
    default:
      return assertNever(cause);
  }
}

/** Returns `client 3's get of k/0004 (2.134 s to 2.140 s)`. */
function nameOf(operation: Operation, startedAt: number): string {
  const at = (time: number | null): string =>
    time === null ? "the end" : `${((time - startedAt) / 1_000).toFixed(3)} s`;
  const times = `${at(operation.calledAt)} to ${at(operation.returnedAt)}`;
  return `client ${operation.client}'s ${targetOf(operation)} (${times})`;
}

function targetOf(operation: Operation): string {
  switch (operation.kind) {
    case "put":
    case "get":
    case "delete":
      return `${operation.kind} of ${escaped(operation.key)}`;
    case "compareAndSet":
      return `cas of ${escaped(operation.key)}`;
    case "transaction":
      return `transaction on ${operation.mutations.map(({ key }) => escaped(key)).join(", ")}`;
    case "branchingTransaction":
      return "transaction with branches";
    case "list":
      return "list";
    default:
      return assertNever(operation);
  }
}

function escaped(key: string): string {
  return escapeBytes(bytesOfText(key));
}

/** A file of the report. */
interface CheckFile {
  readonly path: string;
  /** Why it could not be written; null if it was. */
  readonly problem: string | null;
}

/** The files of a violation. */
interface CheckFiles {
  /** The verdict and the history, as JSON. */
  readonly report: CheckFile;
  /** The page that shows where it breaks. */
  readonly page: CheckFile;
}

/** Writes both files. Errors are part of the result. */
export function writeCheckFiles(
  { report, document, page, environment }: {
    /** Path of the report; the page is written beside it. */
    readonly report: string;
    readonly document: unknown;
    readonly page: () => string;
    readonly environment: Pick<Environment, "writeFile">;
  },
): CheckFiles {
  const write = (path: string, text: () => string): CheckFile => {
    try {
      environment.writeFile(path, text());
      return { path, problem: null };
    } catch (error) {
      return { path, problem: errorMessage(error) };
    }
  };
  return {
    report: write(report, () => `${JSON.stringify(document)}\n`),
    page: write(pagePathOf(report), page),
  };
}

/** Returns `data/check.html` for `data/check.json`; never the path of the report itself. */
function pagePathOf(report: string): string {
  return `${report.replace(/\.json$/, "")}.html`;
}
