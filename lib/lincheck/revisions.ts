/**
 * The knowledge in the revisions of a history. They are a witness of the order of all writes, across keys, and they make the
 * search both stronger and faster:
 *
 * - An operation whose revision is known has its place among all others that have one; only instants before the next
 *   one's return and after the last one's call are left to it (its window).
 * - A write without an answer is known to have happened, and at which revision, once an answer showed what it wrote
 *   under a revision that no other write can have made.
 * - A write that no answer showed needs a revision of its own: it finds none between 7 and 8.
 *
 * All of it follows from one rule of the store: every write that takes effect has a greater revision than the one
 * before. Where a history has no revisions, nothing here constrains anything.
 */
import { type BoundedPlace, boundPlaces, getOrMake, partitionPoint, type Place } from "./bounds.ts";
import type { Entry } from "./history.ts";
import type { Program, Step } from "./model.ts";
import { hasKey } from "./transactions/transaction.ts";

/** Two operations whose revisions say the opposite of their times, or both say the same. */
export interface RevisionClash {
  /** Position of the step that has the smaller (or the same) revision, though it came later. */
  readonly late: number;
  readonly early: number;
}

/** When a step may take effect, and which steps' revisions narrowed that. */
export interface Window {
  readonly from: number;
  readonly until: number;
  readonly narrowedBy: readonly number[];
}

/** An answer that showed a key as last changed (or created) at some revision. */
interface Sighting {
  readonly key: string;
  /** The value that the write put there; null where later writes covered it. */
  readonly value: string | null;
  readonly step: number;
}

/** The order of revisions of a history. */
export class RevisionOrder {
  readonly #steps: readonly Step[];
  /** By step; null where not known. */
  readonly #revisions: (number | null)[];
  readonly #sightings = new Map<number, Sighting[]>();
  /** Revisions that a check asked for and no answer certainly showed, with the keys they were asked of. */
  readonly #guesses = new Map<number, Set<string>>();
  readonly #candidates = new Map<number, number[]>();
  readonly #places: BoundedPlace[];
  readonly #windows: Window[];
  readonly #made: Runs;
  readonly #seen: Runs;
  /** The first contradiction between revisions and time, or null. */
  readonly clash: RevisionClash | null;

