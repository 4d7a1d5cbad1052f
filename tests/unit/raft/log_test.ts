/** The log of the core against a plain array, and the effect of a completed write after rewrites. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { EMPTY_STATE, type Entry, type RecoveredState } from "../../../lib/raft/mod.ts";
import { entryBytes, RaftLog } from "../../../lib/raft/log.ts";
import { configurationOf, configurationText, TEXT_CODEC } from "../../support/raft/configuration.ts";

const NO_LIMIT = Number.MAX_SAFE_INTEGER;

function entry(index: number, term: number, payloadBytes = 0): Entry {
  return { index, term, kind: "command", data: new Uint8Array(payloadBytes) };
}

/** A log whose entries have these terms, all in memory and none durable. */
function logOf(terms: readonly number[], cacheLimitBytes = NO_LIMIT): RaftLog {
  const log = new RaftLog(EMPTY_STATE, { cacheLimitBytes, codec: TEXT_CODEC });
  log.write(terms.map((term, position) => entry(position + 1, term)));
  return log;
}

/** A log as recovered from storage. */
function recoveredLog(recovered: Partial<RecoveredState>): RaftLog {
  return new RaftLog({ ...EMPTY_STATE, ...recovered }, { cacheLimitBytes: NO_LIMIT, codec: TEXT_CODEC });
}

/** Writes what is not durable, and completes that write. */
function sync(log: RaftLog): void {
  log.takeUnpersisted();
  log.persisted(log.lastIndex, log.lastTerm);
}

const ascendingTerms = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 12 })
  .map((terms) => terms.sort((a, b) => a - b));

Deno.test("RaftLog: after any overwrites the terms of a log are those of a plain array", () => {
  const rewrite = fc.record({ keep: fc.nat(12), terms: ascendingTerms });
  fc.assert(fc.property(fc.array(rewrite, { maxLength: 8 }), (rewrites) => {
    const log = logOf([]);
    let model: number[] = [];
    for (const { keep, terms } of rewrites) {
      const kept = model.slice(0, keep);
      const added = terms.filter((term) => term >= (kept.at(-1) ?? 0));
      if (added.length === 0) continue;
      log.write(added.map((term, position) => entry(kept.length + 1 + position, term)));
      model = [...kept, ...added];
    }
    const indexes = Array.from({ length: model.length + 2 }, (_, index) => index);
    assertEquals(indexes.map((index) => log.termAt(index)), [0, ...model, null]);
    assertEquals([log.lastIndex, log.lastTerm], [model.length, model.at(-1) ?? 0]);
    const entries = log.slice(1, log.lastIndex, NO_LIMIT) ?? [];
    assertEquals(entries.map(({ index, term }) => [index, term]), model.map((term, at) => [at + 1, term]));
  }));
});

Deno.test("RaftLog: findConflictByTerm finds what a search through all entries finds", () => {
  fc.assert(fc.property(ascendingTerms, fc.nat(15), fc.nat(7), (terms, index, term) => {
    let expected = { index: 0, term: 0 };
    terms.forEach((found, position) => {
      if (position < index && found <= term) expected = { index: position + 1, term: found };
    });
    assertEquals(logOf(terms).findConflictByTerm(index, term), expected);
  }));
});

Deno.test("RaftLog: a log is up to date if its last term is later, or the same and it is not shorter", () => {
  const log = logOf([1, 2, 2]);
  assertEquals([log.isUpToDate(9, 1), log.isUpToDate(2, 2)], [false, false]);
  assertEquals([log.isUpToDate(3, 2), log.isUpToDate(4, 2), log.isUpToDate(1, 3)], [true, true, true]);
});

Deno.test("RaftLog: a slice has at least one entry, and no more bytes than allowed otherwise", () => {
  const log = logOf([]);
  const entries = [entry(1, 1, 10), entry(2, 1, 10), entry(3, 1, 500)];
  log.write(entries);
  const two = entryBytes(entry(1, 1, 10)) * 2;
  assertEquals(log.slice(1, 3, two), entries.slice(0, 2));
  assertEquals(log.slice(1, 3, two - 1), entries.slice(0, 1));
  assertEquals(log.slice(3, 3, 1), entries.slice(2));
});

Deno.test("RaftLog: a completed write makes only entries durable that were not rewritten since it began", () => {
  const log = logOf([1, 1, 1]);
  log.takeUnpersisted();
  log.write([entry(2, 2), entry(3, 2), entry(4, 2)]);
  log.persisted(3, 1);
  assertEquals([log.durableIndex, log.persistingIndex], [1, 1]);
  assertEquals(log.takeUnpersisted().entries.map(({ index, term }) => [index, term]), [[2, 2], [3, 2], [
    4,
    2,
  ]]);
  log.persisted(4, 2);
  assertEquals(log.durableIndex, 4);
});

