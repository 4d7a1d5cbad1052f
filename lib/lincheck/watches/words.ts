/** Findings, watches and events as a person reads them. */
import { assertNever } from "../../platform/assert.ts";
import { spanText } from "../timeline.ts";
import type { KeySet } from "../transactions/transaction.ts";
import { quoted, requestText, shown } from "../words.ts";
import type { Phrase, WatchFinding } from "./findings.ts";
import type { WatchedRun, WatchEvent, WatchRecord } from "./record.ts";

/** The run that a finding is about; times count from `startedAt`. */
export interface WordsOptions {
  readonly run: WatchedRun;
  readonly startedAt: number;
}

/** Returns a finding as a sentence. */
export function findingText({ sentence }: WatchFinding, options: WordsOptions): string {
  const text = sentence.map((phrase) => phraseText(phrase, options)).join("");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Returns a part of a sentence as text. */
export function phraseText(phrase: Phrase, { run, startedAt }: WordsOptions): string {
  if (typeof phrase === "string") return phrase;
  switch (phrase.kind) {
    case "watch": {
      const record = run.watches[phrase.watch];
      return record === undefined ? "a watch" : watchText(record);
    }
    case "operation": {
      const operation = run.history[phrase.operation];
      if (operation === undefined) return "an operation";
      return `client ${operation.client}'s ${requestText(operation)} (${spanText(operation, startedAt)})`;
    }
    case "key":
      return shown(phrase.key);
    case "value":
      return quoted(phrase.value);
    default:
      return assertNever(phrase);
  }
}

/** Returns `watch 2.1 (app/ to app0, puts, from revision 7)`: number of the watcher, and of its watch. */
export function watchText({ watcher, start, keys, only, from }: WatchRecord): string {
  const parts = [
    keysText(keys),
    ...(only === null ? [] : [only]),
    from === null ? "from the present on" : `from revision ${from}`,
  ];
  return `watch ${watcher}.${start} (${parts.join(", ")})`;
}

function keysText(keys: KeySet): string {
  switch (keys.kind) {
    case "key":
      return shown(keys.key);
    case "range":
      if (keys.start === "" && keys.end === null) return "all keys";
      return `${shown(keys.start)} to ${keys.end === null ? "the last key" : shown(keys.end)}`;
    default:
      return assertNever(keys);
  }
}

/** Returns `put "v", version 2` or `delete`. */
export function eventText(event: WatchEvent): string {
  if (event.kind === "delete") return "delete";
  const { value, version, createRevision, leaseId } = event.entry;
  const lease = leaseId === null ? "" : `, lease ${leaseId}`;
  return `put ${quoted(value)}, created at ${createRevision}, version ${version}${lease}`;
}
