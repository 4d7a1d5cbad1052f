/** visiblePage: pages of the visible keys, together all of them and no other, in both directions. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type GrantedKeys,
  type KeyRange,
  type ListQuery,
  StateMachine,
  UserRights,
} from "../../../../lib/kv/mod.ts";
import { type Listing, MAX_RANGES_A_PAGE, visiblePage } from "../../../../lib/server/auth/visible_page.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function listingOf(keys: readonly string[]): Listing {
  const machine = new StateMachine();
  for (const [position, key] of keys.entries()) {
    const mutations = [{ kind: "put", key: bytes(key), value: bytes("v") }] as const;
    machine.apply(position + 1, { kind: "transaction", session: null, checks: [], mutations });
  }
  return { list: (query) => ({ result: machine.list(query), looked: 0 }), revision: machine.revision };
}

/** Returns the merged ranges of grants: `a` is a key, `a-c` a range, `a-` a range without an end. */
function rangesOf(...written: readonly string[]): readonly KeyRange[] {
  const grants = written.map((one) => {
    const [start = "", end] = one.split("-");
    const keys: GrantedKeys = end === undefined
      ? { kind: "key", key: bytes(start) }
      : { kind: "range", start: bytes(start), end: end === "" ? null : bytes(end) };
    return { right: "read", keys } as const;
  });
  return new UserRights(grants, { isRoot: false }).ranges("read").ranges;
}

function queryOf(query: Partial<ListQuery>): ListQuery {
  return { prefix: bytes(""), start: null, end: null, after: null, reverse: false, limit: 10, ...query };
}

/** Returns all keys of all pages. */
function readAll(query: ListQuery, visible: readonly KeyRange[], listing: Listing): readonly string[] {
  const keys: string[] = [];
  let { after } = query;
  while (true) {
    const { result } = visiblePage({ ...query, after }, visible, listing);
    assert(result.entries.length <= query.limit, "a page keeps its limit");
    keys.push(...result.entries.map(({ key }) => text(key)));
    if (!result.more) return keys;
    const next = result.after ?? result.entries.at(-1)?.key;
    assert(next !== undefined, "a page without an end says where the next one continues");
    after = next;
  }
}

Deno.test("visiblePage: keys outside of the visible ranges are left out", () => {
  const listing = listingOf(["a", "b", "b1", "c", "d", "e"]);
  const read = (query: Partial<ListQuery>, ...written: readonly string[]): readonly string[] =>
    readAll(queryOf(query), rangesOf(...written), listing);
  assertEquals(read({}, "b-c", "d"), ["b", "b1", "d"]);
  assertEquals(read({ reverse: true }, "b-c", "d"), ["d", "b1", "b"]);
  assertEquals(read({ start: bytes("b1"), end: bytes("e") }, "a-"), ["b1", "c", "d"]);
  assertEquals(read({ prefix: bytes("b") }, "a", "b1-d"), ["b1"]);
  assertEquals(read({}), []);
  assertEquals(read({ limit: 1 }, "a", "c", "e"), ["a", "c", "e"]);
  assertEquals(read({ limit: 1, reverse: true }, "a", "c", "e"), ["e", "c", "a"]);
});

Deno.test("visiblePage: a page looks into a bounded number of ranges", () => {
  const names = Array.from({ length: 2_500 }, (_, number) => `k${String(number).padStart(4, "0")}`);
  const visible = rangesOf(...names);
  for (const reverse of [false, true]) {
    let looks = 0;
    const listing = listingOf(["k0000", "k2499"]);
    const counted: Listing = { ...listing, list: (query) => (looks++, listing.list(query)) };
    const { result } = visiblePage(queryOf({ reverse }), visible, counted);
    assertEquals([looks, result.more, result.entries.length], [MAX_RANGES_A_PAGE, true, 1]);
    assertEquals(readAll(queryOf({ reverse }), visible, listing).toSorted(), ["k0000", "k2499"]);
  }
});

Deno.test("visiblePage: random pages have exactly the visible keys of the range, in order", () => {
  const key = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 3 });
  const bound = fc.option(key);
  const grant = fc.oneof(key, fc.tuple(key, bound).map(([start, end]) => `${start}-${end ?? ""}`));
  fc.assert(fc.property(
    fc.uniqueArray(key),
    fc.array(grant, { maxLength: 4 }),
    fc.record({ prefix: fc.constantFrom("", "a", "ab"), start: bound, end: bound, reverse: fc.boolean() }),
    fc.integer({ min: 1, max: 4 }),
    (keys, written, { prefix, start, end, reverse }, limit) => {
      const visible = rangesOf(...written);
      const query = queryOf({
        prefix: bytes(prefix),
        start: start === null ? null : bytes(start),
        end: end === null ? null : bytes(end),
        reverse,
        limit,
      });
      const isVisible = (key: string): boolean =>
        visible.some((range) => text(range.start) <= key && (range.end === null || key < text(range.end)));
      const expected = keys.filter((key) =>
        isVisible(key) && key.startsWith(prefix) && (start === null || key >= start) &&
        (end === null || key < end)
      ).toSorted();
      assertEquals(readAll(query, visible, listingOf(keys)), reverse ? expected.toReversed() : expected);
    },
  ));
});
