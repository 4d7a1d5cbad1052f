/** The data path's codec: requests from an independent encoder, answers by an independent decoder, and hostile bytes. */
import { assertEquals, assertThrows } from "@std/assert";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import {
  type AtomicWrite,
  decodeAtomicWrite,
  decodeSnapshotRead,
  decodeWatch,
  ProtobufError,
  type SnapshotRead,
} from "../../../lib/denokv/datapath.ts";
import {
  encodeAtomicWriteOutput,
  encodeSnapshotReadOutput,
  encodeWatchOutput,
  type OutputEntry,
} from "../../../lib/denokv/datapath_output.ts";

/** An arbitrary of plain objects, which compare equal to those of the program. */
function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true });
}

/** The versionstamp of a revision, in another way than the program. */
function versionstampOf(revision: number): Uint8Array {
  const versionstamp = new Uint8Array(10);
  new DataView(versionstamp.buffer).setBigUint64(0, BigInt(revision));
  return versionstamp;
}

const bytes = fc.uint8Array({ maxLength: 300 });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const range = record({ start: bytes, end: bytes, limit: int32, reverse: fc.boolean() });
const check = record({ key: bytes, versionstamp: bytes });
const mutation = record({
  key: bytes,
  value: fc.option(record({ data: bytes, encoding: int32 })),
  type: int32,
  expireAtMs: fc.maxSafeInteger(),
  sumMin: bytes,
  sumMax: bytes,
  sumClamp: fc.boolean(),
});
const entry = record({
  key: bytes,
  value: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.uint8Array({ maxLength: 20_000 }))
    .map(([encoding, data]) => Uint8Array.of(encoding, ...data)),
  modRevision: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
});

/** A writer that leaves out default values, as every implementation of proto3 does. */
class Writer extends BinaryWriter {
  data(field: number, value: Uint8Array): this {
    return value.length === 0 ? this : this.tag(field, WireType.LengthDelimited).bytes(value);
  }
  int(field: number, value: number): this {
    return value === 0 ? this : this.tag(field, WireType.Varint).int64(value);
  }
  message(field: number, write: () => void): this {
    this.tag(field, WireType.LengthDelimited).fork();
    write();
    return this.join();
  }
}

function snapshotRead({ ranges }: SnapshotRead): Uint8Array {
  const writer = new Writer();
  for (const { start, end, limit, reverse } of ranges) {
    writer.message(1, () => writer.data(1, start).data(2, end).int(3, limit).int(4, Number(reverse)));
  }
  return writer.finish();
}

function atomicWrite({ checks, mutations }: Omit<AtomicWrite, "enqueues">): Uint8Array {
  const writer = new Writer();
  for (const { key, versionstamp } of checks) {
    writer.message(1, () => writer.data(1, key).data(2, versionstamp));
  }
  for (const { key, value, type, expireAtMs, sumMin, sumMax, sumClamp } of mutations) {
    writer.message(2, () => {
      writer.data(1, key);
      if (value !== null) writer.message(2, () => writer.data(1, value.data).int(2, value.encoding));
      writer.int(3, type).int(4, expireAtMs).data(5, sumMin).data(6, sumMax).int(7, Number(sumClamp));
    });
  }
  return writer.finish();
}

/** Decodes the fields of a message: of each the number, and the number or bytes of its value. */
function fieldsOf(message: Uint8Array): readonly (readonly [number, number | Uint8Array])[] {
  const reader = new BinaryReader(message);
  const fields: [number, number | Uint8Array][] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    fields.push([field, type === WireType.Varint ? reader.uint32() : reader.bytes()]);
  }
  return fields;
}

/** The fields of a KvEntry. */
function entryFields({ key, value, modRevision }: OutputEntry): readonly (readonly [number, unknown])[] {
  return [[1, key], [2, value.slice(1)], [3, value[0]], [4, versionstampOf(modRevision)]];
}

Deno.test("datapath: a read is decoded as it was encoded", () => {
  fc.assert(fc.property(record({ ranges: fc.array(range, { maxLength: 5 }) }), (read) => {
    assertEquals(decodeSnapshotRead(snapshotRead(read)), read);
  }));
});

Deno.test("datapath: a commit is decoded as it was encoded", () => {
  const write = record({
    checks: fc.array(check, { maxLength: 4 }),
    mutations: fc.array(mutation, { maxLength: 4 }),
  });
  fc.assert(fc.property(write, (write) => {
    assertEquals(decodeAtomicWrite(atomicWrite(write)), { ...write, enqueues: 0 });
  }));
});

Deno.test("datapath: a watch is decoded, and enqueues are counted", () => {
  const key = Uint8Array.of(2, 97, 0);
  const writer = new Writer();
  assertEquals(decodeWatch(writer.message(1, () => writer.data(1, key)).message(1, () => {}).finish()), {
    keys: [key, new Uint8Array(0)],
  });
  const enqueue = writer.message(3, () => writer.data(1, key).int(2, 5).data(4, Uint8Array.of(1))).finish();
  assertEquals(decodeAtomicWrite(enqueue), { checks: [], mutations: [], enqueues: 1 });
  assertEquals(decodeAtomicWrite(new Uint8Array(0)), { checks: [], mutations: [], enqueues: 0 });
});

