/**
 * The times of the last batches that a node wrote to its log: when each was written, how long its sync took, and when a
 * majority had it. By them a slow write is explained once it is answered; a fast one costs nothing here.
 */
import { assert } from "../../platform/assert.ts";
import { microsBetween } from "../metrics/metrics.ts";

/**
 * Batches that are remembered. Those that matter are not applied yet, and 1,024 writes may wait for that: older ones are
 * needed only while their entries are many turns of work.
 */
export const REMEMBERED_BATCHES = 1_024;
/** Half the range of {@link microsBetween}: a greater difference is that from a time which came before. */
const MAX_MICROS = 2 ** 29;
const NOT_YET = -1;

/** Where the time of a write went that was proposed here: consecutive parts, in microseconds. */
export interface WriteParts {
  /** Until it was written to the log of this node: the sync before it had to end. */
  readonly queued: number;
  /** The sync of this node, as far as the commit waited for it. */
  readonly sync: number;
  /** From then on until a majority had it. */
  readonly majority: number;
  /** From then on until it was applied: the entries before it had to be. */
  readonly apply: number;
}

/** The times of the last batches, in a ring without objects. Times are those of `Metrics.micros`. */
export class BatchTimes {
  readonly #firstIndex = new Float64Array(REMEMBERED_BATCHES);
  readonly #lastIndex = new Float64Array(REMEMBERED_BATCHES);
  readonly #appendedAt = new Int32Array(REMEMBERED_BATCHES);
  /** Microseconds of the sync; NOT_YET before its end. */
  readonly #syncTook = new Int32Array(REMEMBERED_BATCHES);
  readonly #committedAt = new Int32Array(REMEMBERED_BATCHES);
  /** Number of all batches, and of those that are known to be committed: their positions modulo the ring. */
  #batches = 0;
  #committed = 0;
  #commitIndex = 0;
  #lastCommitAt = 0;

  /** Notes that entries were written; they replace those from `firstIndex` on. */
  appended(firstIndex: number, lastIndex: number, at: number): void {
    assert(firstIndex <= lastIndex, "a batch has entries");
    this.#discardFrom(firstIndex);
    const slot = slotOf(this.#batches);
    this.#batches += 1;
    this.#committed = Math.max(this.#committed, this.#batches - REMEMBERED_BATCHES);
    this.#firstIndex[slot] = firstIndex;
    this.#lastIndex[slot] = lastIndex;
    this.#appendedAt[slot] = at;
    this.#syncTook[slot] = NOT_YET;
    this.#committedAt[slot] = NOT_YET;
  }

  /** Notes that the sync of the last batch ended. A sync without entries has no batch. */
  synced(tookMicros: number): void {
    const slot = slotOf(this.#batches - 1);
    if (this.#batches > 0 && this.#syncTook[slot] === NOT_YET) this.#syncTook[slot] = tookMicros;
  }

  /** Notes that the entries up to `commitIndex` are committed. */
  committed(commitIndex: number, at: number): void {
    if (commitIndex <= this.#commitIndex) return;
    this.#commitIndex = commitIndex;
    this.#lastCommitAt = at;
    while (this.#committed < this.#batches) {
      const slot = slotOf(this.#committed);
      if ((this.#lastIndex[slot] ?? 0) > commitIndex) return;
      this.#committedAt[slot] = at;
      this.#committed += 1;
    }
  }

  /**
   * Returns where the time of the write at `index` went, from `begin` on until now, which is `elapsed` later; null if its
   * batch is forgotten. Parts that were over at `begin` are 0, and the part that has not ended takes the rest.
   */
  partsOf(
    index: number,
    { begin, elapsed }: { readonly begin: number; readonly elapsed: number },
  ): WriteParts | null {
    if (index > this.#newestIndex) return { queued: elapsed, sync: 0, majority: 0, apply: 0 };
    const slot = this.#find(index);
    if (slot === null) return null;
    const since = (at: number): number => {
      const micros = microsBetween(begin, at);
      return micros > MAX_MICROS ? 0 : micros;
    };
    const appendedAt = this.#appendedAt[slot] ?? 0;
    const syncTook = this.#syncTook[slot] ?? NOT_YET;
    const committedAt = this.#commitOf(slot, index);
    const appended = Math.min(elapsed, since(appendedAt));
    const synced = syncTook === NOT_YET ? Infinity : since(appendedAt + syncTook);
    const committed = committedAt === null ? elapsed : Math.min(elapsed, since(committedAt));
    // Where a majority of the other nodes had it first, nothing waited for the sync of this one.
    const isAwaited = committedAt === null || synced <= since(committedAt);
    const sync = isAwaited ? Math.min(committed, synced) - appended : 0;
    return { queued: appended, sync, majority: committed - appended - sync, apply: elapsed - committed };
  }

  get #newestIndex(): number {
    return this.#batches === 0 ? 0 : this.#lastIndex[slotOf(this.#batches - 1)] ?? 0;
  }

  /** Returns when an entry was committed, or null: with its batch, or at the last commit, if that ended within the batch. */
  #commitOf(slot: number, index: number): number | null {
    const at = this.#committedAt[slot] ?? NOT_YET;
    if (at !== NOT_YET) return at;
    return index <= this.#commitIndex ? this.#lastCommitAt : null;
  }

  #find(index: number): number | null {
    const oldest = Math.max(0, this.#batches - REMEMBERED_BATCHES);
    for (let batch = this.#batches - 1; batch >= oldest; batch--) {
      const slot = slotOf(batch);
      if ((this.#lastIndex[slot] ?? 0) < index) return null;
      if ((this.#firstIndex[slot] ?? 0) <= index) return slot;
    }
    return null;
  }

  /** Forgets the batches of entries that are replaced: a new leader had others. */
  #discardFrom(firstIndex: number): void {
    const oldest = Math.max(0, this.#batches - REMEMBERED_BATCHES);
    while (this.#batches > oldest) {
      const slot = slotOf(this.#batches - 1);
      if ((this.#lastIndex[slot] ?? 0) < firstIndex) return;
      if ((this.#firstIndex[slot] ?? 0) < firstIndex) {
        this.#lastIndex[slot] = firstIndex - 1;
        return;
      }
      this.#batches -= 1;
      this.#committed = Math.min(this.#committed, this.#batches);
    }
  }
}

function slotOf(batch: number): number {
  return batch % REMEMBERED_BATCHES;
}
