/**
 * Turns what the consensus core wants into I/O, in the order that the core's contract fixes:
 *
 *     begin the write and its sync → send → restore → apply and answer → (sync ends) → send promises → tell the core
 *
 * Whatever arrives in one turn of the event loop, or while a sync is under way, becomes one batch: one write, one
 * sync, one message a peer. That is the one performance idea of the system; it lives in `#schedule` and in the core's
 * rule that only one write is under way at a time.
 *
 * The driver takes storage, transport and clock as interfaces and never reaches for Deno: a simulator can run it.
 */
import { errorMessage } from "../platform/errors.ts";
import { assert } from "../platform/assert.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type {
  Entry,
  EntryRead,
  IgnoredReason,
  Message,
  NodeId,
  Persist,
  Raft,
  ReadState,
  Ready,
  SnapshotMetadata,
  SnapshotTransfer,
} from "../raft/mod.ts";
import { type PersistBatch, type Shortage, shortageOf } from "../storage/mod.ts";
import type { Metrics } from "./metrics/metrics.ts";

/**
 * Committed entries, and bytes of them, after which a turn ends, so that a long replay holds up neither heartbeats nor
 * clients: about 20 ms of work. The batch that the core hands out next is applied whole.
 */
const ENTRIES_PER_TURN = 4_096;
const BYTES_PER_TURN = 8_388_608;
/** How long a full disk is left alone, or a lack of file descriptors, before the same is tried again. */
const SHORTAGE_RETRY_MS = 500;

/** What the log says when something is lacking, and when it no longer is. */
const SHORTAGES: Readonly<Record<Shortage, { readonly begun: string; readonly over: string }>> = {
  diskFull: {
    begun: "disk full: this node takes no part until there is room",
    over: "disk has room again",
  },
  outOfDescriptors: {
    begun: "out of file descriptors: this node takes no part until there is one",
    over: "file descriptors are there again",
  },
};

/** The log as the driver uses it (lib/storage's WriteAheadLog is one). */
export interface LogStore {
  /**
   * Writes a batch; throws LogFullError when there is no room, OutOfDescriptorsError when no file could be opened, and
   * then nothing of it remains.
   */
  append(batch: PersistBatch): void;
  /** Resolves when everything appended is durable. A rejection is final. */
  sync(): Promise<void>;
  /** Notes behind the last batch that it is durable, if it is. */
  leaveSyncMark(): void;
  /** Reads entries back, at least one. Rejects with OutOfDescriptorsError where it may be tried again. */
  readEntries(firstIndex: number, maxBytes: number): Promise<readonly Entry[]>;
}

/** What the driver tells the rest of the server. None of these may throw or wait. */
export interface DriverEvents {
  /** A message leaves for `message.to`; it may be dropped. */
  send(message: Message): void;
  /** A snapshot that was received becomes the beginning of the log: its file gets its name, durably. May come twice. */
  install(snapshot: SnapshotMetadata): void;
  /** The state is to become what this snapshot holds, before anything else is applied. */
  restore(snapshot: SnapshotMetadata): void;
  /** A follower needs a snapshot. */
  sendSnapshot(transfer: SnapshotTransfer): void;
  /** The next committed entries, in order, each once. */
  apply(entries: readonly Entry[]): void;
  /** A read that was asked for may be answered, or can't be. */
  read(read: ReadState): void;
  /** A batch was processed: role, term or leader may have changed. */
  settled(): void;
  /** The node can't go on: the log failed, or an invariant did not hold. */
  failed(error: unknown): void;
}

/** What a driver is made from. */
export interface DriverOptions {
  readonly raft: Raft;
  readonly log: LogStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Real time of one tick of the core. */
  readonly tickMs: number;
  /** Counts batches and syncs; null counts none. */
  readonly metrics?: Metrics | null;
}

