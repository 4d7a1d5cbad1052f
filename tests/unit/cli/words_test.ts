/** Bytes as words, escaped text, and lines split into words: each conversion and its inverse. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  bytesOfWord,
  escapeBytes,
  escapeText,
  isPrintable,
  textOfBytes,
  wordAsTyped,
  wordOfBytes,
} from "../../../lib/cli/text.ts";
import { LineError, tokenize, tokenizePartly } from "../../../lib/cli/tokenize.ts";

/** Bytes that are often nearly UTF-8. */
const someBytes = fc.oneof(
  fc.uint8Array({ maxLength: 24 }),
  fc.string({ unit: "binary", maxLength: 12 }).map((text) => new TextEncoder().encode(text)),
  fc.array(
    fc.constantFrom(0x00, 0x20, 0x22, 0x27, 0x2d, 0x23, 0x5c, 0x61, 0xc3, 0xa9, 0xed, 0xa0, 0xf0, 0x9f),
    {
      maxLength: 12,
    },
  ).map((bytes) => Uint8Array.from(bytes)),
);
const wordsOf = (line: string): string[] => tokenize(line).map(({ word }) => word);

Deno.test("wordOfBytes: bytesOfWord is its inverse", () => {
  fc.assert(fc.property(someBytes, (bytes) => assertEquals(bytesOfWord(wordOfBytes(bytes)), bytes)));
});

Deno.test("wordOfBytes: valid UTF-8 becomes its text, with its byte order mark", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const bytes = new TextEncoder().encode(text);
    assertEquals([wordOfBytes(bytes), textOfBytes(bytes)], [text, text]);
  }));
  assertEquals(textOfBytes(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
  assertEquals(textOfBytes(Uint8Array.of(0xff)), null);
});

Deno.test("wordAsTyped: words in one line are read back unchanged", () => {
  fc.assert(fc.property(fc.array(someBytes, { maxLength: 5 }), (keys) => {
    const line = keys.map(wordAsTyped).join(" ");
    assert(isPrintable(line) && !line.includes("\n"), line);
    assertEquals(wordsOf(line).map(bytesOfWord), keys);
  }));
});

Deno.test("escapeBytes: printable, on one line, and readable as quoted text", () => {
  fc.assert(fc.property(someBytes, (bytes) => {
    const escaped = escapeBytes(bytes);
    assert(isPrintable(escaped) && !/[\n\t]/.test(escaped));
    assertEquals(wordsOf(`"${escaped.replaceAll('"', '\\"')}"`).map(bytesOfWord), [bytes]);
  }));
});

Deno.test("escapeBytes: it uses the escapes of the help", () => {
  const bytes = Uint8Array.from([0x61, 0x0a, 0x09, 0x0d, 0x5c, 0x00, 0x1b, 0x7f, 0xff, 0xc3, 0xa9]);
  assertEquals(escapeBytes(bytes), "a\\n\\t\\r\\\\\\x00\\x1b\\x7f\\xffé");
  assertEquals(escapeText("a\u202eb 👩‍🔬"), "a\\xe2\\x80\\xaeb 👩‍🔬");
});

Deno.test("tokenize: quotes and escapes have the meaning of the help", () => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["put a  b\tc", ["put", "a", "b", "c"]],
    [`put 'a b' "c d"`, ["put", "a b", "c d"]],
    [`put 'a\\n"b' "c\\n'd"`, ["put", `a\\n"b`, "c\n'd"]],
    [`a"b c"'d e'f`, ["ab cd ef"]],
    [`"" ''`, ["", ""]],
    [`a\\ b \\"c \\'d \\\\e`, ["a b", `"c`, "'d", "\\e"]],
    [`\\t\\r\\0\\x41\\u{e9}\\u{1F4BE}`, ["\t\r\0Aé💾"]],
    [`\\xc3\\xa9`, ["é"]],
    ["käse 日本 👍", ["käse", "日本", "👍"]],
    ["  # a comment 'with a quote", []],
    ["put # \\#", ["put", "#", "#"]],
    ["", []],
  ];
  for (const [line, words] of table) assertEquals(wordsOf(line), [...words], line);
});

Deno.test("tokenize: an open quote and an unknown escape are reported with their column", () => {
  const messages = [`put 'a b`, `put "a`, `put \\q`, `put \\`, `\\xz1`, `\\u{d800}`, `\\u{110000}`].map((
    line,
  ) => assertThrows(() => tokenize(line), LineError).message.replace(/ Use .*$/, ""));
  assertEquals(messages, [
    "The quote ' at column 5 is not closed.",
    `The quote " at column 5 is not closed.`,
    "The escape at column 5 means nothing.",
    "The escape at column 5 means nothing.",
    "The escape at column 1 means nothing.",
    "The escape at column 1 means nothing.",
    "The escape at column 1 means nothing.",
  ]);
});

Deno.test("tokenize: every line is split or refused by name, and its words cover it in order", () => {
  const line = fc.string({
    unit: fc.constantFrom("a", " ", "'", '"', "\\", "x", "4", "u", "{", "}", "é", "💾", "#"),
  });
  fc.assert(fc.property(line, (text) => {
    const { tokens, error } = tokenizePartly(text);
    let position = 0;
    for (const { start, end } of tokens) {
      assert(position <= start && start <= end && end <= text.length);
      position = end;
    }
    if (error !== null) assert(error instanceof LineError);
  }));
});
