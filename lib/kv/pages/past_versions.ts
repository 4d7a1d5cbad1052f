/**
 * The versions of keys as of a past revision.
 *
 * A version has the address of the one before it, so a search begins at the newest version of its key and goes back. For
 * a key that changes often that would take long, so after {@link CHAIN_STEPS} versions the search also reads the events
 * after the revision, in their order: the first one of the key has the wanted version as its previous one, and it comes
 * soon if the key changes often. The search takes as many steps as the shorter of both.
 */
import type { EventRange } from "./event_log.ts";
import type { Records } from "./records.ts";
import type { TreeCursor } from "./tree_pages.ts";

/** Versions that a search goes back before it reads events, too. */
const CHAIN_STEPS = 32;

/** Searches in the versions and events of a store. The store must not change while it is used. */
export class PastVersions {
  /** Number of versions and events that all searches together have read: a measure of their time. */
  looked = 0;
  readonly #records: Records;
  readonly #events: EventRange;
  /** Number of the first event above the compacted revision. */
  readonly #firstEvent: number;

  /** Makes searches, which have read nothing yet. */
  constructor(records: Records, events: EventRange, firstEvent: number) {
    this.#records = records;
    this.#events = events;
    this.#firstEvent = firstEvent;
  }

  /**
   * Returns the last version of a key up to a revision, or 0; `newest` is its newest version. It may be a tombstone.
   * The revision is not below the compacted one.
   */
  upTo(newest: number, revision: number): number {
    // A version above the revision is above the compacted one too, so its previous version is not freed.
    let version = newest;
    for (let step = 0; step < CHAIN_STEPS; step++) {
      this.looked++;
      if (version === 0 || this.#records.modRevision(version) <= revision) return version;
      version = this.#records.previous(version);
    }
    return this.#meet(version, revision);
  }

  /** Goes back from `version`, and forward from the first event above the revision, until one of both ends. */
  #meet(version: number, revision: number): number {
    const records = this.#records;
    const key = records.key(version);
    let back = version;
    let event = this.#events.seek(revision + 1, this.#firstEvent);
    for (;;) {
      this.looked += 2;
      if (back === 0 || records.modRevision(back) <= revision) return back;
      // The key has a version above the revision, `back`, so it has an event there.
      const changed = this.#events.address(event);
      if (records.compare(key, changed, 0) === 0) return records.previous(changed);
      back = records.previous(back);
      event++;
    }
  }
}

/** The range of a {@link PastCursor}. */
interface PastRange {
  readonly revision: number;
  /** Over the present versions. */
  readonly present: TreeCursor;
  /** Over the tombstones of deleted keys, in the same direction; null if the revision is the present one. */
  readonly deleted: TreeCursor | null;
  readonly reverse: boolean;
}

/** A cursor over the versions as of a revision, in key order. The store must not change while it is used. */
export class PastCursor {
  readonly #records: Records;
  readonly #versions: PastVersions;
  readonly #range: PastRange;
  /** Newest version of the next key in each of both trees; 0 at the end. */
  #nextPresent: number;
  #nextDeleted: number;
  #last = 0;

  /** Makes a cursor before the first version of the range. */
  constructor(records: Records, versions: PastVersions, range: PastRange) {
    this.#records = records;
    this.#versions = versions;
    this.#range = range;
    this.#nextPresent = range.present.next();
    this.#nextDeleted = range.deleted?.next() ?? 0;
  }

  /** Number of versions and events that were read. */
  get looked(): number {
    return this.#versions.looked;
  }

  /** Whether there is no further key, whether present as of the revision or not. */
  get isAtEnd(): boolean {
    return this.#nextPresent === 0 && this.#nextDeleted === 0;
  }

  /** Some version of the last key that was looked at, present as of the revision or not; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** Returns the next version; 0 at the end, and when {@link looked} has reached `limit`. */
  next(limit = Infinity): number {
    while (!this.isAtEnd && this.looked < limit) {
      this.#last = this.#takeKey();
      const version = this.#versions.upTo(this.#last, this.#range.revision);
      if (version !== 0 && this.#records.isPut(version)) return version;
    }
    return 0;
  }

  /** Returns the newest version of the next key of both trees. No key is in both. */
  #takeKey(): number {
    const [present, deleted] = [this.#nextPresent, this.#nextDeleted];
    const direction = this.#range.reverse ? -1 : 1;
    const isPresent = deleted === 0 ||
      (present !== 0 && this.#records.compare(this.#records.key(present), deleted, 0) * direction < 0);
    if (isPresent) this.#nextPresent = this.#range.present.next();
    else this.#nextDeleted = this.#range.deleted?.next() ?? 0;
    return isPresent ? present : deleted;
  }
}