Deno.test("datapath: unknown fields of every wire type are skipped", () => {
  const writer = new Writer();
  writer.tag(9, WireType.Varint).int64("-1").tag(10, WireType.Bit64).fixed64(1);
  writer.tag(11, WireType.Bit32).fixed32(1).data(12, Uint8Array.of(1, 2));
  writer.tag(13, WireType.StartGroup).tag(1, WireType.Varint).int32(5).tag(13, WireType.EndGroup);
  const range = { start: Uint8Array.of(1), end: Uint8Array.of(2), limit: 3, reverse: true };
  writer.raw(snapshotRead({ ranges: [range] }));
  assertEquals(decodeSnapshotRead(writer.finish()), { ranges: [range] });
});

const KEY = new Writer().data(1, Uint8Array.of(1, 2, 3)).finish();

const REFUSED: Readonly<Record<string, Uint8Array>> = {
  "a known field of another wire type": new Writer().tag(1, WireType.Varint).int32(1).finish(),
  "a field number 0": Uint8Array.of(0x02, 0),
  "a message longer than the body": Uint8Array.of(0x0a, 5, 0x0a, 1),
  "a field longer than its message": Uint8Array.of(0x0a, 3, 0x0a, 3, 1, 2, 3),
  "a field that ends with the body but not with its message": Uint8Array.of(0x0a, 2, 0x0a, 1, 9),
  "a length without end": Uint8Array.of(0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255),
  "a group without end": Uint8Array.of(9 << 3 | 3, 8, 1),
  "groups in groups without end": new Uint8Array(100_000).fill(9 << 3 | 3),
  "an unknown wire type": Uint8Array.of(9 << 3 | 7, 1),
};

for (const [name, body] of Object.entries(REFUSED)) {
  Deno.test(`datapath: ${name} is refused`, () => {
    for (const decode of [decodeSnapshotRead, decodeAtomicWrite, decodeWatch]) {
      assertThrows(() => decode(body), ProtobufError, "Request protobuf is invalid");
    }
  });
}

Deno.test("datapath: arbitrary bytes are decoded or refused by a ProtobufError", () => {
  const alike = fc.array(fc.oneof(fc.constantFrom(0x0a, 0x12, 0x1a, 0x18, 0x20, 1, 2, 3), fc.nat(255)));
  const hostile = fc.oneof(fc.uint8Array(), alike.map((numbers) => Uint8Array.from(numbers)));
  fc.assert(fc.property(hostile, (body) => {
    for (const decode of [decodeSnapshotRead, decodeAtomicWrite, decodeWatch]) {
      try {
        decode(body);
      } catch (error) {
        if (!(error instanceof ProtobufError)) throw error;
      }
    }
  }));
});

Deno.test("datapath: the answer to a read has every entry, and says whether it is strongly consistent", () => {
  fc.assert(fc.property(fc.array(fc.array(entry, { maxLength: 4 }), { maxLength: 4 }), (ranges) => {
    for (const isStrong of [true, false]) {
      const fields = fieldsOf(encodeSnapshotReadOutput(ranges, { isStrong }));
      const outputs = fields.filter(([field]) => field === 1).map(([, value]) =>
        fieldsOf(bytesOf(value)).map(([, value]) => fieldsOf(bytesOf(value)))
      );
      assertEquals<unknown>(outputs, ranges.map((entries) => entries.map(entryFields)));
      const rest = fields.filter(([field]) => field !== 1);
      assertEquals(rest, isStrong ? [[4, 1], [8, 1]] : [[8, 1]]);
    }
  }));
});

Deno.test("datapath: the answer to a commit has its versionstamp, or the checks that failed", () => {
  fc.assert(fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (revision) => {
    assertEquals<unknown>(fieldsOf(encodeAtomicWriteOutput({ kind: "success", revision, sequence: 0 })), [
      [1, 1],
      [2, versionstampOf(revision)],
    ]);
  }));
  const unchanged = encodeAtomicWriteOutput({ kind: "success", revision: 5, sequence: 0x102 });
  assertEquals<unknown>(fieldsOf(unchanged), [[1, 1], [2, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 5, 1, 2)]]);
  const failed = encodeAtomicWriteOutput({ kind: "checkFailure", failedChecks: [0, 99, 300] });
  assertEquals(fieldsOf(failed), [[1, 2], [4, Uint8Array.of(0, 99, 0xac, 2)]]);
  assertEquals(fieldsOf(encodeAtomicWriteOutput({ kind: "checkFailure", failedChecks: [] })), [[1, 2]]);
});

Deno.test("datapath: a frame of a watch says of each key whether it changed, and to what", () => {
  fc.assert(fc.property(entry, (entry) => {
    const output = encodeWatchOutput([
      { changed: false },
      { changed: true, entry: null },
      { changed: true, entry },
    ]);
    const [status, ...keys] = fieldsOf(output);
    assertEquals(status, [1, 1]);
    const [unchanged = [], absent = [], present = []] = keys.map(([, value]) => fieldsOf(bytesOf(value)));
    assertEquals<unknown>([unchanged, absent], [[], [[1, 1]]]);
    assertEquals(present[0], [1, 1]);
    assertEquals<unknown>(fieldsOf(bytesOf(present[1]?.[1])), entryFields(entry));
  }));
});

function bytesOf(value: number | Uint8Array | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : KEY;
}
