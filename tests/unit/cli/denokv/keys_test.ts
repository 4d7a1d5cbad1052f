/** Deno KV keys: bytes and text, compared with Deno's own KV. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeKey, type DenoKey, encodeKey, type KeyPart } from "../../../../lib/cli/denokv/key_codec.ts";
import { keyOfText, keyText } from "../../../../lib/cli/denokv/key_text.ts";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { CHECKOUT } from "../../../support/checkout.ts";
import { Process } from "../../../support/processes/process.ts";
import { TemporaryFolder } from "../../../support/temporary.ts";

/** Parts of which every type occurs at its limits. */
const part: fc.Arbitrary<KeyPart> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.constantFrom("", "\0", "\0\xff", "a\u202eb", "\u{1f600}", `"'\\`),
  fc.double(),
  fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 5e-324, -5e-324),
  fc.bigInt({ min: -(1n << 140n), max: 1n << 140n }),
  fc.bigInt({ min: -70_000n, max: 70_000n }),
  fc.constantFrom(0n, 255n, 256n, -255n, -256n, (1n << 64n) - 1n, 1n << 64n, -(1n << 64n), 1n << 2_039n),
  fc.boolean(),
  fc.uint8Array({ maxLength: 5 }),
  fc.constantFrom(Uint8Array.of(0), Uint8Array.of(0, 255)),
);
const key: fc.Arbitrary<DenoKey> = fc.array(part, { minLength: 1, maxLength: 4 });

Deno.test("Deno keys: bytes and text lead back to the same key", () => {
  fc.assert(fc.property(key, (key) => {
    const bytes = encodeKey(key);
    assertEquals(decodeKey(bytes), key);
    assertEquals(keyOfText(keyText(bytes)), bytes);
  }));
});

Deno.test("Deno keys: any bytes have a text that leads back to them", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.tuple(fc.constantFrom(1, 2, 0x0b, 0x13, 0x14, 0x1d, 0x21, 0x26), fc.uint8Array({ maxLength: 12 }))
      .map(([type, rest]) => Uint8Array.of(type, ...rest)),
  );
  fc.assert(
    fc.property(bytes, (bytes) => assertEquals(keyOfText(keyText(bytes)), bytes)),
    { numRuns: 1_000 },
  );
});

Deno.test("Deno keys: bytes that Deno does not write as a key are shown as digits, no bytes as []", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["02ff00", "a string that is not UTF-8"],
    ["0261", "a string without end"],
    ["1500", "a bigint with a leading zero"],
    ["1d0101", "a short bigint in the long form"],
    ["21000000000000", "a number that is cut"],
    ["210007ffffffffffff", "a NaN with the sign bit, which is another key than NaN"],
    ["05", "an unknown type"],
  ];
  for (const [hex, what] of cases.slice(1)) {
    assertEquals(keyText(Uint8Array.fromHex(hex)), `hex:${hex}`, what);
  }
  assertEquals(keyText(new Uint8Array()), "[]");
});

Deno.test("Deno keys: a key is typed as in JavaScript, with blanks, either quote and escapes", () => {
  const cases: readonly (readonly [string, string])[] = [
    [`["users", 17n]`, "027573657273001511"],
    [` [ 'users' , 0x11n , ] `, "027573657273001511"],
    [String.raw`["\u0061\x00\u{1f600}\n"]`, "026100fff09f98800a00"],
    ["[-0, 1e3, .5]", "217fffffffffffffff21c08f40000000000021bfe0000000000000"],
    ["[new Uint8Array([1, 0]), Uint8Array(1) [ 2 ], true]", "010100ff0001020027"],
    ["hex:0275", "0275"],
  ];
  for (const [text, hex] of cases) assertEquals(keyOfText(text).toHex(), hex, text);
});

Deno.test("Deno keys: text that is no key is refused with the place and an example", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["users", `a value such as "text", 17n, 1.5, true or [1, 2] at column 1, found "users"`],
    [`["users" 17n]`, `"," or "]" at column 10`],
    [`["users`, "at column 2 is not closed"],
    ["[1] 2", `the end at column 5, found "2"`],
    [`"users"`, "A key is an array"],
    ["[null]", "The parts of a key are"],
    ["[{}]", "The parts of a key are"],
    ["[new Uint8Array([256])]", "integers from 0 to 255"],
    [String.raw`["\ud800"]`, "half of a surrogate pair"],
    [`[${1n << 2_040n}n]`, "at most 255 bytes"],
    ["hex:0", "pairs of hexadecimal digits"],
    ["[".repeat(200), "at most 100 deep"],
  ];
  for (const [text, reason] of cases) assertThrows(() => keyOfText(text), UsageError, reason);
});

Deno.test("Deno keys: Deno writes the same bytes, and lists in their order", async () => {
  await using folder = await TemporaryFolder.make();
  const byText = new Map(
    fc.sample(key, { numRuns: 1_000, seed: 1 }).map((key) => {
      const bytes = encodeKey(key);
      return [keyText(bytes), bytes] as const;
    }),
  );
  const texts = [...byText.keys()];
  const script = ["run", "-q", "--unstable-kv", "-A", "--no-config"];
  const args = [...script, "tests/support/denokv/local_database.ts", `${folder.path}/keys.sqlite`];
  const input = texts.map((text) => `${text}\n`).join("");
  await using process = Process.start(Deno.execPath(), args, { cwd: CHECKOUT, input });
  const { stdout, stderr, code } = await process.end();
  assertEquals([code, stderr], [0, ""]);
  const wanted = texts.map((text, line) => [line, byText.get(text)?.toHex() ?? ""] as const)
    .sort(([, a], [, b]) => a < b ? -1 : 1);
  assertEquals(stdout, wanted.map((row) => `${row.join(" ")}\n`).join(""));
});
