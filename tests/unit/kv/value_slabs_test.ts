/** Values in slabs: each stays what it is wherever it lies, and what is not alive takes little room for long. */
import { assert, assertEquals } from "@std/assert";
import { equals } from "@std/bytes";
import { Store } from "../../../lib/kv/store.ts";
import { EMPTY_SLAB, type Place, Slabs } from "../../../lib/kv/value_slabs.ts";
import { SeededRandom } from "../../support/seeded_random.ts";

const MIB = 1_048_576;

function placeOf(value: Uint8Array): Place {
  return { length: value.length, slab: EMPTY_SLAB, offset: 0 };
}

function bytesAt({ slab, offset, length }: Place): Uint8Array {
  return slab.bytes.subarray(offset, offset + length);
}

Deno.test("small values share a buffer and are copies, a large one is kept as it is", () => {
  const slabs = new Slabs();
  const values = [[1, 2], [], [3]].map((bytes) => Uint8Array.from(bytes));
  const large = new Uint8Array(100_000).fill(4);
  const places = [...values, large].map((value) => {
    const place = placeOf(value);
    slabs.keep(place, value);
    return place;
  });
  values[0]?.fill(9);
  assertEquals(places.slice(0, 3).map((place) => [...bytesAt(place)]), [[1, 2], [], [3]]);
  assertEquals(places[0]?.slab === places[2]?.slab, true);
  assertEquals(places[3]?.slab.bytes === large, true);
  assertEquals(slabs.heldBytes, 65_536);
});

Deno.test("a value that moves out of a sparse slab stays the same, and so does a view of it from before", () => {
  const slabs = new Slabs();
  const places = Array.from({ length: 64 }, (_, number) => {
    const value = new Uint8Array(2_048).fill(number);
    const place = placeOf(value);
    slabs.keep(place, value);
    return place;
  });
  const [others, last] = [places.slice(0, 31), places[31]]; // one slab
  assert(last !== undefined);
  slabs.move(last);
  assertEquals(last.slab === others[0]?.slab, true, "a full slab is left alone");
  for (const other of others) slabs.release(other);
  const [before, slab] = [bytesAt(last), last.slab];
  slabs.move(last);
  assertEquals(last.slab === slab, false);
  assertEquals(slabs.heldBytes, 2 * 65_536, "the newest had no room for it, and the sparse one is gone");
  const value = new Uint8Array(2_048).fill(31);
  assertEquals([bytesAt(last), before], [value, value]);
});

Deno.test("however keys are overwritten and deleted, the slabs stay in proportion to the values", () => {
  const random = new SeededRandom(7);
  const store = new Store();
  const model = new Map<number, number>();
  let valuesBytes = 0;
  let worst = 0;
  for (let revision = 1; revision <= 120_000; revision++) {
    // Keys far apart from one write to the next, and then few that are left of many.
    const number = Math.floor(random.next() * 10_000);
    const key = new TextEncoder().encode(`key ${number}`);
    const isDelete = revision > 80_000 ? number % 50 !== 0 : random.next() < 0.05;
    valuesBytes -= model.get(number) ?? 0;
    if (isDelete) {
      store.apply({ kind: "delete", key }, revision);
      model.delete(number);
    } else {
      const length = Math.floor(random.next() * 2_000);
      store.apply({ kind: "put", key, value: new Uint8Array(length).fill(number) }, revision);
      model.set(number, length);
      valuesBytes += length;
    }
    worst = Math.max(worst, store.slabBytes - 2 * valuesBytes);
    if (revision % 40_000 > 0) continue;
    for (const [number, length] of model) {
      const value = store.get(new TextEncoder().encode(`key ${number}`))?.value;
      assert(value !== undefined && equals(value, new Uint8Array(length).fill(number)), `key ${number}`);
    }
  }
  assert(worst < 18 * MIB, `the slabs were ${Math.round(worst)} bytes larger than twice their values`);
});
