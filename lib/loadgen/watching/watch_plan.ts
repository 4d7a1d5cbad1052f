/** The watches of a workload: chance decides which keys, from which revision on, and for how long. */
import type { EventFilter, KeySet } from "../../lincheck/mod.ts";
import { assert } from "../../platform/assert.ts";
import type { Random } from "../../platform/clock.ts";
import { pick } from "../keys.ts";
import { keyName } from "../requests.ts";

/** Revisions that a watch from the past goes back at most. */
const MAX_PAST_REVISIONS = 300;
/** Durations of a watch that is not kept to the end. */
const LIFETIME_MS = { least: 300, most: 3_000 };
/** Watchers that show everything from the beginning to the end of the workload, so that all others are compared with it. */
const LASTING_WATCHERS = 2;
/** Keys of {@link keyName} that differ in the last digit alone. */
const GROUP_SIZE = 10;
const LAST_BYTE = 0xff;

/** A watch to start. */
export interface WatchPlan {
  readonly keys: KeySet;
  /** Null: from the present on. */
  readonly from: number | null;
  readonly only: EventFilter;
  readonly previous: boolean;
  readonly resync: boolean;
  /** Null: until the workload ends. */
  readonly lifetimeMs: number | null;
}

/** Options of {@link drawWatch}. */
export interface WatchPlanOptions {
  readonly random: Random;
  readonly watcher: number;
  /** Number of the watch among those of its watcher, from 1. */
  readonly start: number;
  /** Everything up to this revision was shown by the watcher's last watch; null: nothing was. */
  readonly last: number | null;
  /** The least and the greatest revision that the watchers have shown; null before the first. */
  readonly shown: { readonly first: number; readonly present: number } | null;
  readonly prefix: string;
  /** Number of keys. */
  readonly count: number;
}

/** Draws the next watch of a watcher. */
export function drawWatch(options: WatchPlanOptions): WatchPlan {
  const { random, watcher } = options;
  const isLasting = watcher < LASTING_WATCHERS;
  const kinds = ["puts", "deletes"] as const;
  return {
    keys: keysOf(options),
    from: fromOf(options),
    only: isLasting || random() < 0.7 ? null : pick(kinds, random),
    previous: random() < 0.6,
    resync: isLasting || random() < 0.7,
    lifetimeMs: isLasting ? null : LIFETIME_MS.least + random() * (LIFETIME_MS.most - LIFETIME_MS.least),
  };
}

/** Returns the keys of a watcher: all of its watches have the same ones only in the first kinds. */
function keysOf({ random, watcher, prefix, count }: WatchPlanOptions): KeySet {
  const below = (limit: number): number => Math.floor(random() * limit);
  switch (watcher % 6) {
    case 0:
      return prefixSet(prefix);
    case 1:
      return { kind: "range", start: "", end: null };
    case 2: {
      const start = below(count);
      const end = start + 1 + below(count);
      return { kind: "range", start: keyName(prefix, start), end: keyName(prefix, end) };
    }
    case 3: {
      const name = keyName(prefix, below(count));
      return prefixSet(name.slice(0, count > GROUP_SIZE ? -1 : undefined));
    }
    default:
      return { kind: "key", key: keyName(prefix, below(count)) };
  }
}

/** Returns the first revision. None is from before the workload, when others may have used the same keys. */
function fromOf({ random, start, last, shown }: WatchPlanOptions): number | null {
  if (start > 1 && last !== null && random() < 0.5) return last + 1;
  if (shown === null || random() < 0.5) return null;
  return Math.max(shown.first, shown.present - Math.floor(random() * MAX_PAST_REVISIONS)) + 1;
}

/** Returns all keys with a prefix, a text with one character for each byte. */
function prefixSet(prefix: string): KeySet {
  const whole = prefix.replace(/\xff+$/, "");
  const last = whole.charCodeAt(whole.length - 1);
  if (whole === "") return { kind: "range", start: prefix, end: null };
  assert(last < LAST_BYTE, "a key has one character for each byte");
  return { kind: "range", start: prefix, end: whole.slice(0, -1) + String.fromCharCode(last + 1) };
}
