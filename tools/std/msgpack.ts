/** Stand-in for `jsr:@std/msgpack` where JSR cannot be reached (see tools/std_imports.ts). */
import { decode as decodeAny, encode as encodeAny } from "npm:@msgpack/msgpack@3.1.3";

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

/** Encodes a value as MessagePack. */
export function encode(object: ValueType): Uint8Array<ArrayBuffer> {
  return encodeAny(object);
}

/** Decodes one MessagePack value; throws on anything that is not exactly one. */
export function decode(uint8: Uint8Array): ValueType {
  return decodeAny(uint8) as ValueType;
}
