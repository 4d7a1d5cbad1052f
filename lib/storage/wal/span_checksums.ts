/**
 * Compares checksums of any spans of a file at a cost that does not depend on the spans' lengths, for a search that
 * finds many offsets at which a long record may begin.
 *
 * CRC-32 is linear: with P(x) the checksum of everything before x, the checksum of the span from a to b that begins
 * with the value s is P(b) ^ shift(P(a) ^ s, b - a), where shift appends as many zeros as the span has bytes. So the
 * bytes are summed up once, and each span costs two short remainders and one shift.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../platform/assert.ts";
import type { DiskFile } from "../../platform/disk.ts";

/** Sums are kept for every so many bytes; what lies behind the last of them is summed up for each span. */
const GRID_BYTES = 512;
/** The polynomial of IEEE 802.3, reflected. */
const POLYNOMIAL = 0xedb88320;
/** x^0, reflected. */
const ONE = 0x80000000;
/** x^(8 · 2^i) modulo the polynomial, for each i: what appending 2^i zero bytes multiplies with. */
const SHIFTS: readonly number[] = shifts();

/** Options of {@link SpanChecksums}. */
export interface SpanChecksumsOptions {
  readonly file: DiskFile;
  /** Maximum length of a span: memory is for two of them. */
  readonly maxSpanBytes: number;
}

/** Checksums of spans of one file, requested in the order of their beginnings. */
export class SpanChecksums {
  readonly #file: DiskFile;
  readonly #fileBytes: number;
  readonly #maxSpanBytes: number;
  #window = new Uint8Array(0);
  #windowStart = 0;
  /** Checksum of the window up to each multiple of GRID_BYTES. */
  #sums = new Uint32Array(0);
  #workBytes = 0;

  constructor({ file, maxSpanBytes }: SpanChecksumsOptions) {
    this.#file = file;
    this.#fileBytes = file.size();
    this.#maxSpanBytes = maxSpanBytes;
  }

  /** Bytes read and summed up so far: at most two times the file's, and GRID_BYTES twice for each span. */
  get workBytes(): number {
    return this.#workBytes;
  }

  /** Resolves to whether the bytes from `from` to `to` have this checksum with the initial value `seed`. */
  async holds(
    { from, to, seed, checksum }: { from: number; to: number; seed: number; checksum: number },
  ): Promise<boolean> {
    assert(from <= to && to - from <= this.#maxSpanBytes, "a span is in bounds");
    if (to > this.#fileBytes) return false;
    if (from < this.#windowStart || to > this.#windowStart + this.#window.length) await this.#load(from);
    if (to > this.#windowStart + this.#window.length) return false;
    const before = this.#sumBefore(from - this.#windowStart);
    const behind = this.#sumBefore(to - this.#windowStart);
    return (behind ^ shifted(before ^ seed, to - from)) >>> 0 === checksum;
  }

  /** Moves the window to `start`; spans that begin within `maxSpanBytes` after it are in the window. */
  async #load(start: number): Promise<void> {
    const bytes = Math.min(2 * this.#maxSpanBytes, this.#fileBytes - start);
    if (this.#window.length !== bytes) this.#window = new Uint8Array(bytes);
    const count = await this.#file.read(this.#window, start);
    if (count < bytes) this.#window = this.#window.subarray(0, count);
    this.#windowStart = start;
    this.#sums = new Uint32Array(Math.floor(count / GRID_BYTES) + 1);
    for (let at = 1; at < this.#sums.length; at += 1) {
      const piece = this.#window.subarray((at - 1) * GRID_BYTES, at * GRID_BYTES);
      this.#sums[at] = crc32(piece, this.#sums[at - 1] ?? 0);
    }
    this.#workBytes += count;
  }

  #sumBefore(position: number): number {
    const at = Math.floor(position / GRID_BYTES);
    this.#workBytes += position - at * GRID_BYTES;
    return crc32(this.#window.subarray(at * GRID_BYTES, position), this.#sums[at] ?? 0);
  }
}

/** Returns the checksum `value` after `bytes` appended zeros. */
function shifted(value: number, bytes: number): number {
  let result = value;
  for (let [rest, power] = [bytes, 0]; rest > 0; rest = Math.floor(rest / 2), power += 1) {
    if (rest % 2 === 1) result = product(SHIFTS[power] ?? 0, result);
  }
  return result;
}

/** Returns a · b modulo the polynomial. */
function product(a: number, b: number): number {
  let [sum, factor] = [0, b];
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) sum ^= factor;
    factor = (factor & 1) === 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return sum >>> 0;
}

function shifts(): readonly number[] {
  // x^8: eight steps below x^0.
  const powers = [ONE >>> 8];
  for (let power = 1; power < 32; power += 1) {
    const last = powers[power - 1] ?? 0;
    powers.push(product(last, last));
  }
  return powers;
}
