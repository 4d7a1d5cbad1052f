/** Tests of messages: their binary form beside that of the protobuf library, their JSON form, and malformed input. */
import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import {
  boolean,
  bytes,
  choice,
  integer,
  MalformedMessageError,
  message,
  messages,
  oneOf,
  signedId,
  text,
  texts,
  uint32,
  unsignedId,
  unsignedIds,
} from "../../../../lib/etcd/protobuf/field.ts";
import { declare } from "../../../../lib/etcd/protobuf/message.ts";
import { MAX_PARTS } from "../../../../lib/etcd/protobuf/reader.ts";

const INNER = declare("test.Inner", { keyName: bytes(1), count: integer(4) });
const OUTER = declare("test.Outer", {
  name: text(1),
  names: texts(2),
  isOn: boolean(3),
  id: signedId(4),
  cluster: unsignedId(5, { json: "clusterID" }),
  members: unsignedIds(6),
  order: choice(7, ["NONE", "ASCEND"]),
  inner: message(8, () => INNER),
  inners: messages(9, () => INNER),
  target: oneOf({ version: integer(10), value: bytes(11), nested: message(12, () => INNER) }),
});

const FULL = {
  name: "é",
  names: ["a", "", "b"],
  isOn: true,
  id: -5n,
  cluster: 2n ** 64n - 1n,
  members: [1n, 300n],
  order: 1,
  inner: { keyName: new Uint8Array([1, 2]), count: 2 ** 40 },
  inners: [{ keyName: new Uint8Array(0), count: 0 }, { keyName: new Uint8Array(300).fill(7), count: -1 }],
  target: { kind: "version", value: 0 },
} as const;

Deno.test("message: what is encoded is decoded as it was", () => {
  assertEquals(OUTER.decode(OUTER.encode(FULL)), FULL);
});

Deno.test("message: the bytes are those of the protobuf library", () => {
  const inner = (count: number, key: readonly number[]): Uint8Array => {
    const writer = new BinaryWriter();
    if (key.length > 0) writer.uint32(1 << 3 | 2).bytes(new Uint8Array(key));
    if (count !== 0) writer.uint32(4 << 3).int64(count);
    return writer.finish();
  };
  const expected = new BinaryWriter();
  expected.uint32(1 << 3 | 2).string("é");
  for (const name of FULL.names) expected.uint32(2 << 3 | 2).string(name);
  expected.uint32(3 << 3).bool(true).uint32(4 << 3).int64(-5).uint32(5 << 3).uint64(2n ** 64n - 1n);
  expected.uint32(6 << 3 | 2).fork().uint64(1).uint64(300).join().uint32(7 << 3).int32(1);
  expected.uint32(8 << 3 | 2).bytes(inner(2 ** 40, [1, 2]));
  expected.uint32(9 << 3 | 2).bytes(inner(0, []));
  expected.uint32(9 << 3 | 2).bytes(inner(-1, new Array(300).fill(7)));
  expected.uint32(10 << 3).int64(0);
  assertEquals([...OUTER.encode(FULL)], [...expected.finish()]);
});

Deno.test("message: the bytes of one message stay when others are encoded, also after one that fails", () => {
  const text = { name: "first", names: ["a"] };
  const first = OUTER.encode(text);
  const failing = {
    names: ["b"],
    get name(): string {
      throw new Error("no name");
    },
  };
  assertThrows(() => OUTER.encode(failing), Error, "no name");
  const large = OUTER.encode({ name: "x".repeat(100_000) });
  const second = OUTER.encode({ name: "second" });
  assertEquals(OUTER.decode(first).name, "first");
  assertEquals(first, OUTER.encode(text));
  assertEquals([OUTER.decode(large).name.length, OUTER.decode(large).names], [100_000, []]);
  assertEquals(OUTER.decode(second).name, "second");
});

Deno.test("message: absent fields have their defaults, and defaults are not written", () => {
  const empty = OUTER.decode(new Uint8Array(0));
  assertEquals(OUTER.encode(empty).length, 0);
  assertEquals([empty.name, empty.names, empty.id, empty.inner, empty.target], ["", [], 0n, null, null]);
});

Deno.test("message: a chosen value that is its default is written, since its presence counts", () => {
  const chosen = { target: { kind: "value", value: new Uint8Array(0) } } as const;
  assertEquals([...OUTER.encode(chosen)], [11 << 3 | 2, 0]);
  assertEquals(OUTER.decode(OUTER.encode(chosen)).target, chosen.target);
});

Deno.test("message: integers beyond the safe range are read as its ends", () => {
  const bytes = new BinaryWriter().uint32(4 << 3).int64(2n ** 62n).finish();
  assertEquals(INNER.decode(bytes).count, Number.MAX_SAFE_INTEGER);
  assertEquals(new BinaryReader(OUTER.encode({ id: 2n ** 62n })).tag(), [4, 0]);
  assertEquals(OUTER.decode(OUTER.encode({ id: 2n ** 62n })).id, 2n ** 62n);
});