/** Runs one node of the core. */
export class Driver {
  readonly #options: DriverOptions;
  readonly #raft: Raft;
  /** Null before {@link start}. */
  #startedWith: DriverEvents | null = null;
  #ticker: Timer | null = null;
  #retry: Timer | null = null;
  /** At most one for each read that is under way. */
  readonly #loadRetries = new Set<Timer>();
  /** Goes on with what was too much for one turn. */
  #continuation: Timer | null = null;
  #scheduled = false;
  #stopped = false;
  /** What the last write lacked; null when it was made. */
  #shortage: Shortage | null = null;
  #persisting = false;
  /** Whether a batch has become durable that the log does not say it of. */
  #markIsDue = false;
  /** Settles when the write under way has ended, for a clean stop. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#raft = options.raft;
  }

  /** Whether the last write found no room on the disk. */
  get isDiskFull(): boolean {
    return this.#shortage === "diskFull";
  }

  /** Whether a write that the core has handed out is not durable yet. */
  get isPersisting(): boolean {
    return this.#persisting;
  }

  /** Begins to tick, and from now on hands the core's outputs to `events`. */
  start(events: DriverEvents): void {
    assert(this.#startedWith === null && !this.#stopped, "a driver starts once");
    this.#startedWith = events;
    this.#tick();
  }

  /** Ends ticking and batches; resolves when the write under way is durable. Nothing is sent or applied after it. */
  async stop(): Promise<void> {
    this.#cancelTimers();
    await this.#writing;
  }

  /** A message came in. */
  step(message: Message): void {
    this.#input(() => this.#noteIgnored(message, this.#raft.step(message)));
  }

  /** Hands something to the core on behalf of a client; what it causes is done at the end of the turn. */
  ask<Answer>(question: (raft: Raft) => Answer): Answer {
    try {
      return question(this.#raft);
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#schedule();
    }
  }

  /** Messages to `node` may have been lost. */
  messagesLost(node: NodeId): void {
    this.#input(() => this.#raft.messagesLost(node));
  }

  /** The process of `node` is gone: nobody listens at its address any more. */
  reportUnreachable(node: NodeId): void {
    this.#input(() => this.#raft.reportUnreachable(node));
  }

  /** Sending a snapshot to `node` was given up. */
  snapshotFailed(node: NodeId): void {
    this.#input(() => this.#raft.snapshotFailed(node));
  }

  get #events(): DriverEvents {
    assert(this.#startedWith !== null, "the core has outputs after the start");
    return this.#startedWith;
  }

  #tick(): void {
    // One tick each time the timer fires, however late: after a pause, missed ticks must not fire an election at once.
    this.#ticker = this.#options.clock.after(this.#options.tickMs, () => {
      if (this.#stopped) return;
      this.#tick();
      this.#guard(() => this.#raft.tick());
      // At once, unless a batch is being gathered: most ticks bring nothing to do, and another turn for each of them is
      // half of what an idle node costs.
      if (!this.#scheduled) this.#guard(() => this.#run());
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#options.clock.endOfTurn(() => {
      this.#scheduled = false;
      this.#guard(() => this.#run());
    });
  }

  /** Gives the core an input; whatever it throws ends the node in an orderly way instead of the process. */
  #input(act: () => void): void {
    this.#guard(act);
    this.#schedule();
  }

  #guard(act: () => void): void {
    if (this.#stopped) return;
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #run(): void {
    let entries = 0;
    let bytes = 0;
    while (entries < ENTRIES_PER_TURN && bytes < BYTES_PER_TURN) {
      const ready = this.#raft.takeReady();
      if (ready === null) return this.#rest();
      entries += ready.committed.length;
      for (const { data } of ready.committed) bytes += data.length;
      this.#process(ready);
    }
    this.#goOnLater();
  }