  /** O(n log n) for n steps. */
  constructor(steps: readonly Step[]) {
    this.#steps = steps;
    this.#revisions = steps.map(({ revision }) => revision);
    for (const [position, step] of steps.entries()) this.#note(step, position);
    const made = new Set(steps.filter(({ writes }) => writes).map(({ revision }) => revision));
    const unnamed = [...this.#sightings.keys()].filter((revision) => revision > 0 && !made.has(revision));
    const orphans = this.#attribute(new Set(unnamed));
    this.#places = this.#sortedPlaces(orphans);
    boundPlaces(this.#places, {
      steps,
      keysSeenAt: (revision) => this.keysSeenAt(revision),
      seersOf: (revision) => (this.#sightings.get(revision) ?? []).map(({ step }) => step),
      isPlaced: (step) => this.revisionOf(step) !== null,
    });
    this.#windows = steps.map((_, position) => this.#windowFromCall(position));
    for (const place of this.#places) {
      if (place.step !== null) this.#windows[place.step] = windowOf(place);
    }
    this.clash = this.#findClash();
    // An answer given at a revision does not show which write made it: that may be one that no answer showed.
    const writes = this.#places.filter((place) => place.writes);
    this.#made = new Runs(writes.filter(({ step }) => step !== null).map(({ revision }) => revision));
    this.#seen = new Runs(writes.map(({ revision }) => revision));
  }

  /** All places, by revision; at one revision the write comes before the answers. */
  get places(): readonly Place[] {
    return this.#places;
  }

  /** The revision of a step, from its answer or inferred; null where it is not known. */
  revisionOf(step: number): number | null {
    return this.#revisions[step] ?? null;
  }

  /** When a step may take effect. */
  windowOf(step: number): Window {
    return this.#windows[step] ?? { from: -Infinity, until: Infinity, narrowedBy: [] };
  }

  /** Revisions under which a write of unknown revision may have been seen, rising. */
  candidatesOf(step: number): readonly number[] {
    return this.#candidates.get(step) ?? [];
  }

  /** Keys on which a revision was seen. */
  keysSeenAt(revision: number): readonly string[] {
    return (this.#sightings.get(revision) ?? []).map(({ key }) => key);
  }

  /** The greatest revision that the store had certainly reached before `time`; 0 when none is known. O(log n). */
  reachedBefore(time: number): number {
    const reached = partitionPoint(this.#places, (place) => place.until < time);
    return this.#places[reached - 1]?.revision ?? 0;
  }

  /** The greatest revision that a write up to `time` can have made, any write. O(log n). */
  greatestUntil(time: number): number {
    const later = this.#places[partitionPoint(this.#places, (place) => place.from <= time)];
    return later === undefined ? Infinity : later.writes ? later.revision - 1 : later.revision;
  }

  /** The least revision above `revision` of which it is not known who made it. */
  nextOpen(revision: number): number {
    return this.#made.nextGap(revision);
  }

  /**
   * The least revision above `revision` that a write (the position of its step) may have without an answer having shown
   * or asked for it.
   */
  nextUnseen(revision: number, step: number): number {
    const candidates = this.candidatesOf(step);
    let next = this.#seen.nextGap(revision);
    while (candidates.includes(next)) next = this.#seen.nextGap(next);
    return next;
  }

  #note(step: Step, position: number): void {
    if (step.program !== null) this.#noteProgram(step.program, position);
    for (const condition of [...step.before, ...step.after]) {
      if (condition.kind === "entry" && condition.entry !== null) {
        this.#seeEntry(condition.key, { entry: condition.entry, step: position });
      } else if (condition.kind === "modRevision" && condition.modRevision > 0) {
        const { key, modRevision } = condition;
        if (condition.holds && !step.optional) this.#see(modRevision, { key, value: null, step: position });
        else getOrMake(this.#guesses, modRevision, () => new Set<string>()).add(key);
      }
    }
  }

  #noteProgram({ seen, created, conditions, keys }: Program, position: number): void {
    for (const { key, revision } of created) this.#see(revision, { key, value: null, step: position });
    for (const { key, entry } of seen) this.#seeEntry(key, { entry, step: position });
    for (const condition of conditions) {
      if (condition.kind !== "modRevision" && condition.kind !== "createRevision") continue;
      if (condition.number === 0) continue;
      const guessed = getOrMake(this.#guesses, condition.number, () => new Set<string>());
      for (const key of keys) if (hasKey(condition.keys, key)) guessed.add(key);
    }
  }

  #seeEntry(key: string, { entry, step }: { readonly entry: Entry; readonly step: number }): void {
    const { value, createRevision, modRevision } = entry;
    this.#see(modRevision, { key, value, step });
    if (createRevision !== modRevision) this.#see(createRevision, { key, value: null, step });
  }

  #see(revision: number | null, sighting: Sighting): void {
    if (revision !== null) getOrMake(this.#sightings, revision, () => []).push(sighting);
  }

  /**
   * Finds out which writes of unknown revision made the revisions that were seen. A write that alone can have made
   * one did: its revision is known from here on. Gives back the revisions that stay without a name.
   */
  #attribute(unnamed: ReadonlySet<number>): ReadonlySet<number> {
    const writersOf = new Map<string, number[]>();
    for (const [position, step] of this.#steps.entries()) {
      if (!step.writes || this.#revisions[position] !== null) continue;
      const keys = new Set(putsOf(step).map(({ key }) => key));
      for (const key of keys) getOrMake(writersOf, key, () => []).push(position);
    }
    const suspects = new Map<number, Set<number>>();
    for (const revision of unnamed) suspects.set(revision, this.#suspectsOf(revision, writersOf));
    const orphans = new Set(unnamed);
    for (let found = true; found;) {
      found = false;
      for (const revision of orphans) {
        const [writer, other] = suspects.get(revision) ?? [];
        if (writer === undefined || other !== undefined) continue;
        this.#revisions[writer] = revision;
        orphans.delete(revision);
        for (const others of suspects.values()) others.delete(writer);
        found = true;
      }
    }
    for (const revision of [...orphans].sort((a, b) => a - b)) {
      for (const writer of suspects.get(revision) ?? []) {
        getOrMake(this.#candidates, writer, () => []).push(revision);
      }
    }
    this.#addGuesses(writersOf, unnamed);
    return orphans;
  }

  #suspectsOf(revision: number, writersOf: ReadonlyMap<string, readonly number[]>): Set<number> {
    const sightings = this.#sightings.get(revision) ?? [];
    const firstSeen = sightings.reduce((least, { step }) => Math.min(least, this.#returnOf(step)), Infinity);
    const writers = writersOf.get(sightings[0]?.key ?? "") ?? [];
    return new Set(writers.filter((writer) => {
      const step = this.#steps[writer];
      return step !== undefined && step.calledAt <= firstSeen &&
        sightings.every(({ key, value }) =>
          putsOf(step).some((put) =>
            put.key === key && (value === null || put.value === null || put.value === value)
          )
        );
    }));
  }

  /** Adds revisions that a check asked for: they may be those of writes that no answer showed. */
  #addGuesses(writersOf: ReadonlyMap<string, readonly number[]>, unnamed: ReadonlySet<number>): void {
    const made = new Set(this.#steps.flatMap(({ writes }, step) => writes ? [this.#revisions[step]] : []));
    for (const [revision, keys] of this.#guesses) {
      if (made.has(revision) || unnamed.has(revision)) continue;
      for (const writer of new Set([...keys].flatMap((key) => writersOf.get(key) ?? []))) {
        if (this.#revisions[writer] !== null) continue;
        getOrMake(this.#candidates, writer, () => []).push(revision);
      }
    }
    for (const revisions of this.#candidates.values()) revisions.sort((a, b) => a - b);
  }

  #sortedPlaces(orphans: ReadonlySet<number>): BoundedPlace[] {
    const places: BoundedPlace[] = [];
    const unbounded = { from: -Infinity, fromBy: null, until: Infinity, untilBy: null };
    for (const revision of orphans) places.push({ revision, writes: true, step: null, ...unbounded });
    for (const [step, { writes, calledAt, returnedAt }] of this.#steps.entries()) {
      const revision = this.revisionOf(step);
      if (revision === null) continue;
      places.push({ revision, writes, step, from: calledAt, fromBy: step, until: returnedAt, untilBy: step });
    }
    return places.sort((a, b) =>
      a.revision - b.revision || Number(b.writes) - Number(a.writes) || (a.step ?? -1) - (b.step ?? -1)
    );
  }

  /** Bounds a step of unknown revision by what it saw. */
  #windowFromCall(position: number): Window {
    const step = this.#steps[position];
    if (step === undefined) return { from: -Infinity, until: Infinity, narrowedBy: [] };
    let from = step.calledAt;
    let by: number | null = null;
    for (const condition of step.before) {
      if (condition.kind !== "entry" || step.optional) continue;
      const place = this.#writePlace(condition.entry?.modRevision ?? null);
      if (place !== null && place.from > from) [from, by] = [place.from, place.fromBy];
    }
    return { from, until: step.returnedAt, narrowedBy: by === null ? [] : [by] };
  }

  #writePlace(revision: number | null): BoundedPlace | null {
    if (revision === null) return null;
    const place = this.#places[partitionPoint(this.#places, (each) => each.revision < revision)];
    return place !== undefined && place.revision === revision && place.writes ? place : null;
  }

  #findClash(): RevisionClash | null {
    for (const [i, { from, until, fromBy, untilBy, revision, writes, step }] of this.#places.entries()) {
      if (from > until && fromBy !== null && untilBy !== null) return { late: fromBy, early: untilBy };
      const next = this.#places[i + 1];
      if (next === undefined || !next.writes || !writes || next.revision !== revision) continue;
      if (step !== null && next.step !== null) return { late: next.step, early: step };
    }
    for (const [position, { from, until, narrowedBy: [by] }] of this.#windows.entries()) {
      if (from > until && by !== undefined) return { late: by, early: position };
    }
    return null;
  }

  #returnOf(step: number): number {
    return this.#steps[step]?.returnedAt ?? Infinity;
  }
}

/** Returns the puts of a step, or those that it may have made; a null value is not known. */
function putsOf({ program, changes }: Step): Program["mayPut"] {
  return program?.mayPut ?? changes.filter(({ value }) => value !== null);
}

function windowOf({ from, fromBy, until, untilBy, step }: BoundedPlace): Window {
  return {
    from,
    until,
    narrowedBy: [fromBy, untilBy].filter((by) => by !== null).filter((by) => by !== step),
  };
}

/** Numbers of which many follow one another. */
class Runs {
  /** Last number of the unbroken run that a number is in. */
  readonly #ends = new Map<number, number>();

  constructor(numbers: readonly number[]) {
    const falling = [...new Set(numbers)].sort((a, b) => b - a);
    for (const number of falling) this.#ends.set(number, this.#ends.get(number + 1) ?? number);
  }

  /** The least number above `number` that is none of these. */
  nextGap(number: number): number {
    return (this.#ends.get(number + 1) ?? number) + 1;
  }
}
