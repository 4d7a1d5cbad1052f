/**
 * Values of Deno KV as text, and values that are typed as stored bytes. A stored value is a byte for its encoding, and
 * its data. Untrusted bytes never make this throw: what cannot be read is shown as bytes.
 */
import { deserialize, serialize } from "node:v8";
import { concat } from "@std/bytes";
import { UsageError } from "../errors.ts";
import { escapeUnprintable } from "../text.ts";
import { type Literal, U64 } from "./literal.ts";

/** Encodings of a stored value. */
const V8 = 1;
const LE64 = 2;
const BYTES = 3;
const U64_BYTES = 8;
/** The first byte of V8's serialization; its format follows. */
const V8_HEADER = 0xff;
/** The format that every Deno and Node reads. Deno 2.8 and later write 16. */
const COMMON_V8_FORMAT = 15;
/** Bytes of a value that cannot be read that its text shows. */
const MAX_SHOWN_BYTES = 64;
/** Nesting that the text of a value shows, and items of each collection in it. */
const SHOWN_DEPTH = 50;
const SHOWN_ITEMS = 10_000;

/** Costs of showing a value beside those of its bytes. */
const COST_OF_VALUE = 1_024;
const COST_OF_BYTE = 4;

/** A stored value in the form for people and scripts. */
export interface ReadableValue {
  /** `v8 format 16`, `u64`, `bytes`, or `unknown encoding 7`. */
  readonly format: string;
  /** The version of V8's format; null for other encodings, and where there is none. */
  readonly v8Format: number | null;
  /** An expression of JavaScript for the value, on one line. */
  readonly text: string;
  /** The value, if JSON has exactly this value. */
  readonly json?: unknown;
}

/** Returns the readable form of a stored value. */
export function readableValue(stored: Uint8Array): ReadableValue {
  const data = stored.subarray(1);
  const encoding = stored[0];
  switch (encoding) {
    case V8:
      return readableV8(data);
    case LE64:
      if (data.length !== U64_BYTES) return { format: "u64", v8Format: null, text: hexText(data) };
      return { format: "u64", v8Format: null, text: `new Deno.KvU64(${u64Of(data)}n)` };
    case BYTES:
      return { format: "bytes", v8Format: null, text: `new Uint8Array([${data.join(", ")}])` };
    default:
      return { format: `unknown encoding ${encoding ?? "of no bytes"}`, v8Format: null, text: hexText(data) };
  }
}

function readableV8(data: Uint8Array): ReadableValue {
  const v8Format = data[0] === V8_HEADER ? data[1] ?? null : null;
  const format = v8Format === null ? "v8 without a format" : `v8 format ${v8Format}`;
  try {
    const value: unknown = deserialize(data);
    if (!isShownWithin(value, COST_OF_VALUE + COST_OF_BYTE * data.length)) {
      return { format, v8Format, text: hexText(data) };
    }
    const text = escapeUnprintable(inspected(value));
    return isJson(value, 0) ? { format, v8Format, text, json: value } : { format, v8Format, text };
  } catch {
    // A format of a newer V8, damaged bytes, or a value that has no text.
    return { format, v8Format, text: hexText(data) };
  }
}

/**
 * Returns whether showing a value takes no more parts and characters than `budget`. V8 writes an object once, however many others
 * have it, so that a hundred bytes can stand for a text without end: two references to a pair of references, and so on.
 */
function isShownWithin(value: unknown, budget: number): boolean {
  let left = budget;
  const ancestors = new Set<object>();
  const spend = (part: unknown): void => {
    left -= costOf(part);
    if (left < 0 || typeof part !== "object" || part === null) return;
    if (ancestors.size > SHOWN_DEPTH || ancestors.has(part)) return;
    ancestors.add(part);
    for (const child of partsOf(part)) {
      spend(child);
      if (left < 0) break;
    }
    ancestors.delete(part);
  };
  spend(value);
  return left >= 0;
}

/** Returns the cost of showing a value without the parts of {@link partsOf}. */
function costOf(value: unknown): number {
  if (value instanceof Error) return 1 + `${value.stack}${value.message}`.length;
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return 1 + value.byteLength;
  if (typeof value === "string" || value instanceof String || value instanceof RegExp) {
    return 1 + `${value}`.length;
  }
  return typeof value === "bigint" || value instanceof BigInt ? 1 + value.toString(16).length : 1;
}

/** Returns the values that an object consists of, with the names of its properties. */
function partsOf(value: object): Iterable<unknown> {
  if (value instanceof Map) return [...value].flat();
  if (value instanceof Set) return value;
  if (ArrayBuffer.isView(value) || value instanceof String) return [];
  if (value instanceof Error) return [value.cause];
  return Array.isArray(value) ? Object.values(value) : Object.entries(value).flat();
}

function inspected(value: unknown): string {
  return Deno.inspect(value, {
    depth: SHOWN_DEPTH,
    iterableLimit: SHOWN_ITEMS,
    strAbbreviateSize: Infinity,
    compact: true,
    breakLength: Infinity,
  });
}

/** Returns `hex 0a0b…, 123 bytes`. */
function hexText(data: Uint8Array): string {
  const shown = data.subarray(0, MAX_SHOWN_BYTES).toHex();
  return data.length <= MAX_SHOWN_BYTES ? `hex ${shown}` : `hex ${shown}…, ${data.length} bytes`;
}

function u64Of(data: Uint8Array): bigint {
  return new DataView(data.buffer, data.byteOffset, U64_BYTES).getBigUint64(0, true);
}

/** Returns whether JSON has exactly this value. */
function isJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "boolean":
      return true;
    case "string":
      return value.isWellFormed();
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0);
    case "object":
      if (value === null) return true;
      if (depth >= SHOWN_DEPTH) return false;
      if (Array.isArray(value)) {
        // Not `every` alone: it skips holes. Other properties than items are not in JSON.
        return Object.keys(value).length === value.length && value.every((item) => isJson(item, depth + 1));
      }
      return Object.getPrototypeOf(value) === Object.prototype &&
        Object.entries(value).every(([name, field]) => name !== "toJSON" && isJson(field, depth + 1));
    default:
      return false;
  }
}

/**
 * Returns the stored bytes of a value: bytes and a KvU64 as they are, everything else as V8 serializes it, in the format
 * that every Deno and Node reads. Throws {@link UsageError} for what differs between formats.
 */
export function storedValue(literal: Literal): Uint8Array {
  if (literal instanceof Uint8Array) return concat([Uint8Array.of(BYTES), literal]);
  if (literal instanceof U64) {
    const data = new Uint8Array(U64_BYTES);
    new DataView(data.buffer).setBigUint64(0, literal.value, true);
    return concat([Uint8Array.of(LE64), data]);
  }
  refuseNestedBytes(literal);
  const data = Uint8Array.from(serialize(literal));
  if (data[0] !== V8_HEADER || data[1] === undefined || data[1] < COMMON_V8_FORMAT) {
    throw new Error(`V8 serializes in a format that is not known: ${data.subarray(0, 2).toHex()}`);
  }
  // For values without typed arrays, later formats differ in this byte only.
  data[1] = COMMON_V8_FORMAT;
  return concat([Uint8Array.of(V8), data]);
}

function refuseNestedBytes(literal: Literal): void {
  if (literal instanceof Uint8Array || literal instanceof U64) {
    throw new UsageError(
      "Uint8Array and KvU64 can be a value, but not a part of one here. Set it by a program.",
    );
  }
  if (typeof literal !== "object" || literal === null) return;
  for (const part of Object.values(literal)) refuseNestedBytes(part);
}
