/** Keys: their order is that of the bytes, and the bounds of ranges agree with it. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { equals } from "@std/bytes";
import { compareKeys, keyText, prefixEnd, successor } from "../../../lib/kv/keys.ts";
import { anyKey } from "./random_log.ts";

Deno.test("keyText: texts are equal and ordered as their keys are", () => {
  fc.assert(fc.property(anyKey, anyKey, (a, b) => {
    const [text, other] = [keyText(a), keyText(b)];
    assertEquals(Math.sign(compareKeys(a, b)), text < other ? -1 : text > other ? 1 : 0);
  }));
});

Deno.test("successor: nothing lies between a key and its successor", () => {
  fc.assert(fc.property(anyKey, anyKey, (a, b) => {
    assertEquals(compareKeys(b, a) > 0, compareKeys(b, successor(a)) >= 0);
  }));
});

Deno.test("prefixEnd: a key has a prefix exactly when it lies between the prefix and its end", () => {
  fc.assert(fc.property(fc.oneof(anyKey, fc.constant(new Uint8Array())), anyKey, (prefix, key) => {
    const end = prefixEnd(prefix);
    const isBetween = compareKeys(prefix, key) <= 0 && (end === null || compareKeys(key, end) < 0);
    assertEquals(equals(key.subarray(0, prefix.length), prefix), isBetween);
  }));
});
