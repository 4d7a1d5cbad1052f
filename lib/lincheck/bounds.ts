/**
 * When each revision can have been made: after what has a smaller one was called, before what has a greater one
 * returned, and as far as reads without a revision tell.
 *
 * A read that shows a key at revision 5 came before the write that replaced it, and one that shows no such key came
 * between its deletion and its creation. Without that, orders of two keys that are each right often contradict one
 * another, and have to be searched as one.
 */
import type { Change, Condition, Step } from "./model.ts";
import { assert, assertNever } from "../platform/assert.ts";

/** An operation's place in the order of revisions. */
export interface Place {
  readonly revision: number;
  /** Whether the revision was made here; false for an answer that was given at it. */
  readonly writes: boolean;
  /** Position of its step, or null for a write that was seen and is not known by name. */
  readonly step: number | null;
}

/** A place, the time that is left to it, and the steps that left no more. */
export interface BoundedPlace extends Place {
  from: number;
  fromBy: number | null;
  until: number;
  untilBy: number | null;
}

/** A time in which a key does not exist: from its deletion (null: from the beginning) to its creation (null: for good). */
interface Gap {
  readonly begin: BoundedPlace | null;
  readonly end: BoundedPlace | null;
}

/** Everything that is known of a history. */
export interface BoundsOptions {
  readonly steps: readonly Step[];
  /** The keys on which a revision was seen. */
  readonly keysSeenAt: (revision: number) => readonly string[];
  /** The steps that saw it. */
  readonly seersOf: (revision: number) => readonly number[];
  /** Whether a write has a place. */
  readonly isPlaced: (step: number) => boolean;
}

/**
 * Narrows the times of places, which come in the order of revisions, each with its call and return. Where no time is
 * left, the revisions contradict calls and returns. A read that contradicts them bounds nothing: that is the
 * search's to find, which can tell what was wrong with it.
 */
export function boundPlaces(places: readonly BoundedPlace[], options: BoundsOptions): void {
  new Bounds(places, options).narrow();
}

class Bounds {
  readonly #places: readonly BoundedPlace[];
  readonly #options: BoundsOptions;
  /** The places of writes by the keys that they changed. */
  readonly #writesOf = new Map<string, BoundedPlace[]>();
  readonly #gapsOf = new Map<string, readonly Gap[]>();

