/** The reader and the writer of MessagePack, one value at a time. */
import { assertEquals, assertThrows } from "@std/assert";
import { written } from "./formats.ts";
import { decode, encode } from "@std/msgpack";
import fc from "fast-check";
import { InvariantError } from "../../../lib/platform/assert.ts";
import { DecodeError } from "../../../lib/protocol/errors.ts";
import { MessagePackReader } from "../../../lib/protocol/msgpack_reader.ts";
import { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import { binary, integer } from "../../support/frames/arbitraries.ts";

const reader = (bytes: Uint8Array): MessagePackReader =>
  new MessagePackReader(bytes, { what: "a test", copies: true });

Deno.test("MessagePackWriter: integers, text, bytes and arrays have the bytes of @std/msgpack", () => {
  fc.assert(fc.property(integer({ max: 2 ** 32 - 1 }), (value) => {
    assertEquals(written((out) => out.integer(value)), encode(value));
  }));
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 300 }), (value) => {
    assertEquals(written((out) => out.string(value)), encode(value));
  }));
  fc.assert(
    fc.property(binary(), (value) => assertEquals(written((out) => out.binary(value)), encode(value))),
  );
  for (const length of [0, 15, 16, 65_535, 65_536]) {
    const bytes = written((out) => {
      out.array(length);
      for (let position = 0; position < length; position++) out.boolean(true);
    });
    assertEquals(bytes, encode(new Array(length).fill(true)));
  }
  const long = "x".repeat(70_000);
  assertEquals(written((out) => out.string(long)), encode(long));
});

Deno.test("MessagePackWriter: integers from 2^32 on are float64, as in the release of @std/msgpack", () => {
  fc.assert(fc.property(integer({ min: 2 ** 32, max: Number.MAX_SAFE_INTEGER }), (value) => {
    const bytes = written((out) => out.integer(value));
    assertEquals([bytes[0], bytes.length, decode(bytes)], [0xcb, 9, value]);
    assertEquals(reader(bytes).integer("value"), value);
  }));
});

Deno.test("MessagePackReader: an integer is read from every number format that can hold it", () => {
  const forms = [
    [5],
    [0xcc, 5],
    [0xcd, 0, 5],
    [0xce, 0, 0, 0, 5],
    [0xcf, 0, 0, 0, 0, 0, 0, 0, 5],
    [0xd0, 5],
    [0xd1, 0, 5],
    [0xd2, 0, 0, 0, 5],
    [0xd3, 0, 0, 0, 0, 0, 0, 0, 5],
    [0xca, 0x40, 0xa0, 0, 0],
    [0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 0],
  ];
  assertEquals(forms.map((form) => reader(new Uint8Array(form)).integer("value")), forms.map(() => 5));
  const top = [0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  assertEquals(reader(new Uint8Array(top)).integer("value"), Number.MAX_SAFE_INTEGER);
});

Deno.test("MessagePackReader: numbers that are negative, fractional or above 2^53 - 1 are refused", () => {
  const forms = [
    [0xff],
    [0xd0, 0x80],
    [0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0],
    [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    [0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 1],
    [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
  ];
  for (const form of forms) {
    assertThrows(() => reader(new Uint8Array(form)).integer("value"), DecodeError, "from 0 to 2^53 - 1");
  }
});

Deno.test("MessagePackReader: a value of another type than expected is refused", () => {
  const nil = new Uint8Array([0xc0]);
  assertThrows(() => reader(nil).integer("value"), DecodeError, "a test: value must be an integer");
  assertThrows(() => reader(nil).boolean("value"), DecodeError, "value must be true or false");
  assertThrows(() => reader(nil).string("value"), DecodeError, "value must be text");
  assertThrows(() => reader(nil).binary("value"), DecodeError, "value must be bytes");
  assertThrows(() => reader(nil).open("value"), DecodeError, "value must be an array");
  assertThrows(
    () => reader(new Uint8Array([0xa1, 0xff])).string("value"),
    DecodeError,
    "value must be UTF-8",
  );
  assertThrows(() => reader(new Uint8Array([0x81, 1, 2])).skip("value"), DecodeError, "does not use");
});

// msgpack-lite 0.1.26 (npm) writes a Uint8Array as an extension of type 18, and only a Buffer as bin: findings/msgpack_in_node.sh.
Deno.test("MessagePackReader: an extension is refused where bytes are expected", () => {
  const extension = new Uint8Array([0xd5, 0x12, 1, 2]);
  assertThrows(() => reader(extension).binary("value"), DecodeError, "value must be bytes");
});

Deno.test("MessagePackReader: text keeps a byte order mark at its beginning", () => {
  const text = "\uFEFFtext";
  assertEquals(reader(written((out) => out.string(text))).string("value"), text);
});

Deno.test("MessagePackWriter: only integers from 0 to 2^53 - 1 can be written", () => {
  for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) {
    assertThrows(() => written((out) => out.integer(value)), InvariantError);
  }
});

Deno.test("MessagePackWriter: clear releases a buffer that is larger than what is retained", () => {
  const out = new MessagePackWriter();
  out.binary(new Uint8Array(10_000));
  assertEquals(out.view().buffer.byteLength >= 10_000, true);
  out.clear(20_000);
  assertEquals(out.view().buffer.byteLength >= 10_000, true);
  out.clear(1_000);
  assertEquals(out.view().buffer.byteLength, 256);
});
