/**
 * An allocator of cells in a few large buffers: tree pages and the versions of keys lie in it, out of the collector's
 * reach.
 *
 * A region is one ArrayBuffer of 2 MiB. It is divided into spans of 64 KiB (cells of at most 2 KiB) or 512 KiB
 * (larger cells), and all cells of a span have one size. A freed cell is reused by the next allocation of its size, so
 * a store that is overwritten does not grow and nothing needs to move; an empty span serves any size, and an empty
 * region is given back.
 *
 * An address counts units of 8 bytes and is never 0. The first word of a cell belongs to its owner, who writes a tag
 * other than {@link FREE_TAG} into its low byte: freeing a cell twice, or reading a freed one, is an assertion.
 */
import { assert, InvariantError } from "../../platform/assert.ts";

/** In the first word of a cell that is not in use. */
export const FREE_TAG = 0xff;
/** Bytes of the largest cell. */
export const MAX_CELL_BYTES = 32_768;
/** Bytes of a tree page, which is a cell with a size of its own so that pages are aligned. */
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
/** Cells above this lie in large spans, so that little of a span's end is wasted. */
const MAX_SMALL_CELL_BYTES = 2_048;
/** Up to here a cell is at most 7 bytes larger than what was asked for, above at most one part in sixteen. */
const MAX_EXACT_BYTES = 512;
/** 32 GiB: what addresses of 32 bits reach. */
const MAX_REGIONS = 16_384;
const NO_SPAN = -1;
/** Regions are drained when they take this many times as much memory as the cells in use, and a little more. */
const MAX_WASTE = 1.25;
const SLACK_BYTES = 8_388_608;
/** So many times as much is left to them then. */
const DRAINED_WASTE = 1.1;

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Uint32Array(0);
const NO_FLOATS = new Float64Array(0);

/** Sizes of cells in ascending order; the first place is not used, since 0 stands for a span without a size. */
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

/** By size in units of 8 bytes, rounded up: the class of the cell that holds it. */
const CLASS_OF: Uint8Array = (() => {
  let sizeClass = 1;
  return Uint8Array.from({ length: MAX_CELL_BYTES / 8 + 1 }, (_, units) => {
    while ((CLASS_BYTES[sizeClass] ?? MAX_CELL_BYTES) < units * 8) sizeClass++;
    return sizeClass;
  });
})();

/** By class: cells in a span. */
const CAPACITY: Uint16Array = Uint16Array.from(
  CLASS_BYTES,
  (bytes) => bytes === 0 ? 0 : Math.floor(spanBytesOf(bytes) / bytes),
);

/** Bytes of the cell that an allocation of `bytes` gets. */
export function cellBytes(bytes: number): number {
  return CLASS_BYTES[CLASS_OF[(bytes + 7) >>> 3] ?? 0] ?? 0;
}

/** What a heap holds, in bytes. */
export interface HeapUsage {
  /** Cells in use. */
  readonly liveBytes: number;
  /** Spans with a cell in use, and at most one empty span a size. */
  readonly spanBytes: number;
  /** All regions; what was never written to in them takes no memory. */
  readonly regionBytes: number;
}

/**
 * The cells of one store.
 *
 * Invariants: a span of a size is in the list of that size exactly while it has a free cell and its region takes cells;
 * `used` counts its cells in use; a span without a size is empty.
 */
export class CellHeap {
  /** The buffers by region, three views of each. Region 0 is empty, so that no address is 0. */
  readonly #bytes: Uint8Array[] = [NO_BYTES];
  readonly #words: Uint32Array[] = [NO_WORDS];
  readonly #floats: Float64Array[] = [NO_FLOATS];
  /** By region: whether its spans are large, and how many have no size. */
  readonly #isLarge: boolean[] = [false];
  readonly #emptySpans: number[] = [0];
  /** By region: bytes of its cells in use, and whether it takes no more of them. */
  readonly #usedBytes: number[] = [0];
  readonly #isDraining: boolean[] = [false];
  /** By span. */
  #sizeClass = new Uint8Array(SPANS_PER_REGION);
  #used = new Uint16Array(SPANS_PER_REGION);
  /** Cells from this position on were never used. */
  #fresh = new Uint16Array(SPANS_PER_REGION);
  #freeCell = new Uint32Array(SPANS_PER_REGION);
  #nextSpan = new Int32Array(SPANS_PER_REGION);
  #previousSpan = new Int32Array(SPANS_PER_REGION);
  /** By size: the first span with a free cell. */
  readonly #firstSpan = new Int32Array(CLASS_BYTES.length).fill(NO_SPAN);
  #liveBytes = 0;
  #spanBytes = 0;
  #regions = 0;

