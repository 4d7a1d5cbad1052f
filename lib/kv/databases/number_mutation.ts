/** The results of `sum`, `min` and `max`: the same as those of denokv 0.14, by which Deno's local KV is implemented. */
import { assert } from "../../platform/assert.ts";
import { type DatabaseWriteFailure, type NumberMutation, VALUE_ENCODING } from "./database_command.ts";
import { readV8Number, type V8Number, writeV8Number } from "./v8_number.ts";

/** Bytes of a stored 64-bit integer, with the byte of its encoding. */
export const STORED_U64_BYTES = 9;
const U64_LIMIT = 2n ** 64n;

type Sum = Extract<NumberMutation, { readonly kind: "sum" }>;

/**
 * Returns the value that a valid mutation stores where `stored` is, with the byte of its encoding; null stands for an absent
 * key. Returns the reason where it fails.
 */
export function numberAfter(
  mutation: NumberMutation,
  stored: Uint8Array | null,
): Uint8Array | DatabaseWriteFailure {
  if (mutation.kind === "sum" && mutation.value[0] === VALUE_ENCODING.v8) return sumOfV8(mutation, stored);
  const { value: operand } = mutation;
  if (stored === null) return operand;
  if (!isU64(stored)) return "notU64";
  const [a, b] = [readU64(stored), readU64(operand)];
  if (mutation.kind === "sum") return writeU64(a + b);
  return writeU64((mutation.kind === "min") === (a < b) ? a : b);
}

/** Returns the number of an operand or bound in V8's format, without the byte of its encoding; null if it is none. */
export function v8NumberOf(data: Uint8Array | null): V8Number | null {
  return data === null ? null : readV8Number(data);
}

/** Returns why a mutation of a write failed, in the words of Deno KV. */
export function describeWriteFailure(reason: DatabaseWriteFailure, mutation: NumberMutation): string {
  const operand = typeof v8NumberOf(mutation.value.subarray(1)) === "bigint" ? "BigInt" : "Number";
  const sentences: Readonly<Record<DatabaseWriteFailure, string>> = {
    notU64: `Failed to perform '${mutation.kind}' mutation on a non-U64 value in the database`,
    notANumber: "unsupported value type",
    storedBigInt: `Cannot sum BigInt with ${operand}`,
    storedNumber: `Cannot sum Number with ${operand}`,
    storedU64: `Cannot sum KvU64 with ${operand}`,
    numberOutOfRange: "The result of a Sum operation would exceed its range limit",
    numberTooLarge: "The result of a Sum operation would be a BigInt of more than 4096 bytes",
  };
  return sentences[reason];
}

function sumOfV8(mutation: Sum, stored: Uint8Array | null): Uint8Array | DatabaseWriteFailure {
  const operand = v8NumberOf(mutation.value.subarray(1));
  assert(operand !== null, "the operand of a valid mutation is a number");
  // Not within the bounds: the first operand is stored as it is (as denokv 0.14 does it).
  if (stored === null) return written(operand);
  if (isU64(stored)) {
    const hasBounds = mutation.minimum !== null || mutation.maximum !== null || mutation.clamp;
    const isU64Operand = typeof operand === "bigint" && operand >= 0n && operand < U64_LIMIT;
    return isU64Operand && !hasBounds ? writeU64(readU64(stored) + operand) : "storedU64";
  }
  const current = stored[0] === VALUE_ENCODING.v8 ? readV8Number(stored.subarray(1)) : null;
  if (current === null) return "notANumber";
  if (typeof current === "bigint") {
    return typeof operand === "bigint" ? bounded(current + operand, mutation) : "storedBigInt";
  }
  return typeof operand === "number" ? bounded(current + operand, mutation) : "storedNumber";
}

/** Applies the bounds, the lower one first: where they contradict each other, the upper one is the result. */
function bounded(sum: V8Number, { minimum, maximum, clamp }: Sum): Uint8Array | DatabaseWriteFailure {
  const [lowest, highest] = [v8NumberOf(minimum), v8NumberOf(maximum)];
  let result = sum;
  if (lowest !== null && result < lowest) {
    if (!clamp) return "numberOutOfRange";
    result = lowest;
  }
  if (highest !== null && result > highest) {
    if (!clamp) return "numberOutOfRange";
    result = highest;
  }
  return written(result);
}

function written(result: V8Number): Uint8Array | DatabaseWriteFailure {
  return writeV8Number(result, VALUE_ENCODING.v8) ?? "numberTooLarge";
}

function isU64(stored: Uint8Array): boolean {
  return stored[0] === VALUE_ENCODING.le64 && stored.length === STORED_U64_BYTES;
}

function readU64(stored: Uint8Array): bigint {
  return new DataView(stored.buffer, stored.byteOffset).getBigUint64(1, true);
}

/** Writes the lower 64 bits. */
function writeU64(value: bigint): Uint8Array {
  const stored = new Uint8Array(STORED_U64_BYTES);
  stored[0] = VALUE_ENCODING.le64;
  new DataView(stored.buffer).setBigUint64(1, value, true);
  return stored;
}
