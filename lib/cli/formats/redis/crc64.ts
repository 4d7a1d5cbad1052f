/** The CRC-64 of Redis: polynomial 0xad93d23594c935a9 (Jones), reflected, beginning with 0, without a final inversion. */

/** The polynomial with its bits reversed, in halves of 32 bits. */
const POLYNOMIAL_HIGH = 0x95ac9329;
const POLYNOMIAL_LOW = 0xac4bc9b5;
const BYTES = 256;

/** For each byte the checksum of it alone, in halves of 32 bits: numbers are far faster than bigints here. */
const HIGH = new Uint32Array(BYTES);
const LOW = new Uint32Array(BYTES);

for (let byte = 0; byte < BYTES; byte++) {
  let [high, low] = [0, byte];
  for (let bit = 0; bit < 8; bit++) {
    const isSet = (low & 1) === 1;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high >>>= 1;
    if (!isSet) continue;
    high = (high ^ POLYNOMIAL_HIGH) >>> 0;
    low = (low ^ POLYNOMIAL_LOW) >>> 0;
  }
  HIGH[byte] = high;
  LOW[byte] = low;
}

/** Returns the checksum `before` continued with `bytes`. */
export function crc64(before: bigint, bytes: Uint8Array): bigint {
  let high = Number(before >> 32n);
  let low = Number(before & 0xffff_ffffn);
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ (LOW[index] ?? 0);
    high = (high >>> 8) ^ (HIGH[index] ?? 0);
  }
  return BigInt(high >>> 0) << 32n | BigInt(low >>> 0);
}
