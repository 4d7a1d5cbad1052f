/**
 * Feeds the watches that have fallen behind from the history, in turns of the event loop of bounded work.
 *
 * A pass goes through the revisions from the first one that one of its watches lacks up to the present one, reads each
 * for all of its watches at once, and then they are level. A watch that falls behind during a pass takes part in it if
 * the pass is not beyond its next revision; otherwise it waits for the next pass. So no watch waits for more than two
 * passes, and a pass is bounded by the history.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import type { StateMachine } from "../../kv/mod.ts";
import type { ConnectionWatches } from "./connection_watches.ts";
import type { EventEncoder } from "./event_encoder.ts";
import { RevisionEvents } from "./revision_events.ts";
import type { InterestIndex } from "./interest_index.ts";
import type { Watch } from "./watch.ts";

/** Budget of one turn in bytes sent, about 5 ms of work. */
const FEED_TURN_BYTES = 4_194_304;
/**
 * Cost of each event that is looked at, of each interest that it matches, of each watch that is looked at for a revision,
 * and of each frame besides its events, as an equivalent in bytes sent.
 */
const EVENT_COST_BYTES = 256;
const MATCH_COST_BYTES = 64;
const VISIT_COST_BYTES = 32;
const FRAME_COST_BYTES = 512;
/**
 * Interval of the notices of progress while watches are behind: well below the time after which a client takes a node for
 * lost from which nothing comes. Where a watch is lost nevertheless, the client goes on after the last notice.
 */
export const FEED_PROGRESS_MS = 1_000;

/** The dependencies of the feed. */
export interface HistoryFeedOptions {
  readonly clock: Clock;
  readonly index: InterestIndex;
  readonly encoder: EventEncoder;
  /** The present state. */
  readonly stateMachine: () => StateMachine;
  /** Returns whether a watch may be sent events; it has been removed if not. */
  readonly mayFeed: (watch: Watch) => boolean;
  /** Holds a watch whose connection takes no more bytes. */
  readonly hold: (watch: Watch) => void;
  /** Takes a watch that was sent all events. */
  readonly levelled: (watch: Watch) => void;
  /** Ends a watch: the history does not reach back to its next revision. */
  readonly compacted: (watch: Watch) => void;
}

/** The feed of a node. */
export class HistoryFeed {
  readonly #options: HistoryFeedOptions;
  readonly #events: RevisionEvents;
  readonly #waiting = new Set<Watch>();
  readonly #fed = new Set<Watch>();
  /** The next revision of the pass. */
  #position = 0;
  #leftBytes = 0;
  /** Number of watches that were looked at for the last revision. */
  #visited = 0;
  /** Number of events that were sent. */
  sentEvents = 0;
  #timer: Timer | null = null;
  /** When the last notices of progress were sent, or a first watch fell behind. */
  #progressAt = 0;

  constructor(options: HistoryFeedOptions) {
    this.#options = options;
    this.#events = new RevisionEvents(options.index);
  }

