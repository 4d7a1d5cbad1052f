/**
 * The watches of a node. They are fed as entries are applied, so every node serves them, with the events in the order of
 * the log.
 *
 * Invariants: a watch that is level was sent every event up to the last applied revision; one that is behind was sent
 * every event below its next revision ({@link Watch.nextRevision}), and none above. Nothing is queued for a connection
 * that is held: its watches fall behind, remember their next revision, and are fed from the history later, so the memory
 * of a watch is bounded also if its client does not read.
 */
import { assert } from "../../platform/assert.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { keysBelowReserved, type KeySet, type StateMachine } from "../../kv/mod.ts";
import type { WatchEndCode } from "../../protocol/messages.ts";
import type { SharedEvents } from "../../protocol/watch_event.ts";
import { ConnectionWatches, type LevelWaiter, type WatchConnection } from "./connection_watches.ts";
import { EventEncoder } from "./event_encoder.ts";
import { HistoryFeed } from "./history_feed.ts";
import { InterestIndex } from "./interest_index.ts";
import { RevisionEvents } from "./revision_events.ts";
import { type Filter, type Interest, Watch } from "./watch.ts";

/** Interval of the notices for watches without events. */
export const PROGRESS_INTERVAL_MS = 10_000;
/** Bytes that watches are sent at once in one turn of the event loop; those beyond it fall behind, and are fed in turns. */
export const LEVEL_TURN_BYTES = 16_777_216;
const FRAME_COST_BYTES = 32;
/**
 * Time after a change of users or roles until the watches that lost their right are ended, so that many changes cost one
 * pass. None of them is sent an event meanwhile.
 */
const RECHECK_DELAY_MS = 50;
/** Watches whose rights are checked in one turn of the event loop, a few milliseconds of work. */
const RECHECK_TURN_WATCHES = 10_000;
/** Cost of each event that is encoded, or measured for that, besides its bytes. */
const EVENT_COST_BYTES = 256;

/** The dependencies of the hub. */
export interface WatchHubOptions {
  readonly clock: Clock;
  /** The state before the first entry that is applied. */
  readonly stateMachine: StateMachine;
  /** Time without a known leader after which the watches end. */
  readonly leaderlessMs: number;
}

/** Figures about the watches of a node. */
export interface WatchFigures {
  readonly watches: number;
  /** Number of watches that were not sent all events yet. */
  readonly behind: number;
  /** Number of watches that ended because their history was compacted. */
  readonly endedByCompaction: number;
  /** Number of events that watches were sent. */
  readonly sentEvents: number;
}

/** The end of a watch. */
interface WatchEnd {
  readonly code: WatchEndCode;
  readonly message: string;
  readonly compactedRevision?: number;
}

/** The watches of all connections of a node. */
export class WatchHub {
  readonly #clock: Clock;
  readonly #leaderlessMs: number;
  #machine: StateMachine;
  /** The last revision that watches were sent, and the number of the next event. */
  #revision: number;
  #nextEvent: number;
  readonly #index = new InterestIndex();
  readonly #encoder = new EventEncoder();
  readonly #events = new RevisionEvents(this.#index);
  readonly #feed: HistoryFeed;
  /** The connections with watches. */
  readonly #connections = new Set<ConnectionWatches>();
  #size = 0;
  #behind = 0;
  #endedByCompaction = 0;
  #keyBytes = 0;
  #sentEvents = 0;
  #leftBytes = LEVEL_TURN_BYTES;
  /** One object for all frames: they are encoded within the call that takes them. */
  readonly #frame: SharedEvents = { watchId: 0, revision: 0, events: new Uint8Array(0), more: false };
  #progressTimer: Timer | null = null;
  #leaderlessTimer: Timer | null = null;
  #recheckTimer: Timer | null = null;

