/**
 * Storage of values: small values share buffers (slabs), a large one has a buffer of its own.
 *
 * A buffer for each value would cost 200 to 400 bytes of memory besides the value, and most of the time of a write; a
 * location in a slab costs three numbers. In return a slab stays in memory as long as one of its values does. So live
 * bytes are counted, and when they are too few, the store moves the values of sparse slabs ({@link Slabs.move}).
 *
 * Bytes of a slab are written once, before any view of them exists: a view stays valid for as long as it is held, even if
 * the value has been moved since.
 */
import { assert } from "../platform/assert.ts";

/** Bytes of a slab. */
const SLAB_BYTES = 65_536;
/** Longer values have a buffer of their own, so that little of a slab's end is wasted. */
const MAX_SHARED_BYTES = 4_096;
/** The slabs are wasteful when they are this many times as large as their live bytes, plus {@link SLACK_BYTES}. */
const MAX_WASTE = 1.5;
/** Waste that is always allowed: otherwise a small store with frequent writes would move its values all the time. */
const SLACK_BYTES = 256 * SLAB_BYTES;

/** A buffer with many values, or with a single one. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** Whether it has many values. */
  readonly isShared: boolean;
  /** Bytes of its values that are in use. */
  liveBytes: number;
}

/** The location of a value. The location may change, the value's bytes never do. */
export interface Place {
  readonly length: number;
  slab: Slab;
  /** Offset of the value in its slab. */
  offset: number;
}

/** The slab of empty values, and of records whose value is not stored yet. */
export const EMPTY_SLAB: Slab = { bytes: new Uint8Array(0), isShared: false, liveBytes: 0 };

/**
 * The slabs of one store.
 *
 * Invariant: `heldBytes` is the total size of the newest slab and of all shared slabs with live bytes, `liveBytes` the
 * total of their live bytes.
 */
export class Slabs {
  #newest: Slab = EMPTY_SLAB;
  /** Used bytes of the newest slab. */
  #taken = 0;
  #heldBytes = 0;
  #liveBytes = 0;

  /** Total size of the shared slabs. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether values of sparse slabs should be moved. */
  get isWasteful(): boolean {
    return this.#heldBytes > this.#liveBytes * MAX_WASTE + SLACK_BYTES;
  }

  /** Stores a value at `place`. Its bytes are copied, except those of a large value that has a buffer of its own. */
  keep(place: Place, value: Uint8Array): void {
    assert(place.length === value.length, "a location is as long as its value");
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

  /** Releases a value. Views of it stay valid. */
  release({ slab, length }: Place): void {
    if (!slab.isShared) return;
    slab.liveBytes -= length;
    this.#liveBytes -= length;
    assert(slab.liveBytes >= 0, "a value is released once");
    if (slab.liveBytes === 0 && slab !== this.#newest) this.#heldBytes -= slab.bytes.length;
  }

  /** Moves a value of a sparse slab to the newest slab; other values stay. */
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
 * Returns `bytes` themselves when they are most of their buffer, else a copy, so that a small value does not keep the bytes
 * of a large command, frame or slab alive. The caller must not change them afterwards.
 */
export function ownedBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength * 2 >= bytes.buffer.byteLength ? bytes : bytes.slice();
}