  /** Feeds a watch that is behind from its next revision on. */
  add(watch: Watch): void {
    const { clock } = this.#options;
    if (this.#fed.size + this.#waiting.size === 0) this.#progressAt = clock.now();
    const joins = this.#fed.size > 0 && watch.nextRevision >= this.#position;
    if (joins) this.#join(watch);
    else {
      watch.state = "waiting";
      this.#waiting.add(watch);
    }
    this.#timer ??= clock.after(0, this.#turn);
  }

  /** Removes a watch. */
  remove(watch: Watch): void {
    this.#waiting.delete(watch);
    this.#leave(watch);
    if (this.#fed.size + this.#waiting.size === 0) this.stop();
  }

  /** Ends feeding, until a watch is added. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  readonly #turn = (): void => {
    this.#timer = null;
    this.#leftBytes = FEED_TURN_BYTES;
    while (this.#leftBytes > 0) {
      if (this.#fed.size === 0 && !this.#beginPass()) return;
      this.#feed();
    }
    if (this.#fed.size + this.#waiting.size === 0) return;
    const { clock } = this.#options;
    this.#timer ??= clock.after(0, this.#turn);
    const now = clock.now();
    if (now - this.#progressAt < FEED_PROGRESS_MS) return;
    this.#progressAt = now;
    this.#sendProgress();
  };

  /** Tells the watches without events since the last notice up to which revision they were sent everything. */
  #sendProgress(): void {
    const notices = new Map<ConnectionWatches, Map<number, number[]>>();
    for (const watch of [...this.#fed, ...this.#waiting]) {
      const { connection, watchId, hadEvent, sentEvents, nextRevision, state } = watch;
      watch.hadEvent = false;
      if (hadEvent || sentEvents > 0 || connection.connection.isHeld()) continue;
      const next = state === "fed" ? Math.max(nextRevision, this.#position) : nextRevision;
      const byRevision = notices.get(connection) ?? new Map<number, number[]>();
      notices.set(connection, byRevision);
      const watchIds = byRevision.get(next - 1);
      if (watchIds === undefined) byRevision.set(next - 1, [watchId]);
      else watchIds.push(watchId);
    }
    for (const [{ connection }, byRevision] of notices) {
      for (const [revision, watchIds] of byRevision) {
        connection.send({ kind: "watchProgressed", watchIds, revision });
      }
    }
  }

  /** Begins a pass of all waiting watches; returns whether there are any. */
  #beginPass(): boolean {
    this.#position = 0;
    for (const watch of this.#waiting) this.#join(watch);
    this.#waiting.clear();
    return this.#fed.size > 0;
  }

  #join(watch: Watch): void {
    watch.state = "fed";
    this.#fed.add(watch);
    watch.interest.fed.add(watch);
  }

  #leave(watch: Watch): void {
    this.#fed.delete(watch);
    watch.interest.fed.delete(watch);
  }

  /** Goes on with the pass until it is at its end or the budget of the turn is used up. */
  #feed(): void {
    const machine = this.#options.stateMachine();
    this.#skipUnwanted();
    if (this.#position <= machine.compactedRevision) this.#skipTo(machine.compactedRevision + 1);
    const { events: reader } = machine;
    let number = reader.seek(this.#position);
    while (number < reader.end && this.#leftBytes > 0 && this.#fed.size > 0) {
      const revision = reader.revision(reader.at(number));
      number = this.#events.read(reader, number);
      this.#position = revision;
      if (this.#sendRevision(revision)) this.#position = revision + 1;
      // Afterwards, so that each turn sends something, however many events and watches a revision has.
      const { count, matches } = this.#events;
      this.#leftBytes -= count * EVENT_COST_BYTES + matches * MATCH_COST_BYTES +
        this.#visited * VISIT_COST_BYTES;
    }
    this.#events.clear();
    this.#options.encoder.clear();
    if (number < reader.end || this.#leftBytes <= 0) return;
    this.#position = machine.revision + 1;
    for (const watch of this.#fed) {
      this.#leave(watch);
      this.#options.levelled(watch);
    }
  }

  /** Goes on at the first revision that a watch of the pass lacks: those that lacked earlier ones may have left it. */
  #skipUnwanted(): void {
    let wanted = Infinity;
    for (const { nextRevision } of this.#fed) wanted = Math.min(wanted, nextRevision);
    this.#position = Math.max(this.#position, wanted);
  }

  /** Goes on at `revision`, since the history begins there, without the watches that lack an earlier one. */
  #skipTo(revision: number): void {
    for (const watch of this.#fed) {
      if (Math.max(watch.nextRevision, this.#position) >= revision) continue;
      this.#leave(watch);
      this.#options.compacted(watch);
    }
    this.#position = revision;
  }

  /** Sends the events of a revision to the watches of the pass; returns false if the budget ended before all have them. */
  #sendRevision(revision: number): boolean {
    this.#visited = 0;
    for (const interest of this.#events.interests) {
      for (const watch of interest.fed) {
        this.#visited++;
        if (watch.nextRevision > revision) continue;
        if (this.#leftBytes <= 0) return false;
        if (!this.#options.mayFeed(watch)) continue;
        if (!this.#sendTo(watch, revision)) return false;
      }
    }
    return true;
  }

  /** Sends the events of a revision to a watch; returns false if the budget ended before it has all. */
  #sendTo(watch: Watch, revision: number): boolean {
    const { connection, interest: { matched, filter } } = watch;
    watch.nextRevision = revision;
    while (watch.sentEvents < matched.length) {
      if (connection.connection.isHeld()) {
        this.#leave(watch);
        this.#options.hold(watch);
        return true;
      }
      if (this.#leftBytes <= 0) return false;
      const reader = this.#options.stateMachine().events;
      const { events, end } = this.#options.encoder.encode(reader, matched, filter, watch.sentEvents);
      const more = end < matched.length;
      connection.connection.sendEvents({ watchId: watch.watchId, revision, events, more });
      watch.hadEvent = true;
      this.#leftBytes -= events.length + FRAME_COST_BYTES;
      this.sentEvents += end - watch.sentEvents;
      watch.sentEvents = end;
    }
    watch.sentEvents = 0;
    watch.nextRevision = revision + 1;
    return true;
  }
}
