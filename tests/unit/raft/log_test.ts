/** The log of the core: against a plain array, and what a write's end says after rewrites. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../../lib/assert.ts";
import { EMPTY_STATE, type Entry, type RecoveredState } from "../../../lib/raft/mod.ts";
import { entryBytes, RaftLog } from "../../../lib/raft/log.ts";
import { TEXT_CODEC } from "../../support/raft_configuration.ts";

const NO_LIMIT = Number.MAX_SAFE_INTEGER;

function entry(index: number, term: number, payloadBytes = 0): Entry {
  return { index, term, kind: "command", data: new Uint8Array(payloadBytes) };
}

/** A log whose entries have these terms, all in memory and nothing of it durable. */
function logOf(terms: readonly number[], tailLimitBytes = NO_LIMIT): RaftLog {
  const log = new RaftLog(EMPTY_STATE, { tailLimitBytes, codec: TEXT_CODEC });
  log.write(terms.map((term, position) => entry(position + 1, term)));
  return log;
}

/** A log as storage gave it back. */
function recoveredLog(recovered: Partial<RecoveredState>): RaftLog {
  return new RaftLog({ ...EMPTY_STATE, ...recovered }, { tailLimitBytes: NO_LIMIT, codec: TEXT_CODEC });
}

/** Hands out what is not durable, and ends that write. */
function sync(log: RaftLog): void {
  log.takeUnpersisted();
  log.persisted(log.lastIndex, log.lastTerm);
}

const ascendingTerms = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 12 })
  .map((terms) => terms.sort((a, b) => a - b));