Deno.test("RaftLog: a completed write does not count for an index that was rewritten with an entry of the same size", () => {
  const log = logOf([1]);
  sync(log);
  log.write([entry(2, 2), entry(3, 2)]);
  log.takeUnpersisted();
  log.write([entry(2, 3)]);
  log.write([entry(3, 3)]);
  log.persisted(3, 2);
  assertEquals(log.durableIndex, 1);
});

Deno.test("RaftLog: a rewritten entry is no longer durable", () => {
  const log = logOf([1, 1, 1]);
  sync(log);
  log.write([entry(3, 2)]);
  assertEquals([log.durableIndex, log.persistingIndex, log.lastIndex], [2, 2, 3]);
});

Deno.test("RaftLog: completing another write than the one in flight is a fault of the caller", () => {
  const log = logOf([1, 1]);
  assertThrows(() => log.persisted(2, 1), InvariantError, "reports a write in progress");
  log.takeUnpersisted();
  assertThrows(() => log.persisted(1, 1), InvariantError, "reports the write in progress");
  assertThrows(() => log.takeUnpersisted(), InvariantError, "one write to storage at a time");
});

Deno.test("RaftLog: committed entries are never overwritten, entries leave no gap, terms never fall", () => {
  const log = logOf([1, 2, 2]);
  log.commitTo(2);
  assertThrows(() => log.write([entry(2, 3)]), InvariantError, "a committed entry is never discarded");
  assertThrows(() => log.write([entry(5, 3)]), InvariantError, "no gaps");
  assertThrows(() => log.write([entry(4, 1)]), InvariantError, "terms never fall");
  assertThrows(() => log.write([entry(4, 2), entry(6, 2)]), InvariantError, "consecutive");
  assertThrows(() => log.commitTo(9), InvariantError, "only entries in the log");
});

Deno.test("RaftLog: the commit index never falls", () => {
  const log = logOf([1, 1, 1]);
  log.commitTo(3);
  log.commitTo(1);
  assertEquals(log.commitIndex, 3);
});

Deno.test("RaftLog: committed entries are returned once, in order, in batches of bounded size", () => {
  const log = logOf([1, 1, 1, 1]);
  log.commitTo(3);
  const twoEntries = 2 * entryBytes(entry(1, 1));
  const batches = [1, 2, 3].map(() => (log.takeCommitted(twoEntries) ?? []).map(({ index }) => index));
  assertEquals(batches, [[1, 2], [3], []]);
});

Deno.test("RaftLog: entries leave memory only when they are durable, applied, and more than the tail may hold", () => {
  const log = logOf([1, 1, 1, 1, 1], 2 * entryBytes(entry(1, 1)));
  log.commitTo(5);
  log.takeCommitted(NO_LIMIT);
  assertEquals(log.firstCachedIndex, 1);
  sync(log);
  assertEquals(log.firstCachedIndex, 4);
  assertEquals([log.slice(3, 5, NO_LIMIT), log.slice(4, 5, NO_LIMIT)?.length], [null, 2]);
  assertEquals([log.termAt(1), log.termAt(5)], [1, 1]);
  const unapplied = logOf([1, 1, 1, 1, 1], 2 * entryBytes(entry(1, 1)));
  unapplied.commitTo(5);
  sync(unapplied);
  assertEquals(unapplied.firstCachedIndex, 1);
});

Deno.test("RaftLog: a recovered log knows the terms of entries that are not in memory, and requests these to apply them", () => {
  const log = recoveredLog({
    hardState: { term: 3, vote: null, commitIndex: 3 },
    termRanges: [{ firstIndex: 1, term: 1 }, { firstIndex: 3, term: 3 }],
    lastIndex: 4,
    cachedEntries: [entry(4, 3)],
  });
  assertEquals([1, 2, 3, 4, 5].map((index) => log.termAt(index)), [1, 1, 3, 3, null]);
  assertEquals([log.takeCommitted(NO_LIMIT), log.durableIndex, log.commitIndex], [null, 4, 3]);
  log.markApplied([entry(1, 1), entry(2, 1), entry(3, 3)]);
  assertEquals(log.takeCommitted(NO_LIMIT), []);
});

