/** A watch, and the interest that it shares with other watches: their keys, and which events of these they get. */
import type { KeySet } from "../../kv/mod.ts";
import type { ConnectionWatches } from "./connection_watches.ts";

/** The events that a watch gets. */
export interface Filter {
  readonly puts: boolean;
  readonly deletes: boolean;
  /** Whether each event has what was there before. */
  readonly previous: boolean;
}

/** Returns whether a user may read a key now. */
export type MayRead = (key: Uint8Array) => boolean;

/** Keys and filter of one or more watches. Their events are found and encoded once. */
export class Interest {
  readonly keys: KeySet;
  readonly filter: Filter;
  /** Of a watch that leaves out the events of keys that its user may not read; null for all others. */
  readonly mayRead: MayRead | null;
  /** The watches that were sent all events so far, and those that were not. */
  readonly level = new Set<Watch>();
  readonly behind = new Set<Watch>();
  /** Those of {@link behind} that take part in the present pass through the history. */
  readonly fed = new Set<Watch>();
  /** The events of the revision that is being sent which match, in order. */
  readonly matched: number[] = [];

  /** Makes an interest without watches. */
  constructor(keys: KeySet, filter: Filter, mayRead: MayRead | null = null) {
    this.keys = keys;
    this.filter = filter;
    this.mayRead = mayRead;
  }

  /** Number of its watches. */
  get size(): number {
    return this.level.size + this.behind.size;
  }

  /** Bytes of its keys. */
  get keyBytes(): number {
    return keyBytesOf(this.keys);
  }
}

/**
 * How far a watch is. `level`: it was sent all events, and gets those of each further revision at once. Otherwise it has
 * fallen behind: `held` waits until its connection takes more bytes, `waiting` for the next pass through the history, and
 * `fed` takes part in the present one.
 */
export type WatchState = "level" | "held" | "waiting" | "fed";

/** A watch of one client. */
export class Watch {
  readonly watchId: number;
  readonly interest: Interest;
  readonly connection: ConnectionWatches;
  state: WatchState = "level";
  /**
   * While it is behind: the first revision that it was not sent completely, unless the pass that it takes part in is past
   * that: then it has no events before the pass.
   */
  nextRevision = 0;
  /** Number of its events in {@link nextRevision} that it was sent: above 0 only within a revision of several frames. */
  sentEvents = 0;
  /** Whether it was sent an event since the last round of progress notices. */
  hadEvent = false;

  /** Makes a watch that is level. */
  constructor(watchId: number, interest: Interest, connection: ConnectionWatches) {
    this.watchId = watchId;
    this.interest = interest;
    this.connection = connection;
  }
}

/** Returns the bytes of a key or of the bounds of a range. */
export function keyBytesOf(keys: KeySet): number {
  return keys.kind === "key" ? keys.key.length : keys.start.length + (keys.end?.length ?? 0);
}
