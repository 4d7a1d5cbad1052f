/** Typed and pasted lines: nothing is lost or changed, and the cost is linear in their length. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { LineEditor, MAX_LINE_CHARACTERS } from "../../../../lib/cli/shell/line_editor.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";

/** An editor that is shown, what it gave, and how often it did what costs the length of the line. */
class Typing implements Disposable {
  readonly lines: (readonly [string, string | null])[] = [];
  readonly #input = new PassThrough();
  readonly #output = new PassThrough();
  readonly #editor: LineEditor;
  hints = 0;
  writes = 0;

  constructor() {
    this.#output.on("data", () => void (this.writes += 1));
    this.#editor = new LineEditor({
      terminal: { input: this.#input, output: this.#output },
      prompt: "> ",
      color: true,
      columns: () => 80,
      hint: () => {
        this.hints += 1;
        return "";
      },
      history: [],
      complete: () => Promise.resolve({ words: [], typed: "" }),
      mayRemember: () => true,
      onLine: (line, problem) => void this.lines.push([line, problem]),
      onInterrupt: () => {},
      onEnd: () => {},
    });
    this.#editor.show();
  }

  /** Chunks as the terminal gives them. */
  async type(...chunks: readonly (string | Uint8Array)[]): Promise<void> {
    for (const chunk of chunks) {
      this.#input.write(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
      await settle();
    }
  }

  [Symbol.dispose](): void {
    this.#editor[Symbol.dispose]();
  }
}

Deno.test("LineEditor: a pasted line of any length is one key press", async () => {
  using typing = new Typing();
  const line = `put k ${"x".repeat(2_000)}`;
  await typing.type(`${line}\r`);
  assertEquals(typing.lines, [[line, null]]);
  assert(typing.hints <= 4 && typing.writes <= 8, `${typing.hints} hints, ${typing.writes} writes`);
});

Deno.test("LineEditor: a line longer than a few rows has no hint", async () => {
  using typing = new Typing();
  await typing.type("x".repeat(600));
  const before = typing.hints;
  await typing.type("x", "x", "x");
  assertEquals(typing.hints, before);
});

Deno.test("LineEditor: text split at any byte arrives as it was typed", async () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 })
    .filter((line) => !/[\p{C}\p{Zl}\p{Zp}\ufffd]/u.test(line));
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 9 }),
      async (lines, size) => {
        using typing = new Typing();
        const bytes = new TextEncoder().encode(lines.map((line) => `${line}\r`).join(""));
        const chunks = Array.from(
          { length: Math.ceil(bytes.length / size) },
          (_, part) => bytes.subarray(part * size, (part + 1) * size),
        );
        await typing.type(...chunks);
        assertEquals(typing.lines, lines.map((line) => [line, null]));
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("LineEditor: keys work within pasted text, also when their sequence arrives in parts", async () => {
  for (
    const chunks of [["ab\x1b[Dcd\r"], ["ab\x1b", "[Dcd\r"], ["ab\x1b[", "D", "cd\r"], [
      "ab\x1b[1;",
      "5Dcd",
      "\r",
    ]]
  ) {
    using typing = new Typing();
    await typing.type(...chunks);
    const moved = chunks.join("").includes("1;5") ? "cdab" : "acdb";
    assertEquals(typing.lines, [[moved, null]], JSON.stringify(chunks));
  }
});

Deno.test("LineEditor: bytes that are not UTF-8, NUL and line separators appear as U+FFFD, and their line is refused", async () => {
  for (
    const bytes of [
      Uint8Array.of(0xff),
      Uint8Array.of(0xed, 0xa0, 0x80),
      Uint8Array.of(0),
      "\u2028",
      "\ufffd",
    ]
  ) {
    using typing = new Typing();
    await typing.type("put k a", bytes, "b\r", "get k\r");
    const [refused, next] = typing.lines;
    assertMatch(refused?.[0] ?? "", /^put k a\ufffd+b$/);
    assertMatch(refused?.[1] ?? "", /not UTF-8, a NUL or a line separator, shown as \ufffd, and was not run/);
    assertEquals(next, ["get k", null]);
  }
});

Deno.test("LineEditor: a line that is too long is refused at its end, and the next one is not", async () => {
  using typing = new Typing();
  await typing.type(
    "x".repeat(MAX_LINE_CHARACTERS),
    "\r",
    "x".repeat(MAX_LINE_CHARACTERS + 1),
    "y",
    "\r",
    "get k\r",
  );
  const [whole, cut, next] = typing.lines;
  assertEquals([whole?.[0].length, whole?.[1], cut?.[0].length], [
    MAX_LINE_CHARACTERS,
    null,
    MAX_LINE_CHARACTERS,
  ]);
  assertMatch(cut?.[1] ?? "", /longer than 32768 characters, and was not run/);
  assertEquals(next, ["get k", null]);
});
