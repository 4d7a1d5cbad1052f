/**
 * The commands of append-only files. Redis writes effects there: conditions have held, relative times have become points
 * in time. Strings are computed; a key of another type is only remembered by its type, since it will be left out, and so is
 * a string that is longer than any cluster takes. Without that bound a file of some kilobytes could ask for hours of work:
 * each of its commands may change a string of 512 MiB.
 */
import { concat } from "@std/bytes";
import { MAX_VALUE_BYTES } from "../../../kv/mod.ts";
import { shortened } from "../../../platform/errors.ts";
import { FormatError } from "../items.ts";
import { type DataSet, idOf, type State } from "./data_set.ts";

/** Commands that make or change a key of another type, by the type. The key is the first argument. */
const OTHER_TYPES: Readonly<Record<string, string>> = {
  list: "LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LREM LSET LTRIM LINSERT",
  set: "SADD SREM SPOP SINTERSTORE SUNIONSTORE SDIFFSTORE",
  "sorted set": "ZADD ZREM ZINCRBY ZREMRANGEBYSCORE ZREMRANGEBYRANK ZREMRANGEBYLEX ZRANGESTORE ZUNIONSTORE " +
    "ZINTERSTORE ZDIFFSTORE ZPOPMIN ZPOPMAX GEOADD GEOSEARCHSTORE",
  hash: "HSET HSETNX HMSET HDEL HINCRBY HINCRBYFLOAT HPEXPIREAT HPERSIST HSETEX HGETDEL",
  stream: "XADD XTRIM XDEL XDELEX XSETID XCLAIM XACK XACKDEL",
  "string, changed by PFADD, PFMERGE or BITFIELD": "PFADD PFMERGE BITFIELD",
  "unknown, made by RESTORE": "RESTORE",
};
const TYPE_OF_COMMAND: ReadonlyMap<string, string> = new Map(
  Object.entries(OTHER_TYPES).flatMap(([type, names]) => names.split(" ").map((name) => [name, type])),
);
/** The same where the key is the second argument. */
const TYPE_OF_SECOND: ReadonlyMap<string, string> = new Map([
  ["RPOPLPUSH", "list"],
  ["LMOVE", "list"],
  ["SMOVE", "set"],
  ["XGROUP", "stream"],
  ["BITOP", "string, made by BITOP"],
]);
/** Commands that change no key. */
const WITHOUT_KEYS = new Set(["PUBLISH", "SPUBLISH", "PING", "SCRIPT", "FUNCTION", "REPLCONF"]);

/** Bytes to which a string may grow by SETRANGE and SETBIT; Redis has the same limit. */
const MAX_STRING_BYTES = 536_870_912;
const MAX_DATABASE = 1_000_000;

/** A command that runs on a data set. */
class Call {
  readonly #words: readonly Uint8Array[];

  constructor(readonly data: DataSet, words: readonly Uint8Array[], readonly nowMs: number) {
    this.#words = words;
  }

  /** Number of arguments. */
  get count(): number {
    return this.#words.length - 1;
  }

  /** Returns all arguments, in a new list. */
  all(): readonly Uint8Array[] {
    return this.#words.slice(1);
  }

  bytes(position: number): Uint8Array {
    const word = this.#words[position];
    if (word === undefined) throw new FormatError("an argument is missing");
    return word;
  }

  key(position = 1): string {
    return idOf(this.bytes(position));
  }

  text(position: number): string {
    return new TextDecoder().decode(this.bytes(position)).toUpperCase();
  }

  integer(position: number): bigint {
    return integerOf(this.bytes(position));
  }

  database(position: number): number {
    const database = this.integer(position);
    if (database >= 0n && database <= MAX_DATABASE) return Number(database);
    throw new FormatError(`${database} is no database`);
  }

  /** Sets a string; null for one that is longer than any cluster takes. */
  put(key: string, given: Uint8Array | null, expiresAtMs: number | null = null): void {
    const value = given === null || given.length > MAX_VALUE_BYTES ? null : given;
    this.data.set(key, { keyBytes: key.length, type: "string", value, expiresAtMs });
  }

