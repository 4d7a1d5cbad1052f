/**
 * An allocator of cells in a few large buffers. Tree pages and the versions of keys are cells, so the garbage collector
 * does not visit them one by one.
 *
 * A region is one ArrayBuffer of 2 MiB. It is divided into spans of 64 KiB (cells of at most 2 KiB) or 512 KiB (larger
 * cells), and all cells of a span have one size, their size class. A freed cell is reused by the next allocation of its
 * size, so a store that is overwritten does not grow. An empty span serves any size, and an empty region is released.
 * When many cells were freed, regions may be half empty: {@link CellHeap.drain} chooses some, and the owner of their
 * cells moves these elsewhere.
 *
 * An address counts units of 8 bytes and is never 0. The low byte of word 0 of a cell has a tag, which the owner of the
 * cell writes; {@link FREE_TAG} marks a free cell, so that an assertion fails if a cell is freed twice.
 */
import { assert, InvariantError } from "../../platform/assert.ts";

/** The tag of a cell that is not in use. */
export const FREE_TAG = 0xff;
/** Bytes of the largest cell. */
export const MAX_CELL_BYTES = 32_768;
/** Bytes of a tree page. This is also the size of a class, so that pages are aligned. */
export const PAGE_BYTES = 4_096;

/** Units of 8 bytes in a region, as a power of two. */
const REGION_SHIFT = 18;
const REGION_BYTES = 8 << REGION_SHIFT;
const UNIT_MASK = (1 << REGION_SHIFT) - 1;
/** Units of 8 bytes in a small span, as a power of two. */
const SPAN_SHIFT = 13;
const SPANS_PER_REGION = 1 << (REGION_SHIFT - SPAN_SHIFT);
const SMALL_SPAN_BYTES = 8 << SPAN_SHIFT;
/** A large span takes the place of this many small ones. */
const LARGE_SPAN_FACTOR = 8;
/** Cells above this size are in large spans, so that the rest at the end of a span is a small part of it. */
const MAX_SMALL_CELL_BYTES = 2_048;
/** Up to this size a cell is at most 7 bytes larger than requested; above it, at most one part in sixteen larger. */
const MAX_EXACT_BYTES = 512;
/** The regions that addresses of 32 bits can name: 32 GiB. */
const MAX_REGIONS = 16_384;
const NO_SPAN = -1;
/**
 * Regions are drained when their bytes exceed the bytes of cells in use × FRAGMENTED_RATIO + FRAGMENTED_SLACK_BYTES.
 */
const FRAGMENTED_RATIO = 1.125;
const FRAGMENTED_SLACK_BYTES = 8_388_608;
/** So many of them are drained that the bytes of the others are about the bytes of cells in use × DRAINED_RATIO. */
const DRAINED_RATIO = 1.05;

/**
 * The buffer of a region is longer than any that was released by this much. The C library maps blocks above a threshold
 * directly, and returns them to the operating system when they are freed; but it then raises the threshold to their
 * size, up to 32 MiB. The next region of that size would be in its own heap, which keeps freed blocks. What is added is
 * never written, so it takes no memory.
 */
const BUFFER_STEP_BYTES = 8_192;
/** Buffers above 32 MiB are always mapped. */
const MAX_BUFFER_BYTES = 33_554_432 + BUFFER_STEP_BYTES;

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Uint32Array(0);
const NO_FLOATS = new Float64Array(0);

/** Size of a cell by size class, ascending. Class 0 has no cells: it marks a span without a size class. */
const CLASS_BYTES: readonly number[] = (() => {
  const sizes = [0];
  for (let bytes = 16; bytes <= MAX_CELL_BYTES;) {
    sizes.push(bytes);
    const next = bytes < MAX_EXACT_BYTES ? bytes + 8 : Math.ceil((bytes * 17) / 16 / 16) * 16;
    bytes = bytes < PAGE_BYTES && next > PAGE_BYTES ? PAGE_BYTES : next;
  }
  if (sizes.at(-1) !== MAX_CELL_BYTES) sizes.push(MAX_CELL_BYTES);
  return sizes;
})();

/** The size class for each number of units of 8 bytes, rounded up. */
const CLASS_OF: Uint8Array = (() => {
  let sizeClass = 1;
  return Uint8Array.from({ length: MAX_CELL_BYTES / 8 + 1 }, (_, units) => {
    while ((CLASS_BYTES[sizeClass] ?? MAX_CELL_BYTES) < units * 8) sizeClass++;
    return sizeClass;
  });
})();

