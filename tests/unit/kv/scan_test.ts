/** Scans: pages of a range with the number of its keys, at every revision against the naive state machine. */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { compareKeys, type KeyValue, type ScanQuery, successor, validateScan } from "../../../lib/kv/mod.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import { NaiveMachine } from "./naive_machine.ts";
import { anyKey, anyLog, tightLimits } from "./random_log.ts";
import { bytes, put, remove, Replica, transaction } from "./support.ts";

const ALL: ScanQuery = {
  start: bytes(""),
  end: null,
  limit: 10_000,
  reverse: false,
  keysOnly: false,
  count: true,
};

/** Returns a state machine at feature level 2. */
function atLevel2(): Replica {
  const replica = new Replica();
  replica.apply({ kind: "raiseFeatureLevel", level: 2 });
  return replica;
}

/** Returns the number of keys of a range by as many pages as it takes. */
function counted(machine: StateMachine, query: ScanQuery, revision: number): readonly number[] {
  const counts: number[] = [];
  for (let start = query.start;;) {
    const { result } = machine.scan({ ...query, start, limit: 0 }, revision);
    counts.push(result.count ?? -1);
    if (!result.more) return counts;
    assert(result.after !== null, "counting continues after a key");
    start = successor(result.after);
  }
}

Deno.test("StateMachine.scan: entries and count at each revision equal those of the naive state machine", () => {
  let pastCounts = 0;
  const anyQuery = fc.record({
    start: fc.oneof(fc.constant(bytes("")), anyKey),
    end: fc.oneof(fc.constant(null), anyKey),
    limit: fc.integer({ min: 0, max: 3 }),
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
    count: fc.boolean(),
  });
  fc.assert(
    fc.property(anyLog, anyQuery, (log, query) => {
      const machine = new StateMachine(tightLimits);
      const naive = new NaiveMachine(tightLimits);
      const raise = { kind: "raiseFeatureLevel", level: 2 } as const;
      for (const [position, command] of [raise, ...log].entries()) {
        machine.apply(position + 1, command);
        naive.apply(command);
      }
      const expected = (keys: readonly KeyValue[], revision: number): unknown => {
        const found = keys.filter(({ key }) =>
          compareKeys(key, query.start) >= 0 && (query.end === null || compareKeys(key, query.end) < 0)
        );
        const all = query.reverse ? found.toReversed() : found;
        const none = { entries: [], more: false, revision, after: null, count: all.length };
        if (query.limit === 0) return none;
        const entries = all.slice(0, query.limit).map((entry) =>
          query.keysOnly ? { ...entry, value: new Uint8Array(0) } : entry
        );
        return {
          ...none,
          entries,
          more: all.length > query.limit,
          count: query.count ? all.length : null,
        };
      };
      const { revision: present, compactedRevision } = machine;
      assertEquals(machine.scan(query, null).result, expected(naive.keysAt(present), present));
      for (let revision = compactedRevision; revision <= present; revision++) {
        if (revision < present) pastCounts++;
        assertEquals(machine.scan(query, revision).result, expected(naive.keysAt(revision), revision));
      }
    }),
    { numRuns: 1_000 },
  );
  assert(pastCounts > 300, "most logs have a history");
});

Deno.test("StateMachine.scan: a past count after many changes takes pages of bounded work", () => {
  const replica = atLevel2();
  const keys = Array.from({ length: 2_100 }, (_, index) => `k${String(index).padStart(4, "0")}`);
  for (let first = 0; first < keys.length; first += 100) {
    replica.apply(transaction(keys.slice(first, first + 100).map((key) => put(key, "1"))));
  }
  const { machine } = replica;
  const past = machine.revision;
  replica.apply(transaction([remove("k0000"), put("l", "1")]));
  assertEquals(machine.scan({ ...ALL, limit: 1 }, past).result.count, 2_100);
  for (let round = 0; round < 35; round++) {
    for (let first = 0; first < keys.length; first += 100) {
      replica.apply(transaction(keys.slice(first, first + 100).map((key) => put(key, `${round}`))));
    }
  }
  assertEquals(machine.scan({ ...ALL, limit: 1 }, past).result.count, null);
  assertEquals(machine.scan({ ...ALL, limit: 1 }, null).result.count, 2_101);
  const pages = counted(machine, ALL, past);
  assertEquals(pages.reduce((sum, count) => sum + count, 0), 2_100);
  assert(pages.length > 1, "one page looks at a bounded number of versions");
  // A page that has the whole range needs no count of its own.
  assertEquals(machine.scan({ ...ALL, start: bytes("k2099") }, past).result.count, 1);
});

Deno.test("validateScan: the limit is 0 to 10,000, and bounds are at most as long as keys", () => {
  assertEquals([0, 10_000].map((limit) => validateScan({ ...ALL, limit })), [null, null]);
  for (const wrong of [{ limit: -1 }, { limit: 10_001 }, { limit: 1.5 }, { start: new Uint8Array(4_097) }]) {
    assert(validateScan({ ...ALL, ...wrong }) !== null, JSON.stringify(wrong));
  }
});
