/** KeyIndex: it behaves as a sorted list of numbers and keys. */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { compareKeys } from "../../../../lib/kv/keys.ts";
import { checkIndex } from "../../../../lib/kv/pages/check_index.ts";
import { type IndexEntry, KeyIndex } from "../../../../lib/kv/pages/key_index.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { bytesOf, SMALL_PAGES, textOf } from "./store_model.ts";

/** Numbers whose bytes have carries and zeros in all positions. */
const NUMBERS = [1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 1, 2 ** 53 - 2, 2 ** 53 - 1];

const anyKey = fc.oneof(
  fc.constantFrom("a", "a\0", "a\0\0", "ab", "\u00ff", "\u00ff\u00ff"),
  fc.nat(40).map((number) => `key ${number}`),
  fc.nat(3).map((number) => `${"q".repeat(4_090)}${number}`),
);

const anyEntry = fc.record({ number: fc.constantFrom(...NUMBERS), key: anyKey });
type Entry = { readonly number: number; readonly key: string };

function shown(entries: Iterable<IndexEntry>): Entry[] {
  return [...entries].map(({ number, key }) => ({ number, key: textOf(key) }));
}

Deno.test("KeyIndex: after any changes its entries, counts and ranges are those of a sorted list", () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { minLength: 1, maxLength: 100, size: "max" }), (steps) => {
      const index = new KeyIndex(SMALL_PAGES);
      let model: Entry[] = [];
      for (const { number, key } of steps) {
        // A key that is there is removed, any other added.
        const others = model.filter((entry) => entry.number !== number || entry.key !== key);
        if (others.length < model.length) {
          index.remove(number, bytesOf(key));
          model = others;
        } else {
          index.add(number, bytesOf(key));
          model = [...model, { number, key }].sort((a, b) => a.number - b.number || (a.key < b.key ? -1 : 1));
        }
      }
      const all = model.toSorted((a, b) => a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
      checkIndex(index, "the index", all.map(({ number, key }) => ({ number, key: bytesOf(key) })));
      assertEquals(index.size, model.length);
      assertEquals(index.firstNumber, model[0]?.number ?? null);
      for (const number of NUMBERS) {
        const its = model.filter((entry) => entry.number === number);
        assertEquals(index.count(number), its.length);
        const keys = its.map(({ key }) => key);
        assertEquals(index.keysOf(number).keys.map(textOf), keys);
        const after = keys.filter((key) => key > "a\0");
        const page = index.keysOf(number, { after: bytesOf("a\0"), limit: 2 });
        assertEquals([page.keys.map(textOf), page.more], [after.slice(0, 2), after.length > 2]);
        for (const from of ["", "a\0", "b", `${"q".repeat(4_090)}1`, "\u00ff".repeat(4_097)]) {
          const first = index.firstFrom(number, bytesOf(from));
          assertEquals(first === null ? null : textOf(first), keys.find((key) => key >= from) ?? null);
        }
        assertEquals(index.keysOf(number, { maxBytes: 0 }), { keys: [], more: keys.length > 0 });
        const below = model.filter((entry) => entry.number <= number);
        assertEquals(shown(index.entriesUpTo(number, Infinity)), below);
        assertEquals(shown(index.entriesUpTo(number, 3)), below.slice(0, 3));
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("KeyIndex: thousands of keys that come and go leave an index without keys and little memory", () => {
  const index = new KeyIndex();
  for (let round = 0; round < 3; round++) {
    for (let number = 1; number <= 5_000; number++) index.add(number % 70 + 1, bytesOf(`key ${number}`));
    assertEquals(index.count(3), 72);
    for (let number = 1; number <= 5_000; number++) index.remove(number % 70 + 1, bytesOf(`key ${number}`));
  }
  assertEquals([index.size, index.firstNumber, index.count(3)], [0, null, 0]);
  checkIndex(index, "the index", []);
  const { liveBytes = 0 } = index.structure?.pages.heap.usage ?? {};
  assertEquals(liveBytes <= 4_096, true, "one page is left at most");
});

Deno.test("KeyIndex: when most keys are removed their memory is released, and the others are found", () => {
  const index = new KeyIndex();
  const random = new SeededRandom(3);
  const utf8 = new TextEncoder();
  const key = (number: number): Uint8Array => utf8.encode(`${"k".repeat(120)}${number}`);
  for (let number = 0; number < 120_000; number++) index.add(number % 1_000 + 1, key(number));
  const full = index.usage.regionBytes;
  const kept: { readonly number: number; readonly key: Uint8Array }[] = [];
  for (let number = 0; number < 120_000; number++) {
    if (random.chance(0.1)) kept.push({ number: number % 1_000 + 1, key: key(number) });
    else index.remove(number % 1_000 + 1, key(number));
  }
  for (let round = 0; round < 40_000; round++) {
    index.add(5_000, bytesOf("other"));
    index.remove(5_000, bytesOf("other"));
  }
  checkIndex(index, "the index", kept.toSorted((a, b) => compareKeys(a.key, b.key)));
  const { regionBytes, liveBytes } = index.usage;
  assert(
    regionBytes <= liveBytes * 1.25 + 12 * 1_048_576,
    `${regionBytes} of ${full} bytes for ${liveBytes}`,
  );
  assert(regionBytes < full * 0.6, `${regionBytes} of ${full} bytes are left`);
});
