/** InterestIndex: it finds for each key the same interests as a search of all of them. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareKeys, type KeySet, prefixEnd, successor } from "../../../../lib/kv/mod.ts";
import { InterestIndex } from "../../../../lib/server/watch/interest_index.ts";
import type { Filter, Interest } from "../../../../lib/server/watch/watch.ts";
import { isKeyOf } from "../../../support/frames/watch_client.ts";

const ALL: Filter = { puts: true, deletes: true, previous: false };
const FILTERS: readonly Filter[] = [ALL, { ...ALL, puts: false }, { ...ALL, previous: true }];

/** Keys of few different bytes, the greatest one among them, so that many contain and begin each other. */
const key = fc.array(fc.constantFrom(0, 97, 98, 255), { minLength: 1, maxLength: 5 }).map((all) =>
  Uint8Array.from(all)
);
const bound = fc.oneof(key, fc.constant(new Uint8Array(0)));
const keys: fc.Arbitrary<KeySet> = fc.oneof(
  key.map((key) => ({ kind: "key" as const, key })),
  bound.map((start) => ({ kind: "range" as const, start, end: prefixEnd(start) })),
  key.map((start) => ({ kind: "range" as const, start, end: successor(start) })),
  fc.tuple(bound, fc.option(key)).map(([start, end]) => ({ kind: "range" as const, start, end }))
    .filter(({ start, end }) => end === null || compareKeys(end, start) > 0),
);

type Step =
  | { readonly kind: "add"; readonly keys: KeySet; readonly filter: Filter }
  | { readonly kind: "remove"; readonly position: number }
  | { readonly kind: "find"; readonly key: Uint8Array };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("add" as const), keys, filter: fc.constantFrom(...FILTERS) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), position: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("find" as const), key }) },
);

/** Asserts that a search for `key` finds these interests, each once. */
function assertFound(index: InterestIndex, key: Uint8Array, expected: readonly (Interest | null)[]): void {
  const found: Interest[] = [];
  // Within other bytes, as in the store.
  const bytes = Uint8Array.of(97, 98, ...key, 99);
  index.find({ bytes, start: 2, length: key.length }, found);
  const texts = (interests: readonly (Interest | null)[]): readonly string[] =>
    interests.map((one) => JSON.stringify([one?.keys, one?.filter])).sort();
  assertEquals(texts(found), texts(expected));
  assert(found.every((one) => expected.includes(one)), "it is the interest that was added");
}

Deno.test("InterestIndex: random interests are found for exactly the keys that they contain", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const index = new InterestIndex();
      const all = new Set<Interest>();
      for (const step of steps) {
        if (step.kind === "add") {
          all.add(index.share(step.keys, step.filter));
        } else if (step.kind === "remove") {
          const removed = [...all][step.position % Math.max(1, all.size)];
          if (removed === undefined) continue;
          all.delete(removed);
          index.remove(removed);
        } else {
          assertFound(index, step.key, [...all].filter(({ keys }) => isKeyOf(keys, step.key)));
        }
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("InterestIndex: a thousand ranges that overlap are found, before and after most are removed", () => {
  const index = new InterestIndex();
  const bytes = (number: number): Uint8Array => Uint8Array.of(number >> 8, number & 255, 7);
  const ranges = Array.from({ length: 1_000 }, (_, number) => {
    const start = number * 37 % 1_000;
    return { start, end: start + 1 + number * number % 50, interest: null as Interest | null };
  });
  for (const range of ranges) {
    range.interest = index.share({ kind: "range", start: bytes(range.start), end: bytes(range.end) }, ALL);
  }
  const check = (): void => {
    for (let number = 0; number < 1_100; number += 3) {
      const expected = ranges.filter(({ start, end, interest }) =>
        interest !== null && start <= number && number < end
      );
      assertFound(index, bytes(number), expected.map(({ interest }) => interest));
    }
  };
  check();
  for (const [position, range] of ranges.entries()) {
    if (position % 10 === 0 || range.interest === null) continue;
    index.remove(range.interest);
    range.interest = null;
  }
  check();
});

Deno.test("InterestIndex: keys with the same hash are distinguished by their bytes", () => {
  // Two keys whose hashes (32 bits) are equal: among 200,000 random ones there are several such pairs.
  const seen = new Map<number, Uint8Array>();
  let pair: readonly [Uint8Array, Uint8Array] | null = null;
  for (let number = 0; pair === null && number < 500_000; number++) {
    const one = new TextEncoder().encode(`key ${number * 2_654_435_761 % 4_294_967_296}`);
    let hash = -2128831035;
    for (const byte of one) hash = Math.imul(hash ^ byte, 16777619);
    const other = seen.get(hash);
    if (other === undefined) seen.set(hash, one);
    else pair = [one, other];
  }
  assert(pair !== null, "two keys have the same hash");
  const [one, other] = pair;
  const index = new InterestIndex();
  const interest = index.share({ kind: "key", key: one }, ALL);
  assertFound(index, one, [interest]);
  assertFound(index, other, []);
  const second = index.share({ kind: "key", key: other }, ALL);
  assertFound(index, one, [interest]);
  assertFound(index, other, [second]);
  index.remove(interest);
  assertFound(index, one, []);
  assertFound(index, other, [second]);
});

Deno.test("InterestIndex: equal keys and filters share an interest, other filters and removed ones do not", () => {
  const index = new InterestIndex();
  const a = (): KeySet => ({ kind: "key", key: Uint8Array.of(97) });
  const first = index.share(a(), ALL);
  assert(index.share(a(), { ...ALL }) === first);
  // A range of one key is that key.
  const range = { kind: "range", start: Uint8Array.of(97), end: Uint8Array.of(97, 0) } as const;
  assert(index.share(range, ALL) === first);
  assert(index.share(a(), { ...ALL, previous: true }) !== first);
  index.remove(first);
  assert(index.share(a(), ALL) !== first);
});