  /** Behind a timer: what is added at the end of a turn still runs in that turn, before anything that has arrived. */
  #goOnLater(): void {
    if (this.#stopped) return;
    this.#scheduled = true;
    this.#continuation = this.#options.clock.after(0, () => {
      this.#scheduled = false;
      this.#guard(() => this.#run());
    });
  }

  /** Nothing is to be done for now. */
  #rest(): void {
    const { clock, log } = this.#options;
    this.#events.settled();
    if (!this.#markIsDue || this.#persisting) return;
    this.#markIsDue = false;
    // Behind what leaves in this turn: nobody waits for the mark.
    clock.endOfTurn(() => this.#guard(() => log.leaveSyncMark()));
  }

  #process(ready: Ready): void {
    const events = this.#events;
    if (ready.persist !== null) this.#persist(ready.persist);
    for (const message of ready.messages) events.send(message);
    for (const request of ready.snapshots) events.sendSnapshot(request);
    if (ready.restore !== null) events.restore(ready.restore);
    if (ready.committed.length > 0) events.apply(ready.committed);
    for (const read of ready.reads) events.read(read);
    for (const entryRead of ready.entryReads) void this.#readEntries(entryRead);
  }

  #persist(persist: Persist): void {
    const { log, logger, clock } = this.#options;
    const { hardState, entries, snapshot } = persist;
    this.#persisting = true;
    try {
      // The file first: a log that begins behind a snapshot is of no use without it, a snapshot beside an old log is.
      if (snapshot !== null) this.#events.install(snapshot);
      log.append({ hardState, entries, snapshot });
    } catch (error) {
      const shortage = shortageOf(error);
      if (shortage === null) throw error;
      this.#noteShortage(shortage, error);
      this.#raft.storageStalled();
      this.#retry = clock.after(SHORTAGE_RETRY_MS, () => this.#input(() => this.#persist(persist)));
      return;
    }
    if (this.#shortage !== null) logger.info(SHORTAGES[this.#shortage].over);
    this.#shortage = null;
    this.#options.metrics?.batchEntries.record(entries.length);
    this.#writing = this.#syncThen(persist);
  }

  #noteShortage(shortage: Shortage, error: unknown): void {
    if (this.#shortage !== shortage) {
      this.#options.logger.error(SHORTAGES[shortage].begun, { reason: errorMessage(error) });
    }
    this.#shortage = shortage;
  }

  /** Waits for the sync, then keeps the promises that hung on it. Never rejects. */
  async #syncThen(persist: Persist): Promise<void> {
    const { metrics = null } = this.#options;
    const begin = metrics?.micros() ?? 0;
    try {
      await this.#options.log.sync();
      metrics?.syncMicros.record(metrics.microsSince(begin));
    } catch (error) {
      return this.#fail(error);
    }
    this.#input(() => {
      this.#persisting = false;
      this.#markIsDue = true;
      for (const message of persist.messagesAfterSync) this.#events.send(message);
      this.#raft.persisted(persist.lastIndex, persist.lastTerm);
    });
  }

  /** Reads entries back for the core. Never rejects. */
  async #readEntries(entryRead: EntryRead): Promise<void> {
    try {
      const entries = await this.#options.log.readEntries(entryRead.firstIndex, entryRead.maxBytes);
      this.#input(() => this.#raft.entriesRead(entryRead, entries));
    } catch (error) {
      if (this.#stopped || shortageOf(error) === null) return this.#fail(error);
      this.#options.logger.warn("cannot read the log for now; trying again", { reason: errorMessage(error) });
      // Without entries the core asks again, for what it needs by then.
      const retry = this.#options.clock.after(SHORTAGE_RETRY_MS, () => {
        this.#loadRetries.delete(retry);
        this.#input(() => this.#raft.entriesRead(entryRead, []));
      });
      this.#loadRetries.add(retry);
    }
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#cancelTimers();
    this.#events.failed(error);
  }

  #cancelTimers(): void {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#retry?.cancel();
    this.#continuation?.cancel();
    for (const retry of this.#loadRetries) retry.cancel();
  }

  #noteIgnored(message: Message, ignored: IgnoredReason | null): void {
    if (ignored === null) return;
    this.#options.logger.debug("message ignored", {
      kind: message.kind,
      from: message.from,
      reason: ignored,
    });
  }
}
