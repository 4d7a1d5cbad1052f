/**
 * This node's copy of the state machine, and the writes and reads that wait for it.
 *
 * Invariants: entries are applied in order, each once. A waiting write is answered once, by the entry with its index
 * *and* term, or with an unknown outcome when this node cannot learn whether that entry commits. A waiting read is
 * answered from a state that has applied its read index.
 */
import { assert } from "../platform/assert.ts";
import {
  type Command,
  type CommandResult,
  entryBytes,
  keepsStoreLimits,
  MAX_REMEMBERED_BYTES,
  StateMachine,
} from "../kv/mod.ts";
import { decodeCommand, encodeResultInPlace } from "../protocol/command.ts";
import { DecodeError } from "../protocol/errors.ts";
import { decodeConfiguration } from "../protocol/configuration.ts";
import type { Configuration, Entry, ReadState, SnapshotMetadata } from "../raft/mod.ts";
import { unknownOutcome, type WriteAnswer } from "./reply.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import { NumberMap } from "../platform/memory/number_map.ts";

/**
 * Maximum bytes of current values that failed checks return while one batch of entries is applied: about as much work as
 * the rest of the batch. Answers beyond that omit the value; a client that needs it reads the key.
 */
export const MAX_CURRENT_BYTES_A_BATCH = 1_048_576;
/**
 * Maximum bytes of entries that transactions with branches return while one batch of entries is applied, about four of
 * the largest results. Answers beyond that omit the outcomes, unless a session would remember them.
 */
export const MAX_OUTCOME_BYTES_A_BATCH = 16_777_216;

/** An accepted proposal of this node that is not applied yet. */
export interface WaitingWrite {
  readonly term: number;
  /** The decoded command, so that it is not decoded again when its entry is applied. */
  readonly command: Command;
  /** Takes the answer; the bytes of a result are valid during the call only. */
  answer(answer: WriteAnswer): void;
}

/**
 * Takes whether the state of this node may answer a read, and for how many milliseconds the read waited until its read
 * index was applied; nothing for 0.
 */
export type TakeReadiness = (ready: boolean, applyMs?: number) => void;

/** The part of a node that follows each revision. */
export interface RevisionObserver {
  /** An entry was applied that advanced the revision. */
  revisionApplied(): void;
  /** An entry was applied that changed users, roles or tokens. */
  authChanged(): void;
  /** The state was replaced by a later one. */
  restored(stateMachine: StateMachine): void;
}

/** Options of a {@link Replica}. */
export interface ReplicaOptions {
  readonly confirmed?: ConfirmedReads | null;
  readonly observer?: RevisionObserver | null;
}

/** The state machine with the requests that wait for it. */
export class Replica {
  #stateMachine: StateMachine;
  /** Term of the last applied entry, and the newest configuration up to it. */
  #appliedTerm: number;
  #configuration: Configuration;
  #countIndex: number;
  #endedLeases = 0;
  readonly #writes = new NumberMap<WaitingWrite>();
  /** Reads that wait for their read index, by its id, which reads of one batch share. */
  readonly #unconfirmed = new NumberMap<TakeReadiness[]>();
  /** Reads that wait for their read index to be applied; null where there are none. */
  readonly #confirmed: ConfirmedReads | null;
  readonly #observer: RevisionObserver | null;

  /** `stateMachine` has the state as of `applied`. Without `confirmed`, a read that would have to wait is refused. */
  constructor(
    stateMachine: StateMachine,
    applied: SnapshotMetadata,
    { confirmed = null, observer = null }: ReplicaOptions = {},
  ) {
    assert(stateMachine.appliedIndex === applied.index, "a state has the index of its snapshot");
    this.#stateMachine = stateMachine;
    this.#appliedTerm = applied.term;
    this.#configuration = applied.configuration;
    this.#countIndex = applied.index;
    this.#confirmed = confirmed;
    this.#observer = observer;
  }

  /** The keys and sessions. Another object after a {@link restore}. */
  get stateMachine(): StateMachine {
    return this.#stateMachine;
  }

