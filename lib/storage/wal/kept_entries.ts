/** What recovery keeps of the entries it reads: the last ones, and the configurations behind the snapshot. */
import type { Entry } from "../../raft/types.ts";
import { entryRecordBytes } from "./record.ts";
import { SlabCopier } from "../../platform/slab.ts";

/** The last entries of the log, as many as fit the bound. */
export class EntryCache {
  readonly #limitBytes: number;
  readonly #copier = new SlabCopier();
  readonly #entries: Entry[] = [];
  #head = 0;
  #bytes = 0;

  /** `limitBytes`: bound of the bytes of their records. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Adds an entry, which overrides those at its index and above. Its data is copied. */
  add(entry: Entry): void {
    for (let last = this.#last(); last !== null && last.index >= entry.index; last = this.#last()) {
      this.#entries.pop();
      this.#bytes -= entryRecordBytes(last);
    }
    const { index, term, kind, data } = entry;
    this.#entries.push({ index, term, kind, data: this.#copier.copy(data) });
    this.#bytes += entryRecordBytes(entry);
    while (this.#bytes > this.#limitBytes) this.#dropFirst();
  }

  /** Those that are left, from `firstIndex` on. */
  entries(firstIndex: number): readonly Entry[] {
    return this.#entries.slice(this.#head).filter(({ index }) => index >= firstIndex);
  }

  #last(): Entry | null {
    return this.#entries.length > this.#head ? this.#entries.at(-1) ?? null : null;
  }

  #dropFirst(): void {
    const first = this.#entries[this.#head];
    if (first === undefined) return;
    this.#bytes -= entryRecordBytes(first);
    this.#head += 1;
    // Moved together now and then rather than at each drop, which would cost the whole array every time.
    if (this.#head * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/** A configuration entry of the log. */
export interface RecoveredConfiguration {
  readonly index: number;
  readonly data: Uint8Array;
}

/** The configuration entries behind a snapshot: without them a node that starts does not know who may decide. */
export class Configurations {
  readonly #behind: number;
  #kept: RecoveredConfiguration[] = [];

  /** `behind`: index of the snapshot, which has the configuration up to there. */
  constructor(behind: number) {
    this.#behind = behind;
  }

  /** Takes note of an entry, which overrides those at its index and above. Its data is copied. */
  add({ index, kind, data }: Entry): void {
    const last = this.#kept.at(-1);
    if (last !== undefined && last.index >= index) {
      this.#kept = this.#kept.filter((each) => each.index < index);
    }
    if (kind === "configuration" && index > this.#behind) this.#kept.push({ index, data: data.slice() });
  }

  /** Those that are left, in order. */
  all(): readonly RecoveredConfiguration[] {
    return this.#kept;
  }
}
