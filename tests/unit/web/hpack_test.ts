/** HPACK: the decoder against the RFC's examples, an encoder of the tests, and arbitrary bytes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ByteQueue } from "../../../lib/web/byte_queue.ts";
import { type DecodedBlock, HpackDecoder, HpackError, TABLE_BYTES } from "../../../lib/web/hpack/decoder.ts";
import { constantFields } from "../../../lib/web/fields.ts";
import { HpackEncoder } from "../../../lib/web/hpack/encoder.ts";
import { decodeHuffman } from "../../../lib/web/hpack/huffman.ts";
import { type EncodedField, integer, packed, TestHpackEncoder } from "../../support/web/hpack_encoder.ts";
import { huffmanBits } from "../../support/web/huffman_codes.ts";

const MAX_BYTES = 65_536;

function decode(decoder: HpackDecoder, bytes: readonly number[], maxBytes = MAX_BYTES): DecodedBlock {
  return decoder.decode(new Uint8Array(bytes), { begin: 0, end: bytes.length, maxBytes });
}

function pairs({ fields }: DecodedBlock): readonly (readonly [string, string])[] {
  return fields.map(({ name, value }) => [name, value]);
}

function bytesOf(hex: string): number[] {
  return (hex.replaceAll(" ", "").match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
}

Deno.test("HpackDecoder: three requests of RFC 7541 C.4 are decoded with one table", () => {
  const decoder = new HpackDecoder();
  const host = [":authority", "www.example.com"] as const;
  assertEquals(pairs(decode(decoder, bytesOf("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"))), [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    host,
  ]);
  assertEquals(pairs(decode(decoder, bytesOf("8286 84be 5886 a8eb 1064 9cbf"))), [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    host,
    ["cache-control", "no-cache"],
  ]);
  assertEquals(
    pairs(decode(decoder, bytesOf("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"))),
    [[":method", "GET"], [":scheme", "https"], [":path", "/index.html"], host, [
      "custom-key",
      "custom-value",
    ]],
  );
});

/** A literal that is not added to the table, with a name of a table and a value without the Huffman code. */
function literal(nameIndex: number, value: string): number[] {
  return [...integer(nameIndex, 4, 0), value.length, ...new TextEncoder().encode(value)];
}

Deno.test("HpackDecoder: a literal like the last one of its name is the same field, and no other one is", () => {
  const decoder = new HpackDecoder();
  const path = 4;
  for (const value of ["/a", "/a", "/b", "/a", "/", "/a"]) {
    assertEquals(pairs(decode(decoder, literal(path, value))), [[":path", value]]);
  }
  // The block ends within the value, which the bytes behind it complete.
  const whole = new Uint8Array(literal(path, "/a"));
  const cut = { begin: 0, end: whole.length - 1, maxBytes: MAX_BYTES };
  assertThrows(() => decoder.decode(whole, cut), HpackError);
  // The same index of the dynamic table is another name once something was added.
  const first = 62;
  const added = (name: string): number[] => [0x40, name.length, ...new TextEncoder().encode(name), 1, 0x31];
  for (const name of ["a", "b"]) {
    const block = [...added(name), ...literal(first, "/a")];
    assertEquals(pairs(decode(decoder, block)), [[name, "1"], [name, "/a"]]);
  }
});

const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const field: fc.Arbitrary<EncodedField> = fc.record({
  name: fc.oneof(fc.constantFrom(":path", "cookie", "a", "b", "x".repeat(100)), text),
  value: fc.oneof(fc.constantFrom("", "/", "1", "y".repeat(3_000)), text),
  as: fc.constantFrom("indexed", "added", "plain", "never"),
  isHuffman: fc.boolean(),
});

Deno.test("HpackDecoder: decodes what an encoder with a table writes, over blocks and changes of the table's size", () => {
  const block = fc.record({
    fields: fc.array(field),
    size: fc.option(fc.integer({ min: 0, max: TABLE_BYTES })),
  });
  fc.assert(fc.property(fc.array(block), (blocks) => {
    const encoder = new TestHpackEncoder();
    const decoder = new HpackDecoder();
    for (const { fields, size } of blocks) {
      const bytes = [...(size === null ? [] : encoder.resize(size)), ...encoder.encode(fields)];
      assertEquals(pairs(decode(decoder, bytes, Infinity)), fields.map(({ name, value }) => [name, value]));
    }
  }));
});

Deno.test("HpackDecoder: arbitrary bytes are decoded or refused by HpackError, and the decoder stays usable", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (blocks) => {
    const decoder = new HpackDecoder();
    for (const block of blocks) {
      try {
        decode(decoder, [...block]);
      } catch (error) {
        assert(error instanceof HpackError, String(error));
      }
    }
    assertEquals(pairs(decode(decoder, [0x82])), [[":method", "GET"]]);
  }));
});

