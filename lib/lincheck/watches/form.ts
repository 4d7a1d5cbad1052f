/** The rules for a watch by itself: what it shows is in order, within its range, and free of contradictions. */
import { assertNever } from "../../platform/assert.ts";
import { hasKey } from "../transactions/transaction.ts";
import { type Findings, keyPhrase, watchPhrase, type WatchRule } from "./findings.ts";
import { passes, type WatchedEntry, type WatchEvent, type WatchNotice, type WatchRecord } from "./record.ts";

/** Options of {@link checkForm}. */
export interface FormOptions {
  /** Position of the watch. */
  readonly watch: number;
  /** The greatest revision that is known to have been made before a time. */
  readonly reachedBefore: (time: number) => number;
  readonly findings: Findings;
}

/** Checks one watch. */
export function checkForm(record: WatchRecord, options: FormOptions): void {
  const form = new Form(record, options);
  for (const notice of record.notices) form.check(notice);
}

class Form {
  readonly #record: WatchRecord;
  readonly #options: FormOptions;
  /** Everything up to this revision was delivered. */
  #upTo: number;
  #hasNotice = false;

  constructor(record: WatchRecord, options: FormOptions) {
    this.#record = record;
    this.#options = options;
    this.#upTo = record.from === null ? 0 : record.from - 1;
  }

  check(notice: WatchNotice): void {
    this.#checkOrder(notice);
    switch (notice.kind) {
      case "events":
        this.#checkEvents(notice);
        break;
      case "reset":
        this.#checkReset(notice);
        break;
      case "progress":
        break;
      default:
        assertNever(notice);
    }
    this.#upTo = Math.max(this.#upTo, notice.revision);
    this.#hasNotice = true;
  }

  #checkOrder({ kind, revision }: WatchNotice): void {
    const { record, upTo } = { record: this.#record, upTo: this.#upTo };
    if (!this.#hasNotice && record.from === null) {
      const reached = this.#options.reachedBefore(record.startedAt);
      const isOld = kind === "events" ? revision <= reached : revision < reached;
      if (!isOld) return;
      this.#find("start", revision, [
        ` was to begin with the present and shows revision ${revision}; revision ${reached} was known before it was requested.`,
      ]);
      return;
    }
    const isInOrder = kind === "events" ? revision > upTo : revision >= upTo;
    if (isInOrder) return;
    const rule = this.#hasNotice ? "order" : "start";
    const before = this.#hasNotice
      ? `had delivered everything up to revision ${upTo}`
      : `was to begin with ${upTo + 1}`;
    this.#find(rule, revision, [
      ` ${before}, and then shows ${kind === "events" ? "events" : `a ${kind}`} of revision ${revision}.`,
    ]);
  }

  #checkEvents({ revision, events }: Extract<WatchNotice, { readonly kind: "events" }>): void {
    if (events.length === 0) this.#find("form", revision, [` shows revision ${revision} without an event.`]);
    for (const event of events) {
      this.#checkKey(event.key, revision);
      if (!passes(this.#record.only, event.kind)) {
        this.#find("range", revision, [
          ` asked for ${this.#record.only ?? "all events"} and shows a ${event.kind} of `,
          keyPhrase(event.key),
          ` at revision ${revision}.`,
        ], event.key);
      }
      const why = contradictionOf(event, revision);
      if (why === null) continue;
      this.#find(
        "form",
        revision,
        [" shows for ", keyPhrase(event.key), ` at revision ${revision}: ${why}.`],
        event.key,
      );
    }
  }

  #checkReset({ revision, entries }: Extract<WatchNotice, { readonly kind: "reset" }>): void {
    if (!this.#record.resync) {
      this.#find("form", revision, [` did not ask for resets and shows one at revision ${revision}.`]);
    }
    for (const [position, entry] of entries.entries()) {
      const { key } = entry;
      this.#checkKey(key, revision);
      const next = entries[position + 1];
      const why = next !== undefined && next.key <= key
        ? "the keys are not in order, each once"
        : entry.modRevision > revision
        ? `it was last changed at ${entry.modRevision}`
        : numbersProblem(entry);
      if (why === null) continue;
      this.#find("form", revision, [
        " shows ",
        keyPhrase(key),
        ` in a reset at revision ${revision}: ${why}.`,
      ], key);
    }
  }

  #checkKey(key: string, revision: number): void {
    if (hasKey(this.#record.keys, key)) return;
    this.#find("range", revision, [
      " shows ",
      keyPhrase(key),
      ` at revision ${revision}, which is none of its keys.`,
    ], key);
  }

  #find(
    rule: WatchRule,
    revision: number,
    sentence: Parameters<Findings["add"]>[0]["sentence"],
    key: string | null = null,
  ): void {
    const { watch, findings } = this.#options;
    findings.add({ rule, revision, key, sentence: [watchPhrase(watch), ...sentence] });
  }
}

/** Returns why an event cannot be one of `revision`, or null. */
function contradictionOf(event: WatchEvent, revision: number): string | null {
  const { previous } = event;
  if (previous !== "omitted" && previous !== null) {
    if (previous.modRevision > revision) {
      return `what was there before is of revision ${previous.modRevision}`;
    }
    const why = numbersProblem(previous);
    if (why !== null) return `what was there before has wrong numbers: ${why}`;
  }
  if (event.kind === "delete") {
    if (event.modRevision !== revision) return `the delete is of revision ${event.modRevision}`;
    return previous === null ? "a key was deleted that did not exist" : null;
  }
  const { entry } = event;
  if (entry.modRevision !== revision) return `the put is of revision ${entry.modRevision}`;
  const why = numbersProblem(entry);
  if (why !== null || previous === "omitted") return why;
  if (previous === null) {
    return entry.version === 1 ? null : `nothing was there before, and it has version ${entry.version}`;
  }
  if (entry.createRevision !== previous.createRevision) {
    return `it was created at ${entry.createRevision}, and what it replaced at ${previous.createRevision}`;
  }
  return entry.version === previous.version + 1
    ? null
    : `it has version ${entry.version}, and what it replaced has version ${previous.version}`;
}

/** Returns why the numbers of an entry contradict each other, or null. */
function numbersProblem({ createRevision, modRevision, version }: WatchedEntry): string | null {
  if (createRevision > modRevision) {
    return `it was created at ${createRevision} and last changed at ${modRevision}`;
  }
  if (createRevision < 1 || version < 1) {
    return `it was created at ${createRevision} and has version ${version}`;
  }
  // Several puts of one transaction share a revision, so that a later version can have the revision of the creation.
  return version === 1 && createRevision !== modRevision
    ? `it has version 1 and was created at ${createRevision}, before revision ${modRevision}`
    : null;
}
