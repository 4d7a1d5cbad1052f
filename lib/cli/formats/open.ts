/** The formats of `import`, and which of them an input has. */
import { assertNever } from "../../platform/assert.ts";
import { ByteReader } from "./byte_reader.ts";
import { FormatError, type Item } from "./items.ts";
import { readConsul, readEtcd } from "./json_dumps.ts";
import { readNdjson } from "./ndjson.ts";
import { readAof } from "./redis/aof.ts";
import { itemOfRedisKey, type RedisOptions } from "./redis/keys.ts";
import { type RdbKey, readRdb } from "./redis/rdb.ts";

/** The formats. */
export const FORMATS = ["ndjson", "etcd", "consul", "redis-rdb", "redis-aof"] as const;
/** One of {@link FORMATS}. */
export type Format = typeof FORMATS[number];

/** The name of an input of each format in messages. */
export const FORMAT_TITLES: Readonly<Record<Format, string>> = {
  ndjson: "lines of JSON",
  etcd: "JSON of etcdctl get",
  consul: "JSON of consul kv export",
  "redis-rdb": "an RDB file of Redis",
  "redis-aof": "an append-only file of Redis",
};

/** How an input is read. */
export interface OpenOptions extends RedisOptions {
  /** Lines that lines of JSON begin behind. */
  readonly skipped: number;
}

/** Bytes in which the format is recognised; the fields at the beginning of an RDB file are among them. */
const HEAD_BYTES = 512;
/** Beginnings of compressed files, with the program that reads them. */
const COMPRESSED: readonly (readonly [string, string])[] = [
  ["\x1f\x8b", "gunzip -c"],
  ["\x28\xb5\x2f\xfd", "zstd -dc"],
];
/** The fields of an RDB file that is the first part of an append-only file. */
const AOF_FIELDS = ["aof-base\xc0\x01", "aof-preamble\xc0\x01"];

/** Returns the format of an input by its first bytes. Throws {@link FormatError} for a compressed one. */
export async function detectFormat(reader: ByteReader): Promise<Format> {
  // A character for each byte; the decoder that is named latin1 is one of windows-1252.
  const head = String.fromCharCode(...await reader.peek(HEAD_BYTES));
  const compressed = COMPRESSED.find(([beginning]) => head.startsWith(beginning));
  if (compressed !== undefined) {
    throw new FormatError(`it is compressed; give it as ${compressed[1]} <file> | kvraft client … import`);
  }
  if (head.startsWith("REDIS") || head.startsWith("VALKEY")) {
    return AOF_FIELDS.some((field) => head.includes(field)) ? "redis-aof" : "redis-rdb";
  }
  if (/^(?:\*\d|#TS:)/.test(head)) return "redis-aof";
  if (/^\s*\[/.test(head)) return "consul";
  return /^\s*\{\s*"(?:header|kvs)"/.test(head) ? "etcd" : "ndjson";
}

/** Yields the keys of an input. Throws {@link FormatError} where it is not of the format. */
export function itemsOf(reader: ByteReader, format: Format, options: OpenOptions): AsyncIterable<Item> {
  switch (format) {
    case "ndjson":
      return readNdjson(reader.rest(), options.skipped);
    case "etcd":
      return readEtcd(reader.rest());
    case "consul":
      return readConsul(reader.rest());
    case "redis-rdb":
      return itemsOfRedis(readWholeRdb(reader), options);
    case "redis-aof":
      return itemsOfRedis(readAof(reader, options.nowMs), options);
    default:
      return assertNever(format);
  }
}

async function* readWholeRdb(reader: ByteReader): AsyncGenerator<RdbKey> {
  yield* readRdb(reader);
  if (await reader.isAtEnd()) return;
  throw new FormatError(`after its end, at byte ${reader.offset}, more follows; is it --format redis-aof?`);
}

async function* itemsOfRedis(keys: AsyncIterable<RdbKey>, options: RedisOptions): AsyncGenerator<Item> {
  let number = 0;
  for await (const key of keys) {
    number += 1;
    yield itemOfRedisKey(key, number, options);
  }
}
