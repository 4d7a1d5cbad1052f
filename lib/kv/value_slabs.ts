/**
 * Where values lie: many small ones together in slabs, a large one by itself.
 *
 * A buffer for each value costs 200 to 400 bytes of memory beside the value, and most of the time of a write; a place
 * in a slab costs three numbers. The price is that a slab stays as long as one of its values does. So what slabs hold
 * is counted, and when too little of it is alive, the store has the values in sparse slabs moved ({@link Slabs.move}).
 *
 * Bytes of a slab are written once, before anybody sees them: views of them stay good for as long as they are held,
 * wherever the value has moved since.
 */
import { assert } from "../platform/assert.ts";

/** Bytes of a slab. */
const SLAB_BYTES = 65_536;
/** Longer values lie by themselves, so that little of a slab's end is wasted. */
const MAX_SHARED_BYTES = 4_096;
/** The slabs are wasteful when they are this many times as large as what is alive in them, and a little more. */
const MAX_WASTE = 1.5;
/** Waste that is left alone: with less, a small store that is written all the time would move its values all the time. */
const SLACK_BYTES = 256 * SLAB_BYTES;

/** A buffer with values in it, or with a single one. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** Whether it is one of many values. */
  readonly isShared: boolean;
  /** Bytes of the values in it that are kept. */
  liveBytes: number;
}

/** What has a value: where it lies may change, the bytes there never do. */
export interface Place {
  readonly length: number;
  slab: Slab;
  /** Of the value in its slab. */
  offset: number;
}

/** What holds the empty value, and whatever has no place yet. */
export const EMPTY_SLAB: Slab = { bytes: new Uint8Array(0), isShared: false, liveBytes: 0 };

/**
 * The slabs of one store.
 *
 * Invariant: `heldBytes` is the size of all shared slabs with something alive in them and of the newest, `liveBytes`
 * of what is alive in these.
 */
export class Slabs {
  #newest: Slab = EMPTY_SLAB;
  /** Bytes of the newest that are taken. */
  #taken = 0;
  #heldBytes = 0;
  #liveBytes = 0;

  /** Size of the shared slabs. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether values should be moved together. */
  get isWasteful(): boolean {
    return this.#heldBytes > this.#liveBytes * MAX_WASTE + SLACK_BYTES;
  }

  /** Finds a place for a value. Its bytes are copied, unless they have a buffer of their own, which is kept then. */
  keep(place: Place, value: Uint8Array): void {
    assert(place.length === value.length, "a place is as long as its value");
    if (value.length === 0) return;
    if (value.length > MAX_SHARED_BYTES) {
      place.slab = { bytes: ownedBytes(value), isShared: false, liveBytes: value.length };
      place.offset = 0;
      return;
    }
    if (this.#taken + value.length > this.#newest.bytes.length) this.#begin();
    this.#newest.bytes.set(value, this.#taken);
    place.slab = this.#newest;
    place.offset = this.#taken;
    this.#taken += value.length;
    this.#newest.liveBytes += value.length;
    this.#liveBytes += value.length;
  }

  /** A value is not kept any more. Views of it stay good. */
  release({ slab, length }: Place): void {
    if (!slab.isShared) return;
    slab.liveBytes -= length;
    this.#liveBytes -= length;
    assert(slab.liveBytes >= 0, "a value is released once");
    if (slab.liveBytes === 0 && slab !== this.#newest) this.#heldBytes -= slab.bytes.length;
  }

  /** Moves a value that lies in a sparse slab to the newest; any other stays. */
  move(place: Place): void {
    const { slab, offset, length } = place;
    const isSparse = slab.isShared && slab !== this.#newest &&
      slab.liveBytes * MAX_WASTE <= slab.bytes.length;
    if (!isSparse) return;
    this.release(place);
    this.keep(place, slab.bytes.subarray(offset, offset + length));
  }

  #begin(): void {
    if (this.#newest.liveBytes === 0) this.#heldBytes -= this.#newest.bytes.length;
    this.#newest = { bytes: new Uint8Array(SLAB_BYTES), isShared: true, liveBytes: 0 };
    this.#taken = 0;
    this.#heldBytes += SLAB_BYTES;
  }
}

/**
 * `bytes` for keeping: themselves when they are most of their buffer, else a copy, so that a small value does not
 * keep a large command's (or frame's, or slab's) bytes alive. Their owner must never change them.
 */
export function ownedBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength * 2 >= bytes.buffer.byteLength ? bytes : bytes.slice();
}