  /**
   * Changes a string, absent meaning the empty one; its expiry is kept. `changed` may write to the string that it is given. A
   * key of another type keeps that, and a string that is too long stays so.
   */
  change(key: string, changed: (value: Uint8Array) => Uint8Array | null): void {
    const old = this.data.get(key);
    if (old !== null && old.value === null) return;
    this.put(key, changed(old?.value ?? new Uint8Array()), old?.expiresAtMs ?? null);
  }

  /** Adds to an integer. */
  add(amount: bigint): void {
    this.change(this.key(), (value) => {
      const sum = (value.length === 0 ? 0n : integerOf(value)) + amount;
      return new TextEncoder().encode(String(sum));
    });
  }

  expire(expiresAtMs: number | null): void {
    const state = this.data.get(this.key());
    if (state !== null) this.data.set(this.key(), { ...state, expiresAtMs });
  }

  /** The time in an argument, in `unitMs`, from now or from 1970. */
  time(
    position: number,
    { unitMs, isRelative }: { readonly unitMs: number; readonly isRelative: boolean },
  ): number {
    return Number(this.integer(position)) * unitMs + (isRelative ? this.nowMs : 0);
  }
}

const RELATIVE_SECONDS = { unitMs: 1_000, isRelative: true } as const;
const RELATIVE_MS = { unitMs: 1, isRelative: true } as const;
const SECONDS = { unitMs: 1_000, isRelative: false } as const;
const MS = { unitMs: 1, isRelative: false } as const;
/** The unit and the beginning of a time. */
interface TimeUnit {
  readonly unitMs: number;
  readonly isRelative: boolean;
}

const TIME_OPTIONS: ReadonlyMap<string, TimeUnit> = new Map<string, TimeUnit>([
  ["EX", RELATIVE_SECONDS],
  ["PX", RELATIVE_MS],
  ["EXAT", SECONDS],
  [
    "PXAT",
    MS,
  ],
]);

const COMMANDS: ReadonlyMap<string, (call: Call) => void> = new Map([
  ["SELECT", (call) => void (call.data.selected = call.database(1))],
  ["SET", set],
  ["SETNX", (call) => call.put(call.key(), call.bytes(2))],
  ["GETSET", (call) => call.put(call.key(), call.bytes(2))],
  ["SETEX", (call) => call.put(call.key(), call.bytes(3), call.time(2, RELATIVE_SECONDS))],
  ["PSETEX", (call) => call.put(call.key(), call.bytes(3), call.time(2, RELATIVE_MS))],
  ["MSET", setMany],
  ["MSETNX", setMany],
  ["DEL", remove],
  ["UNLINK", remove],
  ["GETDEL", remove],
  ["EXPIRE", (call) => call.expire(call.time(2, RELATIVE_SECONDS))],
  ["PEXPIRE", (call) => call.expire(call.time(2, RELATIVE_MS))],
  ["EXPIREAT", (call) => call.expire(call.time(2, SECONDS))],
  ["PEXPIREAT", (call) => call.expire(call.time(2, MS))],
  ["PERSIST", (call) => call.expire(null)],
  ["INCR", (call) => call.add(1n)],
  ["DECR", (call) => call.add(-1n)],
  ["INCRBY", (call) => call.add(call.integer(2))],
  ["DECRBY", (call) => call.add(-call.integer(2))],
  ["APPEND", (call) => call.change(call.key(), (value) => concat([value, call.bytes(2)]))],
  ["SETRANGE", setRange],
  ["SETBIT", setBit],
  ["RENAME", (call) => copy(call, { isMove: true })],
  ["RENAMENX", (call) => copy(call, { isMove: true })],
  ["COPY", (call) => copy(call, { isMove: false })],
  ["MOVE", move],
  ["SWAPDB", (call) => call.data.swap(call.database(1), call.database(2))],
  ["FLUSHDB", (call) => call.data.clear(call.data.selected)],
  ["FLUSHALL", (call) => call.data.clearAll()],
]);

