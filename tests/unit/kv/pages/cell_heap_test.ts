/** The allocator: cells do not overlap, freed ones are reused, and empty regions are released. */
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

Deno.test("CellHeap: a cell is at least as large as requested, and at most 7 bytes or a sixteenth larger", () => {
  for (let bytes = 1; bytes <= MAX_CELL_BYTES; bytes++) {
    const size = cellBytes(bytes);
    assert(
      size >= bytes && size <= bytes + (bytes <= 512 ? Math.max(7, 16 - bytes) : bytes / 16 + 16),
      `${size} for ${bytes}`,
    );
  }
  assertEquals(cellBytes(4_096), 4_096);
});

Deno.test("CellHeap: cells of all sizes keep their content while others are allocated and freed", () => {
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

Deno.test("CellHeap: overwriting reuses the freed cells: the heap does not grow", () => {
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

Deno.test("CellHeap: regions without cells are released, except one", () => {
  const heap = new CellHeap();
  const cells = Array.from({ length: 40_000 }, () => allocate(heap, 300));
  assertEquals(heap.usage.regionBytes, 6 * REGION_BYTES);
  for (const cell of cells) heap.free(cell);
  assertEquals(heap.usage, { liveBytes: 0, spanBytes: 65_536, regionBytes: REGION_BYTES });
  for (let round = 0; round < 40_000; round++) allocate(heap, 300);
  assertEquals(heap.usage.regionBytes, 6 * REGION_BYTES);
  heap.check();
});

Deno.test("CellHeap: a region's buffer is longer than every released one, so that the C library maps it directly", () => {
  const heap = new CellHeap();
  const longestOf = (cells: readonly number[]): number =>
    Math.max(...cells.map((cell) => heap.bytesOf(cell).buffer.byteLength));
  for (let round = 0; round < 3; round++) {
    const cells = Array.from({ length: 40_000 }, () => allocate(heap, 300));
    const longest = longestOf(cells);
    for (const cell of cells) heap.free(cell);
    const again = Array.from({ length: 40_000 }, () => allocate(heap, 300));
    // The region that was not released has its earlier buffer.
    const shorter = again.filter((cell) => heap.bytesOf(cell).buffer.byteLength <= longest);
    assertEquals(new Set(shorter.map((cell) => heap.bytesOf(cell).buffer)).size, 1);
    for (const cell of again) heap.free(cell);
  }
});

Deno.test("CellHeap: a cell is freed once, and a freed one has the free tag", () => {
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

Deno.test("CellHeap: the emptiest regions are drained: they allocate no more cells, and are released with their last one", () => {
  const heap = new CellHeap();
  const cells = Array.from({ length: 80_000 }, () => allocate(heap, 300));
  const before = heap.usage.regionBytes;
  assertEquals([heap.isFragmented, heap.drain()], [false, 0]);
  // Of the second half one cell in ten is left.
  const kept = cells.filter((cell, position) => {
    const isKept = position < 40_000 || position % 10 === 0;
    if (!isKept) heap.free(cell);
    return isKept;
  });
  assertEquals(heap.isFragmented, true);
  const drained = heap.drain();
  assert(drained >= 4, `${drained} regions`);
  heap.check();
  for (const cell of kept.filter((cell) => heap.isDraining(cell))) {
    assertEquals(heap.isDraining(allocate(heap, 300)), false);
    heap.free(cell);
  }
  heap.check();
  assertEquals(heap.usage.regionBytes, before - drained * REGION_BYTES);
  assertEquals(heap.isFragmented, false);
});
