/**
 * The changes of a run by revision and key: what each watch showed of them, and what answers, previous values and resets
 * say about them.
 */
import { getOrMake } from "../bounds.ts";
import type { Effect, KnownEntry } from "./effects.ts";
import { entryAfter, type WatchedEntry, type WatchedRun, type WatchEvent } from "./record.ts";

/** The events by which one watch showed the changes of one key in one revision; there are several if it changed often. */
export interface Sighting {
  /** Position of the watch. */
  readonly watch: number;
  readonly receivedAt: number;
  readonly events: readonly WatchEvent[];
}

/** The source of a statement. */
export type Source =
  | { readonly kind: "operation"; readonly operation: number }
  /** A previous value or an entry of a reset that a watch showed. */
  | { readonly kind: "watch"; readonly watch: number };

/** A statement on how a revision left a key that it changed. */
export interface Claim {
  readonly source: Source;
  readonly entry: KnownEntry | null;
}

/** The changes of one key in one revision. */
export interface Cell {
  readonly revision: number;
  readonly key: string;
  readonly sightings: Sighting[];
  /** One of the sightings that is by a watch without a filter, so that it has every event; null for none. */
  complete: Sighting | null;
  readonly claims: Claim[];
}

/** All changes that are known of a run. */
export class Changes {
  readonly #cells = new Map<number, Map<string, Cell>>();

  /** Reads what the watches of a run showed. */
  constructor({ watches }: WatchedRun) {
    for (const [watch, { notices, only }] of watches.entries()) {
      for (const notice of notices) {
        if (notice.kind === "events") this.#noteEvents(watch, { ...notice, isComplete: only === null });
        if (notice.kind !== "reset") continue;
        for (const { key, ...entry } of notice.entries) {
          this.#claim({ key, entry }, { source: { kind: "watch", watch }, revision: entry.modRevision });
        }
      }
    }
  }

  /** The revisions with changes, in ascending order. */
  get revisions(): readonly number[] {
    return [...this.#cells.keys()].sort((a, b) => a - b);
  }

  /** Returns the changes of a revision, in the order in which they were noted. */
  at(revision: number): readonly Cell[] {
    return [...this.#cells.get(revision)?.values() ?? []];
  }

  /** Returns the changes by key, those of each key in the order of revisions. */
  byKey(): ReadonlyMap<string, readonly Cell[]> {
    const cells = new Map<string, Cell[]>();
    for (const revision of this.revisions) {
      for (const cell of this.at(revision)) getOrMake(cells, cell.key, () => []).push(cell);
    }
    return cells;
  }

  /** Notes what an operation did in a revision. */
  noteEffects(
    effects: readonly Effect[],
    { operation, revision }: { readonly operation: number; readonly revision: number },
  ): void {
    for (const effect of effects) this.#claim(effect, { source: { kind: "operation", operation }, revision });
  }

  #noteEvents(
    watch: number,
    { revision, receivedAt, events, isComplete }: {
      readonly revision: number;
      readonly receivedAt: number;
      readonly events: readonly WatchEvent[];
      readonly isComplete: boolean;
    },
  ): void {
    const byKey = Map.groupBy(events, ({ key }) => key);
    for (const [key, ofKey] of byKey) {
      const cell = this.#cell(revision, key);
      const sighting = { watch, receivedAt, events: ofKey };
      cell.sightings.push(sighting);
      if (isComplete) cell.complete ??= sighting;
    }
    for (const { key, previous } of events) {
      // A previous value of the same revision was replaced in it.
      if (previous === "omitted" || previous === null || previous.modRevision === revision) continue;
      this.#claim({ key, entry: previous }, {
        source: { kind: "watch", watch },
        revision: previous.modRevision,
      });
    }
  }

  #claim(
    { key, entry }: Effect,
    { source, revision }: { readonly source: Source; readonly revision: number },
  ): void {
    this.#cell(revision, key).claims.push({ source, entry });
  }

  #cell(revision: number, key: string): Cell {
    const cells = getOrMake(this.#cells, revision, () => new Map<string, Cell>());
    return getOrMake(cells, key, () => ({ revision, key, sightings: [], complete: null, claims: [] }));
  }
}

/** Returns a key as a revision left it; null: it does not exist; undefined where that is not known. */
export function entryAfterCell({ complete, claims: [claim] }: Cell): KnownEntry | null | undefined {
  return complete === null ? claim?.entry : lastEntry(complete.events);
}

/** Returns the key after the last of some events of one key and revision. */
export function lastEntry(events: readonly WatchEvent[]): WatchedEntry | null {
  const last = events.at(-1);
  return last === undefined ? null : entryAfter(last);
}

/** Whether two statements can both be true of a key. */
export function agree(one: KnownEntry | null, other: KnownEntry | null): boolean {
  if (one === null || other === null) return one === other;
  return (one.value === null || other.value === null || one.value === other.value) &&
    areSame(one.createRevision, other.createRevision) && areSame(one.version, other.version) &&
    (one.leaseId === "unknown" || other.leaseId === "unknown" || one.leaseId === other.leaseId);
}

function areSame(one: number | null, other: number | null): boolean {
  return one === null || other === null || one === other;
}
