/** The allocator: cells do not overlap, freed ones are reused, and empty regions are given back. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  byteBase,
  cellBytes,
  CellHeap,
  FREE_TAG,
  MAX_CELL_BYTES,
  wordBase,
} from "../../../../lib/kv/pages/cell_heap.ts";
import { InvariantError } from "../../../../lib/platform/assert.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";

const REGION_BYTES = 2_097_152;

/** Allocates a cell and writes a tag, as an owner does. */
function allocate(heap: CellHeap, bytes: number): number {
  const cell = heap.allocate(bytes);
  heap.wordsOf(cell)[wordBase(cell)] = 1;
  return cell;
}

Deno.test("a cell is at least as large as asked for, and at most 15 bytes or a sixteenth larger", () => {
  for (let bytes = 1; bytes <= MAX_CELL_BYTES; bytes++) {
    const size = cellBytes(bytes);
    assert(size >= bytes && size <= bytes + Math.max(15, bytes / 16 + 16), `${size} for ${bytes}`);
  }
  assertEquals(cellBytes(4_096), 4_096);
});

Deno.test("cells of all sizes keep what is written to them while others come and go", () => {
  const heap = new CellHeap();
  const random = new SeededRandom(3);
  const cells = new Map<number, { readonly bytes: number; readonly fill: number }>();
  for (let round = 0; round < 20_000; round++) {
    const bytes = 16 + Math.floor(random.next() ** 4 * 20_000);
    const cell = allocate(heap, bytes);
    assert(!cells.has(cell));
    const fill = random.below(256);
    heap.bytesOf(cell).fill(fill, byteBase(cell) + 4, byteBase(cell) + bytes);
    cells.set(cell, { bytes, fill });
    if (cells.size < 800) continue;
    const [freed] = [...cells.keys()].slice(random.below(800));
    assert(freed !== undefined);
    const its = cells.get(freed);
    const written = heap.bytesOf(freed).subarray(byteBase(freed) + 4, byteBase(freed) + (its?.bytes ?? 0));
    assert(written.every((byte) => byte === its?.fill), "no other cell overlaps");
    heap.free(freed);
    cells.delete(freed);
  }
  heap.check();
});

Deno.test("a store that is overwritten reuses its cells: the heap does not grow", () => {
  const heap = new CellHeap();
  const cells = Array.from({ length: 10_000 }, () => allocate(heap, 300));
  const { regionBytes } = heap.usage;
  for (let round = 0; round < 100_000; round++) {
    const position = round * 7_919 % cells.length;
    const old = cells[position] ?? 0;
    cells[position] = allocate(heap, 300);
    heap.free(old);
  }
  assertEquals(heap.usage.regionBytes, regionBytes);
  assertEquals(heap.usage.liveBytes, 10_000 * 304);
});

Deno.test("regions without cells are given back, but for one", () => {
  const heap = new CellHeap();
  const cells = Array.from({ length: 40_000 }, () => allocate(heap, 300));
  assertEquals(heap.usage.regionBytes, 6 * REGION_BYTES);
  for (const cell of cells) heap.free(cell);
  assertEquals(heap.usage, { liveBytes: 0, spanBytes: 65_536, regionBytes: REGION_BYTES });
  for (let round = 0; round < 40_000; round++) allocate(heap, 300);
  assertEquals(heap.usage.regionBytes, 6 * REGION_BYTES);
  heap.check();
});

Deno.test("a cell is freed once, and a freed one has the free tag", () => {
  const heap = new CellHeap();
  const cell = allocate(heap, 100);
  const other = allocate(heap, 100);
  heap.free(cell);
  assertEquals(heap.tagOf(cell), FREE_TAG);
  assertThrows(() => heap.free(cell), InvariantError, "is freed once");
  assertThrows(() => heap.free(0), InvariantError, "is freed once");
  assertEquals(heap.tagOf(other), 1);
  heap.wordsOf(cell)[wordBase(cell)] = 1;
  assertThrows(() => heap.allocate(100), InvariantError, "a cell of the list of free cells is free");
});

Deno.test("a span that is drained takes no more cells, and ends with its last one", () => {
  const heap = new CellHeap();
  const cells = Array.from({ length: 64 * 3 }, () => allocate(heap, 1_024));
  const [first, ...rest] = cells.slice(0, 60);
  assert(first !== undefined);
  assertEquals(heap.drain(first), false, "more than half of the span is in use");
  const [second] = cells.slice(64);
  heap.free(second ?? 0); // A span with a free cell to allocate from.
  for (const cell of rest) heap.free(cell);
  heap.free(cells[65] ?? 0);
  const before = heap.usage.spanBytes;
  const isDrained = heap.drain(first);
  const moved = allocate(heap, 1_024);
  if (isDrained) {
    assert(Math.abs(moved - first) * 8 >= 65_536 || moved >>> 13 !== first >>> 13, "not in the drained span");
    for (const cell of cells.slice(60, 64)) heap.free(cell);
    heap.free(first);
    assertEquals(heap.usage.spanBytes, before - 65_536);
  }
  heap.check();
});