const REFUSED: readonly { readonly title: string; readonly bytes: readonly number[] }[] = [
  { title: "the index 0", bytes: [0x80] },
  { title: "an index behind the tables", bytes: [0x80 | 62] },
  { title: "a name behind the tables", bytes: [0x40 | 62, 0] },
  { title: "an update of the table's size beyond its limit", bytes: integer(TABLE_BYTES + 1, 5, 0x20) },
  { title: "three updates of the table's size", bytes: [0x20, 0x20, 0x20] },
  { title: "an update of the table's size behind a field", bytes: [0x82, 0x20] },
  { title: "an integer without an end", bytes: [0xff, 0x80, 0x80] },
  { title: "an integer of 33 bits", bytes: [0xff, 0xff, 0xff, 0xff, 0xff, 0x0f] },
  { title: "an integer of many zero bytes", bytes: [0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00] },
  {
    title: "a length of many zero bytes",
    bytes: [0x00, 0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, ...new Array<number>(127).fill(0x61), 0x00],
  },
  { title: "a string behind the end", bytes: [0x00, 0x05, 0x61] },
  { title: "a literal without a value", bytes: [0x00, 0x01, 0x61] },
  {
    title: "a Huffman string with its end in it",
    bytes: [0x00, 0x01, 0x61, 0x84, ...packed(huffmanBits(256))],
  },
  { title: "a Huffman string with eight bits of padding", bytes: [0x00, 0x01, 0x61, 0x82, 0xf8, 0xff] },
  { title: "a Huffman string padded with zeros", bytes: [0x00, 0x01, 0x61, 0x81, 0x18] },
];

for (const { title, bytes } of REFUSED) {
  Deno.test(`HpackDecoder: refuses ${title}`, () => {
    assertThrows(() => decode(new HpackDecoder(), bytes), HpackError);
  });
}

Deno.test("HpackDecoder: a block that is too large has no fields, and its table is as at the other end", () => {
  const encoder = new TestHpackEncoder();
  const decoder = new HpackDecoder();
  const large = encoder.encode([
    { name: "a", value: "x".repeat(500) },
    ...Array.from({ length: 200 }, () => ({ name: "a", value: "x".repeat(500) })),
    { name: "b", value: "1" },
  ]);
  assertEquals(decode(decoder, large, 10_000), { fields: [], isTooLarge: true });
  assertEquals(pairs(decode(decoder, encoder.encode([{ name: "b", value: "1" }]))), [["b", "1"]]);
});

Deno.test("HpackDecoder: an entry larger than the table empties it", () => {
  const decoder = new HpackDecoder();
  decode(decoder, [0x40, 1, 0x61, 1, 0x62]);
  assertEquals(pairs(decode(decoder, [0x80 | 62])), [["a", "b"]]);
  decode(decoder, [0x40, 1, 0x61, ...integer(5_000, 7, 0), ...new Array<number>(5_000).fill(0x62)]);
  assertThrows(() => decode(decoder, [0x80 | 62]), HpackError);
});

Deno.test("HpackDecoder: names and values that are not fields are marked", () => {
  const encoder = new TestHpackEncoder();
  const decoder = new HpackDecoder();
  const valid = [["a", ""], [":path", "/"], ["a", "b c"], ["a", "\x80\t\xff"]] as const;
  const invalid = [
    ["A", "b"],
    ["", "b"],
    ["a b", "c"],
    ["a:", "c"],
    ["a", " b"],
    ["a", "b\t"],
    [
      "a",
      "b\nc",
    ],
    ["a", "\0"],
    ["a", "b\x7fc"],
  ] as const;
  for (const [list, isValid] of [[valid, true], [invalid, false]] as const) {
    const block = encoder.encode(list.map(([name, value]) => ({ name, value })));
    const decoded = decode(decoder, block);
    assertEquals(decoded.fields.map((one) => one.isValid), list.map(() => isValid));
  }
});

Deno.test("decodeHuffman: every byte has the code of the RFC", () => {
  const all = Array.from({ length: 256 }, (_, byte) => byte);
  const input = new Uint8Array(packed(all.map(huffmanBits).join("")));
  const output = new Uint8Array(2 * input.length);
  assertEquals(decodeHuffman(input, { begin: 0, end: input.length }, output), 256);
  assertEquals([...output.subarray(0, 256)], all);
});

Deno.test("HpackEncoder: its blocks are decoded to the same fields", () => {
  const queue = new ByteQueue();
  const encoder = new HpackEncoder();
  const value = "v".repeat(300);
  encoder.limitTable(100);
  encoder.begin(queue);
  encoder.status(queue, 200);
  encoder.status(queue, 418);
  encoder.field(queue, "content-type", "text/plain");
  encoder.field(queue, "www-authenticate", value);
  encoder.field(queue, "grpc-status", "0");
  encoder.end();
  assertEquals(queue.view()[0], 0x20, "the table is emptied first, since its limit is below the default");
  assertEquals(pairs(decode(new HpackDecoder(), [...queue.view()])), [
    [":status", "200"],
    [":status", "418"],
    ["content-type", "text/plain"],
    ["www-authenticate", value],
    ["grpc-status", "0"],
  ]);
});

Deno.test("HpackEncoder: constant fields have the bytes of others, which are read again each time", () => {
  const encoder = new HpackEncoder();
  const encoded = (headers: Record<string, string> | ReturnType<typeof constantFields>): Uint8Array => {
    const queue = new ByteQueue();
    queue.byte(1);
    encoder.fields(queue, headers);
    return queue.view(1).slice();
  };
  const plain: Record<string, string> = { "grpc-status": "0", "content-type": "application/grpc" };
  const constant = constantFields(plain);
  const expected = encoded(plain);
  assertEquals([encoded(constant), encoded(constant)], [expected, expected]);
  plain["grpc-status"] = "5";
  assert(encoded(plain).join() !== expected.join(), "fields that are not constant may change");
  assertEquals(encoded(constant), expected);
  assertThrows(() => constantFields({ "grpc-message": "a\nb" }), Error);
});
