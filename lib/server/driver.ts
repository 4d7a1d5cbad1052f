/**
 * Turns the outputs of the consensus core into I/O, in the order that the core's contract requires:
 *
 *     begin the write and its sync → send → restore → apply and answer → (sync ends) → send the messages that needed it → report to the core
 *
 * Everything that arrives in one turn of the event loop, or during a sync, becomes one batch: one write, one sync, one
 * message a peer. Load makes batches larger, not more. `#schedule` implements this, with the core's rule that only one
 * write is in progress at a time.
 *
 * Storage, transport and clock are interfaces, so that a simulator can run the driver.
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
  Proposed,
  Raft,
  ReadRequested,
  ReadState,
  Ready,
  SnapshotMetadata,
  SnapshotTransfer,
} from "../raft/mod.ts";
import { type PersistBatch, type Shortage, shortageOf } from "../storage/mod.ts";
import { BatchTimes } from "./diagnostics/batch_times.ts";
import { type Metrics, microsOf } from "./metrics/metrics.ts";

/**
 * Committed entries, bytes of them, and time after which a turn ends, so that a long replay holds up neither heartbeats
 * nor clients: about 20 ms of work. The batch that reaches a bound is applied completely.
 */
const ENTRIES_PER_TURN = 4_096;
const BYTES_PER_TURN = 8_388_608;
const MS_PER_TURN = 20;
/**
 * Bytes of the first batch of committed entries. A batch is twice as large as the one before while batches take less than
 * a turn, and smaller after one that took more: entries of few bytes may be transactions over many keys.
 */
const FIRST_APPLY_BYTES = 4_096;
/** Interval between attempts while the disk is full or file descriptors are short. */
const SHORTAGE_RETRY_MS = 500;

/** Log lines for the beginning and the end of a shortage. */
const SHORTAGES: Readonly<
  Record<Shortage, Readonly<Record<"begun" | "begunEvent" | "over" | "overEvent", string>>>
> = {
  diskFull: {
    begun: "disk full: this node does not take part until there is space",
    begunEvent: "diskFull",
    over: "disk has space again",
    overEvent: "diskHasSpace",
  },
  outOfDescriptors: {
    begun: "out of file descriptors: this node does not take part until one is free",
    begunEvent: "descriptorsShort",
    over: "file descriptors are free again",
    overEvent: "descriptorsFree",
  },
};

/**
 * Log lines for messages that no leader sends unless a member has lost entries that it acknowledged. Such a message is
 * ignored, and does not end this node: the sender may be at fault.
 */
const LOSSES: Partial<Readonly<Record<IgnoredReason, string>>> = {
  conflictsWithCommitted:
    "The leader's log contradicts entries that this node knows to be committed: another member has lost entries that it " +
    "acknowledged. This node takes no entries from this leader. Compare the last terms and indexes of all members " +
    '(`kvraft server inspect`), and see docs/operations.md, "The log is damaged"',
  commitBeyondLog:
    "The leader counts entries as acknowledged by this node that its log does not have: the log was shortened while this " +
    "node was down. This node takes no part until another one leads, and must be replaced " +
    '(`kvraft client … member replace`); see docs/operations.md, "The log is damaged"',
};

/** The log as the driver uses it; {@link WriteAheadLog} of lib/storage is one. */
export interface LogStore {
  /**
   * Writes a batch. Throws LogFullError when the disk is full, and OutOfDescriptorsError when no file can be opened;
   * nothing of the batch remains then.
   */
  append(batch: PersistBatch): void;
  /** Resolves when everything appended is durable. A rejection is final. */
  sync(): Promise<void>;
  /** Appends a sync marker once the last batch is durable. */
  leaveSyncMark(): void;
  /** Reads entries, at least one. Rejects with OutOfDescriptorsError where a retry may help. */
  readEntries(firstIndex: number, maxBytes: number): Promise<readonly Entry[]>;
}

/** The handlers of the core's outputs. None of them may throw or wait. */
export interface DriverEvents {
  /** Sends a message to `message.to`; it may be dropped. */
  send(message: Message): void;
  /** Renames the file of a received snapshot durably: the log will begin behind it. May be called twice. */
  install(snapshot: SnapshotMetadata): void;
  /** Replaces the state by that of this snapshot, before anything else is applied. */
  restore(snapshot: SnapshotMetadata): void;
  /** Begins to send a snapshot to a follower. */
  sendSnapshot(transfer: SnapshotTransfer): void;
  /** Applies the next committed entries; they come in order, each once. */
  apply(entries: readonly Entry[]): void;
  /** Takes the decision of the core about a read. */
  read(read: ReadState): void;
  /** Follows up a processed batch: role, term or leader may have changed. */
  settled(): void;
  /** Ends the node: the log failed, or an invariant was violated. */
  failed(error: unknown): void;
}