  /** The last applied entry with the newest configuration up to it: the metadata of a snapshot taken now. */
  get applied(): SnapshotMetadata {
    const { appliedIndex: index } = this.#stateMachine;
    return { index, term: this.#appliedTerm, configuration: this.#configuration };
  }

  /** Index of the last applied entry. */
  get appliedIndex(): number {
    return this.#stateMachine.appliedIndex;
  }

  /** Index of the last applied count of time; of the last installed snapshot if there was none since. */
  get countIndex(): number {
    return this.#countIndex;
  }

  /** Number of leases that ended in time, not by a revoke, in the entries that this node has applied. */
  get endedLeases(): number {
    return this.#endedLeases;
  }

  /** Number of waiting writes. */
  get waitingWrites(): number {
    return this.#writes.size;
  }

  /** Adds a write that was proposed at (index, term). Its `answer` is called once. */
  awaitWrite(index: number, write: WaitingWrite): void {
    // A proposal of an earlier term at this index was replaced; whether another attempt of its write took effect is not
    // known here.
    this.#writes.get(index)?.answer(lostLeadership(index));
    this.#writes.set(index, write);
  }

  /** Adds a read that the core accepted. `answer` is called once, with whether this node's state may answer it. */
  awaitRead(readId: number, answer: TakeReadiness): void {
    const sharing = this.#unconfirmed.get(readId);
    if (sharing === undefined) this.#unconfirmed.set(readId, [answer]);
    else sharing.push(answer);
  }

  /** Replaces the state by that of a snapshot. Waiting writes up to its index have an unknown outcome. */
  restore(stateMachine: StateMachine, snapshot: SnapshotMetadata): void {
    assert(stateMachine.appliedIndex === snapshot.index, "a state has the index of its snapshot");
    assert(snapshot.index > this.appliedIndex, "a snapshot never moves the state backward");
    this.#stateMachine = stateMachine;
    this.#appliedTerm = snapshot.term;
    this.#configuration = snapshot.configuration;
    this.#countIndex = snapshot.index;
    this.#loseWrites((_, index) => index <= snapshot.index);
    this.#observer?.restored(stateMachine);
    this.#confirmed?.applied(this.stateMachine.appliedIndex);
  }

  /** Applies committed entries and answers the writes that waited for them. */
  apply(entries: readonly Entry[]): void {
    const values = new ReturnedValues();
    let { revision } = this.#stateMachine;
    const { auth } = this.#stateMachine;
    const authRevision = auth.revision;
    for (const entry of entries) {
      const { index } = entry;
      const waiting = this.#writes.get(index);
      const result = this.#applyEntry(entry, waiting?.term === entry.term ? waiting.command : null);
      this.#noteApplied(entry);
      // After each entry, since the next one may compact its events.
      if (this.#stateMachine.revision !== revision) {
        revision = this.#stateMachine.revision;
        this.#observer?.revisionApplied();
      }
      if (waiting === undefined) continue;
      this.#writes.delete(index);
      if (waiting.term === entry.term && result !== null) {
        waiting.answer({ kind: "result", result: encodeResultInPlace(values.bounded(result)), index });
      } else {
        waiting.answer(lostLeadership(index));
      }
    }
    if (auth.revision !== authRevision) this.#observer?.authChanged();
    this.#confirmed?.applied(this.stateMachine.appliedIndex);
  }

  /** Takes the decision of the core about a read. */
  confirmRead(read: ReadState): void {
    const answers = this.#unconfirmed.get(read.readId);
    if (answers === undefined) return;
    this.#unconfirmed.delete(read.readId);
    const { index } = read;
    const isApplied = index !== null && index <= this.stateMachine.appliedIndex;
    for (const answer of answers) {
      if (index === null || isApplied || this.#confirmed === null) answer(isApplied);
      else this.#confirmed.add(index, answer);
    }
  }

  /** Answers waiting writes of other terms than `leadingTerm` with an unknown outcome: another leader may commit them. */
  abandonWrites(leadingTerm: number | null): void {
    this.#loseWrites(({ term }) => term !== leadingTerm);
  }

  /** Answers the waiting writes that are selected with an unknown outcome. */
  #loseWrites(isLost: (write: WaitingWrite, index: number) => boolean): void {
    for (const index of this.#writes.keys()) {
      const write = this.#writes.get(index);
      if (write === undefined || !isLost(write, index)) continue;
      this.#writes.delete(index);
      write.answer(lostLeadership(index));
    }
  }

  /** Ends every wait: the node stops. */
  close(): void {
    this.abandonWrites(null);
    for (const readId of this.#unconfirmed.keys()) {
      for (const answer of this.#unconfirmed.get(readId) ?? []) answer(false);
    }
    this.#unconfirmed.clear();
    this.#confirmed?.close();
  }

  /** Applies an entry; `known` is its command if that was decoded before. */
  #applyEntry(entry: Entry, known: Command | null): CommandResult | null {
    switch (entry.kind) {
      case "noop":
      case "configuration":
        this.stateMachine.applyNoop(entry.index);
        return null;
      case "command": {
        const command = known ?? decodeOrNull(entry.data);
        const result = this.stateMachine.apply(entry.index, command);
        if (result.kind === "sessionsExpired") {
          this.#countIndex = entry.index;
          this.#endedLeases += result.endedLeases;
        }
        return result;
      }
    }
  }

  #noteApplied({ term, kind, data }: Entry): void {
    this.#appliedTerm = term;
    if (kind === "configuration") this.#configuration = decodeConfiguration(data);
  }
}

