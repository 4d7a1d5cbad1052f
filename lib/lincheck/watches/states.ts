/** The states of keys between the changes that are known. */
import { partitionPoint } from "../bounds.ts";
import { type Cell, type Changes, entryAfterCell } from "./changes.ts";
import type { Coverage } from "./coverage.ts";
import type { KnownEntry } from "./effects.ts";

/** A key as it was known to be from a revision on. */
export interface KnownState {
  readonly revision: number;
  readonly entry: KnownEntry | null;
  /** Whether nothing can have changed it between that revision and the one that was asked for. */
  readonly isCurrent: boolean;
}

/** The states of all keys. */
export class KeyStates {
  readonly #coverage: Coverage;
  readonly #cells: ReadonlyMap<string, readonly Cell[]>;

  /** Reads the changes, to which none may be added afterwards. */
  constructor(changes: Changes, coverage: Coverage) {
    this.#coverage = coverage;
    this.#cells = changes.byKey();
  }

  /** The keys that were changed. */
  get keys(): Iterable<string> {
    return this.#cells.keys();
  }

  /** Returns the known changes of a key, in the order of revisions. */
  cellsOf(key: string): readonly Cell[] {
    return this.#cells.get(key) ?? [];
  }

  /** Returns the last state of a key up to a revision; null where none is known. O(log n). */
  at(key: string, revision: number): KnownState | null {
    const cells = this.cellsOf(key);
    const cell = cells[partitionPoint(cells, (each) => each.revision <= revision) - 1];
    const entry = cell === undefined ? undefined : entryAfterCell(cell);
    if (cell === undefined || entry === undefined) return null;
    const isCurrent = this.#coverage.isContinuous(key, { after: cell.revision, before: revision + 1 });
    return { revision: cell.revision, entry, isCurrent };
  }
}