/** Applies a command. Throws {@link FormatError} for one that is not known, whose effect would be missing. */
export function applyCommand(data: DataSet, words: readonly Uint8Array[], nowMs: number): void {
  const call = new Call(data, words, nowMs);
  const name = call.text(0);
  const run = COMMANDS.get(name);
  if (run !== undefined) return run(call);
  const type = TYPE_OF_COMMAND.get(name);
  if (type !== undefined) return setOther(call, 1, type);
  const second = TYPE_OF_SECOND.get(name);
  if (second !== undefined) return setOther(call, 2, second);
  if (WITHOUT_KEYS.has(name)) return;
  throw new FormatError(
    `${shortened(name)} is not known here; an RDB file (redis-cli --rdb dump.rdb) has its result`,
  );
}

function set(call: Call): void {
  let expiresAtMs: number | null = null;
  for (let position = 3; position <= call.count; position++) {
    const option = call.text(position);
    const time = TIME_OPTIONS.get(option);
    if (time !== undefined) expiresAtMs = call.time(position += 1, time);
    else if (option === "KEEPTTL") expiresAtMs = call.data.get(call.key())?.expiresAtMs ?? null;
    else if (!["NX", "XX", "GET"].includes(option)) {
      throw new FormatError(`SET with ${shortened(option)} is not known here`);
    }
  }
  call.put(call.key(), call.bytes(2), expiresAtMs);
}

function setMany(call: Call): void {
  for (let position = 1; position <= call.count; position += 2) {
    call.put(call.key(position), call.bytes(position + 1));
  }
}

function remove(call: Call): void {
  for (const key of call.all()) call.data.delete(idOf(key));
}

function setOther(call: Call, position: number, type: string): void {
  const key = call.key(position);
  const expiresAtMs = call.data.get(key)?.expiresAtMs ?? null;
  call.data.set(key, { keyBytes: key.length, type, value: null, expiresAtMs });
}

function setRange(call: Call): void {
  const start = boundedOffset(call.integer(2));
  const part = call.bytes(3);
  if (part.length === 0) return;
  call.change(call.key(), (value) => {
    const changed = grown(value, start + part.length);
    changed?.set(part, start);
    return changed;
  });
}

function setBit(call: Call): void {
  const bit = call.integer(2);
  const position = boundedOffset(bit >> 3n);
  const mask = 0x80 >> Number(bit & 7n);
  const isSet = call.integer(3) === 1n;
  call.change(call.key(), (value) => {
    const changed = grown(value, position + 1);
    if (changed === null) return null;
    const byte = changed[position] ?? 0;
    changed[position] = isSet ? byte | mask : byte & ~mask;
    return changed;
  });
}

function copy(call: Call, { isMove }: { readonly isMove: boolean }): void {
  const [from, to] = [call.key(1), call.key(2)];
  const database = call.count > 3 && call.text(3) === "DB" ? call.database(4) : call.data.selected;
  const state: State | null = call.data.get(from);
  if (state === null) return;
  if (isMove) call.data.delete(from);
  // The copy's bytes are its own: commands change them in place.
  const value = isMove ? state.value : state.value?.slice() ?? null;
  call.data.set(to, { ...state, value, keyBytes: to.length }, database);
}

function move(call: Call): void {
  const state = call.data.get(call.key());
  if (state === null) return;
  call.data.delete(call.key());
  call.data.set(call.key(), state, call.database(2));
}

function integerOf(bytes: Uint8Array): bigint {
  const text = new TextDecoder().decode(bytes);
  if (/^-?\d{1,20}$/.test(text)) return BigInt(text);
  throw new FormatError(`"${shortened(text)}" is no integer`);
}

function boundedOffset(offset: bigint): number {
  if (offset >= 0n && offset < MAX_STRING_BYTES) return Number(offset);
  throw new FormatError(`${offset} is no position in a string`);
}

/** Returns a value of at least `length` bytes, filled with zeros: itself if it is so long, null if that is too long. */
function grown(value: Uint8Array, length: number): Uint8Array | null {
  if (value.length >= length) return value;
  if (length > MAX_VALUE_BYTES) return null;
  const bytes = new Uint8Array(length);
  bytes.set(value);
  return bytes;
}