/** The values that the results of one batch return. */
class ReturnedValues {
  #leftCurrentBytes = MAX_CURRENT_BYTES_A_BATCH;
  #leftOutcomeBytes = MAX_OUTCOME_BYTES_A_BATCH;

  /** Returns the result, without its values once the batch has returned too many bytes. */
  bounded(result: CommandResult): CommandResult {
    if (result.kind === "executed") return this.#boundedOutcomes(result);
    if (result.kind !== "checksFailed" || result.current === null || result.current === "omitted") {
      return result;
    }
    if (this.#leftCurrentBytes <= 0) return { ...result, current: "omitted" };
    this.#leftCurrentBytes -= result.current.key.length + result.current.value.length;
    return result;
  }

  #boundedOutcomes(result: Extract<CommandResult, { readonly kind: "executed" }>): CommandResult {
    if (result.outcomes === "omitted") return result;
    const bytes = entryBytes(result.outcomes);
    if (bytes <= MAX_REMEMBERED_BYTES) return result;
    if (this.#leftOutcomeBytes <= 0) return { ...result, outcomes: "omitted" };
    this.#leftOutcomeBytes -= bytes;
    return result;
  }
}

/**
 * Returns null for bytes that are no valid command. The state machine refuses them, equally on every node: a state with an
 * empty key, for example, could not be read from a snapshot.
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

function lostLeadership(index: number): WriteAnswer {
  const message = "Cannot tell whether the write took effect: this node lost the leadership.";
  return { ...unknownOutcome("leadershipLost", message), index };
}

/** Maximum number of reads that wait for their read index to be applied; one more is refused. */
export const MAX_CONFIRMED_READS = 16_384;

/** The dependencies of waiting reads. */
export interface ConfirmedReadsOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

interface WaitingRead {
  readonly index: number;
  readonly deadline: number;
  readonly answer: TakeReadiness;
}

/**
 * Reads whose read index is not applied here yet, as at a follower that is behind. They are answered once it is, in the
 * order of their indexes, or refused after a timeout, so that the client can ask a node that is up to date.
 */
export class ConfirmedReads {
  readonly #options: ConfirmedReadsOptions;
  /** In ascending order of their indexes. */
  #reads: WaitingRead[] = [];
  #timer: Timer | null = null;

  constructor(options: ConfirmedReadsOptions) {
    this.#options = options;
  }

  /** Number of waiting reads. */
  get size(): number {
    return this.#reads.length;
  }

  /** Calls `answer` once: with true when `index` is {@link applied}, with false after the timeout. */
  add(index: number, answer: TakeReadiness): void {
    if (this.#reads.length >= MAX_CONFIRMED_READS) return answer(false);
    const { clock, timeoutMs } = this.#options;
    const position = this.#reads.findLastIndex((waiting) => waiting.index <= index) + 1;
    this.#reads.splice(position, 0, { index, deadline: clock.now() + timeoutMs, answer });
    this.#timer ??= clock.after(timeoutMs, this.#refuseLate);
  }

  /** Answers the reads up to `index`: its entries are applied. */
  applied(index: number): void {
    if (this.#reads.length === 0) return;
    const later = this.#reads.findIndex((waiting) => waiting.index > index);
    const due = this.#reads.splice(0, later === -1 ? this.#reads.length : later);
    const { clock, timeoutMs } = this.#options;
    const now = due.length === 0 ? 0 : clock.now();
    for (const { answer, deadline } of due) answer(true, now - (deadline - timeoutMs));
  }

  /** Refuses all waiting reads. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const { answer } of this.#reads.splice(0)) answer(false);
  }

  /** Refuses late reads. One timer serves all: it fires for the oldest read and is set for the next. */
  readonly #refuseLate = (): void => {
    this.#timer = null;
    const { clock } = this.#options;
    const now = clock.now();
    const late = this.#reads.filter(({ deadline }) => deadline <= now);
    this.#reads = this.#reads.filter(({ deadline }) => deadline > now);
    const next = this.#reads.reduce((earliest, { deadline }) => Math.min(earliest, deadline), Infinity);
    if (next !== Infinity) this.#timer = clock.after(next - now, this.#refuseLate);
    for (const { answer, deadline } of late) answer(false, now - (deadline - this.#options.timeoutMs));
  };
}
