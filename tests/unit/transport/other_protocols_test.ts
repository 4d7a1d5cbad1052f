/** Recognition of other protocols by the first bytes of a connection. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { recogniseProtocol } from "../../../lib/transport/frame_reader.ts";
import { MAX_FRAME_BYTES } from "../../../lib/protocol/limits.ts";
import { ANSWERS, OPENINGS } from "../../support/openings.ts";

Deno.test("recogniseProtocol: it names the protocol of the first bytes of other clients and servers", () => {
  const all = [...OPENINGS, ...ANSWERS];
  assertEquals(all.map(({ bytes }) => recogniseProtocol(bytes)), all.map(({ looksLike }) => looksLike));
});

Deno.test("recogniseProtocol: no beginning of a frame of kvraft is taken for another protocol", () => {
  // Every frame is a length and a MessagePack array: fixarray, array 16 or array 32.
  const marker = fc.oneof(fc.integer({ min: 0x90, max: 0x9f }), fc.constantFrom(0xdc, 0xdd));
  fc.assert(fc.property(
    fc.integer({ min: 1, max: MAX_FRAME_BYTES }),
    marker,
    fc.uint8Array({ maxLength: 30 }),
    fc.integer({ min: 0, max: 35 }),
    (length, first, rest, arrived) => {
      const bytes = new Uint8Array(5 + rest.length);
      new DataView(bytes.buffer).setUint32(0, length);
      bytes[4] = first;
      bytes.set(rest, 5);
      assertEquals(recogniseProtocol(bytes.subarray(0, arrived)), null);
    },
  ));
});