/** Number of cells in a span, by size class. */
const CAPACITY: Uint16Array = Uint16Array.from(
  CLASS_BYTES,
  (bytes) => bytes === 0 ? 0 : Math.floor(spanBytesOf(bytes) / bytes),
);

/** Returns the size of the cell that an allocation of `bytes` receives. */
export function cellBytes(bytes: number): number {
  return CLASS_BYTES[CLASS_OF[(bytes + 7) >>> 3] ?? 0] ?? 0;
}

/** The memory of a heap, in bytes. */
export interface HeapUsage {
  /** Cells in use. */
  readonly liveBytes: number;
  /** Spans with a cell in use, and at most one empty span of each size class. */
  readonly spanBytes: number;
  /** All regions. The operating system provides memory only for the parts that were written. */
  readonly regionBytes: number;
}

/**
 * The cells of one store.
 *
 * Invariants: a span is in the list of its size class exactly while it has a free cell and its region is not draining;
 * `used` counts its cells in use; a span without a size class is empty.
 */
export class CellHeap {
  /** The buffers by region, three views of each. Region 0 is empty, so that no address is 0. */
  readonly #bytes: Uint8Array[] = [NO_BYTES];
  readonly #words: Uint32Array[] = [NO_WORDS];
  readonly #floats: Float64Array[] = [NO_FLOATS];
  /** By region: whether its spans are large, and how many of them have no size class. */
  readonly #isLarge: boolean[] = [false];
  readonly #emptySpans: number[] = [0];
  /** By region: bytes of its cells in use, and whether no more cells are allocated in it. */
  readonly #usedBytes: number[] = [0];
  readonly #isDraining: boolean[] = [false];
  /** By span, here and below: its size class, and its number of cells in use. */
  #sizeClass = new Uint8Array(SPANS_PER_REGION);
  #used = new Uint16Array(SPANS_PER_REGION);
  /** The cells from this position on were never used, and are not in the list of free cells. */
  #fresh = new Uint16Array(SPANS_PER_REGION);
  /** The first free cell; word 1 of a free cell has the address of the next one. */
  #freeCell = new Uint32Array(SPANS_PER_REGION);
  /** The neighbours in the list of spans with a free cell of the same size class. */
  #nextSpan = new Int32Array(SPANS_PER_REGION);
  #previousSpan = new Int32Array(SPANS_PER_REGION);
  /** By size class: the first span of that list. */
  readonly #firstSpan = new Int32Array(CLASS_BYTES.length).fill(NO_SPAN);
  #liveBytes = 0;
  #spanBytes = 0;
  #regions = 0;
  /** Length of the next region's buffer. */
  #bufferBytes = REGION_BYTES;

  /** The memory of the heap now. */
  get usage(): HeapUsage {
    return {
      liveBytes: this.#liveBytes,
      spanBytes: this.#spanBytes,
      regionBytes: this.#regions * REGION_BYTES,
    };
  }

  /** Returns the buffer that contains the cell, as bytes; see {@link byteBase}. */
  bytesOf(address: number): Uint8Array {
    return this.#bytes[address >>> REGION_SHIFT] ?? NO_BYTES;
  }

  /** Returns the buffer that contains the cell, as words of 4 bytes; see {@link wordBase}. */
  wordsOf(address: number): Uint32Array {
    return this.#words[address >>> REGION_SHIFT] ?? NO_WORDS;
  }

  /** Returns the buffer that contains the cell, as floats of 8 bytes; see {@link floatBase}. */
  floatsOf(address: number): Float64Array {
    return this.#floats[address >>> REGION_SHIFT] ?? NO_FLOATS;
  }

  /** Returns the tag that the owner of a cell wrote, or {@link FREE_TAG}. */
  tagOf(address: number): number {
    return (this.wordsOf(address)[wordBase(address)] ?? FREE_TAG) & 0xff;
  }

