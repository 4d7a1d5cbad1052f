/** A record's bytes: a written record is read again, and no other bytes are taken for one. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  checksumHolds,
  decodeBody,
  encodeRecord,
  readFrame,
  RECORD_HEADER_BYTES,
  recordBytes,
  segmentSeed,
} from "../../../lib/storage/wal/record.ts";
import type { LogRecord, RecordPlace } from "../../../lib/storage/wal/record.ts";

/** Objects as the code makes them, so that they compare equal. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true });
}

const anyNumber = fc.maxSafeNat();
const anyHardState = record({
  term: anyNumber,
  vote: fc.option(fc.integer({ min: 1 })),
  commitIndex: anyNumber,
});
const anyRecord: fc.Arbitrary<LogRecord> = fc.oneof(
  record({ kind: fc.constant("hardState" as const), hardState: anyHardState }),
  record({ kind: fc.constant("syncMark" as const) }),
  record({
    kind: fc.constant("entry" as const),
    entry: record({
      index: anyNumber,
      term: anyNumber,
      kind: fc.constantFrom("noop" as const, "command" as const, "configuration" as const),
      data: fc.uint8Array({ maxLength: 300 }),
    }),
  }),
  record({
    kind: fc.constant("segmentHeader" as const),
    header: record({
      formatVersion: fc.nat(),
      number: anyNumber,
      firstIndex: fc.maxSafeNat().filter((index) => index > 0),
      previousTerm: anyNumber,
      isReset: fc.boolean(),
      previous: fc.option(record({ number: fc.integer({ min: 1 }), end: fc.nat() })),
      hardState: anyHardState,
      identity: record({ clusterId: fc.string({ unit: "grapheme" }), nodeId: anyNumber }),
    }),
  }),
);
const anyPlace = record({
  seed: fc.nat().map(segmentSeed),
  offset: fc.nat(),
  synced: fc.double({ min: 0, max: 1, noNaN: true }),
});

function encoded(record: LogRecord, place: RecordPlace, syncedOffset: number): Uint8Array {
  const bytes = new Uint8Array(recordBytes(record));
  const end = encodeRecord(record, {
    bytes,
    view: new DataView(bytes.buffer),
    position: 0,
    place,
    syncedOffset,
  });
  assertEquals(end, bytes.length);
  return bytes;
}

function decoded(
  bytes: Uint8Array,
  place: RecordPlace,
): { record: LogRecord | null; syncedOffset: number } | null {
  if (bytes.length < RECORD_HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frame = readFrame(view, 0, place.offset);
  if (frame === null || RECORD_HEADER_BYTES + frame.bodyBytes > bytes.length) return null;
  const record = bytes.subarray(0, RECORD_HEADER_BYTES + frame.bodyBytes);
  if (!checksumHolds(record, view, 0, place)) return null;
  return {
    record: decodeBody(frame.code, record.subarray(RECORD_HEADER_BYTES)),
    syncedOffset: frame.syncedOffset,
  };
}

Deno.test("readFrame: every record is read as it was written", () => {
  fc.assert(fc.property(anyRecord, anyPlace, (record, { seed, offset, synced }) => {
    const syncedOffset = Math.floor(offset * synced);
    assertEquals(decoded(encoded(record, { seed, offset }, syncedOffset), { seed, offset }), {
      record,
      syncedOffset,
    });
  }));
});

Deno.test("readFrame: a record with a flipped bit, without its end, or at another position is none", () => {
  fc.assert(fc.property(anyRecord, anyPlace, fc.nat(), (record, { seed, offset }, chance) => {
    const place = { seed, offset };
    const bytes = encoded(record, place, 0);
    const flipped = bytes.with(
      chance % bytes.length,
      (bytes[chance % bytes.length] ?? 0) ^ (1 << chance % 8),
    );
    assertEquals(decoded(flipped, place), null);
    assertEquals(decoded(bytes.slice(0, chance % bytes.length), place), null);
    assertEquals(decoded(bytes, { seed, offset: offset + 1 + chance % 4096 }), null);
    assertEquals(decoded(bytes, { seed: segmentSeed(chance + 1) ^ seed, offset }), null);
  }));
});

Deno.test("readFrame: zeros are no record", () => {
  assertEquals(decoded(new Uint8Array(64), { seed: segmentSeed(1), offset: 0 }), null);
});

Deno.test("decodeBody: arbitrary bytes with a correct checksum are a record or null, and never an exception", () => {
  fc.assert(fc.property(fc.nat(5), fc.uint8Array({ maxLength: 100 }), (code, body) => {
    const record = decodeBody(code, body);
    if (record !== null) assertEquals(recordBytes(record) >= RECORD_HEADER_BYTES, true);
  }));
});

Deno.test("encodeRecord: the bytes of an entry on the disk are these", () => {
  const data = new TextEncoder().encode("hi");
  const bytes = encoded({ kind: "entry", entry: { index: 258, term: 2 ** 40 + 3, kind: "command", data } }, {
    seed: segmentSeed(1),
    offset: 4096,
  }, 4000);
  // deno-fmt-ignore
  assertEquals([...bytes.slice(4)], [
    0x6b, 0x76, 0x72, 3,
    0, 0, 0, 19,
    0, 0, 0x0f, 0xa0,
    0, 0, 0, 0, 0, 0, 1, 2,
    0, 0, 1, 0, 0, 0, 0, 3,
    2,
    0x68, 0x69,
  ]);
});
