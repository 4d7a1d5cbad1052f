/** The lines of a watch: fields parted by tabs for pipes, fitted to the columns of a terminal, or JSON. */
import type { WatchEvent } from "../../../client/watch/types.ts";
import type { KeyValue } from "../../../kv/command.ts";
import type { AnswerPart, View } from "../../command.ts";
import { bytesField, entryDocument, entryFields } from "../../json.ts";
import { columnsOf, countOf, dim, escapeBytes, fit, lifetimeText } from "../../text.ts";
import { MAX_KEY_COLUMNS, MIN_VALUE_COLUMNS, valueCell } from "../keys/list.ts";

/** Columns of the kind of a change. */
const KIND_COLUMNS = "delete".length;

/** The contents of a line about one key. */
interface Change {
  readonly revision: number;
  readonly kind: "put" | "delete" | "entry";
  readonly key: Uint8Array;
  /** The key as it is now; null if it was removed. */
  readonly entry: KeyValue | null;
  /** The key as it was before; null if it did not exist, or that was not asked for. */
  readonly previous: KeyValue | null;
}

/** Returns the line of an event. `hasMore`: whether events of the same revision follow. */
export function eventPart(
  event: WatchEvent,
  { revision, hasMore }: { readonly revision: number; readonly hasMore: boolean },
): AnswerPart {
  const { kind, previous = null } = event;
  const [key, entry] = event.kind === "put" ? [event.entry.key, event.entry] : [event.key, null];
  return {
    text: (view) => changeLine({ revision, kind, key, entry, previous }, view),
    json: () => ({
      kind,
      revision,
      ...(event.kind === "put" ? entryFields(event.entry) : bytesField("key", event.key)),
      ...(event.previous !== undefined && { previous: entryDocument(event.previous) }),
      ...(hasMore && { more: true }),
    }),
  };
}

/** Returns the line before the entries of a reset. */
export function resetPart(revision: number, entries: number): AnswerPart {
  return {
    text: (view) =>
      view.isTerminal
        ? `${dim(`${revision}  reset   ${countOf(entries, "key")}, in place of earlier changes`, view)}\n`
        : `${revision}\treset\t${entries}\n`,
    json: () => ({ kind: "reset", revision, entries }),
  };
}

/** Returns the line of an entry of a reset. */
export function entryPart(entry: KeyValue): AnswerPart {
  const { key, modRevision: revision } = entry;
  return {
    text: (view) => changeLine({ revision, kind: "entry", key, entry, previous: null }, view),
    json: () => ({ kind: "entry", ...entryFields(entry) }),
  };
}

/** Returns the line that says up to which revision everything is shown. */
export function progressPart(revision: number): AnswerPart {
  return {
    text: (view) => view.isTerminal ? `${dim(`${revision}  progress`, view)}\n` : `${revision}\tprogress\n`,
    json: () => ({ kind: "progress", revision }),
  };
}

function changeLine(change: Change, view: View): string {
  if (view.isTerminal) return terminalLine(change, view);
  const { revision, kind, key, entry, previous } = change;
  const values = [entry, previous].flatMap((one) => one === null ? [] : [escapeBytes(one.value)]);
  return `${[revision, kind, escapeBytes(key), ...values].join("\t")}\n`;
}

/** Returns the line of a change, as wide as the terminal if its values are long. */
function terminalLine({ revision, kind, key, entry, previous }: Change, view: View): string {
  const name = fit(escapeBytes(key), MAX_KEY_COLUMNS);
  const head = `${revision}  ${kind.padEnd(KIND_COLUMNS)}  `;
  const lifetime = entry === null ? "" : lifetimeText(entry);
  const values = [entry, previous].filter((one) => one !== null);
  const extraColumns = lifetime === "" ? 0 : lifetime.length + 2;
  const free = view.columns - head.length - columnsOf(name) - extraColumns - 2 * values.length;
  const columns = Math.max(MIN_VALUE_COLUMNS, Math.floor(free / Math.max(1, values.length)));
  const now = entry === null ? "" : `  ${valueCell(entry.value, columns)}`;
  const before = previous === null
    ? ""
    : `  ${dim(`(was ${valueCell(previous.value, Math.max(MIN_VALUE_COLUMNS, columns - 6))})`, view)}`;
  return `${dim(head, view)}${name}${now}${before}${lifetime === "" ? "" : `  ${dim(lifetime, view)}`}\n`;
}