/** The dependencies of a driver. */
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
  /** When the last batches were written, synced and committed, where requests are counted. */
  readonly batches = new BatchTimes();
  readonly #options: DriverOptions;
  readonly #raft: Raft;
  /** Null before {@link start}. */
  #startedWith: DriverEvents | null = null;
  #ticker: Timer | null = null;
  #retry: Timer | null = null;
  /** At most one for each read in progress. */
  readonly #loadRetries = new Set<Timer>();
  /** Continues work that was too much for one turn. */
  #continuation: Timer | null = null;
  #scheduled = false;
  #stopped = false;
  /** The shortage that the last write met; null when it succeeded. */
  #shortage: Shortage | null = null;
  #persisting = false;
  /** Whether a durable batch has no sync marker yet. */
  #isMarkerDue = false;
  /** Bytes of the committed entries that are applied at a time. */
  #applyBytes = FIRST_APPLY_BYTES;
  /** The read that reads share until the core's outputs are taken; null before the first. */
  #sharedRead: ReadRequested | null = null;
  /** Settles when the write in progress has ended, for a clean stop. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#raft = options.raft;
  }

  /** Whether the last write failed because the disk was full. */
  get isDiskFull(): boolean {
    return this.#shortage === "diskFull";
  }

  /** Whether a write of the core is not durable yet. */
  get isPersisting(): boolean {
    return this.#persisting;
  }

  /** Begins to tick, and from now on hands the core's outputs to `events`. */
  start(events: DriverEvents): void {
    assert(this.#startedWith === null && !this.#stopped, "a driver starts once");
    this.#startedWith = events;
    this.#tick();
  }

  /** Ends ticking and batches; resolves when the write in progress is durable. Nothing is sent or applied later. */
  async stop(): Promise<void> {
    this.#cancelTimers();
    await this.#writing;
  }

  /** Passes a received message to the core. */
  step(message: Message): void {
    this.#input(() => this.#noteIgnored(message, this.#raft.step(message)));
  }

  /** Calls the core; the outputs of the call are processed at the end of the turn. */
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

  /** The leader that the core knows, or null. */
  get leader(): NodeId | null {
    return this.#raft.leader;
  }

  /** Whether this node leads. */
  get isLeader(): boolean {
    return this.#raft.isLeader;
  }

  /** Proposes a command. */
  propose(command: Uint8Array): Proposed {
    // As in `ask`, without a closure for each write.
    this.#schedule();
    try {
      return this.#raft.propose(command);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /**
   * Requests a read index. Reads that arrive until the core's outputs are taken share one, and so one answer of the core:
   * the messages that confirm it are sent after all of them arrived. Not under a lease, which is checked when the core
   * takes the read: a later read must not be answered by an earlier check.
   */
  readIndex(): ReadRequested {
    if (this.#raft.holdsLease) return this.ask((raft) => raft.readIndex());
    if (this.#sharedRead !== null) return this.#sharedRead;
    const requested = this.ask((raft) => raft.readIndex());
    if (requested.kind === "accepted") this.#sharedRead = requested;
    return requested;
  }

  /** Has the core tell a follower what is committed. */
  announceCommit(node: NodeId): void {
    this.#input(() => this.#raft.announceCommit(node));
  }

  /** Reports to the core that messages to `node` may have been lost. */
  messagesLost(node: NodeId): void {
    this.#input(() => this.#raft.messagesLost(node));
  }

  /** Reports to the core that no process listens at the address of `node` any more. */
  reportUnreachable(node: NodeId): void {
    this.#input(() => this.#raft.reportUnreachable(node));
  }

  /** Reports to the core that sending a snapshot to `node` failed. */
  snapshotFailed(node: NodeId): void {
    this.#input(() => this.#raft.snapshotFailed(node));
  }

  get #events(): DriverEvents {
    assert(this.#startedWith !== null, "the core has outputs after the start");
    return this.#startedWith;
  }

  #tick(): void {
    // One tick each time the timer fires, however late: after a pause, missed ticks must not fire an election at once.
    const { clock, tickMs, metrics = null } = this.#options;
    const dueMs = clock.now() + tickMs;
    this.#ticker = clock.after(tickMs, () => {
      if (this.#stopped) return;
      metrics?.ticked(dueMs);
      this.#tick();
      this.#guard(() => this.#raft.tick());
      // At once, unless a batch is scheduled: most ticks have no outputs, and another turn for each of them is half of
      // what an idle node costs.
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

  /** Passes an input to the core; an error that it throws stops the node in good order instead of the process. */
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
    const { clock } = this.#options;
    const begin = clock.now();
    const end = begin + MS_PER_TURN;
    let entries = 0;
    let bytes = 0;
    do {
      this.#sharedRead = null;
      const ready = this.#raft.takeReady(this.#applyBytes);
      if (ready === null) return this.#rest();
      this.batches.committed(ready.commitIndex, microsOf(begin));
      entries += ready.committed.length;
      for (const { data } of ready.committed) bytes += data.length;
      this.#process(ready);
      if (ready.hasMoreToSend) break;
    } while (entries < ENTRIES_PER_TURN && bytes < BYTES_PER_TURN && clock.now() < end);
    this.#continueLater();
  }

  /** Applies committed entries, and bounds the next batch so that it takes at most about a turn. */
  #apply(committed: readonly Entry[]): void {
    const { clock } = this.#options;
    const begin = clock.now();
    this.#events.apply(committed);
    const tookMs = clock.now() - begin;
    if (tookMs <= MS_PER_TURN) {
      this.#applyBytes = Math.min(2 * this.#applyBytes, BYTES_PER_TURN);
    } else {
      const bytes = committed.reduce((sum, { data }) => sum + data.length, 0);
      this.#applyBytes = Math.max(1, Math.floor(bytes * MS_PER_TURN / tookMs));
    }
  }

  /** Continues after a timer: work that is scheduled for the end of a turn would run before anything that has arrived. */
  #continueLater(): void {
    if (this.#stopped) return;
    this.#scheduled = true;
    this.#continuation = this.#options.clock.after(0, () => {
      this.#scheduled = false;
      this.#guard(() => this.#run());
    });
  }

  /** Follows up the last batch: the core has no outputs now. */
  #rest(): void {
    const { clock, log } = this.#options;
    this.#events.settled();
    if (!this.#isMarkerDue || this.#persisting) return;
    this.#isMarkerDue = false;
    // After the messages of this turn: nothing waits for the marker.
    clock.endOfTurn(() => this.#guard(() => log.leaveSyncMark()));
  }

  #process(ready: Ready): void {
    const events = this.#events;
    if (ready.persist !== null) this.#persist(ready.persist);
    for (const message of ready.messages) events.send(message);
    for (const request of ready.snapshots) events.sendSnapshot(request);
    if (ready.restore !== null) events.restore(ready.restore);
    if (ready.committed.length > 0) this.#apply(ready.committed);
    for (const read of ready.reads) events.read(read);
    for (const entryRead of ready.entryReads) void this.#readEntries(entryRead);
  }

  #persist(persist: Persist): void {
    const { log, logger, clock } = this.#options;
    const { hardState, entries, snapshot } = persist;
    this.#persisting = true;
    try {
      // The file first: a log that begins behind a snapshot is useless without it, but a snapshot with an old log is fine.
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
    if (this.#shortage !== null) {
      const { over, overEvent: event } = SHORTAGES[this.#shortage];
      logger.info(over, { event });
    }
    this.#shortage = null;
    this.#options.metrics?.batchEntries.record(entries.length);
    this.#writing = this.#syncThen(persist);
  }

  #noteShortage(shortage: Shortage, error: unknown): void {
    if (this.#shortage !== shortage) {
      const { begun, begunEvent: event } = SHORTAGES[shortage];
      this.#options.logger.error(begun, { event, reason: errorMessage(error) });
    }
    this.#shortage = shortage;
  }

  /** Waits for the sync, then sends the messages that needed it. Never rejects. */
  async #syncThen(persist: Persist): Promise<void> {
    const { metrics = null } = this.#options;
    const { entries: [first], lastIndex } = persist;
    const begin = metrics?.micros() ?? 0;
    if (metrics !== null && first !== undefined) this.batches.appended(first.index, lastIndex, begin);
    try {
      await this.#options.log.sync();
      if (metrics !== null) {
        const tookMicros = metrics.microsSince(begin);
        metrics.syncMicros.record(tookMicros);
        this.batches.synced(tookMicros);
      }
    } catch (error) {
      return this.#fail(error);
    }
    this.#input(() => {
      this.#persisting = false;
      this.#isMarkerDue = true;
      for (const message of persist.messagesAfterSync) this.#events.send(message);
      this.#raft.persisted(persist.lastIndex, persist.lastTerm);
    });
  }

  /** Reads entries for the core. Never rejects. */
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
    const { kind, from, term } = message;
    const { logger } = this.#options;
    const loss = LOSSES[ignored];
    if (loss === undefined) return logger.debug("message ignored", { kind, from, reason: ignored });
    const { lastIndex, commitIndex } = this.#raft.status();
    logger.error(loss, { from, term, lastIndex, commitIndex });
  }
}
