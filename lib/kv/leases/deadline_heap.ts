/**
 * A priority queue of deadlines, each with the id of its lease: a binary heap in two columns of numbers, so that the
 * garbage collector has nothing to visit.
 */

const MIN_CAPACITY = 64;

/** A binary heap, ordered by deadline and id. */
export class DeadlineHeap {
  #deadlines = new Float64Array(MIN_CAPACITY);
  #ids = new Float64Array(MIN_CAPACITY);
  #size = 0;

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** The lowest deadline; only of a heap that is not empty. */
  get firstDeadlineMs(): number {
    return this.#deadlines[0] ?? 0;
  }

  /** The lowest id of those with the lowest deadline; only of a heap that is not empty. */
  get firstId(): number {
    return this.#ids[0] ?? 0;
  }

  /** Adds an entry. O(log n). */
  push(deadlineMs: number, leaseId: number): void {
    if (this.#size === this.#ids.length) this.#grow();
    let position = this.#size++;
    while (position > 0) {
      const parent = (position - 1) >>> 1;
      if (!this.#isLess(deadlineMs, leaseId, parent)) break;
      this.#move(parent, position);
      position = parent;
    }
    this.#deadlines[position] = deadlineMs;
    this.#ids[position] = leaseId;
  }

  /** Removes the first entry; only of a heap that is not empty. O(log n). */
  pop(): void {
    this.#size--;
    const deadlineMs = this.#deadlines[this.#size] ?? 0;
    const leaseId = this.#ids[this.#size] ?? 0;
    let position = 0;
    for (;;) {
      let child = position * 2 + 1;
      if (child >= this.#size) break;
      const right = child + 1;
      if (right < this.#size && this.#isLess(this.#deadlines[right] ?? 0, this.#ids[right] ?? 0, child)) {
        child = right;
      }
      if (this.#isLess(deadlineMs, leaseId, child)) break;
      this.#move(child, position);
      position = child;
    }
    this.#deadlines[position] = deadlineMs;
    this.#ids[position] = leaseId;
  }

  /** Removes all entries. */
  clear(): void {
    this.#size = 0;
  }

  /** Whether a deadline and id come before those at a position. */
  #isLess(deadlineMs: number, leaseId: number, position: number): boolean {
    const other = this.#deadlines[position] ?? 0;
    return deadlineMs < other || (deadlineMs === other && leaseId < (this.#ids[position] ?? 0));
  }

  #move(from: number, to: number): void {
    this.#deadlines[to] = this.#deadlines[from] ?? 0;
    this.#ids[to] = this.#ids[from] ?? 0;
  }

  #grow(): void {
    const [deadlines, ids] = [this.#deadlines, this.#ids];
    this.#deadlines = new Float64Array(ids.length * 2);
    this.#ids = new Float64Array(ids.length * 2);
    this.#deadlines.set(deadlines);
    this.#ids.set(ids);
  }
}
