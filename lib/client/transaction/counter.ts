/**
 * Counters: values of 8 bytes, an unsigned little-endian integer, which the operations `sum`, `min` and `max` of a
 * transaction change. Deno KV stores a `KvU64` alike.
 */
import { describeValue } from "../argument_checks.ts";
import { InvalidRequestError } from "../errors.ts";

/** Bytes of a counter. */
export const COUNTER_BYTES = 8;
/** The greatest counter. */
export const MAX_COUNTER = 2n ** 64n - 1n;
/** The least operand of a sum; a negative one subtracts. */
export const MIN_SUM_OPERAND = -(2n ** 63n);

/**
 * Returns the number in the value of a counter.
 *
 * @param value the value of a key that `sum`, `min` or `max` has written
 * @returns an integer from 0 to 2^64 - 1
 * @throws {InvalidRequestError} when the value is not of 8 bytes
 *
 * @example
 * ```ts
 * import { counterValue, type KvClient } from "@kvraft/kvraft";
 *
 * export async function sold(client: KvClient): Promise<bigint> {
 *   const entry = await client.get("sold");
 *   return entry === null ? 0n : counterValue(entry.value);
 * }
 * ```
 */
export function counterValue(value: Uint8Array): bigint {
  if (!(value instanceof Uint8Array) || value.length !== COUNTER_BYTES) {
    throw new InvalidRequestError("Cannot read a counter: its value is not a Uint8Array of 8 bytes.");
  }
  return new DataView(value.buffer, value.byteOffset, COUNTER_BYTES).getBigUint64(0, true);
}

/**
 * Returns the value of a counter with this number, to write it or to compare with it.
 *
 * @param number an integer from 0 to 2^64 - 1
 * @returns 8 bytes
 * @throws {InvalidRequestError} for another number
 *
 * @example
 * ```ts
 * import { counterBytes, type KvClient } from "@kvraft/kvraft";
 *
 * export async function reset(client: KvClient): Promise<void> {
 *   await client.put("sold", counterBytes(0));
 * }
 * ```
 */
export function counterBytes(number: bigint | number): Uint8Array {
  return bytesOfInteger(number, 0n);
}

/** Returns the operand of an operation on a counter. Throws {@link InvalidRequestError}. */
export function operandBytes(kind: "sum" | "min" | "max", operand: bigint | number): Uint8Array {
  return bytesOfInteger(operand, kind === "sum" ? MIN_SUM_OPERAND : 0n);
}

/** Returns an integer modulo 2^64. */
function bytesOfInteger(number: bigint | number, min: bigint): Uint8Array {
  const isInteger = typeof number === "bigint" || Number.isSafeInteger(number);
  const value = isInteger ? BigInt(number) : null;
  if (value === null || value < min || value > MAX_COUNTER) {
    throw new InvalidRequestError(
      `Cannot use ${
        describeValue(number)
      } as a counter's number: give a bigint from ${min} to ${MAX_COUNTER}, ` +
        "or a number that is a safe integer.",
    );
  }
  const bytes = new Uint8Array(COUNTER_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return bytes;
}
