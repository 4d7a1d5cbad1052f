/**
 * This node's copy of the state machine, and the writes and reads that wait for it.
 *
 * Invariants: entries are applied in order, each once; a waiting write is answered once, by the entry of its own
 * index *and* term, or refused as unknown when that entry can't be told to commit any more; a waiting read is
 * answered from a state that has applied the index it was given.
 */
import { assert } from "../platform/assert.ts";
import { type Command, type CommandResult, keepsStoreLimits, StateMachine } from "../kv/mod.ts";
import { decodeCommand, encodeResultInPlace } from "../protocol/command.ts";
import { DecodeError } from "../protocol/errors.ts";
import { decodeConfiguration } from "../protocol/configuration.ts";
import type { Configuration, Entry, ReadState, SnapshotMetadata } from "../raft/mod.ts";
import { unknownOutcome, type WriteAnswer } from "./reply.ts";
import type { Clock, Timer } from "../platform/clock.ts";

/**
 * Bytes of values that failed checks may give back while one batch of entries is applied: about as much work as the rest
 * of the batch. Beyond them the answers come without, and who needs a value reads its key, which is done in turns.
 */
export const MAX_CURRENT_BYTES_A_BATCH = 1_048_576;

/** A proposal of this node that was accepted and is not applied yet. */
interface WaitingWrite {
  readonly term: number;
  /** What the proposed bytes say: decoded at the door, it need not be decoded again when its entry is applied. */
  readonly command: Command;
  /** Takes the answer; a result's bytes are good during the call only. */
  readonly answer: (answer: WriteAnswer) => void;
}

/** The state machine with its waiting room. */
export class Replica {
  #stateMachine: StateMachine;
  #applied: SnapshotMetadata;
  readonly #writes = new Map<number, WaitingWrite>();
  /** Reads that wait for the core to name an index. */
  readonly #unconfirmed = new Map<number, (ready: boolean) => void>();
  /** Reads that wait for an index to be applied; null where none are asked. */
  readonly #confirmed: ConfirmedReads | null;

  /** The state as of `applied`. Without `confirmed` no read can wait, and one that would have to is refused. */
  constructor(
    stateMachine: StateMachine,
    applied: SnapshotMetadata,
    confirmed: ConfirmedReads | null = null,
  ) {
    assert(stateMachine.appliedIndex === applied.index, "a state is of the index that it is said to be of");
    this.#stateMachine = stateMachine;
    this.#applied = applied;
    this.#confirmed = confirmed;
  }

  /** The keys and sessions. Another object after a {@link restore}. */
  get stateMachine(): StateMachine {
    return this.#stateMachine;
  }

  /** The last entry applied, with the newest configuration up to it: what a snapshot of the state stands for. */
  get applied(): SnapshotMetadata {
    return this.#applied;
  }

  /** Writes that wait for their entry. */
  get waitingWrites(): number {
    return this.#writes.size;
  }

  /** A proposal was accepted at (index, term): `answer` is called once, when its fate is known. */
  awaitWrite(index: number, write: WaitingWrite): void {
    // A proposal of an earlier term at this index can't be committed any more; whether its write took effect through
    // another attempt is not known here.
    this.#writes.get(index)?.answer(lostLeadership());
    this.#writes.set(index, write);
  }

