/** The part of text from outside that a message quotes. */
import { assertEquals } from "@std/assert";
import { MAX_QUOTED_CHARACTERS, shortened } from "../../../lib/platform/errors.ts";

Deno.test("shortened: text within the bound stays as it is", () => {
  const text = "ü".repeat(MAX_QUOTED_CHARACTERS);
  assertEquals([shortened(""), shortened(text)], ["", text]);
});

Deno.test("shortened: longer text is cut, and its length is stated", () => {
  assertEquals(shortened("a".repeat(201)), `${"a".repeat(200)}… (201 characters)`);
  assertEquals(shortened("abcdef", 3), "abc… (6 characters)");
});

Deno.test("shortened: no character is cut in two", () => {
  assertEquals(shortened("ab\u{1f600}cd", 3), "ab… (6 characters)");
});
