/** Guessing what a mistyped name was meant to be. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { editDistance, nearest } from "../../../lib/server/config/nearest.ts";

Deno.test("a distance counts insertions, deletions, replacements and swaps of neighbours", () => {
  const distances = [["put", "put"], ["put", "puts"], ["put", "pt"], ["put", "get"], ["lsit", "list"], [
    "",
    "abc",
  ]]
    .map(([a = "", b = ""]) => editDistance(a, b));
  assertEquals(distances, [0, 1, 1, 2, 1, 3]);
});

Deno.test("a distance is symmetric, and zero only between equals", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "é", "💾"), maxLength: 6 });
  fc.assert(fc.property(word, word, (a, b) => {
    assertEquals(editDistance(a, b), editDistance(b, a));
    assertEquals(editDistance(a, b) === 0, a === b);
  }));
});

Deno.test("the nearest name is found by a slip or by its beginning, and none is made up", () => {
  const names = ["node-id", "bind", "cluster", "cluster-name"];
  const found = ["nodeid", "NODE-ID", "bnid", "clustr", "clust", "zzz", "b", ""].map((typed) =>
    nearest(typed, names)
  );
  assertEquals(found, ["node-id", "node-id", "bind", "cluster", "cluster", null, null, null]);
});
