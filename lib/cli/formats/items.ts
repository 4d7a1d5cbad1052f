/**
 * The contents of what other stores export, as `import` takes them: keys with values, keys that are left out with the
 * reason, and where the input is no such export, an error.
 */
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "../../kv/mod.ts";
import type { Pair } from "../json.ts";

/** One key of the input. */
export type Item =
  | {
    readonly kind: "pair";
    readonly pair: Pair;
    /** Position in the input, from 1: the line, or the number of keys up to this one. */
    readonly number: number;
    /** The part of the key that the store cannot keep, as in `their flags`; null for none. */
    readonly loses: string | null;
  }
  | {
    readonly kind: "leftOut";
    readonly key: Uint8Array;
    readonly number: number;
    /** Follows "12 keys", as in `of type list`. */
    readonly reason: string;
    /** Whether a store of this kind cannot hold it, in contrast to a key that is left out on purpose. */
    readonly isLost: boolean;
  }
  /** Something that the user is to know about the whole input. */
  | { readonly kind: "remark"; readonly text: string };

/** Input that is not what its format demands. The message says where, as a sentence without its end. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** Returns the item of a key and its value; one that is left out where they exceed the limits of every cluster. */
export function itemOf(pair: Pair, number: number, loses: string | null = null): Item {
  const reason = limitReason(pair.key.length, pair.value.length);
  if (reason !== null) return { kind: "leftOut", key: pair.key, number, reason, isLost: true };
  return { kind: "pair", pair, number, loses };
}

/** Returns why no cluster takes a key and a value of so many bytes; null if it does. */
export function limitReason(keyBytes: number, valueBytes: number): string | null {
  if (keyBytes === 0) return "that are empty";
  if (keyBytes > MAX_KEY_BYTES) return `longer than ${MAX_KEY_BYTES} bytes`;
  return valueBytes > MAX_VALUE_BYTES ? `with a value of more than ${MAX_VALUE_BYTES} bytes` : null;
}