  constructor({ clock, stateMachine, leaderlessMs }: WatchHubOptions) {
    this.#clock = clock;
    this.#leaderlessMs = leaderlessMs;
    this.#machine = stateMachine;
    this.#revision = stateMachine.revision;
    this.#nextEvent = stateMachine.events.end;
    this.#feed = new HistoryFeed({
      clock,
      index: this.#index,
      encoder: this.#encoder,
      stateMachine: () => this.#machine,
      mayFeed: (watch) => this.#isAllowed(watch),
      hold: (watch) => this.#hold(watch),
      levelled: (watch) => this.#levelled(watch),
      compacted: (watch) => this.#endCompacted(watch),
    });
  }

  /** Number of watches. */
  get size(): number {
    return this.#size;
  }

  /** Number of watches that are behind. */
  get behind(): number {
    return this.#behind;
  }

  /** Bytes of the watched keys and bounds of ranges. */
  get keyBytes(): number {
    return this.#keyBytes;
  }

  /** The figures for metrics. */
  get figures(): WatchFigures {
    return {
      watches: this.#size,
      behind: this.#behind,
      endedByCompaction: this.#endedByCompaction,
      sentEvents: this.#sentEvents + this.#feed.sentEvents,
    };
  }

  /** Opens the watches of a connection. */
  connect(connection: WatchConnection): ConnectionWatches {
    return new ConnectionWatches(connection, {
      resume: (watches) => this.#resume(watches),
      recheck: (watches) => this.#recheck(watches),
      close: (watches) => this.#close(watches),
    });
  }

  /**
   * Begins a watch of valid keys. `from` is the first revision that it is sent, above the compacted revision and at most
   * one above the present one.
   */
  start(
    connection: ConnectionWatches,
    { watchId, keys, filter, visibleOnly, from }: {
      readonly watchId: number;
      readonly keys: KeySet;
      readonly filter: Filter;
      /** Whether events of keys that the user of the connection may not read are left out. */
      readonly visibleOnly: boolean;
      readonly from: number;
    },
  ): void {
    assert(!connection.byId.has(watchId), "a watch id is used once");
    assert(
      from > this.#machine.compactedRevision && from <= this.#revision + 1,
      "a watch begins in the history",
    );
    const { mayRead } = connection.connection.access;
    const interest = this.#index.share(keysBelowReserved(keys), filter, visibleOnly ? mayRead : null);
    if (interest.size === 0) this.#keyBytes += interest.keyBytes;
    const watch = new Watch(watchId, interest, connection);
    connection.byId.set(watchId, watch);
    interest.level.add(watch);
    this.#connections.add(connection);
    this.#size++;
    if (from <= this.#revision) this.#setBack(watch, from);
    this.#progressTimer ??= this.#clock.after(PROGRESS_INTERVAL_MS, this.#sendProgress);
  }

  /** Ends a watch without a notice; without effect if there is none of this id. */
  cancel(connection: ConnectionWatches, watchId: number): void {
    const watch = connection.byId.get(watchId);
    if (watch !== undefined) this.#remove(watch);
  }

  /** Calls `waiter.answer` once the connection was sent everything up to the present revision of then. */
  whenLevel(connection: ConnectionWatches, waiter: LevelWaiter): void {
    connection.levelWaiters.push(waiter);
    this.#answerWaiters(connection);
  }

  /** Sends the events of the last applied entry, which has advanced the revision, to the watches that are level. */
  revisionApplied(): void {
    const { revision, events } = this.#machine;
    const first = this.#nextEvent;
    this.#revision = revision;
    this.#nextEvent = events.end;
    // The write of a database has a revision even if it changes nothing.
    if (this.#size === this.#behind || events.end === first) return;
    this.#events.read(events, first);
    if (this.#events.interests.length === 0) return;
    for (const interest of this.#events.interests) if (interest.level.size > 0) this.#deliver(interest);
    this.#events.clear();
    this.#encoder.clear();
  }

  /** Ends, in a while, the watches of keys that their users may not read any more: users or roles have changed. */
  authChanged(): void {
    if (this.#size > 0) this.#recheckTimer ??= this.#clock.after(RECHECK_DELAY_MS, this.#recheckAll);
  }

  /** Continues in a state that was received as a snapshot. The watches go on with what it has of the history. */
  restored(stateMachine: StateMachine): void {
    const next = this.#revision + 1;
    const hasSameAuth = stateMachine.auth.revision === this.#machine.auth.revision;
    this.#machine = stateMachine;
    this.#revision = stateMachine.revision;
    this.#nextEvent = stateMachine.events.end;
    for (const { byId } of this.#connections) {
      for (const watch of byId.values()) if (watch.state === "level") this.#setBack(watch, next);
    }
    if (!hasSameAuth) this.authChanged();
  }

  /** Notes whether this node knows a leader: without one for a while, the watches end. */
  leaderChanged(leader: number | null): void {
    if (leader !== null) {
      this.#leaderlessTimer?.cancel();
      this.#leaderlessTimer = null;
      return;
    }
    this.#leaderlessTimer ??= this.#clock.after(this.#leaderlessMs, () => {
      this.#leaderlessTimer = null;
      this.#endAll({
        code: "noLeader",
        message:
          "This node knows of no leader, so others may have newer revisions: continue at another node.",
      });
    });
  }

  /** Ends all watches: the node stops. */
  stop(): void {
    this.#endAll({ code: "stopping", message: "This node is stopping: continue at another node." });
    this.#feed.stop();
    this.#leaderlessTimer?.cancel();
    this.#leaderlessTimer = null;
  }

  /** Sends the events of this revision that match an interest to its watches that are level. */
  #deliver(interest: Interest): void {
    const { matched, level } = interest;
    const revision = this.#revision;
    const events = this.#leftBytes > 0 && isAnyServed(level) ? this.#encode(interest) : null;
    if (events === null) {
      for (const watch of level) this.#setBack(watch, revision);
      return;
    }
    const frame = this.#frame;
    frame.revision = revision;
    frame.events = events;
    const cost = events.length + FRAME_COST_BYTES;
    for (const watch of level) {
      if (!this.#isAllowed(watch)) continue;
      const { connection } = watch.connection;
      if (this.#leftBytes <= 0 || connection.isHeld()) {
        this.#setBack(watch, revision);
        continue;
      }
      this.#spend(cost);
      frame.watchId = watch.watchId;
      connection.sendEvents(frame);
      watch.hadEvent = true;
      this.#sentEvents += matched.length;
    }
  }

  /** Whether a watch may be sent events by the present rights of its user; ends it otherwise. */
  #isAllowed({ connection, watchId }: Watch): boolean {
    if (connection.isChecked) return true;
    this.#recheck(connection);
    return connection.byId.has(watchId);
  }

  /** Ends the watches of a connection whose keys its user may not read. */
  #recheck(connection: ConnectionWatches): void {
    const { access } = connection.connection;
    connection.checkedAt = access.revision;
    for (const watch of connection.byId.values()) {
      const { keys, mayRead } = watch.interest;
      const refusal = access.refusal(keys, mayRead !== null);
      if (refusal !== null) this.#end(watch, refusal);
    }
  }

  /** Checks the rights of all watches, in turns of bounded work. */
  readonly #recheckAll = (): void => {
    this.#recheckTimer = null;
    let left = RECHECK_TURN_WATCHES;
    for (const connection of this.#connections) {
      if (connection.isChecked) continue;
      if (left <= 0) {
        this.#recheckTimer = this.#clock.after(0, this.#recheckAll);
        return;
      }
      left -= connection.byId.size;
      this.#recheck(connection);
    }
  };

  /** Encodes the events that match an interest; returns null if one frame does not take them. */
  #encode({ matched, filter }: Interest): Uint8Array | null {
    // One event for many interests is encoded once. Several take time for each interest, also if they do not fit a frame.
    if (matched.length > 1) this.#spend(matched.length * EVENT_COST_BYTES);
    return this.#encoder.encodeWhole(this.#machine.events, matched, filter);
  }

  #spend(bytes: number): void {
    if (this.#leftBytes === LEVEL_TURN_BYTES) this.#clock.endOfTurn(this.#endTurn);
    this.#leftBytes -= bytes;
  }

  readonly #endTurn = (): void => {
    this.#leftBytes = LEVEL_TURN_BYTES;
  };

  /** Has a watch fall behind, which was sent everything below `revision`. */
  #setBack(watch: Watch, revision: number): void {
    const { interest, connection } = watch;
    interest.level.delete(watch);
    interest.behind.add(watch);
    connection.behind++;
    this.#behind++;
    watch.nextRevision = revision;
    watch.sentEvents = 0;
    if (connection.connection.isHeld()) this.#hold(watch);
    else this.#feed.add(watch);
  }

  #hold(watch: Watch): void {
    watch.state = "held";
    watch.connection.held.add(watch);
  }

  #resume({ connection, held }: ConnectionWatches): void {
    if (connection.isHeld()) return;
    for (const watch of held) this.#feed.add(watch);
    held.clear();
  }

  #levelled(watch: Watch): void {
    const { interest, connection } = watch;
    watch.state = "level";
    interest.behind.delete(watch);
    interest.level.add(watch);
    this.#caughtUp(connection);
  }

  #caughtUp(connection: ConnectionWatches): void {
    connection.behind--;
    this.#behind--;
    this.#answerWaiters(connection);
  }

  #answerWaiters({ behind, levelWaiters }: ConnectionWatches): void {
    if (behind > 0) return;
    for (const waiter of levelWaiters.splice(0)) waiter.answer(this.#revision);
  }

  #endCompacted(watch: Watch): void {
    const { compactedRevision } = this.#machine;
    const message =
      `The history is kept from revision ${compactedRevision} on, and this watch lacks earlier events.`;
    this.#endedByCompaction += 1;
    this.#end(watch, { code: "compacted", message, compactedRevision });
  }

  #endAll(end: WatchEnd): void {
    for (const { byId } of this.#connections) for (const watch of byId.values()) this.#end(watch, end);
  }

  #end(watch: Watch, end: WatchEnd): void {
    watch.connection.connection.send({ kind: "watchEnded", watchId: watch.watchId, ...end });
    this.#remove(watch);
  }

  #remove(watch: Watch): void {
    const { watchId, interest, connection, state } = watch;
    connection.byId.delete(watchId);
    if (connection.byId.size === 0) this.#connections.delete(connection);
    this.#size--;
    interest.level.delete(watch);
    if (interest.behind.delete(watch)) {
      connection.held.delete(watch);
      if (state !== "held") this.#feed.remove(watch);
      this.#caughtUp(connection);
    }
    if (interest.size === 0) {
      this.#index.remove(interest);
      this.#keyBytes -= interest.keyBytes;
    }
    if (this.#size > 0) return;
    this.#progressTimer?.cancel();
    this.#progressTimer = null;
    this.#recheckTimer?.cancel();
    this.#recheckTimer = null;
  }

  #close({ byId, levelWaiters }: ConnectionWatches): void {
    for (const waiter of levelWaiters.splice(0)) waiter.drop();
    for (const watch of byId.values()) this.#remove(watch);
  }

  /** Tells each connection which of its watches are level and had no event since the last round. */
  readonly #sendProgress = (): void => {
    this.#progressTimer = this.#clock.after(PROGRESS_INTERVAL_MS, this.#sendProgress);
    for (const watches of this.#connections) {
      // Tokens expire without a change of users.
      if (!watches.isChecked) this.#recheck(watches);
      const { byId, connection } = watches;
      const watchIds: number[] = [];
      for (const watch of byId.values()) {
        if (watch.state === "level" && !watch.hadEvent) watchIds.push(watch.watchId);
        watch.hadEvent = false;
      }
      if (watchIds.length === 0 || connection.isHeld()) continue;
      connection.send({ kind: "watchProgressed", watchIds, revision: this.#revision });
    }
  };
}

function isAnyServed(watches: Iterable<Watch>): boolean {
  for (const { connection: { connection } } of watches) if (!connection.isHeld()) return true;
  return false;
}