Deno.test("RaftLog: a log overwritten below what is in memory continues from there", () => {
  const log = recoveredLog({
    hardState: { term: 1, vote: null, commitIndex: 0 },
    termRanges: [{ firstIndex: 1, term: 1 }],
    lastIndex: 5,
    cachedEntries: [entry(5, 1)],
  });
  log.write([entry(3, 2)]);
  assertEquals([log.lastIndex, log.lastTerm, log.firstCachedIndex], [3, 2, 3]);
  assertEquals(log.takeUnpersisted(), { snapshot: null, entries: [entry(3, 2)] });
});

const CONFIGURATION = configurationOf({ voters: [1, 2, 3] });

Deno.test("RaftLog: before the base no term is known, at it one is, and findConflictByTerm ends there", () => {
  fc.assert(fc.property(ascendingTerms, fc.nat(12), fc.nat(15), fc.nat(7), (terms, cut, index, term) => {
    const compactedIndex = Math.min(cut, terms.length);
    const log = logOf(terms);
    sync(log);
    log.commitTo(compactedIndex);
    log.takeCommitted(NO_LIMIT);
    log.compact({ snapshotIndex: compactedIndex, compactedIndex });
    log.assertInvariants();
    const whole = logOf(terms);
    assertEquals(log.compacted, { index: compactedIndex, term: terms[compactedIndex - 1] ?? 0 });
    assertEquals([log.lastIndex, log.lastTerm], [whole.lastIndex, whole.lastTerm]);
    for (let at = 0; at <= terms.length + 1; at++) {
      assertEquals(log.termAt(at), at < compactedIndex ? null : whole.termAt(at));
    }
    if (index < compactedIndex) {
      assertEquals(
        log.findConflictByTerm(index, term),
        index === 0 ? { index, term: 0 } : { index, term: log.compacted.term },
      );
      return;
    }
    const found = whole.findConflictByTerm(index, term);
    assertEquals(log.findConflictByTerm(index, term), found.index < compactedIndex ? log.compacted : found);
  }));
});

Deno.test("RaftLog: compaction changes neither the later entries nor the capacity for new ones", () => {
  const log = logOf([1, 1, 2, 2, 2]);
  sync(log);
  log.commitTo(4);
  log.takeCommitted(NO_LIMIT);
  log.compact({ snapshotIndex: 4, compactedIndex: 3 });
  assertEquals([log.compacted, log.snapshotIndex, log.firstCachedIndex], [{ index: 3, term: 2 }, 4, 4]);
  assertEquals([log.slice(3, 5, NO_LIMIT), log.slice(4, 5, NO_LIMIT)], [null, [entry(4, 2), entry(5, 2)]]);
  log.write([entry(5, 3), entry(6, 3)]);
  assertEquals([4, 5, 6].map((index) => log.termAt(index)), [2, 3, 3]);
  sync(log);
  log.commitTo(6);
  log.takeCommitted(NO_LIMIT);
  log.compact({ snapshotIndex: 6, compactedIndex: 6 });
  assertEquals([log.lastIndex, log.lastTerm, log.firstCachedIndex], [6, 3, 7]);
  log.write([entry(7, 3)]);
  assertEquals([log.termAt(7), log.dump().termRanges], [3, [{ firstIndex: 7, term: 3 }]]);
});

Deno.test("RaftLog: a snapshot older than the newest, and a base before the present one, change nothing", () => {
  const log = logOf([1, 1, 1]);
  sync(log);
  log.commitTo(3);
  log.takeCommitted(NO_LIMIT);
  log.compact({ snapshotIndex: 3, compactedIndex: 2 });
  const before = log.dump();
  log.compact({ snapshotIndex: 2, compactedIndex: 1 });
  assertEquals(log.dump(), before);
});

Deno.test("RaftLog: entries applied before they are durable stay in the log, even if a snapshot covers them", () => {
  const log = logOf([1, 1]);
  sync(log);
  log.write([entry(3, 1), entry(4, 1)]);
  log.commitTo(4);
  log.takeCommitted(NO_LIMIT);
  log.compact({ snapshotIndex: 4, compactedIndex: 4 });
  assertEquals([log.compacted, log.snapshotIndex], [{ index: 2, term: 1 }, 4]);
  assertEquals(log.takeUnpersisted().entries, [entry(3, 1), entry(4, 1)]);
});

Deno.test("RaftLog: a snapshot covers only applied entries, and compaction removes only what a snapshot covers", () => {
  const log = logOf([1, 1, 1]);
  sync(log);
  log.commitTo(2);
  log.takeCommitted(NO_LIMIT);
  assertThrows(
    () => log.compact({ snapshotIndex: 3, compactedIndex: 1 }),
    InvariantError,
    "only applied entries",
  );
  assertThrows(
    () => log.compact({ snapshotIndex: 1, compactedIndex: 2 }),
    InvariantError,
    "that a snapshot includes",
  );
});

