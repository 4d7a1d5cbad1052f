/** Values of Deno KV: their text, and stored bytes of typed values. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { serialize } from "node:v8";
import { parseLiteral } from "../../../../lib/cli/denokv/literal.ts";
import { readableValue, storedValue } from "../../../../lib/cli/denokv/values.ts";
import { UsageError } from "../../../../lib/cli/errors.ts";

Deno.test("Deno values: what Deno 2.9 wrote is shown as an expression, with its format", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["ff1030", "null"],
    ["ff105f", "undefined"],
    ["ff104e0000000000000080", "-0"],
    ["ff104e000000000000f87f", "NaN"],
    ["ff105a100c00000000000000", "12n"],
    ["ff106306e4003dd800de", `"ä😀"`],
    ["ff104210000000000000f83f000000000000f87f5646001000", "Float64Array(2) [ 1.5, NaN ]"],
    [
      "ff106f220161610349004902490449064002032201623b49026f220178420301020356420003007b013a02220163275a10010000000000" +
      "00002c01220164440000000000000000220165522202612b037b05",
      "{ a: [ 1, <1 empty item>, 3 ], b: Map(1) { 1 => { x: Uint8Array(3) [ 1, 2, 3 ] } }, c: Set(1) { 1n }, " +
      "d: 1970-01-01T00:00:00.000Z, e: /a+/gi }",
    ],
  ];
  for (const [hex, text] of cases) {
    const { json: _, ...shown } = readableValue(Uint8Array.fromHex(`01${hex}`));
    assertEquals(shown, { format: "v8 format 16", v8Format: 16, text });
  }
  assertEquals(readableValue(Uint8Array.fromHex("01ff0f4902")).format, "v8 format 15");
});

Deno.test("Deno values: KvU64 and bytes have their own formats", () => {
  assertEquals(readableValue(Uint8Array.fromHex("02ffffffffffffffff")), {
    format: "u64",
    v8Format: null,
    text: "new Deno.KvU64(18446744073709551615n)",
  });
  assertEquals(readableValue(Uint8Array.of(3, 1, 255)), {
    format: "bytes",
    v8Format: null,
    text: "new Uint8Array([1, 255])",
  });
});

Deno.test("Deno values: what cannot be read is shown as digits, with its format", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["01ff1f30", "v8 format 31", "hex ff1f30"],
    ["01ff0f", "v8 format 15", "hex ff0f"],
    ["01", "v8 without a format", "hex "],
    ["020102", "u64", "hex 0102"],
    ["070102", "unknown encoding 7", "hex 0102"],
    ["", "unknown encoding of no bytes", "hex "],
  ];
  for (const [hex, format, text] of cases) {
    const shown = readableValue(Uint8Array.fromHex(hex));
    assertEquals([shown.format, shown.text], [format, text]);
  }
  const long = readableValue(new Uint8Array(101).fill(7));
  assertEquals(long.text, `hex ${"07".repeat(64)}…, 100 bytes`);
});

Deno.test("Deno values: damaged bytes never throw, and have one line without controls", () => {
  const values = [
    { a: [1, 2], b: new Map([[1, new Set([2n])]]), d: new Date(0) },
    "x\u001b[2J\ny",
    [[[[]]]],
    new Error("e\nf"),
  ];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((data) => Uint8Array.of(1, 0xff, 16, ...data)),
    fc.tuple(fc.constantFrom(...values), fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const stored = Uint8Array.of(1, ...serialize(value));
      stored[1 + at % (stored.length - 1)] = byte;
      return stored;
    }),
  );
  fc.assert(
    fc.property(bytes, (stored) => {
      // deno-lint-ignore no-control-regex -- controls are what is looked for
      assert(!/[\x00-\x1f\x7f]/.test(readableValue(stored).text));
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("Deno values: deep nesting and names such as constructor are shown", () => {
  const nested = new Uint8Array(60_000).fill(0x41);
  for (let at = 1; at < nested.length; at += 2) nested[at] = 1;
  nested.set([1, 0xff, 0x10]);
  assertEquals(readableValue(nested).format, "v8 format 16");
  const odd = storedValue(parseLiteral(`{ constructor: { name: 5 }, toString: 1, "__proto__": { a: 1 } }`));
  assertEquals(readableValue(odd).text.startsWith("{ constructor: { name: 5 }, toString: 1"), true);
});

Deno.test("Deno values: a value whose text would be far longer than its bytes is shown as bytes", () => {
  let pairs: unknown = [1];
  for (let depth = 0; depth < 48; depth++) pairs = [pairs, pairs];
  const text = new Array(30_000).fill(new String("x".repeat(30_000)));
  const bytes = new Array(30_000).fill(new Uint8Array(30_000));
  const map = new Array(10_000).fill(new Map([[new Set("abcdefghijklmnopqrstuvwxyz"), /a{1,1000}/]]));
  const errors = new Array(10_000).fill(new Error("x".repeat(1_000)));
  for (const value of [pairs, text, bytes, map, errors]) {
    const shown = readableValue(Uint8Array.of(1, ...serialize(value)));
    assertMatch(shown.text, /^hex ff0f[0-9a-f]+…, [0-9]+ bytes$/);
    assertEquals("json" in shown, false);
  }
  const one = { name: "Ada" };
  const circle: Record<string, unknown> = { one, two: one };
  circle["self"] = circle;
  assertEquals(
    readableValue(Uint8Array.of(1, ...serialize(circle))).text,
    `<ref *1> { one: { name: "Ada" }, two: { name: "Ada" }, self: [Circular *1] }`,
  );
});

Deno.test("Deno values: JSON is there only where it has exactly the value", () => {
  const cases: readonly (readonly [string, unknown])[] = [
    [`{ name: "Ada", tags: ["a", null, 1.5], ok: true }`, { name: "Ada", tags: ["a", null, 1.5], ok: true }],
    ["17n", undefined],
    ["[-0]", undefined],
    ["{ a: undefined }", undefined],
    ["[NaN]", undefined],
    [`{ toJSON: 1 }`, undefined],
  ];
  for (const [text, json] of cases) assertEquals(readableValue(storedValue(parseLiteral(text))).json, json);
  const sparse = Uint8Array.of(1, ...serialize([1, , 3]));
  assertEquals(readableValue(sparse).json, undefined);
});

Deno.test("Deno values: typed values are stored in V8 format 15, bytes and KvU64 as they are", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["1", "01ff0f4902"],
    [`"a"`, "01ff0f220161"],
    ["{ a: 1n }", "01ff0f6f2201615a1001000000000000007b01"],
    ["new Uint8Array([1, 2])", "030102"],
    ["new Deno.KvU64(258n)", "020201000000000000"],
  ];
  for (const [text, hex] of cases) assertEquals(storedValue(parseLiteral(text)).toHex(), hex, text);
  for (const text of ["[new Uint8Array([1])]", "{ a: new Deno.KvU64(1n) }"]) {
    assertThrows(() => storedValue(parseLiteral(text)), UsageError, "not a part of one");
  }
  assertThrows(() => parseLiteral("new Deno.KvU64(18446744073709551616n)"), UsageError, "from 0n to 1844");
});
