/**
 * A model of a node's storage with plain values: the content of log and newest snapshot, the possible remains of an
 * unsynced batch, and the result of a start when log and snapshot disagree.
 */
import { assert } from "@std/assert";
import type { HardState } from "../../lib/raft/types.ts";
import type { PersistBatch, RecoveredLog } from "../../lib/storage/mod.ts";
import type { EntryId } from "../../lib/raft/mod.ts";
import { entryText } from "./storage.ts";

/** A log that was never compacted: all entries since its beginning or its last reset, as texts. */
export interface LogModel {
  readonly hardState: HardState;
  /** The entry before the first. */
  readonly begin: EntryId;
  /** Entry `begin.index + 1` and those after it. */
  readonly texts: readonly string[];
}

/** An empty log. */
export const EMPTY_LOG: LogModel = {
  hardState: { term: 0, vote: null, commitIndex: 0 },
  begin: { index: 0, term: 0 },
  texts: [],
};

/** Returns the index of the last entry. */
export function lastIndexOf({ begin, texts }: LogModel): number {
  return begin.index + texts.length;
}

/** Returns the term of an entry, or of the one before the first; null for others. */
export function termOf({ begin, texts }: LogModel, index: number): number | null {
  if (index === begin.index) return begin.term;
  const [, term] = /^\d+@(\d+) /.exec(texts[index - begin.index - 1] ?? "") ?? [];
  return term === undefined ? null : Number(term);
}

/** Returns the possible logs after `batch` was written and not synced: the first without it, the last with all of it. */
export function stagesOf(
  before: LogModel,
  { snapshot, hardState, entries }: PersistBatch,
): readonly LogModel[] {
  const full = hardState ?? before.hardState;
  const limit = (entries[0]?.index ?? Number.POSITIVE_INFINITY) - 1;
  const early = { ...full, commitIndex: Math.min(full.commitIndex, limit) };
  let now: LogModel = snapshot === null
    ? { ...before, hardState: early }
    : { hardState: early, begin: snapshot, texts: [] };
  const stages = [before, now];
  for (const entry of entries) {
    now = { ...now, texts: [...now.texts.slice(0, entry.index - now.begin.index - 1), entryText(entry)] };
    stages.push(now);
  }
  return [...stages, { ...now, hardState: full }];
}

/** Returns the log after a start with a state machine from `snapshot`. */
export function startedFrom(log: LogModel, snapshot: EntryId | null): LogModel {
  if (snapshot === null || termOf(log, snapshot.index) === snapshot.term) return log;
  const { term, commitIndex } = log.hardState;
  const hardState = snapshot.term > term ? { term: snapshot.term, vote: null, commitIndex } : log.hardState;
  return { hardState, begin: snapshot, texts: [] };
}

/** Returns why `found` is not this log, compacted at most up to `cutTo`; null when it is. */
export function whyNotLog(
  found: RecoveredLog,
  { log, cutTo }: { readonly log: LogModel; readonly cutTo: number },
): string | null {
  const { compacted } = found;
  const { begin } = log;
  if (JSON.stringify(found.hardState) !== JSON.stringify(log.hardState)) {
    return `hard state ${JSON.stringify(log.hardState)}`;
  }
  if (compacted.index < begin.index || compacted.index > Math.max(cutTo, begin.index)) {
    return `compacted entry from ${begin.index} to ${cutTo}`;
  }
  if (compacted.term !== termOf(log, compacted.index)) {
    return `term ${termOf(log, compacted.index)} of entry ${compacted.index}`;
  }
  const texts = log.texts.slice(compacted.index - begin.index);
  if (JSON.stringify(found.cachedEntries.map(entryText)) !== JSON.stringify(texts)) {
    return `entries ${texts.join(", ")}`;
  }
  const terms = found.cachedEntries.map(({ index }) =>
    found.termRanges.findLast((run) => run.firstIndex <= index)?.term
  );
  const expected = found.cachedEntries.map(({ term }) => term);
  if (JSON.stringify(terms) !== JSON.stringify(expected)) return `terms ${expected.join()}`;
  return found.termRanges.every(({ firstIndex }) => firstIndex > compacted.index)
    ? null
    : "term ranges above the compacted entry";
}

/** All possible states of a node's storage. */
export interface Possible {
  /** The durable log, then the log after each later write. */
  readonly logs: readonly LogModel[];
  /** The newest complete snapshot. */
  readonly snapshots: readonly (EntryId | null)[];
  /** The highest entry that a cut may have compacted. */
  readonly cutTo: number;
}

/** Returns the possible log that was found; fails an assertion when it is none of them. */
export function identified(
  { recovered, snapshot }: { readonly recovered: RecoveredLog; readonly snapshot: EntryId | null },
  { logs, snapshots, cutTo }: Possible,
): LogModel {
  const isPossible = snapshots.some((each) => JSON.stringify(each) === JSON.stringify(snapshot));
  assert(isPossible, `snapshot ${JSON.stringify(snapshot)} is none of ${JSON.stringify(snapshots)}`);
  const started = logs.map((each) => startedFrom(each, snapshot));
  const reasons = started.map((log) => whyNotLog(recovered, { log, cutTo }));
  const log = started[reasons.lastIndexOf(null)];
  assert(
    log !== undefined,
    `found ${JSON.stringify({ ...recovered, cachedEntries: recovered.cachedEntries.map(entryText) })} with ` +
      `${JSON.stringify(snapshot)}; expected one of\n${reasons.join("\n")}`,
  );
  return log;
}
