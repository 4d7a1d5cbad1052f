/**
 * The revisions of which a watch must have shown every change of its keys: from the first one that it requested, or
 * that it showed, to the last one that it showed. A reset leaves a gap.
 */
import { hasKey } from "../transactions/transaction.ts";
import { partitionPoint } from "../bounds.ts";
import { passes, type WatchEvent, type WatchRecord } from "./record.ts";

/** Revisions above `after`, up to and including `upTo`. */
export interface Interval {
  readonly after: number;
  readonly upTo: number;
}

/** Returns the intervals that a watch covers, in ascending order. */
export function intervalsOf({ from, notices }: WatchRecord): readonly Interval[] {
  const intervals: Interval[] = [];
  let after = from === null ? null : from - 1;
  let upTo = after ?? 0;
  for (const { kind, revision } of notices) {
    if (kind === "reset") {
      if (after !== null) intervals.push({ after, upTo });
      [after, upTo] = [revision, revision];
      continue;
    }
    // A watch from the present revision on covers the first revision that it shows.
    after ??= kind === "events" ? revision - 1 : revision;
    upTo = Math.max(upTo, revision);
  }
  if (after !== null) intervals.push({ after, upTo });
  return intervals.filter((interval) => interval.after < interval.upTo);
}

/** The coverage of all watches of a run. */
export class Coverage {
  readonly #watches: readonly WatchRecord[];
  readonly #intervals: readonly (readonly Interval[])[];
  /** Positions of the watches of a key. */
  readonly #watchesOf = new Map<string, readonly number[]>();
  /** The union of the intervals of the watches of a key that show all kinds of events. */
  readonly #unions = new Map<string, readonly Interval[]>();

  /** Makes the coverage of these watches. */
  constructor(watches: readonly WatchRecord[]) {
    this.#watches = watches;
    this.#intervals = watches.map(intervalsOf);
  }

  /** Returns the positions of the watches whose keys include this one. */
  watchesOf(key: string): readonly number[] {
    const known = this.#watchesOf.get(key);
    if (known !== undefined) return known;
    const found = this.#watches.flatMap(({ keys }, watch) => hasKey(keys, key) ? [watch] : []);
    this.#watchesOf.set(key, found);
    return found;
  }

  /** Whether a watch must have shown a change of this kind, of one of its keys, at `revision`. */
  covers(
    watch: number,
    { revision, kind }: { readonly revision: number; readonly kind: WatchEvent["kind"] },
  ): boolean {
    const record = this.#watches[watch];
    if (record === undefined || !passes(record.only, kind)) return false;
    return isWithin(this.#intervals[watch] ?? [], { after: revision - 1, upTo: revision });
  }

  /** Whether every change of a key above `after` and below `before` was shown to a watch. */
  isContinuous(key: string, { after, before }: { readonly after: number; readonly before: number }): boolean {
    if (after + 1 >= before) return true;
    return isWithin(this.#unionOf(key), { after, upTo: before - 1 });
  }

  #unionOf(key: string): readonly Interval[] {
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const all = this.watchesOf(key).filter((watch) => this.#watches[watch]?.only === null)
      .flatMap((watch) => this.#intervals[watch] ?? []);
    const union = united(all);
    this.#unions.set(key, union);
    return union;
  }
}

/** Returns the same revisions in intervals that neither touch nor overlap. */
function united(intervals: readonly Interval[]): readonly Interval[] {
  const union: Interval[] = [];
  for (const interval of intervals.toSorted((a, b) => a.after - b.after)) {
    const last = union.at(-1);
    if (last === undefined || last.upTo < interval.after) union.push(interval);
    else union[union.length - 1] = { after: last.after, upTo: Math.max(last.upTo, interval.upTo) };
  }
  return union;
}

/** Whether one of the intervals, which are in ascending order, includes another one. */
function isWithin(intervals: readonly Interval[], { after, upTo }: Interval): boolean {
  const candidate = intervals[partitionPoint(intervals, (interval) => interval.upTo < upTo)];
  return candidate !== undefined && candidate.after <= after;
}
