/** The readers of dumps: types of RDB files that no server here writes, commands of append-only files, parts of JSON. */
import { assertEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes";
import { ByteReader } from "../../../../lib/cli/formats/byte_reader.ts";
import { FormatError } from "../../../../lib/cli/formats/items.ts";
import { readConsul, readEtcd } from "../../../../lib/cli/formats/json_dumps.ts";
import { itemsOf } from "../../../../lib/cli/formats/open.ts";
import { readAof } from "../../../../lib/cli/formats/redis/aof.ts";
import { crc64 } from "../../../../lib/cli/formats/redis/crc64.ts";
import { DataSet } from "../../../../lib/cli/formats/redis/data_set.ts";
import { decompressLzf } from "../../../../lib/cli/formats/redis/lzf.ts";
import { type RdbKey, readRdb } from "../../../../lib/cli/formats/redis/rdb.ts";

const NOW_MS = 1_000_000;

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function readerOf(...parts: readonly Uint8Array[]): ByteReader {
  return new ByteReader(ReadableStream.from(parts));
}

/** Returns a short string of an RDB file. */
function short(text: string): Uint8Array {
  return concat([Uint8Array.of(text.length), utf8(text)]);
}

/** Returns an RDB file with these bytes between its beginning and its checksum. */
function rdb(version: string, ...contents: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const bytes = concat([
    utf8(`REDIS${version}`),
    ...contents.map((part) => Uint8Array.from(part)),
    Uint8Array.of(255),
  ]);
  const checksum = new Uint8Array(8);
  new DataView(checksum.buffer).setBigUint64(0, crc64(0n, bytes), true);
  return concat([bytes, checksum]);
}

async function keysOf(keys: AsyncIterable<RdbKey>): Promise<readonly (readonly [string, string])[]> {
  const found = await Array.fromAsync(keys);
  const decoder = new TextDecoder();
  return found.map((
    { key, type, value },
  ) => [decoder.decode(key), value === null ? type : decoder.decode(value)]);
}

/** Returns the text of commands as an append-only file has them. */
function commands(...lines: readonly string[]): Uint8Array {
  return utf8(
    lines.map((line) => {
      const words = line.split(" ");
      return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
    }).join(""),
  );
}

const SCORE = new Array(8).fill(0);
const TIME = new Array(8).fill(1);
const STREAM_ID = new Array(16).fill(7);

Deno.test("crc64: it is the one of Redis (the check value in its crc64.c)", () => {
  assertEquals(crc64(0n, utf8("123456789")), 0xe9c6d914c4b8d9can);
  assertEquals(crc64(crc64(0n, utf8("1234")), utf8("56789")), 0xe9c6d914c4b8d9can);
});

Deno.test("decompressLzf: literals, and a copy that overlaps itself; other input is refused", async () => {
  const compressed = Uint8Array.of(1, 0x61, 0x62, 0xe0, 1, 1);
  assertEquals(decompressLzf(compressed, 12), utf8("abababababab"));
  const damaged: readonly (readonly [readonly number[], number])[] = [
    [[1, 0x61, 0x62, 0xe0, 1, 1], 11],
    [[1, 0x61, 0x62, 0xe0, 1, 1], 13],
    [[1, 0x61, 0x62, 0xe0, 1, 2], 12],
    [[1, 0x61], 2],
    [[0xe0], 12],
  ];
  for (const [bytes, length] of damaged) {
    await assertRejects(
      () => Promise.resolve().then(() => decompressLzf(Uint8Array.from(bytes), length)),
      FormatError,
    );
  }
});

Deno.test("readRdb: values of every type are skipped up to the string behind them, however the input is split", async () => {
  const file = rdb(
    "0012",
    [250, ...short("redis-ver"), ...short("8.0")],
    [254, 0, 251, 30, 0, 244, 1, 2, 3, 245, ...short("a library")],
    [247, 5, 2, 1, 5, ...short("module"), 3, 0, 0, 0, 0, 4, ...SCORE, 0],
    [1, ...short("list"), 2, ...short("a"), ...short("b")],
    [2, ...short("set"), 1, ...short("a")],
    [3, ...short("oldscores"), 2, ...short("a"), 253, ...short("b"), 3, ...utf8("1.5")],
    [4, ...short("hash"), 1, ...short("field"), ...short("value")],
    [5, ...short("scores"), 1, ...short("a"), ...SCORE],
    [7, ...short("module"), 9, 1, 4, 2, 0x40, 4, 5, ...short("x"), 0],
    [18, ...short("quicklist"), 1, 2, ...short("packed")],
    [15, ...short("stream1"), 1, ...short("id"), ...short("entries"), 1, 1, 1, 0],
    [21, ...short("stream3"), 0, 0, 1, 1, 1, 1, 1, 1, 1],
    [
      1,
      ...short("group"),
      1,
      1,
      1,
      1,
      ...STREAM_ID,
      ...TIME,
      1,
      1,
      ...short("consumer"),
      ...TIME,
      ...TIME,
      1,
      ...STREAM_ID,
    ],
    [24, ...short("hash24"), ...TIME, 1, 0, ...short("field"), ...short("value")],
    [25, ...short("hash25"), ...TIME, ...short("packed")],
    [248, 7, 249, 3, 253, 100, 0, 0, 0, 0, ...short("last"), ...short("value")],
  );
  const expected: readonly (readonly [string, string])[] = [
    ["list", "list"],
    ["set", "set"],
    ["oldscores", "sorted set"],
    ["hash", "hash"],
    ["scores", "sorted set"],
    ["module", "module"],
    ["quicklist", "list"],
    ["stream1", "stream"],
    ["stream3", "stream"],
    ["hash24", "hash"],
    ["hash25", "hash"],
    ["last", "value"],
  ];
  for (let cut = 1; cut < file.length; cut += 1) {
    const reader = readerOf(file.subarray(0, cut), file.subarray(cut));
    assertEquals(await keysOf(readRdb(reader)), expected, `cut at ${cut}`);
  }
});

Deno.test("readRdb: lengths that are not true, unknown types and newer versions are refused", async () => {
  const table: readonly (readonly [Uint8Array, string])[] = [
    [rdb("0012", [0, 0x81, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1]), "it is cut off"],
    [
      concat([utf8("REDIS0012\x02\x03set"), Uint8Array.of(0x80, 255, 255, 255, 255, 1, 0x61)]),
      "it is cut off",
    ],
    [
      rdb("0012", [0, ...short("key"), 0xc3, 1, 0x80, 0, 0x0f, 0xff, 0xff, 0]),
      "a compressed string is damaged",
    ],
    [rdb("0012", [0, ...short("key"), 0xc7]), "encoding 7, which is not known"],
    [rdb("0012", [77, ...short("key")]), "type 77, which is not known"],
    [rdb("0013"), "it is of RDB version 13, and 12 is the newest that is read"],
    [utf8("REDIS0x12...."), "it does not begin as an RDB file"],
  ];
  for (const [file, message] of table) {
    await assertRejects(() => keysOf(readRdb(readerOf(file))), FormatError, message);
  }
});

Deno.test("import of Redis: an expired key, and one that is too long, are left out with the reason", async () => {
  const long = "x".repeat(63);
  const file = rdb(
    "0009",
    [253, 1, 0, 0, 0, 0, ...short("gone"), ...short("x")],
    [0, 0x50, 0x01, ...utf8(long.repeat(66).slice(0, 0x1001)), ...short("x")],
    [0, ...short("big"), 0x80, 0, 0x10, 0, 1, ...new Uint8Array(0x10_0001)],
    [0, ...short("kept"), 0xc0, 0xff],
  );
  const options = { database: null, nowMs: NOW_MS, skipped: 0 };
  const items = await Array.fromAsync(itemsOf(readerOf(file), "redis-rdb", options));
  assertEquals(
    items.map((item) => item.kind === "leftOut" ? [item.reason, item.isLost] : item.kind),
    [["that had expired", false], ["longer than 4096 bytes", true], [
      "with a value of more than 1048576 bytes",
      true,
    ], "pair"],
  );
});

Deno.test("readAof: the state is that after the last command; a transaction counts with its EXEC only", async () => {
  const file = commands(
    "SELECT 0",
    "SET a 1 PXAT 5000000",
    "SET b 2",
    "MSET c 3 d 4",
    "INCRBY b 40",
    "DECR b",
    "APPEND c x",
    "SETRANGE d 2 yz",
    "SETBIT bit 7 1",
    "RENAME a e",
    "COPY e f",
    "PERSIST f",
    "SADD s member",
    "DEL none c",
    "SETEX late 10 value",
    "MULTI",
    "SET m 1",
    "EXEC",
    "LPUSH b2 x",
    "SET b2 string KEEPTTL",
  );
  const keys = await Array.fromAsync(readAof(readerOf(file), NOW_MS));
  const decoder = new TextDecoder();
  assertEquals(
    keys.map(({ key, type, value, expiresAtMs }) =>
      [decoder.decode(key), value === null ? type : decoder.decode(value), expiresAtMs] as const
    ),
    [
      ["b", "41", null],
      ["d", "4\0yz", null],
      ["bit", "\x01", null],
      ["e", "1", 5_000_000],
      ["f", "1", null],
      ["s", "set", null],
      ["late", "value", NOW_MS + 10_000],
      ["m", "1", null],
      ["b2", "string", null],
    ],
  );
  const open = commands("SET a 1", "MULTI", "SET a 2");
  await assertRejects(() => keysOf(readAof(readerOf(open), NOW_MS)), FormatError, "has no EXEC");
});

Deno.test("readAof: a string that is longer than any cluster takes is not held, and is left out", async () => {
  const tooLong = "x".repeat(1_048_577);
  const file = commands(
    "SETRANGE range 536000000 x",
    "SETBIT bit 4294967295 1",
    "SETBIT bit 0 1",
    `SET set ${tooLong}`,
    `SET append ${tooLong.slice(1)}`,
    "APPEND append y",
    "COPY bit copy",
    `SET short ${tooLong}`,
    "SET short kept",
  );
  const keys = await Array.fromAsync(readAof(readerOf(file), NOW_MS));
  const decoder = new TextDecoder();
  assertEquals(
    keys.map(({ key, type, value }) => [decoder.decode(key), type, value?.length ?? null]),
    [
      ["range", "string", null],
      ["bit", "string", null],
      ["set", "string", null],
      ["append", "string", null],
      ["copy", "string", null],
      ["short", "string", 4],
    ],
  );
  const options = { database: null, nowMs: NOW_MS, skipped: 0 };
  const items = await Array.fromAsync(itemsOf(readerOf(file), "redis-aof", options));
  const reason = "with a value of more than 1048576 bytes";
  assertEquals(
    items.map((item) => item.kind === "leftOut" ? item.reason : item.kind),
    [reason, reason, reason, reason, reason, "pair"],
  );
});

Deno.test("readAof: a change of a string does not change its copy", async () => {
  const file = commands("SET a 12345", "COPY a b", "SETRANGE a 1 xx", "SETBIT b 0 1", "SETRANGE b 4 89");
  assertEquals((await Array.fromAsync(readAof(readerOf(file), NOW_MS))).map(({ value }) => value), [
    utf8("1xx45"),
    Uint8Array.of(0xb1, 0x32, 0x33, 0x34, 0x38, 0x39),
  ]);
});

Deno.test("readAof: an unknown command, a wrong length and an operand that is no integer are refused by place", async () => {
  const table: readonly (readonly [Uint8Array, string])[] = [
    [commands("SET a 1", "EVAL return 0"), "command 2, before byte 60: EVAL is not known here"],
    [commands("SET a x", "INCR a"), `command 2, before byte 48: "x" is no integer`],
    [utf8("*1\r\n$3\r\nPINGS\r\n"), "at byte 4 is a string whose length is not true"],
    [utf8("*9999999999\r\n"), "at byte 0 no command begins"],
    [utf8("*1\r\n$9999999999\r\n"), "at byte 4 is a command of more than"],
    [utf8("hello\r\n"), "at byte 0 no command begins"],
    [utf8("*2\r\n$3\r\nSET\r\n"), "it is cut off"],
  ];
  for (const [file, message] of table) {
    await assertRejects(() => keysOf(readAof(readerOf(file), NOW_MS)), FormatError, message);
  }
});

Deno.test("readAof: a transaction that does not end is refused at its bound, and several within it are read", async () => {
  const text = "x".repeat(700);
  const read = (file: Uint8Array): Promise<unknown> => keysOf(readAof(readerOf(file), NOW_MS, 3_000));
  await read(commands("MULTI", `SET a ${text}`, `SET b ${text}`, "EXEC", "MULTI", `SET a ${text}`, "EXEC"));
  const message = "command 4, before byte 2199: its transaction has more than 3000 bytes";
  const open = commands("MULTI", `SET a ${text}`, `SET b ${text}`, `SET c ${text}`);
  await assertRejects(() => read(open), FormatError, message);
});

Deno.test("DataSet: beyond its limit it is refused, and deleted keys are not counted", async () => {
  const data = new DataSet(1_000);
  const state = { keyBytes: 1, type: "string", value: new Uint8Array(800), expiresAtMs: null };
  for (let turn = 0; turn < 10; turn++) {
    data.set("k", state);
    data.delete("k");
  }
  data.set("k", state);
  await assertRejects(
    () => Promise.resolve().then(() => data.set("l", state)),
    FormatError,
    "redis-cli --rdb",
  );
});

Deno.test("readEtcd: pages, spaces and brackets in strings; a number of keys that differs is refused", async () => {
  const [a, b] = [`{"key":"YQ==","value":"W3s="}`, `{ "key" : "Yg==", "note": "]}\\"" }`];
  const text =
    ` {"header":{"revision":1},"kvs":[${a} , ${b}],"count":2}\n{"header":{},"kvs":[${a}],"more":true,"count":9} `;
  for (let cut = 1; cut < text.length; cut++) {
    const chunks = ReadableStream.from([utf8(text.slice(0, cut)), utf8(text.slice(cut))]);
    const items = await Array.fromAsync(readEtcd(chunks));
    assertEquals(items.map(({ kind }) => kind), ["pair", "pair", "pair", "remark"], `cut at ${cut}`);
  }
  const refused: readonly (readonly [string, string])[] = [
    [`{"header":{},"kvs":[${a}],"count":2}`, "it has 1 keys, and says that they are 2"],
    [`{"header":{},"kvs":[${a}${b}],"count":2}`, "a comma should be there"],
    [`{"header":{},"kvs":[${a},],"count":1}`, "an object should be there"],
    [`{"header":{},"kvs":[1],"count":1}`, "an object should be there"],
    [`{"header":{},"kvs":[{"key":1}],"count":1}`, "entry 1 has a key that is no text"],
    [`{"header":{},"kvs":[{"key":"*"}],"count":1}`, "entry 1 has a key that is not base64"],
    [`{"members":1}`, "it is no answer of etcdctl"],
    [`{"header":{},"kvs":[${a}],"count":1}}`, "a bracket is closed"],
    [`{"header":{},"kvs":[${a}],"count":1} x`, "follows the JSON document"],
  ];
  for (const [document, message] of refused) {
    const read = (): Promise<unknown> => Array.fromAsync(readEtcd(ReadableStream.from([utf8(document)])));
    await assertRejects(read, FormatError, message);
  }
});

Deno.test("readConsul: an empty array has no keys; another document is refused", async () => {
  assertEquals(await Array.fromAsync(readConsul(ReadableStream.from([utf8("[ ]\n")]))), []);
  const read = (): Promise<unknown> =>
    Array.fromAsync(readConsul(ReadableStream.from([utf8(`[{"flags":0}]`)])));
  await assertRejects(read, FormatError, "entry 1 has no key");
});
