/**
 * Hostile values of single fields, at and over every bound, mixed with ordinary ones, so that a frame often has only one
 * invalid field.
 */
import type { ValueType } from "@std/msgpack";
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "../../../lib/kv/mod.ts";
import { MAX_FRAME_BYTES } from "../../../lib/protocol/limits.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Share of hostile fields: if all were hostile, the first one would hide the others. */
const HOSTILE_SHARE = 0.25;
/** Share of megabytes among the hostile sizes: they cost as much time as a thousand others. */
const HUGE_SHARE = 0.04;
/** Bytes of a field that nearly fills a frame. */
const NEARLY_A_FRAME_BYTES = MAX_FRAME_BYTES - 1_024;
const DEEP_LEVELS = 60_000;
const FILLER = 0x61;

const SIZES: readonly number[] = [
  0,
  1,
  255,
  256,
  MAX_KEY_BYTES,
  MAX_KEY_BYTES + 1,
  65_535,
  65_536,
];
const HUGE_SIZES: readonly number[] = [
  MAX_VALUE_BYTES - 1,
  MAX_VALUE_BYTES,
  MAX_VALUE_BYTES + 1,
  8_388_608,
  NEARLY_A_FRAME_BYTES,
];
const INTEGERS: readonly number[] = [
  0,
  1,
  2,
  127,
  128,
  10_000,
  10_001,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 52,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  -1,
];
const ADDRESSES: readonly string[] = [
  "",
  ":",
  "0.0.0.0:7001",
  "[::]:7001",
  "[::0]:7001",
  "0:7001",
  "localhost:0",
  "localhost:65536",
  "[::1",
  "node 1:7001",
  "\u009b31m\u202e:7001",
  "host:7001\nhost:7002",
  "\u0000:1",
];

/** Returns whether the next field is hostile. */
export function isHostile(random: SeededRandom): boolean {
  return random.chance(HOSTILE_SHARE);
}

/** Returns a size in bytes, seldom of megabytes. */
export function hostileSize(random: SeededRandom): number {
  return random.pick(random.chance(HUGE_SHARE) ? HUGE_SIZES : SIZES);
}

/** Returns an integer, `ordinary` or at an edge; numbers beyond 2^53 are no integers to kvraft. */
export function integer(random: SeededRandom, ordinary: number): number {
  return isHostile(random) ? random.pick(INTEGERS) : ordinary;
}

/** Returns bytes, `ordinary` or of a hostile length. */
export function binary(random: SeededRandom, ordinary: Uint8Array): Uint8Array {
  return isHostile(random) ? filled(hostileSize(random)) : ordinary;
}

/** Returns bytes, or nil. */
export function binaryOrNil(random: SeededRandom): ValueType {
  return random.chance(0.6) ? null : binary(random, Uint8Array.of(FILLER));
}

/** Returns text of any length. */
export function text(random: SeededRandom, ordinary: string): string {
  if (!isHostile(random)) return ordinary;
  return random.chance(0.5) ? random.pick(ADDRESSES) : "a".repeat(hostileSize(random));
}

/** Returns an address where no node listens, one in an invalid form, or one of megabytes. */
export function address(random: SeededRandom): string {
  if (random.chance(0.5)) return random.pick(ADDRESSES);
  const padding = "a".repeat(hostileSize(random));
  return random.pick([
    padding,
    `${padding}:7001`,
    `host:${padding}`,
    `${"a.".repeat(hostileSize(random) / 2)}:1`,
  ]);
}

/** Returns random bytes of this length. */
export function filled(length: number): Bytes {
  return new Uint8Array(length).fill(FILLER);
}

/** Returns additional elements, as a newer version might add: mostly none, seldom megabytes of them. */
export function trailing(random: SeededRandom): ValueType[] {
  if (!random.chance(0.2)) return [];
  switch (random.below(5)) {
    case 0:
      return [null, true, "later", 7];
    case 1:
      return [filled(hostileSize(random))];
    case 2:
      return Array.from({ length: 1_000 }, () => null);
    case 3:
      return [nested(random.pick([3, 90]))];
    default:
      return [integer(random, 0)];
  }
}

/** Returns an encoded array within an array, and so on, deeper than the call stack permits. */
export function deepArray(): Bytes {
  return new Uint8Array(DEEP_LEVELS + 1).fill(0x91).with(DEEP_LEVELS, 0xc0);
}

/** Returns an encoded array of `count` elements, which these pieces contain; by default one each. */
export function packedArray(elements: readonly Uint8Array[], count = elements.length): Bytes {
  const packed = new Uint8Array(5 + elements.reduce((length, { length: more }) => length + more, 0));
  packed[0] = 0xdd;
  new DataView(packed.buffer).setUint32(1, count);
  let offset = 5;
  for (const element of elements) {
    packed.set(element, offset);
    offset += element.length;
  }
  return packed;
}

function nested(levels: number): ValueType {
  let value: ValueType = null;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}