  /** What the heap holds now. */
  get usage(): HeapUsage {
    return {
      liveBytes: this.#liveBytes,
      spanBytes: this.#spanBytes,
      regionBytes: this.#regions * REGION_BYTES,
    };
  }

  /** The buffer in which the cell lies, as bytes; see {@link byteBase}. */
  bytesOf(address: number): Uint8Array {
    return this.#bytes[address >>> REGION_SHIFT] ?? NO_BYTES;
  }

  /** The buffer in which the cell lies, as words of 4 bytes; see {@link wordBase}. */
  wordsOf(address: number): Uint32Array {
    return this.#words[address >>> REGION_SHIFT] ?? NO_WORDS;
  }

  /** The buffer in which the cell lies, as floats of 8 bytes; see {@link floatBase}. */
  floatsOf(address: number): Float64Array {
    return this.#floats[address >>> REGION_SHIFT] ?? NO_FLOATS;
  }

  /** The tag that the owner of a cell wrote, or {@link FREE_TAG}. */
  tagOf(address: number): number {
    return (this.wordsOf(address)[wordBase(address)] ?? FREE_TAG) & 0xff;
  }

  /** Returns the address of a cell of at least `bytes`, 16 … {@link MAX_CELL_BYTES}. What is in it is not defined. */
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

  /** Gives a cell back. */
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
    // The only span of a size stays, so that one cell that comes and goes does not open a span each time.
    const isOnly = !isDraining && this.#firstSpan[sizeClass] === span && this.#nextSpan[span] === NO_SPAN;
    if (!isOnly) this.#endSpan(span, sizeClass);
  }

  /** Whether regions take much more memory than the cells in use. */
  get isWasteful(): boolean {
    return this.#regions * REGION_BYTES > this.#liveBytes * MAX_WASTE + SLACK_BYTES;
  }

  /**
   * Chooses the emptiest regions, as many as the cells in use could do without: they take no more cells from then on, so
   * that moving their cells away gives them back. Returns how many there are.
   */
  drain(): number {
    let spare = Math.floor((this.#regions * REGION_BYTES - this.#liveBytes * DRAINED_WASTE) / REGION_BYTES);
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
      if (this.#emptySpans[region] === spansIn(this.#isLarge[region] === true)) this.#removeRegion(region);
    }
    return draining;
  }

  /** Whether a cell lies in a region that takes no more cells. */
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
    // Without this the memory would stay until the collector's next full pass, which nothing else may call for.
    const { buffer } = this.#bytes[region] ?? NO_BYTES;
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
    assert(region < MAX_REGIONS, "a store takes at most 32 GiB");
    const buffer = new ArrayBuffer(REGION_BYTES);
    this.#bytes[region] = new Uint8Array(buffer);
    this.#words[region] = new Uint32Array(buffer);
    this.#floats[region] = new Float64Array(buffer);
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
   * Adds a span to the list of its size: as the first, or behind the first if that lies lower. So lower spans fill, and
   * higher ones become empty when fewer cells are in use than once were.
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

  #unlink(span: number): void {
    const next = this.#nextSpan[span] ?? NO_SPAN;
    const previous = this.#previousSpan[span] ?? NO_SPAN;
    if (next !== NO_SPAN) this.#previousSpan[next] = previous;
    if (previous !== NO_SPAN) this.#nextSpan[previous] = next;
    else this.#firstSpan[this.#sizeClass[span] ?? 0] = next;
  }
}

/** Where a cell begins in its buffer of bytes. */
export function byteBase(address: number): number {
  return (address & UNIT_MASK) << 3;
}

/** Where a cell begins in its buffer of words. */
export function wordBase(address: number): number {
  return (address & UNIT_MASK) << 1;
}

/** Where a cell begins in its buffer of floats. */
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
