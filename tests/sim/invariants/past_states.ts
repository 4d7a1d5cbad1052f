/**
 * A check of reads at past revisions: what each revision changed, noted from the applied transactions, against the
 * history of every node.
 */
import { assert } from "@std/assert";
import { equals } from "@std/bytes";
import { attachmentOf, type KeyValue } from "../../../lib/kv/mod.ts";
import { compareKeys, keyText } from "../../../lib/kv/keys.ts";
import type { StoreView } from "../../../lib/kv/pages/paged_store.ts";
import { SeededRandom } from "../../support/seeded_random.ts";

/** Revisions of one history that are read in full for each check, besides the lowest and the highest one. */
const REVISIONS_PER_CHECK = 2;

/** A version that a put or delete wrote. */
export interface Version {
  readonly key: Uint8Array;
  readonly revision: number;
  /** Null for a deletion. */
  readonly entry: KeyValue | null;
  /** The entry before it; null for an absent key. */
  readonly previous: KeyValue | null;
}

/** A change of one key. */
export interface KeyChange {
  readonly key: Uint8Array;
  /** Null for a deletion. */
  readonly value: Uint8Array | null;
  /** The lease and the time with which the key ends; 0 for none. */
  readonly leaseId: number;
  readonly expiresAtMs: number;
}

/** The states of all revisions. */
export class PastStates {
  /** All versions, in the order of writing. */
  readonly #versions: Version[] = [];
  /** The same by revision, from 1. */
  readonly #versionsAt: (readonly Version[])[] = [];
  /** The versions of each key, by the key's text. */
  readonly #versionsOf = new Map<string, Version[]>();
  /** The keys that ever existed, in byte order. */
  #keys: Uint8Array[] = [];
  /** Chooses what a check reads; the same in every run of a seed. */
  readonly #random = new SeededRandom(1);

  /** The newest revision. */
  get lastRevision(): number {
    return this.#versionsAt.length;
  }

  /** Returns what a revision wrote, in order; nothing for one of the future. */
  versionsAt(revision: number): readonly Version[] {
    return this.#versionsAt[revision - 1] ?? [];
  }

  /** Returns all keys as of a revision, in byte order. */
  entriesAt(revision: number): readonly KeyValue[] {
    return this.#keys.flatMap((key) => this.#entryAt(key, revision) ?? []);
  }

  /** Notes what a revision changed, in order; revisions ascend by one. A deletion of an absent key is no change. */
  note(revision: number, changes: readonly KeyChange[]): void {
    assert(revision === this.lastRevision + 1, "no revision is left out");
    const versions: Version[] = [];
    this.#versionsAt.push(versions);
    for (const { key, value, leaseId, expiresAtMs } of changes) {
      const before = this.#entryAt(key, revision);
      if (value === null && before === null) continue;
      const entry = value === null ? null : {
        key,
        value,
        createRevision: before?.createRevision ?? revision,
        modRevision: revision,
        version: (before?.version ?? 0) + 1,
        ...attachmentOf(leaseId, expiresAtMs),
      };
      const version = { key, revision, entry, previous: before };
      versions.push(version);
      this.#append(version);
    }
  }

  /**
   * Returns how the history of a store differs from what was noted, as a sentence; null if it does not. Reads the events
   * and the states as of a few revisions: single keys, the whole range in both directions, and a part of it.
   */
  difference(view: StoreView): string | null {
    const { compactedRevision: lowest, revision: highest } = view;
    const revisions = new Set([lowest, highest]);
    for (let i = 0; i < REVISIONS_PER_CHECK; i++) {
      revisions.add(lowest + this.#random.below(highest - lowest + 1));
    }
    for (const revision of revisions) {
      const difference = this.#differenceOfKeys(view, revision) ?? this.#differenceOfScans(view, revision);
      if (difference !== null) return `as of revision ${revision}, ${difference}`;
    }
    if (lowest === highest) return null;
    const first = lowest + 1 + this.#random.below(highest - lowest);
    return this.#differenceOfEvents(view, lowest + 1) ?? this.#differenceOfEvents(view, first);
  }

  #append(version: Version): void {
    const text = keyText(version.key);
    const versions = this.#versionsOf.get(text);
    if (versions === undefined) {
      this.#versionsOf.set(text, [version]);
      this.#keys = [...this.#keys, version.key].sort(compareKeys);
    } else versions.push(version);
    this.#versions.push(version);
  }

