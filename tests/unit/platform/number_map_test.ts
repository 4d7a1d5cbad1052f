/** NumberMap: beside a Map, under steps that make keys share places. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { NumberMap } from "../../../lib/platform/memory/number_map.ts";

/** A step: sets a key, or removes it. */
const STEP = fc.record({
  // Few keys, so that the same ones come back; far apart, so that some share a place; and those above 32 bits.
  key: fc.oneof(
    fc.nat({ max: 40 }),
    fc.nat({ max: 40 }).map((key) => key * 2 ** 32),
    fc.constant(Number.MAX_SAFE_INTEGER),
  ),
  value: fc.option(fc.nat()),
});

Deno.test("NumberMap: it has the entries that a Map has after the same steps", () => {
  fc.assert(fc.property(fc.array(STEP, { maxLength: 200 }), (steps) => {
    const map = new NumberMap<number>();
    const model = new Map<number, number>();
    for (const { key, value } of steps) {
      if (value === null) assertEquals(map.delete(key), model.delete(key));
      else {
        map.set(key, value);
        model.set(key, value);
      }
      assertEquals(map.size, model.size);
      assertEquals(map.keys(), [...model.keys()].sort((a, b) => a - b));
      for (const [known, expected] of model) assertEquals(map.get(known), expected);
      assertEquals(map.get(key), model.get(key));
    }
  }));
});

Deno.test("NumberMap: keys that come and go in order, thousands at a time, are found", () => {
  const map = new NumberMap<string>();
  for (let key = 0; key < 20_000; key++) {
    map.set(key, `value ${key}`);
    if (key >= 5_000) assert(map.delete(key - 5_000));
    assertEquals(map.get(key - 4_999), key < 4_999 ? undefined : `value ${key - 4_999}`);
  }
  assertEquals(map.size, 5_000);
  for (const key of map.keys()) assert(map.delete(key));
  assertEquals([map.size, map.keys(), map.get(19_999)], [0, [], undefined]);
});

Deno.test("NumberMap: a cleared map is empty, and another map keeps its entries", () => {
  const map = new NumberMap<string>();
  const other = new NumberMap<string>();
  map.set(1, "one");
  other.set(1, "eins");
  map.clear();
  assertEquals([map.size, map.get(1), map.delete(1)], [0, undefined, false]);
  map.set(2, "two");
  assertEquals([map.keys(), other.keys(), other.get(1), other.get(2)], [[2], [1], "eins", undefined]);
});

Deno.test("NumberMap: the list of keys does not change with the map", () => {
  const map = new NumberMap<string>();
  for (const key of [7, 3, 5]) map.set(key, "");
  const seen: number[] = [];
  for (const key of map.keys()) {
    seen.push(key);
    map.delete(5);
    map.set(100 + key, "");
  }
  assertEquals(seen, [3, 5, 7]);
  assertEquals(map.keys(), [3, 7, 103, 105, 107]);
});
