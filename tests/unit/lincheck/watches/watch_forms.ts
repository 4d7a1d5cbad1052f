/** Short forms in which runs with watches are written, and assertions on their verdicts. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  checkWatches,
  findingText,
  type History,
  type KeySet,
  type LeaseCall,
  type WatchedEntry,
  type WatchedRun,
  type WatchEvent,
  type WatchNotice,
  type WatchRecord,
  type WatchRule,
} from "../../../../lib/lincheck/mod.ts";
import { answered, put, remove, type Span, verdictOf } from "../support.ts";

/** All keys. */
export const ALL: KeySet = { kind: "range", start: "", end: null };
/** Key a. */
export const A: KeySet = { kind: "key", key: "a" };

/** Returns an entry that was put once: of its revision, and of version 1. */
export function shown(
  value: string,
  modRevision: number,
  differences: Partial<WatchedEntry> = {},
): WatchedEntry {
  return { value, createRevision: modRevision, modRevision, version: 1, leaseId: null, ...differences };
}

/** Returns the event of a put; an assignment such as `a=1`. */
export function putEvent(
  assignment: string,
  modRevision: number,
  differences: Partial<WatchedEntry> & { readonly previous?: WatchedEntry | null } = {},
): WatchEvent {
  const [key = "", value = ""] = assignment.split("=");
  const { previous = "omitted", ...numbers } = differences;
  return { kind: "put", key, entry: shown(value, modRevision, numbers), previous };
}

/** Returns the event of a delete. */
export function deleteEvent(
  key: string,
  modRevision: number,
  previous: WatchedEntry | null | "omitted" = "omitted",
): WatchEvent {
  return { kind: "delete", key, modRevision, previous };
}

/** Returns the events of a revision, and when they were received. */
export function batch(revision: number, receivedAt: number, ...events: readonly WatchEvent[]): WatchNotice {
  return { kind: "events", revision, receivedAt, events };
}

/** Returns a mark that everything up to a revision was shown. */
export function progress(revision: number, receivedAt: number): WatchNotice {
  return { kind: "progress", revision, receivedAt };
}

/** Returns a reset that shows these keys. */
export function reset(
  revision: number,
  receivedAt: number,
  entries: Readonly<Record<string, WatchedEntry>>,
): WatchNotice {
  const all = Object.entries(entries).map(([key, each]) => ({ key, ...each }));
  return { kind: "reset", revision, receivedAt, entries: all };
}

/** Returns a watch of everything from the first revision on, with these differences. */
export function watch(notices: readonly WatchNotice[], differences: Partial<WatchRecord> = {}): WatchRecord {
  return {
    watcher: 1,
    start: 1,
    keys: ALL,
    from: 1,
    only: null,
    resync: true,
    startedAt: 0,
    notices,
    ...differences,
  };
}

/** Returns a run with keys of any prefix, unless one is given. */
export function run(
  history: History,
  watches: readonly WatchRecord[],
  { leases = [], prefix = "" }: { readonly leases?: readonly LeaseCall[]; readonly prefix?: string } = {},
): WatchedRun {
  return { history, watches, leases, prefix };
}

/** Returns the answered grant of a lease. */
export function granted(
  leaseId: number,
  [calledAt, returnedAt]: readonly [number, number],
  ttlMs: number,
): LeaseCall {
  return { kind: "grant", leaseId, ttlMs, calledAt, returnedAt, outcome: answered({ ttlMs }) };
}

/** Returns a put with a lease that was answered with a revision. */
export function leasedPut(
  span: Span,
  assignment: string,
  [revision, leaseId]: readonly [number, number],
): History[number] {
  return { ...put(span, assignment, revision), leaseId } as History[number];
}

/** Asserts that a run keeps all rules, and is linearizable. */
export function assertAccepted(accepted: WatchedRun): void {
  const verdict = checkWatches(accepted);
  assertEquals(verdict.kind === "violation" ? verdict.findings : [], []);
  assert(verdict.kind === "consistent");
  assertEquals(verdictOf(verdict.history).kind, "linearizable");
}

/** Asserts that a run breaks a rule, with a sentence that has this part. */
export function assertRefused(refused: WatchedRun, rule: WatchRule, part: string): void {
  const verdict = checkWatches(refused);
  assert(verdict.kind === "violation", `a breach of "${rule}" was accepted`);
  const texts = verdict.findings.map((finding) => findingText(finding, { run: refused, startedAt: 0 }));
  assert(verdict.findings.some((finding) => finding.rule === rule), texts.join("\n"));
  assertStringIncludes(texts.join("\n"), part);
}

/** Two puts and a delete of key a, and a put of key b. */
export const HISTORY: History = [
  put([1, 0, 2], "a=1", 1),
  put([1, 3, 5], "a=2", 2),
  put([2, 6, 8], "b=3", 3),
  remove([1, 9, 11], "a", { deleted: true, revision: 4 }),
];
/** The events of these four operations. */
export const ONE = batch(1, 2, putEvent("a=1", 1));
/** See {@link ONE}. */
export const TWO = batch(
  2,
  5,
  putEvent("a=2", 2, { createRevision: 1, version: 2, previous: shown("1", 1) }),
);
/** See {@link ONE}. */
export const THREE = batch(3, 8, putEvent("b=3", 3));
/** See {@link ONE}. */
export const FOUR = batch(4, 11, deleteEvent("a", 4));
