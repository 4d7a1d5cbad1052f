/** Integers of 64 bits in files, as numbers in the safe range. Two halves rather than a BigInt, which would be allocated for each. */
import { assert } from "../../platform/assert.ts";

const TWO_TO_32 = 2 ** 32;

/** Writes `value` in 8 bytes, big-endian. */
export function putInteger(view: DataView, position: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "numbers in files are safe integers");
  view.setUint32(position, Math.floor(value / TWO_TO_32));
  view.setUint32(position + 4, value % TWO_TO_32);
}

/** Reads 8 bytes; null when what they say is no safe integer. */
export function getInteger(view: DataView, position: number): number | null {
  const value = view.getUint32(position) * TWO_TO_32 + view.getUint32(position + 4);
  return Number.isSafeInteger(value) ? value : null;
}
