/** The ordered map: the library behind it against a plain one, on trees of several levels. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { newTree, type Tree } from "../../../lib/kv/tree.ts";

/** A tree and what must be in it. */
interface Pair {
  readonly tree: Tree<string, number>;
  readonly model: Map<string, number>;
}

type Action = {
  readonly kind: "set" | "delete" | "clone";
  readonly pair: number;
  readonly from: number;
  readonly count: number;
};

const anyAction: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom("set", "set", "delete", "delete", "clone"),
  pair: fc.nat(3),
  from: fc.nat(5_000),
  count: fc.integer({ min: 1, max: 600 }),
});

/** Spread over the order, so that neighbours in time are no neighbours in the tree. */
function keyOf(number: number): string {
  return String.fromCharCode(...[number * 7 % 256, number * 31 % 256, number % 251]);
}

function act(pairs: Pair[], { kind, pair, from, count }: Action): void {
  const chosen = pairs[pair % pairs.length];
  if (chosen === undefined) return;
  if (kind === "clone") {
    if (pairs.length < 4) pairs.push({ tree: chosen.tree.clone(), model: new Map(chosen.model) });
    return;
  }
  for (let number = from; number < from + count; number++) {
    const key = keyOf(number);
    if (kind === "set") {
      chosen.tree.set(key, number + pair);
      chosen.model.set(key, number + pair);
    } else {
      assertEquals(chosen.tree.delete(key), chosen.model.delete(key));
    }
  }
}

Deno.test("copies of a tree never see each other's changes, and each keeps its order", () => {
  fc.assert(
    fc.property(fc.array(anyAction, { minLength: 1, maxLength: 30, size: "max" }), (actions) => {
      const pairs: Pair[] = [{ tree: newTree(), model: new Map() }];
      for (const action of actions) act(pairs, action);
      for (const { tree, model } of pairs) {
        const sorted = [...model].sort(([a], [b]) => a < b ? -1 : 1);
        tree.checkValid(true);
        assertEquals([...tree.entries()], sorted);
        assertEquals([...tree.entriesReversed()], sorted.toReversed());
        assertEquals(tree.size, sorted.length);
      }
    }),
    { numRuns: 60 },
  );
});