  #entryAt(key: Uint8Array, revision: number): KeyValue | null {
    const versions = this.#versionsOf.get(keyText(key));
    return versions?.findLast((version) => version.revision <= revision)?.entry ?? null;
  }

  #differenceOfKeys(view: StoreView, revision: number): string | null {
    for (const key of this.#keys) {
      const address = view.getAt(key, revision);
      const actual = address === 0 ? null : view.keyValue(address);
      const expected = this.#entryAt(key, revision);
      if (!isSame(actual, expected)) return differenceText(actual, expected);
    }
    return null;
  }

  #differenceOfScans(view: StoreView, revision: number): string | null {
    const present = this.entriesAt(revision);
    const bound = (): Uint8Array | null => this.#keys[this.#random.below(this.#keys.length + 1)] ?? null;
    const scans = [
      { lower: null, upper: null, reverse: false },
      { lower: null, upper: null, reverse: true },
      { lower: bound(), upper: bound(), reverse: this.#random.chance(0.5) },
    ];
    for (const { lower, upper, reverse } of scans) {
      const expected = present.filter(({ key }) =>
        (lower === null || compareKeys(key, lower) >= 0) && (upper === null || compareKeys(key, upper) < 0)
      );
      if (reverse) expected.reverse();
      const cursor = view.scanAt({ lower, upper, reverse }, revision);
      for (const each of [...expected, null]) {
        const address = cursor.next();
        const actual = address === 0 ? null : view.keyValue(address);
        if (!isSame(actual, each)) return `a scan returns: ${differenceText(actual, each)}`;
      }
    }
    return null;
  }

  #differenceOfEvents(view: StoreView, from: number): string | null {
    const { records } = view;
    const events = view.eventsFrom(from);
    const first = this.#versions.findIndex(({ revision }) => revision >= from);
    const end = this.#versions.findLastIndex(({ revision }) => revision <= view.revision) + 1;
    for (const expected of [...this.#versions.slice(first < 0 ? end : first, end), null]) {
      const address = events.next();
      if (address === 0 && expected === null) return null;
      const isRight = address !== 0 && expected !== null &&
        records.modRevision(address) === expected.revision && equals(records.key(address), expected.key) &&
        isSame(records.isPut(address) ? view.keyValue(address) : null, expected.entry);
      if (isRight) continue;
      const actual = address === 0
        ? "no event"
        : `an event of ${keyText(records.key(address))} at revision ${records.modRevision(address)}`;
      const wanted = expected === null
        ? "none"
        : `one of ${keyText(expected.key)} at revision ${expected.revision}`;
      return `the history from revision ${from} on has ${actual} in place of ${wanted}`;
    }
    return null;
  }
}

/** Returns whether two entries are the same in all fields. */
export function isSame(a: KeyValue | null, b: KeyValue | null): boolean {
  if (a === null || b === null) return a === b;
  return equals(a.key, b.key) && equals(a.value, b.value) && a.createRevision === b.createRevision &&
    a.modRevision === b.modRevision && a.version === b.version && a.leaseId === b.leaseId &&
    a.expiresAtMs === b.expiresAtMs;
}

function differenceText(actual: KeyValue | null, expected: KeyValue | null): string {
  return `${entryText(actual)} in place of ${entryText(expected)}`;
}

/** Returns an entry as messages show it. */
export function entryText(entry: KeyValue | null): string {
  if (entry === null) return "no key";
  const { key, value, createRevision, modRevision, version, leaseId, expiresAtMs } = entry;
  const attached = (leaseId === undefined ? "" : `, lease ${leaseId}`) +
    (expiresAtMs === undefined ? "" : `, until ${expiresAtMs}`);
  return `${keyText(key)} = ${
    keyText(value.subarray(0, 20))
  } (${createRevision}, ${modRevision}, ${version}${attached})`;
}