  /** A read was accepted by the core: `answer` is called once, with whether this node's state may answer it now. */
  awaitRead(readId: number, answer: (ready: boolean) => void): void {
    assert(!this.#unconfirmed.has(readId), "read ids are not reused");
    this.#unconfirmed.set(readId, answer);
  }

  /** Takes the state of a snapshot in place of what there is. Writes below it that wait have an unknown outcome. */
  restore(stateMachine: StateMachine, snapshot: SnapshotMetadata): void {
    assert(stateMachine.appliedIndex === snapshot.index, "a state is of the index that it is said to be of");
    assert(snapshot.index > this.#applied.index, "a snapshot never takes the state back");
    this.#stateMachine = stateMachine;
    this.#applied = snapshot;
    for (const [index, { answer }] of this.#writes) {
      if (index > snapshot.index) continue;
      this.#writes.delete(index);
      answer(lostLeadership());
    }
    this.#confirmed?.applied(this.stateMachine.appliedIndex);
  }

  /** Applies committed entries and answers who waited for them. */
  apply(entries: readonly Entry[]): void {
    const currents = new CurrentValues();
    for (const entry of entries) {
      const waiting = this.#writes.get(entry.index);
      const result = this.#applyEntry(entry, waiting?.term === entry.term ? waiting.command : null);
      this.#noteApplied(entry);
      if (waiting === undefined) continue;
      this.#writes.delete(entry.index);
      if (waiting.term === entry.term && result !== null) {
        waiting.answer({ kind: "result", result: encodeResultInPlace(currents.bounded(result)) });
      } else {
        waiting.answer(lostLeadership());
      }
    }
    this.#confirmed?.applied(this.stateMachine.appliedIndex);
  }

  /** The core has decided a read. */
  confirmRead(read: ReadState): void {
    const answer = this.#unconfirmed.get(read.readId);
    if (answer === undefined) return;
    this.#unconfirmed.delete(read.readId);
    if (read.index === null) return answer(false);
    if (read.index <= this.stateMachine.appliedIndex) return answer(true);
    if (this.#confirmed === null) return answer(false);
    this.#confirmed.add(read.index, answer);
  }

  /** Writes proposed in another term than the one that this node leads may or may not commit under somebody else. */
  abandonWrites(leadingTerm: number | null): void {
    for (const [index, { term, answer }] of this.#writes) {
      if (term === leadingTerm) continue;
      this.#writes.delete(index);
      answer(lostLeadership());
    }
  }

  /** Ends every wait (the node stops). */
  close(): void {
    this.abandonWrites(null);
    for (const answer of this.#unconfirmed.values()) answer(false);
    this.#unconfirmed.clear();
    this.#confirmed?.close();
  }

  /** `known` is the entry's command where that was decoded before. */
  #applyEntry(entry: Entry, known: Command | null): CommandResult | null {
    switch (entry.kind) {
      case "noop":
      case "configuration":
        this.stateMachine.applyNoop(entry.index);
        return null;
      case "command":
        return this.stateMachine.apply(entry.index, known ?? decodeOrNull(entry.data));
    }
  }

  #noteApplied({ index, term, kind, data }: Entry): void {
    const configuration: Configuration = kind === "configuration"
      ? decodeConfiguration(data)
      : this.#applied.configuration;
    this.#applied = { index, term, configuration };
  }
}

/** The values that the failed checks of one batch give back. */
class CurrentValues {
  #leftBytes = MAX_CURRENT_BYTES_A_BATCH;

  /** The result with its value while there is room for any, and without after that. */
  bounded(result: CommandResult): CommandResult {
    if (result.kind !== "checksFailed" || result.current === null || result.current === "omitted") {
      return result;
    }
    if (this.#leftBytes <= 0) return { ...result, current: "omitted" };
    this.#leftBytes -= result.current.key.length + result.current.value.length;
    return result;
  }
}

/**
 * Bytes that are no command, or one that no leader lets in, are refused by the state machine, on every node alike: a
 * state with an empty key, say, could not be read back from a snapshot.
 */
function decodeOrNull(data: Uint8Array): Command | null {
  try {
    const command = decodeCommand(data);
    return keepsStoreLimits(command) ? command : null;
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

function lostLeadership(): WriteAnswer {
  return unknownOutcome(
    "leadershipLost",
    "Cannot tell whether the write took effect: this node lost the leadership.",
  );
}

/** Reads that may wait. One more is refused. */
export const MAX_CONFIRMED_READS = 16_384;

/** How long reads may wait. */
export interface ConfirmedReadsOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

interface WaitingRead {
  readonly index: number;
  readonly deadline: number;
  readonly answer: (ready: boolean) => void;
}

/** The reads of one node. */
export class ConfirmedReads {
  readonly #options: ConfirmedReadsOptions;
  /** In ascending order of their indexes. */
  #reads: WaitingRead[] = [];
  #timer: Timer | null = null;

  constructor(options: ConfirmedReadsOptions) {
    this.#options = options;
  }

  /** Reads that wait. */
  get size(): number {
    return this.#reads.length;
  }

  /** Calls `answer` once: with true when {@link applied} reaches `index`, with false when that takes too long. */
  add(index: number, answer: (ready: boolean) => void): void {
    if (this.#reads.length >= MAX_CONFIRMED_READS) return answer(false);
    const { clock, timeoutMs } = this.#options;
    const position = this.#reads.findLastIndex((waiting) => waiting.index <= index) + 1;
    this.#reads.splice(position, 0, { index, deadline: clock.now() + timeoutMs, answer });
    this.#timer ??= clock.after(timeoutMs, this.#refuseLate);
  }

  /** Entries up to `index` are applied. */
  applied(index: number): void {
    if (this.#reads.length === 0) return;
    const later = this.#reads.findIndex((waiting) => waiting.index > index);
    const due = this.#reads.splice(0, later === -1 ? this.#reads.length : later);
    for (const { answer } of due) answer(true);
  }

  /** Refuses all that wait. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const { answer } of this.#reads.splice(0)) answer(false);
  }

  /** One timer for all: it fires for the one that has waited longest and sets itself for the next. */
  readonly #refuseLate = (): void => {
    this.#timer = null;
    const { clock } = this.#options;
    const now = clock.now();
    const late = this.#reads.filter(({ deadline }) => deadline <= now);
    this.#reads = this.#reads.filter(({ deadline }) => deadline > now);
    const next = this.#reads.reduce((earliest, { deadline }) => Math.min(earliest, deadline), Infinity);
    if (next !== Infinity) this.#timer = clock.after(next - now, this.#refuseLate);
    for (const { answer } of late) answer(false);
  };
}
