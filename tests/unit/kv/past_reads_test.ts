/** Reads of the past: every revision against the naive state machine, and the bounds of a page. */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { LIST_PAGE_VERSIONS, type ListQuery } from "../../../lib/kv/command.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import { Store } from "../../../lib/kv/store.ts";
import { naiveList, NaiveMachine } from "./naive_machine.ts";
import { anyKey, anyLog, tightLimits } from "./random_log.ts";
import { bytes, put, query, remove, Replica, transaction } from "./support.ts";

/** Returns a state machine at feature level 2, with this number of versions of a key. */
function withVersions(count: number): Replica {
  const replica = new Replica();
  replica.apply({ kind: "raiseFeatureLevel", level: 2 });
  for (let value = 1; value <= count; value++) replica.apply(transaction([put("k", String(value))]));
  return replica;
}

Deno.test("StateMachine: reads at each revision and the versions of each key equal those of the naive state machine", () => {
  let readable = 0;
  fc.assert(
    fc.property(anyLog, anyKey, fc.boolean(), fc.integer({ min: 1, max: 4 }), (log, key, reverse, limit) => {
      const machine = new StateMachine(tightLimits);
      const naive = new NaiveMachine(tightLimits);
      const raise = { kind: "raiseFeatureLevel", level: 2 } as const;
      for (const [position, command] of [raise, ...log].entries()) {
        machine.apply(position + 1, command);
        naive.apply(command);
      }
      const restored = StateMachine.restore(machine.snapshot().records(), tightLimits);
      const { revision: present, compactedRevision } = machine;
      for (let revision = compactedRevision; revision <= present; revision++) {
        readable++;
        const keys = naive.keysAt(revision);
        for (const one of [machine, restored]) {
          assertEquals(one.readability(revision), "readable");
          const some = query({ reverse, limit });
          assertEquals(one.listAt(some, revision).result, naiveList(keys, some, revision));
          const expected = keys.find((entry) => String(entry.key) === String(key)) ?? null;
          assertEquals(one.getAt(key, revision).result, expected);
        }
      }
      const versions = naive.versions(key);
      for (const one of [machine, restored]) {
        const page = { versions, more: false, compactedRevision, revision: present };
        assertEquals(one.history({ key, limit: 10_000, before: null }).result, page);
      }
      assertEquals(machine.readability(present + 1), "futureRevision");
      if (compactedRevision > 0) assertEquals(machine.readability(compactedRevision - 1), "compacted");
    }),
    { numRuns: 500 },
  );
  assert(readable > 1_000, "most logs have a history");
});

Deno.test("StateMachine: at feature level 1 no revision can be read", () => {
  const machine = new StateMachine();
  machine.apply(1, transaction([put("k", "v")]));
  assertEquals([0, 1, 2].map((revision) => machine.readability(revision)), Array(3).fill("noHistory"));
});

Deno.test("StateMachine: a compaction above the present revision is refused, one below the compacted one does nothing", () => {
  const replica = withVersions(5);
  const compact = (revision: number): unknown => replica.apply({ kind: "compact", revision });
  assertEquals(compact(6), { kind: "refused", reason: "futureRevision" });
  assertEquals(replica.machine.compactedRevision, 0);
  assertEquals(compact(4), { kind: "compacted", revision: 4, before: 0, present: 5 });
  assertEquals(compact(2), { kind: "compacted", revision: 4, before: 4, present: 5 });
  assertEquals(compact(5), { kind: "compacted", revision: 5, before: 4, present: 5 });
});

Deno.test("Store.history: pages continue below the last revision, and do not part the versions of one revision", () => {
  const store = new Store();
  const key = bytes("k");
  for (const [position, value] of ["1", "2", "2b", "2c", "3"].entries()) {
    store.apply(put("k", value), [1, 2, 2, 2, 3][position] ?? 0);
  }
  store.apply(remove("k"), 4);
  const page = (before: number | null): unknown => {
    const { versions, more } = store.history({ key, limit: 2, before }).result;
    return [versions.map(({ value }) => value === null ? null : new TextDecoder().decode(value)), more];
  };
  assertEquals(page(null), [[null, "3"], true]);
  assertEquals(page(3), [["2c", "2b", "2"], true]);
  assertEquals(page(2), [["1"], false]);
  assertEquals(page(1), [[], false]);
});

Deno.test("Store.getAt: an old version of a key that changes often is found in few steps", () => {
  const versions = 20_000;
  const { machine } = withVersions(versions);
  for (const revision of [1, 10, 10_000, versions - 50, versions]) {
    const { result, looked } = machine.getAt(bytes("k"), revision);
    assertEquals(new TextDecoder().decode(result?.value), String(revision));
    assert(looked < 50, `${looked} versions were read for revision ${revision}`);
  }
  assertEquals(machine.getAt(bytes("k"), 0).result, null);
  assertEquals(machine.history({ key: bytes("k"), limit: 1, before: 5 }).result.versions[0]?.modRevision, 4);
});

Deno.test("Store.getAt: a version that few changes of its key follow is found among many changes of other keys", () => {
  const store = new Store();
  let revision = 0;
  const change = (key: string): unknown => store.apply(put(key, String(++revision)), revision);
  for (let round = 0; round < 100; round++) {
    change("rare");
    for (let other = 0; other < 60; other++) change(`other ${other}`);
  }
  const { result, looked } = store.getAt(bytes("rare"), 30);
  assertEquals([result?.modRevision, looked < 300], [1, true]);
});

Deno.test("Store.listAt: a page ends after so many versions, and the next one continues, until all keys were listed", () => {
  const store = new Store();
  const keys = LIST_PAGE_VERSIONS + 5_000;
  store.apply(put("a", "first"), 1);
  for (let key = 0; key < keys; key++) store.apply(put(`deleted ${key}`, ""), 2);
  for (let key = 0; key < keys; key++) store.apply(remove(`deleted ${key}`), 3);
  for (let key = 0; key < keys; key++) store.apply(put(`later ${key}`, ""), 4);
  store.apply(put("z", "last"), 5);
  for (const reverse of [false, true]) {
    const found: string[] = [];
    let after: ListQuery["after"] = null;
    let pages = 0;
    for (let more = true; more; pages++) {
      const { result: page, looked } = store.listAt(query({ reverse, after }), 3);
      assert(looked < LIST_PAGE_VERSIONS + 100, `${looked} versions were read`);
      found.push(...page.entries.map(({ key }) => new TextDecoder().decode(key)));
      assert(!page.more || page.after !== null, "a page with one entry ends because of its versions");
      [after, more] = [page.after, page.more];
    }
    assertEquals([found, pages], [["a"], 4]);
  }
});
