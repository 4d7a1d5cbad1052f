/**
 * Removes segments that the log has left behind, oldest first, each durably before the next: of several removals a
 * crash may keep the later and lose the earlier, and a log with a gap is refused.
 */
import { isOutOfDescriptors } from "../../platform/disk.ts";
import type { Disk } from "../../platform/disk.ts";
import { segmentName } from "./segment.ts";

/** Segments to be removed. Those who read the log may need them until they are done, and put the removal off. */
export class SegmentRemoval {
  readonly #disk: Disk;
  readonly #directory: string;
  #waiting: number[] = [];
  /** Whether the first of those that wait has lost its name, not yet durably. */
  #firstIsRemoved = false;
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

  /**
   * Removes what waits, unless entries are being read. What is left when no file descriptor is, is removed the next
   * time. Throws what else the disk throws.
   */
  run(): void {
    if (this.#readers > 0) return;
    try {
      for (let number = this.#waiting[0]; number !== undefined; number = this.#waiting[0]) {
        if (!this.#firstIsRemoved) this.#disk.remove(`${this.#directory}/${segmentName(number)}`);
        this.#firstIsRemoved = true;
        this.#disk.syncDirectory(this.#directory);
        this.#firstIsRemoved = false;
        this.#waiting.shift();
      }
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
    }
  }
}
