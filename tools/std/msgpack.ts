/** Substitute for `jsr:@std/msgpack` if JSR cannot be reached (see tools/std_imports.ts). */
import { decode as decodeAny, encode as encodeAny } from "npm:@msgpack/msgpack@3.1.3";
import { concat } from "./bytes.ts";

/** A value that MessagePack can express (the same type as in `@std/msgpack`). */
export type ValueType =
  | number
  | bigint
  | string
  | boolean
  | null
  | Uint8Array
  | readonly ValueType[]
  | ValueMap;

/** An object whose values MessagePack can express. */
export interface ValueMap {
  /** The value under a key. */
  [index: string | number]: ValueType;
}

/** Integers from here on are float64 in `@std/msgpack`, and uint64 in `@msgpack/msgpack`. */
const FIRST_FLOAT = 2 ** 32;

/** Encodes a value as MessagePack: the same bytes as `@std/msgpack` 1.0.3. */
export function encode(object: ValueType): Uint8Array<ArrayBuffer> {
  if (Array.isArray(object)) {
    const items: readonly ValueType[] = object;
    const head = encodeAny(items.map(() => null)).subarray(0, -items.length || undefined);
    return concat([head, ...items.map(encode)]);
  }
  const isFloat = typeof object === "number" && (object >= FIRST_FLOAT || object < -FIRST_FLOAT / 2);
  return encodeAny(object, { forceIntegerToFloat: isFloat });
}

/** Decodes one MessagePack value; throws on anything that is not exactly one. */
export function decode(uint8: Uint8Array): ValueType {
  return decodeAny(uint8) as ValueType;
}
