/**
 * Removes segments that the log has left behind, oldest first, each durably before the next: of several removals a
 * crash may keep the later and lose the earlier, and a log with a gap is refused.
 */
import type { Disk } from "./disk.ts";
import { segmentName } from "./segment.ts";

/** Segments to be removed. Those who read the log may need them until they are done, and put the removal off. */
export class SegmentRemoval {
  readonly #disk: Disk;
  readonly #directory: string;
  #waiting: number[] = [];
  #readers = 0;

  constructor(options: { readonly disk: Disk; readonly directory: string }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
  }

  /** Adds segments, oldest first, that nothing refers to any more but readers that are under way. */
  add(numbers: readonly number[]): void {
    this.#waiting.push(...numbers);
  }

  /** Somebody begins to read the log. */
  readerCame(): void {
    this.#readers += 1;
  }

  /** Somebody is done with it. */
  readerWent(): void {
    this.#readers -= 1;
  }

  /** Removes what waits, unless somebody reads. Throws what the disk throws. */
  run(): void {
    if (this.#readers > 0) return;
    for (let number = this.#waiting[0]; number !== undefined; number = this.#waiting[0]) {
      this.#disk.remove(`${this.#directory}/${segmentName(number)}`);
      this.#disk.syncDirectory(this.#directory);
      this.#waiting.shift();
    }
  }
}
