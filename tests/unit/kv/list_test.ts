/** Listings: every option against filtering a sorted array, and the bounds of a page. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { type KeyValue, LIST_PAGE_BYTES, type ListQuery, MAX_LIST_ENTRIES } from "../../../lib/kv/command.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import { Store } from "../../../lib/kv/store.ts";
import { naiveList } from "./naive_machine.ts";
import { anyKey } from "./random_log.ts";
import { bytes, query } from "./support.ts";

const anyBound = fc.option(fc.oneof(anyKey, fc.constant(new Uint8Array())));

const anyQuery: fc.Arbitrary<ListQuery> = fc.record({
  prefix: fc.oneof(fc.constant(new Uint8Array()), anyKey),
  start: anyBound,
  end: anyBound,
  after: anyBound,
  reverse: fc.boolean(),
  limit: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constant(MAX_LIST_ENTRIES)),
});

/** A store with an empty value under each key, and the same as a sorted array. */
function storeOf(
  keys: readonly Uint8Array[],
): { readonly store: Store; readonly sorted: readonly KeyValue[] } {
  const store = new Store();
  const distinct = new Map(keys.map((key) => [keyText(key), key]));
  const sorted = [...distinct].sort(([a], [b]) => a < b ? -1 : 1).map(([_, key]): KeyValue => {
    store.apply({ kind: "put", key: key, value: new Uint8Array() }, 1);
    return { key, value: new Uint8Array(), createRevision: 1, modRevision: 1, version: 1 };
  });
  return { store, sorted };
}

Deno.test("Store: every listing gives what filtering all keys in order gives", () => {
  fc.assert(
    fc.property(fc.array(anyKey, { maxLength: 120, size: "max" }), anyQuery, (keys, query) => {
      const { store, sorted } = storeOf(keys);
      assertEquals(store.list(query, 9), naiveList(sorted, query, 9));
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("Store: page after page gives every key of the range once, in either direction", () => {
  fc.assert(
    fc.property(fc.array(anyKey, { maxLength: 120, size: "max" }), anyQuery, (keys, query) => {
      const { store, sorted } = storeOf(keys);
      const all = naiveList(sorted, { ...query, limit: MAX_LIST_ENTRIES }, 1).entries;
      const paged: KeyValue[] = [];
      let { after } = query;
      for (let more = true; more;) {
        const page = store.list({ ...query, after }, 1);
        paged.push(...page.entries);
        after = page.entries.at(-1)?.key ?? after;
        more = page.more;
      }
      assertEquals(paged, all);
    }),
    { numRuns: 500 },
  );
});

Deno.test("Store: a page ends once its bytes are enough, and says that there is more", () => {
  const store = new Store();
  const value = new Uint8Array(LIST_PAGE_BYTES / 2 - 1);
  for (const key of ["a", "b", "c"]) store.apply({ kind: "put", key: bytes(key), value: value }, 1);
  const first = store.list(query(), 1);
  assertEquals([first.entries.length, first.more], [2, true]);
  const second = store.list(query({ after: bytes("b") }), 1);
  assertEquals([second.entries.length, second.more], [1, false]);
});

Deno.test("Store: a page holds one entry even if that entry is larger than a page", () => {
  const store = new Store();
  store.apply({ kind: "put", key: bytes("a"), value: new Uint8Array(LIST_PAGE_BYTES + 1) }, 1);
  store.apply({ kind: "put", key: bytes("b"), value: new Uint8Array() }, 1);
  const page = store.list(query(), 1);
  assertEquals([page.entries.length, page.more], [1, true]);
});

Deno.test("Store: a page never has more entries than the bound, even if the query asks for more", () => {
  const store = new Store();
  for (let number = 0; number <= MAX_LIST_ENTRIES; number++) {
    store.apply({ kind: "put", key: bytes(String(number)), value: new Uint8Array() }, 1);
  }
  const page = store.list(query({ limit: Infinity }), 1);
  assertEquals([page.entries.length, page.more], [MAX_LIST_ENTRIES, true]);
});