Deno.test("message: integers of every length are written as the protobuf library writes them", () => {
  for (let bit = 0n; bit < 64n; bit++) {
    for (const value of [2n ** bit - 1n, 2n ** bit, 2n ** bit + 1n, -(2n ** bit), 1n - 2n ** bit]) {
      const id = BigInt.asIntN(64, value);
      const cluster = BigInt.asUintN(64, value);
      const expected = new BinaryWriter();
      if (id !== 0n) expected.uint32(4 << 3).int64(id).uint32(5 << 3).uint64(cluster);
      assertEquals([...OUTER.encode({ id, cluster })], [...expected.finish()], `${value}`);
      const count = Number(value);
      if (!Number.isSafeInteger(count) || count === 0) continue;
      assertEquals([...INNER.encode({ count })], [
        ...new BinaryWriter().uint32(4 << 3).int64(value).finish(),
      ]);
    }
  }
});

Deno.test("message: unknown fields are skipped, and malformed ones are refused", () => {
  const unknown = new BinaryWriter().uint32(99 << 3 | 2).bytes(new Uint8Array(5)).uint32(4 << 3).int64(7)
    .finish();
  assertEquals(INNER.decode(unknown), { keyName: new Uint8Array(0), count: 7 });
  const otherType = new BinaryWriter().uint32(1 << 3).uint32(1).uint32(4 << 3).int64(7).finish();
  assertEquals(
    INNER.decode(otherType),
    { keyName: new Uint8Array(0), count: 7 },
    "a number of another wire type",
  );
  const malformed = [[1 << 3 | 2, 5, 1], [1 << 3 | 3, 5], [0], [4 << 3], [99 << 3 | 3], [
    8 << 3 | 2,
    3,
    1 << 3 | 2,
    9,
    9,
  ]];
  for (const bytes of malformed) {
    assertThrows(() => OUTER.decode(new Uint8Array(bytes)), MalformedMessageError);
  }
});

Deno.test("message: messages and repeated values are counted in all, and too many are refused", () => {
  const inners = (count: number): Uint8Array => {
    const writer = new BinaryWriter();
    for (let index = 0; index < count; index++) writer.uint32(8 << 3 | 2).bytes(new Uint8Array(0));
    return writer.finish();
  };
  const names = OUTER.encode({ names: new Array(MAX_PARTS).fill("") });
  assertEquals(OUTER.decode(names).names.length, MAX_PARTS);
  const packed = OUTER.encode({ members: new Array(MAX_PARTS + 1).fill(7n) });
  for (const bytes of [concat([names, inners(1)]), inners(MAX_PARTS + 1), packed]) {
    assertThrows(() => OUTER.decode(bytes), MalformedMessageError, "it has too many parts");
  }
});

Deno.test("message: JSON has the names of the .proto files, and integers of 64 bits as texts", () => {
  const json = OUTER.toJson(FULL);
  assertEquals(json, {
    name: "é",
    names: ["a", "", "b"],
    is_on: true,
    id: "-5",
    clusterID: "18446744073709551615",
    members: ["1", "300"],
    order: "ASCEND",
    inner: { key_name: "AQI=", count: "1099511627776" },
    inners: [{}, { key_name: new Uint8Array(300).fill(7).toBase64(), count: "-1" }],
  });
});

Deno.test("message: JSON is read with both spellings, numbers or texts, and unknown names ignored", () => {
  const read = OUTER.readJson({
    isOn: true,
    id: 7,
    clusterID: "9",
    order: "SIDEWAYS",
    inner: { keyName: "AQI", count: "3" },
    version: "0",
    unknown: [1],
  });
  assertEquals([read.isOn, read.id, read.cluster, read.order], [true, 7n, 9n, 0]);
  assertEquals(read.inner, { keyName: new Uint8Array([1, 2]), count: 3 });
  assertEquals(read.target, { kind: "version", value: 0 });
  for (const json of [{ name: 5 }, { id: "x" }, { inner: [] }, { names: "a" }, [], null, { id: 1.5 }]) {
    assertThrows(() => OUTER.readJson(json), MalformedMessageError);
  }
});

Deno.test("message: an unsigned integer of 32 bits is a number in JSON, and keeps its highest bit", () => {
  const hash = declare("test.Hash", { hash: uint32(2) });
  const expected = new BinaryWriter().uint32(2 << 3).uint32(0xffff_fffe).finish();
  assertEquals([...hash.encode({ hash: 0xffff_fffe })], [...expected]);
  assertEquals(hash.decode(expected).hash, 0xffff_fffe);
  assertEquals(hash.toJson({ hash: 0xffff_fffe }), { hash: 0xffff_fffe });
  assertEquals(hash.readJson({ hash: "4294967294" }).hash, 0xffff_fffe);
  for (const json of [{ hash: -1 }, { hash: 2 ** 32 }]) {
    assertThrows(() => hash.readJson(json), MalformedMessageError);
  }
});
