/** The commands on earlier versions: `history`, and `compact`, which drops them. */
import type { HistoryResult } from "../../../client/types.ts";
import { type KeyVersion, MAX_LIST_ENTRIES } from "../../../kv/mod.ts";
import { integerOfText, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  changeAnswer,
  defineCommand,
  type View,
  withElapsed,
} from "../../command.ts";
import {
  callOptions,
  CONSISTENCY_OPTIONS,
  consistencyOptions,
  KEY,
  KEY_BYTES_OPTIONS,
  keyOf,
} from "../../options.ts";
import { ExitCode } from "../../errors.ts";
import { bytesField, lifetimeFields } from "../../json.ts";
import { countOf, dim, duration, escapeBytes, moreLine } from "../../text.ts";
import { lifetimeColumns, nextPageLine, valueTable } from "./list.ts";

const OPTIONS: readonly OptionSpec[] = [
  { name: "limit", placeholder: "<n>", help: "versions of a page (100)" },
  { name: "before", placeholder: "<revision>", help: "only versions below this revision" },
  ...CONSISTENCY_OPTIONS,
  ...KEY_BYTES_OPTIONS,
];

export const HISTORY = defineCommand({
  name: "history",
  otherNames: ["versions", "log", "changes"],
  arguments: [KEY],
  options: OPTIONS,
  summary: "the versions of a key, the newest first",
  details: [
    "One page; what follows it is said below (as JSON: before). Ends with 1 when the history has no version of the key.",
    "Into a file or pipe go revision, put or delete, version and value, parted by tabs.",
  ],
  example: ["history greeting", "13\tdelete", "12\tput\t1\thello"],
  async run(invocation, context): Promise<Answer> {
    const { options } = invocation;
    const [limit, before] = [options.get("limit"), options.get("before")];
    const page = {
      ...(limit === undefined
        ? {}
        : { limit: integerOfText(limit, { name: "--limit", min: 1, max: MAX_LIST_ENTRIES }) }),
      ...(before === undefined ? {} : { before: revisionOf(before, { name: "--before", min: 1 }) }),
    };
    const key = keyOf(invocation);
    const client = await context.client();
    const result = await client.history(key, { ...page, ...consistencyOptions(invocation, context) });
    return historyAnswer(result, (next) => {
      const option = { name: "before", bytes: new TextEncoder().encode(String(next)) };
      return nextPageLine(invocation, { option, begins: ["before", "key-base64"], argument: key });
    });
  },
});

export const COMPACT = defineCommand({
  name: "compact",
  otherNames: ["compaction", "gc", "vacuum"],
  arguments: [{ name: "revision", required: true }],
  summary: "drop the history below a revision",
  details: ["Reads as of earlier revisions fail from then on. The keys stay as they are."],
  example: ["compact 12", "ok  history from revision 12 on"],
  async run(invocation, context): Promise<Answer> {
    const text = invocation.args.get("revision")?.text ?? "";
    const revision = revisionOf(text, { name: "<revision>", min: 0 });
    const client = await context.client();
    const { compactedRevision } = await client.compact(revision, callOptions(invocation, context));
    return changeAnswer({
      line: `ok  history from revision ${compactedRevision} on`,
      document: { compactedRevision },
    });
  },
});

function revisionOf(text: string, { name, min }: { readonly name: string; readonly min: number }): number {
  return integerOfText(text, { name, min, max: Number.MAX_SAFE_INTEGER });
}

/** Returns the answer of a history. `nextPage` returns the line to type for the versions below a revision. */
function historyAnswer(
  { versions, before, compactedRevision, revision }: HistoryResult,
  nextPage: (before: number) => string,
): Answer {
  const hint = before === null ? "" : moreLine(versions.length, nextPage(before));
  return answer({
    text(view): AnswerText {
      if (versions.length === 0) return { output: "", note: withElapsed("(no history)\n", view) };
      const output = view.isTerminal ? versionTable(versions, view) : versions.map(versionLine).join("");
      if (view.elapsedMs === null) return { output, note: hint };
      const kept = `history from revision ${compactedRevision} on`;
      const meta = `${countOf(versions.length, "version")}, ${kept}, ${duration(view.elapsedMs)}`;
      return { output, note: `${hint}${dim(meta, view)}\n` };
    },
    json: () => ({ versions: versions.map(versionDocument), before, compactedRevision, revision }),
    exitCode: versions.length === 0 ? ExitCode.no : ExitCode.done,
  });
}

function versionLine({ modRevision, version, value }: KeyVersion): string {
  if (value === null) return `${modRevision}\tdelete\n`;
  return `${modRevision}\tput\t${version}\t${escapeBytes(value)}\n`;
}

function versionTable(versions: readonly KeyVersion[], view: View): string {
  const revisions = ["revision", ...versions.map(({ modRevision }) => String(modRevision))];
  const numbers = ["version", ...versions.map(({ version, value }) => value === null ? "" : String(version))];
  const values = versions.map(({ value }) => value);
  return valueTable([revisions, numbers, ...lifetimeColumns(versions)], { values, view });
}

/** Returns the document of a version: of a put with its value, of a deletion with `deleted`. */
function versionDocument(one: KeyVersion): unknown {
  const { createRevision, modRevision, version, value } = one;
  return value === null
    ? { modRevision, deleted: true }
    : { ...bytesField("value", value), createRevision, modRevision, version, ...lifetimeFields(one) };
}
