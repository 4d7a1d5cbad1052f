/** Keys as text: nothing is lost, and the order is that of the bytes. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { keyBlocks, keyText, keyWriter, prefixEnd, successor } from "../../../lib/kv/keys.ts";
import { anyKey } from "./random_log.ts";

Deno.test("every key comes back from its text, one longer than a chunk too", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (key) => {
    assertEquals(keyBlocks()(keyText(key)), key);
  }));
  const long = Uint8Array.from({ length: 200_001 }, (_, position) => position % 256);
  assertEquals(keyBlocks()(keyText(long)), long);
});

Deno.test("a writer gives each text its own bytes of one buffer", () => {
  const toBytes = keyWriter(3);
  const [a, b] = [toBytes("\xff\0"), toBytes("b")];
  assertEquals([a, b], [Uint8Array.of(255, 0), Uint8Array.of(98)]);
  assertEquals(a.buffer === b.buffer, true);
});

Deno.test("blocks give each of many texts bytes of its own", () => {
  const texts = Array.from({ length: 3_000 }, (_, number) => `key ${number}`);
  const toBytes = keyBlocks();
  assertEquals(texts.map(toBytes).map(keyText), texts);
});

Deno.test("nothing lies between a text and its successor", () => {
  fc.assert(fc.property(anyKey, anyKey, (a, b) => {
    const [text, other] = [keyText(a), keyText(b)];
    assertEquals(other > text, other >= successor(text));
  }));
});

Deno.test("a text begins with a prefix exactly when it lies between the prefix and its end", () => {
  fc.assert(fc.property(fc.oneof(anyKey, fc.constant(new Uint8Array())), anyKey, (a, b) => {
    const [prefix, text] = [keyText(a), keyText(b)];
    const end = prefixEnd(prefix);
    assertEquals(text.startsWith(prefix), prefix <= text && (end === null || text < end));
  }));
});