  /** Returns the address of a cell of at least `bytes`, 1 … {@link MAX_CELL_BYTES}. Its content is undefined. */
  allocate(bytes: number): number {
    assert(bytes > 0 && bytes <= MAX_CELL_BYTES, "a cell has 1 to 32768 bytes");
    const sizeClass = CLASS_OF[(bytes + 7) >>> 3] ?? 0;
    const size = CLASS_BYTES[sizeClass] ?? 0;
    let span = this.#firstSpan[sizeClass] ?? NO_SPAN;
    if (span === NO_SPAN) span = this.#startSpan(sizeClass);
    let cell = this.#freeCell[span] ?? 0;
    if (cell !== 0) {
      const words = this.wordsOf(cell);
      const base = wordBase(cell);
      assert(words[base] === FREE_TAG, "a cell of the list of free cells is free");
      this.#freeCell[span] = words[base + 1] ?? 0;
    } else {
      const position = this.#fresh[span] ?? 0;
      this.#fresh[span] = position + 1;
      cell = span * (1 << SPAN_SHIFT) + position * (size >>> 3);
    }
    const used = (this.#used[span] ?? 0) + 1;
    this.#used[span] = used;
    if (used === CAPACITY[sizeClass]) this.#unlink(span);
    this.#liveBytes += size;
    const region = cell >>> REGION_SHIFT;
    this.#usedBytes[region] = (this.#usedBytes[region] ?? 0) + size;
    return cell;
  }

  /** Returns the address of a new page with the content of another one. */
  copyPage(page: number): number {
    const copy = this.allocate(PAGE_BYTES);
    const start = byteBase(page);
    this.bytesOf(copy).set(this.bytesOf(page).subarray(start, start + PAGE_BYTES), byteBase(copy));
    return copy;
  }

  /** Frees a cell. */
  free(address: number): void {
    const words = this.wordsOf(address);
    const base = wordBase(address);
    if (address === 0 || ((words[base] ?? FREE_TAG) & 0xff) === FREE_TAG) {
      throw new InvariantError(`Invariant violated: the cell ${address} is freed once, while it is in use`);
    }
    const span = this.#spanOf(address);
    const sizeClass = this.#sizeClass[span] ?? 0;
    const size = CLASS_BYTES[sizeClass] ?? 0;
    words[base] = FREE_TAG;
    words[base + 1] = this.#freeCell[span] ?? 0;
    this.#freeCell[span] = address;
    const used = this.#used[span] ?? 0;
    this.#used[span] = used - 1;
    this.#liveBytes -= size;
    const region = address >>> REGION_SHIFT;
    this.#usedBytes[region] = (this.#usedBytes[region] ?? 0) - size;
    const isDraining = this.#isDraining[region] === true;
    if (used === CAPACITY[sizeClass] && !isDraining) this.#link(span, sizeClass);
    if (used > 1) return;
    // The last span with a free cell of its class keeps the class: a cell that is allocated and freed again and again
    // would otherwise start a span each time.
    const isOnly = !isDraining && this.#firstSpan[sizeClass] === span && this.#nextSpan[span] === NO_SPAN;
    if (!isOnly) this.#endSpan(span, sizeClass);
  }

  /** Whether the regions are much larger than the cells in use. */
  get isFragmented(): boolean {
    return this.#regions * REGION_BYTES > this.#liveBytes * FRAGMENTED_RATIO + FRAGMENTED_SLACK_BYTES;
  }

  /**
   * Chooses the emptiest regions, as many as the cells in use do not need. No cell is allocated in them from now on,
   * and a region is released when its last cell is freed. Returns the number of regions that are draining.
   */
  drain(): number {
    let spare = Math.floor((this.#regions * REGION_BYTES - this.#liveBytes * DRAINED_RATIO) / REGION_BYTES);
    const regions = [...this.#usedBytes.keys()].filter((region) => this.#bytesIn(region) > 0);
    regions.sort((one, other) => (this.#usedBytes[one] ?? 0) - (this.#usedBytes[other] ?? 0));
    let draining = 0;
    for (const region of regions) {
      if (spare <= 0) break;
      spare--;
      draining++;
      if (this.#isDraining[region] === true) continue;
      this.#isDraining[region] = true;
      for (let span = region * SPANS_PER_REGION; span < (region + 1) * SPANS_PER_REGION; span++) {
        const sizeClass = this.#sizeClass[span] ?? 0;
        const used = this.#used[span] ?? 0;
        if (sizeClass === 0) continue;
        if (used < (CAPACITY[sizeClass] ?? 0)) this.#unlink(span);
        if (used === 0) this.#endSpan(span, sizeClass);
      }
      // Releases a region that had no span with a size class; any other empty one was released with its last span.
      if (this.#emptySpans[region] === spansIn(this.#isLarge[region] === true)) this.#removeRegion(region);
    }
    return draining;
  }

  /** Whether a cell is in a region that is draining. */
  isDraining(address: number): boolean {
    return this.#isDraining[address >>> REGION_SHIFT] === true;
  }

  /** Throws {@link InvariantError} unless the counts of all spans agree with their lists of free cells. */
  check(): void {
    let liveBytes = 0;
    let spanBytes = 0;
    const usedBytes = this.#usedBytes.map(() => 0);
    for (let span = SPANS_PER_REGION; span < this.#sizeClass.length; span++) {
      const sizeClass = this.#sizeClass[span] ?? 0;
      if (sizeClass === 0) continue;
      const size = CLASS_BYTES[sizeClass] ?? 0;
      const capacity = CAPACITY[sizeClass] ?? 0;
      let free = capacity - (this.#fresh[span] ?? 0);
      for (let cell = this.#freeCell[span] ?? 0; cell !== 0; free++) {
        assert(this.tagOf(cell) === FREE_TAG, `cell ${cell} in the free list of span ${span} is free`);
        cell = this.wordsOf(cell)[wordBase(cell) + 1] ?? 0;
      }
      const used = this.#used[span] ?? 0;
      assert(used + free === capacity, `span ${span} counts ${used} cells in use and ${free} free`);
      const region = Math.floor(span / SPANS_PER_REGION);
      usedBytes[region] = (usedBytes[region] ?? 0) + used * size;
      liveBytes += used * size;
      spanBytes += spanBytesOf(size);
    }
    assert(
      liveBytes === this.#liveBytes,
      `cells of ${liveBytes} bytes are in use, ${this.#liveBytes} counted`,
    );
    assert(spanBytes === this.#spanBytes, `spans take ${spanBytes} bytes, ${this.#spanBytes} counted`);
  }

  #spanOf(address: number): number {
    const span = address >>> SPAN_SHIFT;
    return this.#isLarge[address >>> REGION_SHIFT] === true ? span - span % LARGE_SPAN_FACTOR : span;
  }

  /** Assigns an empty span to a size class. */
  #startSpan(sizeClass: number): number {
    const size = CLASS_BYTES[sizeClass] ?? 0;
    const isLarge = size > MAX_SMALL_CELL_BYTES;
    let region = this.#emptySpans.findIndex((count, index) =>
      count > 0 && this.#isLarge[index] === isLarge && this.#isDraining[index] === false
    );
    if (region < 0) region = this.#addRegion(isLarge);
    const step = isLarge ? LARGE_SPAN_FACTOR : 1;
    let span = region * SPANS_PER_REGION;
    while (this.#sizeClass[span] !== 0) span += step;
    assert(span < (region + 1) * SPANS_PER_REGION, "a region with an empty span has one");
    this.#emptySpans[region] = (this.#emptySpans[region] ?? 0) - 1;
    this.#sizeClass[span] = sizeClass;
    this.#used[span] = 0;
    this.#fresh[span] = 0;
    this.#freeCell[span] = 0;
    this.#spanBytes += spanBytesOf(size);
    this.#link(span, sizeClass);
    return span;
  }

  /**
   * Takes the size class from an empty span. Releases its region if that is empty, unless no other has an empty span.
   */
  #endSpan(span: number, sizeClass: number): void {
    const region = Math.floor(span / SPANS_PER_REGION);
    const isDraining = this.#isDraining[region] === true;
    if (!isDraining) this.#unlink(span);
    this.#sizeClass[span] = 0;
    this.#spanBytes -= spanBytesOf(CLASS_BYTES[sizeClass] ?? 0);
    const empty = (this.#emptySpans[region] ?? 0) + 1;
    this.#emptySpans[region] = empty;
    const isLarge = this.#isLarge[region] === true;
    if (empty < spansIn(isLarge)) return;
    const isNeeded = !isDraining &&
      !this.#emptySpans.some((count, other) =>
        other !== region && count > 0 && this.#isLarge[other] === isLarge && this.#isDraining[other] === false
      );
    if (!isNeeded) this.#removeRegion(region);
  }

  #removeRegion(region: number): void {
    // Releases the memory now. Otherwise it would wait for the next full garbage collection, which may not come.
    const { buffer } = this.#bytes[region] ?? NO_BYTES;
    const longer = Math.min(buffer.byteLength + BUFFER_STEP_BYTES, MAX_BUFFER_BYTES);
    this.#bufferBytes = Math.max(this.#bufferBytes, longer);
    if (buffer instanceof ArrayBuffer) buffer.transfer(0);
    this.#bytes[region] = NO_BYTES;
    this.#words[region] = NO_WORDS;
    this.#floats[region] = NO_FLOATS;
    this.#emptySpans[region] = 0;
    this.#isDraining[region] = false;
    this.#regions--;
  }

  #bytesIn(region: number): number {
    return (this.#bytes[region] ?? NO_BYTES).length;
  }

  #addRegion(isLarge: boolean): number {
    const vacant = this.#bytes.findIndex((bytes, index) => index > 0 && bytes.length === 0);
    const region = vacant > 0 ? vacant : this.#bytes.length;
    assert(region < MAX_REGIONS, "a store has at most 32 GiB");
    const buffer = new ArrayBuffer(this.#bufferBytes);
    this.#bytes[region] = new Uint8Array(buffer, 0, REGION_BYTES);
    this.#words[region] = new Uint32Array(buffer, 0, REGION_BYTES / Uint32Array.BYTES_PER_ELEMENT);
    this.#floats[region] = new Float64Array(buffer, 0, REGION_BYTES / Float64Array.BYTES_PER_ELEMENT);
    this.#isLarge[region] = isLarge;
    this.#emptySpans[region] = spansIn(isLarge);
    this.#usedBytes[region] = 0;
    this.#isDraining[region] = false;
    this.#regions++;
    const spans = (region + 1) * SPANS_PER_REGION;
    if (this.#sizeClass.length >= spans) return region;
    const length = Math.max(spans, this.#sizeClass.length * 2);
    this.#sizeClass = grown(this.#sizeClass, new Uint8Array(length));
    this.#used = grown(this.#used, new Uint16Array(length));
    this.#fresh = grown(this.#fresh, new Uint16Array(length));
    this.#freeCell = grown(this.#freeCell, new Uint32Array(length));
    this.#nextSpan = grown(this.#nextSpan, new Int32Array(length));
    this.#previousSpan = grown(this.#previousSpan, new Int32Array(length));
    return region;
  }

  /**
   * Adds a span to the list of its size class: as the first, or as the second if the first has a lower number. So spans
   * with low numbers are filled first, and those with high numbers become empty when cells are freed.
   */
  #link(span: number, sizeClass: number): void {
    const first = this.#firstSpan[sizeClass] ?? NO_SPAN;
    const previous = first !== NO_SPAN && first < span ? first : NO_SPAN;
    const next = previous === NO_SPAN ? first : this.#nextSpan[first] ?? NO_SPAN;
    this.#previousSpan[span] = previous;
    this.#nextSpan[span] = next;
    if (next !== NO_SPAN) this.#previousSpan[next] = span;
    if (previous === NO_SPAN) this.#firstSpan[sizeClass] = span;
    else this.#nextSpan[previous] = span;
  }

  /** Removes a span from the list of its size class. */
  #unlink(span: number): void {
    const next = this.#nextSpan[span] ?? NO_SPAN;
    const previous = this.#previousSpan[span] ?? NO_SPAN;
    if (next !== NO_SPAN) this.#previousSpan[next] = previous;
    if (previous !== NO_SPAN) this.#nextSpan[previous] = next;
    else this.#firstSpan[this.#sizeClass[span] ?? 0] = next;
  }
}

/** Returns the position of a cell in its buffer of bytes. */
export function byteBase(address: number): number {
  return (address & UNIT_MASK) << 3;
}

/** Returns the position of a cell in its buffer of words. */
export function wordBase(address: number): number {
  return (address & UNIT_MASK) << 1;
}

/** Returns the position of a cell in its buffer of floats. */
export function floatBase(address: number): number {
  return address & UNIT_MASK;
}

function spanBytesOf(size: number): number {
  return size > MAX_SMALL_CELL_BYTES ? SMALL_SPAN_BYTES * LARGE_SPAN_FACTOR : SMALL_SPAN_BYTES;
}

function spansIn(isLarge: boolean): number {
  return isLarge ? SPANS_PER_REGION / LARGE_SPAN_FACTOR : SPANS_PER_REGION;
}

function grown<T extends Uint8Array | Uint16Array | Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