Deno.test("RaftLog: a received snapshot replaces the log, and is durable with the write that holds it", () => {
  const log = logOf([1, 1, 1]);
  sync(log);
  log.commitTo(1);
  const snapshot = { index: 5, term: 2, configuration: CONFIGURATION };
  log.reset(snapshot);
  log.assertInvariants();
  assertEquals([log.compacted, log.lastIndex, log.lastTerm], [{ index: 5, term: 2 }, 5, 2]);
  assertEquals([log.commitIndex, log.appliedIndex, log.snapshotIndex], [5, 5, 5]);
  assertEquals([log.durableIndex, log.hasUnpersisted], [1, true], "only what was committed counts meanwhile");
  assertEquals(log.configurations.newest, CONFIGURATION);
  log.write([entry(6, 2)]);
  assertEquals(log.takeUnpersisted(), { snapshot, entries: [entry(6, 2)] });
  log.write([entry(7, 2)]);
  log.persisted(6, 2);
  assertEquals([log.durableIndex, log.hasUnpersisted], [6, true]);
  assertEquals(log.takeUnpersisted(), { snapshot: null, entries: [entry(7, 2)] });
});

Deno.test("RaftLog: a completed write that a snapshot has discarded makes nothing durable, however far it reached", () => {
  const log = logOf([1]);
  sync(log);
  log.write([entry(2, 1), entry(3, 1), entry(4, 1)]);
  log.takeUnpersisted();
  log.reset({ index: 3, term: 2, configuration: CONFIGURATION });
  log.persisted(4, 1);
  log.assertInvariants();
  assertEquals([log.durableIndex, log.persistingIndex, log.lastIndex], [0, 3, 3]);
  assertEquals(log.takeUnpersisted().snapshot?.index, 3);
});

Deno.test("RaftLog: a second snapshot before the first is durable is the one that is written", () => {
  const log = logOf([]);
  log.reset({ index: 3, term: 1, configuration: CONFIGURATION });
  log.takeUnpersisted();
  const newer = { index: 8, term: 1, configuration: CONFIGURATION };
  log.reset(newer);
  log.persisted(3, 1);
  log.assertInvariants();
  assertEquals(log.takeUnpersisted(), { snapshot: newer, entries: [] });
  log.persisted(8, 1);
  assertEquals(log.durableIndex, 8);
});

Deno.test("RaftLog: a snapshot older than the commit index, or that the log covers, never replaces the log", () => {
  const log = logOf([1, 1, 2]);
  log.commitTo(2);
  const snapshot = { index: 2, term: 9, configuration: CONFIGURATION };
  assertThrows(() => log.reset(snapshot), InvariantError, "never lowers");
  assertThrows(() => log.reset({ ...snapshot, index: 3, term: 2 }), InvariantError, "is kept");
});

Deno.test("RaftLog: after any overwrites the configurations of a log are those of its entries", () => {
  const log = logOf([1]);
  const said = (): string => configurationText(log.configurations.newest);
  log.write([configurationEntry(2, 1, "voters=1 learners=2"), entry(3, 1)]);
  log.write([configurationEntry(4, 1, "voters=1,2")]);
  assertEquals(said(), "voters=1,2");
  log.write([entry(4, 2)]);
  assertEquals(said(), "voters=1 learners=2");
  log.write([configurationEntry(2, 3, "voters=1,5")]);
  assertEquals(said(), "voters=1,5");
});

Deno.test("RaftLog: a recovered log knows the configurations of its base, its snapshot and later entries", () => {
  const later = configurationEntry(6, 2, "voters=1,2 learners=3");
  const log = recoveredLog({
    hardState: { term: 2, vote: null, commitIndex: 4 },
    termRanges: [{ firstIndex: 4, term: 1 }, { firstIndex: 6, term: 2 }],
    lastIndex: 7,
    cachedEntries: [entry(7, 2)],
    compacted: { index: 3, term: 1 },
    snapshot: { index: 5, term: 1, configuration: CONFIGURATION },
    configurations: [later],
  });
  log.assertInvariants();
  assertEquals([log.commitIndex, log.appliedIndex, log.snapshotIndex], [5, 5, 5]);
  assertEquals([2, 3, 4, 6, 8].map((index) => log.termAt(index)), [null, 1, 1, 2, null]);
  assertEquals(log.configurations.at(5), CONFIGURATION);
  assertEquals(configurationText(log.configurations.newest), "voters=1,2 learners=3");
});

function configurationEntry(index: number, term: number, text: string): Entry {
  return { index, term, kind: "configuration", data: new TextEncoder().encode(text) };
}