Deno.test("the terms of a log are those of a plain array, whatever was overwritten", () => {
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

Deno.test("lastNotAbove finds what a search through all entries finds", () => {
  fc.assert(fc.property(ascendingTerms, fc.nat(15), fc.nat(7), (terms, index, term) => {
    let expected = { index: 0, term: 0 };
    terms.forEach((found, position) => {
      if (position < index && found <= term) expected = { index: position + 1, term: found };
    });
    assertEquals(logOf(terms).lastNotAbove(index, term), expected);
  }));
});

Deno.test("a log is up to date if its last term is later, or the same and it is not shorter", () => {
  const log = logOf([1, 2, 2]);
  assertEquals([log.isUpToDate(9, 1), log.isUpToDate(2, 2)], [false, false]);
  assertEquals([log.isUpToDate(3, 2), log.isUpToDate(4, 2), log.isUpToDate(1, 3)], [true, true, true]);
});

Deno.test("a slice has at least one entry, and no more bytes than allowed otherwise", () => {
  const log = logOf([]);
  const entries = [entry(1, 1, 10), entry(2, 1, 10), entry(3, 1, 500)];
  log.write(entries);
  const two = entryBytes(entry(1, 1, 10)) * 2;
  assertEquals(log.slice(1, 3, two), entries.slice(0, 2));
  assertEquals(log.slice(1, 3, two - 1), entries.slice(0, 1));
  assertEquals(log.slice(3, 3, 1), entries.slice(2));
});

Deno.test("the end of a write makes durable only what was not rewritten since", () => {
  const log = logOf([1, 1, 1]);
  log.takeUnpersisted();
  log.write([entry(2, 2), entry(3, 2), entry(4, 2)]);
  log.persisted(3, 1);
  assertEquals([log.durableIndex, log.handedIndex], [1, 1]);
  assertEquals(log.takeUnpersisted().entries.map(({ index, term }) => [index, term]), [[2, 2], [3, 2], [
    4,
    2,
  ]]);
  log.persisted(4, 2);
  assertEquals(log.durableIndex, 4);
});

Deno.test("a write's end does not count for an index that was written again with a version of the same length", () => {
  const log = logOf([1]);
  sync(log);
  log.write([entry(2, 2), entry(3, 2)]);
  log.takeUnpersisted();
  log.write([entry(2, 3)]);
  log.write([entry(3, 3)]);
  log.persisted(3, 2);
  assertEquals(log.durableIndex, 1);
});

Deno.test("rewriting what is durable takes it back", () => {
  const log = logOf([1, 1, 1]);
  sync(log);
  log.write([entry(3, 2)]);
  assertEquals([log.durableIndex, log.handedIndex, log.lastIndex], [2, 2, 3]);
});

Deno.test("the end of another write than the one under way is a fault of the caller", () => {
  const log = logOf([1, 1]);
  assertThrows(() => log.persisted(2, 1), InvariantError, "a write that was handed out");
  log.takeUnpersisted();
  assertThrows(() => log.persisted(1, 1), InvariantError, "the write under way");
  assertThrows(() => log.takeUnpersisted(), InvariantError, "one write to storage at a time");
});

Deno.test("committed entries are never overwritten, entries leave no gap, terms never fall", () => {
  const log = logOf([1, 2, 2]);
  log.commitTo(2);
  assertThrows(() => log.write([entry(2, 3)]), InvariantError, "a committed entry is never discarded");
  assertThrows(() => log.write([entry(5, 3)]), InvariantError, "no gaps");
  assertThrows(() => log.write([entry(4, 1)]), InvariantError, "terms never fall");
  assertThrows(() => log.write([entry(4, 2), entry(6, 2)]), InvariantError, "consecutive");
  assertThrows(() => log.commitTo(9), InvariantError, "only what is in the log");
});

Deno.test("the commit index never falls", () => {
  const log = logOf([1, 1, 1]);
  log.commitTo(3);
  log.commitTo(1);
  assertEquals(log.commitIndex, 3);
});

Deno.test("committed entries are handed out once, in order, in batches of bounded size", () => {
  const log = logOf([1, 1, 1, 1]);
  log.commitTo(3);
  const twoEntries = 2 * entryBytes(entry(1, 1));
  const batches = [1, 2, 3].map(() => (log.takeCommitted(twoEntries) ?? []).map(({ index }) => index));
  assertEquals(batches, [[1, 2], [3], []]);
});

Deno.test("entries leave memory only when they are durable, applied, and more than the tail may hold", () => {
  const log = logOf([1, 1, 1, 1, 1], 2 * entryBytes(entry(1, 1)));
  log.commitTo(5);
  log.takeCommitted(NO_LIMIT);
  assertEquals(log.tailFirstIndex, 1);
  sync(log);
  assertEquals(log.tailFirstIndex, 4);
  assertEquals([log.slice(3, 5, NO_LIMIT), log.slice(4, 5, NO_LIMIT)?.length], [null, 2]);
  assertEquals([log.termAt(1), log.termAt(5)], [1, 1]);
  const unapplied = logOf([1, 1, 1, 1, 1], 2 * entryBytes(entry(1, 1)));
  unapplied.commitTo(5);
  sync(unapplied);
  assertEquals(unapplied.tailFirstIndex, 1);
});

Deno.test("a recovered log knows the terms of entries that are not in memory, and asks for them to apply", () => {
  const log = recoveredLog({
    hardState: { term: 3, vote: null, commitIndex: 3 },
    termRuns: [{ firstIndex: 1, term: 1 }, { firstIndex: 3, term: 3 }],
    lastIndex: 4,
    tail: [entry(4, 3)],
  });
  assertEquals([1, 2, 3, 4, 5].map((index) => log.termAt(index)), [1, 1, 3, 3, null]);
  assertEquals([log.takeCommitted(NO_LIMIT), log.durableIndex, log.commitIndex], [null, 4, 3]);
  log.markApplied([entry(1, 1), entry(2, 1), entry(3, 3)]);
  assertEquals(log.takeCommitted(NO_LIMIT), []);
});

Deno.test("a log overwritten below what is in memory goes on from there", () => {
  const log = recoveredLog({
    hardState: { term: 1, vote: null, commitIndex: 0 },
    termRuns: [{ firstIndex: 1, term: 1 }],
    lastIndex: 5,
    tail: [entry(5, 1)],
  });
  log.write([entry(3, 2)]);
  assertEquals([log.lastIndex, log.lastTerm, log.tailFirstIndex], [3, 2, 3]);
  assertEquals(log.takeUnpersisted(), { snapshot: null, entries: [entry(3, 2)] });
});