  constructor(places: readonly BoundedPlace[], options: BoundsOptions) {
    this.#places = places;
    this.#options = options;
    for (const place of places) {
      if (!place.writes) continue;
      const changed = this.#changesOf(place).map(({ key }) => key);
      for (const key of new Set([...changed, ...options.keysSeenAt(place.revision)])) {
        getOrMake(this.#writesOf, key, () => []).push(place);
      }
    }
    const uncertain = this.#keysOfUnplacedDeletions();
    for (const [key, writes] of this.#writesOf) {
      if (!uncertain.has(key)) this.#gapsOf.set(key, this.#gapsBetween(key, writes));
    }
  }

  narrow(): void {
    for (const place of this.#places) {
      if (!place.writes) continue;
      for (const step of this.#options.seersOf(place.revision)) this.#lower(place, step);
    }
    this.#spread();
    this.#eachRead((step, condition) => {
      const begin = this.#firstDeletion(step, condition);
      if (begin !== null && this.#stepAt(step).returnedAt >= begin.from) this.#lower(begin, step);
    });
    this.#spread();
    this.#raiseAll((_step, condition) => this.#replacement(condition));
    this.#raiseAll((step, condition) => this.#lastCreation(step, condition));
  }

  /** Raises the writes that came after reads. */
  #raiseAll(writeAfter: (step: number, condition: Condition) => BoundedPlace | null): void {
    this.#eachRead((step, condition) => {
      const end = writeAfter(step, condition);
      if (end !== null && this.#stepAt(step).calledAt <= end.until) this.#raise(end, step);
    });
    this.#spread();
  }

  #eachRead(visit: (step: number, condition: Condition) => void): void {
    for (const [position, { before, optional }] of this.#options.steps.entries()) {
      if (optional) continue;
      for (const condition of before) visit(position, condition);
    }
  }

  /** The write that replaced what was seen. */
  #replacement(condition: Condition): BoundedPlace | null {
    const seen = revisionSeen(condition);
    if (seen === 0) return null;
    const writes = this.#writesOf.get(condition.key) ?? [];
    return writes[partitionPoint(writes, ({ revision }) => revision <= seen)] ?? null;
  }

  /** Where the first time begins in which a step can have seen that there is no such key. */
  #firstDeletion(step: number, condition: Condition): BoundedPlace | null {
    if (!isAbsence(condition)) return null;
    const { calledAt } = this.#stepAt(step);
    const gaps = this.#gapsOf.get(condition.key) ?? [];
    return gaps[partitionPoint(gaps, ({ end }) => end !== null && end.until < calledAt)]?.begin ?? null;
  }

  /** Where the last such time ends. */
  #lastCreation(step: number, condition: Condition): BoundedPlace | null {
    if (!isAbsence(condition)) return null;
    const { returnedAt } = this.#stepAt(step);
    const gaps = this.#gapsOf.get(condition.key) ?? [];
    const later = partitionPoint(gaps, ({ begin }) => begin === null || begin.from <= returnedAt);
    return gaps[later - 1]?.end ?? null;
  }

  #lower(place: BoundedPlace, step: number): void {
    const { returnedAt } = this.#stepAt(step);
    if (returnedAt < place.until) [place.until, place.untilBy] = [returnedAt, step];
  }

  #raise(place: BoundedPlace, step: number): void {
    const { calledAt } = this.#stepAt(step);
    if (calledAt > place.from) [place.from, place.fromBy] = [calledAt, step];
  }

  /** Applies the bounds of each place to all places behind it from below, and to all before it from above. */
  #spread(): void {
    let [until, untilBy]: [number, number | null] = [Infinity, null];
    for (const place of this.#places.toReversed()) {
      if (place.until < until) ({ until, untilBy } = place);
      else [place.until, place.untilBy] = [until, untilBy];
    }
    let [from, fromBy]: [number, number | null] = [-Infinity, null];
    for (const place of this.#places) {
      if (place.from > from) ({ from, fromBy } = place);
      else [place.from, place.fromBy] = [from, fromBy];
    }
  }

  /** Keys of which a write without a place, or one that does not show its deletions, may have removed them. */
  #keysOfUnplacedDeletions(): ReadonlySet<string> {
    const { steps, isPlaced } = this.#options;
    return new Set(
      steps.flatMap(({ changes, program }, position) => [
        ...(isPlaced(position) ? [] : changes.filter(({ value }) => value === null).map(({ key }) => key)),
        ...(program?.mayDelete ?? []),
      ]),
    );
  }

  #gapsBetween(key: string, writes: readonly BoundedPlace[]): readonly Gap[] {
    const gaps: Gap[] = [];
    let begin: BoundedPlace | null = null;
    let exists = false;
    for (const place of writes) {
      const change = this.#changesOf(place).findLast((each) => each.key === key);
      const deletes = change !== undefined && change.value === null;
      if (!exists && !deletes) gaps.push({ begin, end: place });
      if (exists && deletes) begin = place;
      exists = !deletes;
    }
    return exists ? gaps : [...gaps, { begin, end: null }];
  }

  #changesOf({ step }: Place): readonly Change[] {
    return step === null ? [] : this.#stepAt(step).changes;
  }

  #stepAt(position: number): Step {
    const step = this.#options.steps[position];
    assert(step !== undefined, "a place or a read is of a step");
    return step;
  }
}

/** Returns the revision at which a key was seen to have been changed last; 0 if no answer had one. */
function revisionSeen(condition: Condition): number {
  switch (condition.kind) {
    case "entry":
      return condition.entry?.modRevision ?? 0;
    case "modRevision":
      return condition.holds ? condition.modRevision : 0;
    case "exists":
    case "value":
    case "never":
      return 0;
    default:
      return assertNever(condition);
  }
}

function isAbsence(condition: Condition): boolean {
  return (condition.kind === "entry" && condition.entry === null) ||
    (condition.kind === "exists" && !condition.exists);
}

/** Returns the number of elements at the beginning of `sorted` for which `isSo` holds; for those behind it does not. O(log n). */
export function partitionPoint<T>(sorted: readonly T[], isSo: (element: T) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const element = sorted[middle];
    if (element !== undefined && isSo(element)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Returns the value of `key`, made and added if there is none yet. */
export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const present = map.get(key);
  if (present !== undefined) return present;
  const made = make();
  map.set(key, made);
  return made;
}
