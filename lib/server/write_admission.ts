/**
 * How many writes wait at a leader for their entries, how long, and when that is too much.
 *
 * Whoever asks cares for the wait, and the same number of writes is a fifth of a second of small ones and ten of large
 * ones. So a write is refused at once, to go elsewhere or come back, while the oldest that waits has done so for
 * MAX_WAIT_MS. FEW_WRITES may always wait: with those a disk or a network that stalls for a moment is waited for.
 */
import type { Clock } from "../platform/clock.ts";
import { type Command, type StateMachine, type Transaction, writtenValue } from "../kv/mod.ts";
import { type ErrorAnswer, notApplied } from "./reply.ts";

/** Writes that may wait whatever they are: for the sake of memory. */
const MAX_WRITES = 8_192;
/** Writes that may wait however long they do. */
const FEW_WRITES = 1_024;
/** How long the oldest write may have waited when another comes. */
const MAX_WAIT_MS = 250;
/** Of the writes that come in, every so many is timed: reading the clock for each would be 1 % of a write. */
const WRITES_PER_SAMPLE = 64;

/** When a write was proposed. */
interface Sample {
  readonly index: number;
  readonly atMs: number;
}

/** Watches the writes that wait. */
export class WriteAdmission {
  readonly #clock: Clock;
  /** Ascending in both, and all of writes that wait: never more than a few hundred. */
  #samples: Sample[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A write was proposed as the entry at `index`; entries up to `appliedIndex` are applied. */
  proposed(index: number, appliedIndex: number): void {
    if (index % WRITES_PER_SAMPLE !== 0) return;
    this.#forget(appliedIndex);
    // Its predecessors at and above this index are gone with the leadership that proposed them.
    if ((this.#samples.at(-1)?.index ?? 0) >= index) this.#samples = [];
    this.#samples.push({ index, atMs: this.#clock.now() });
  }

  /** Whether no further write should wait, beside so many that do; entries up to `appliedIndex` are applied. */
  isFull(waiting: number, appliedIndex: number): boolean {
    if (waiting < FEW_WRITES) return false;
    if (waiting >= MAX_WRITES) return true;
    this.#forget(appliedIndex);
    const [oldest] = this.#samples;
    return oldest !== undefined && this.#clock.now() - oldest.atMs >= MAX_WAIT_MS;
  }

  /** What is applied waits no more. */
  #forget(appliedIndex: number): void {
    const first = this.#samples.findIndex(({ index }) => index > appliedIndex);
    this.#samples.splice(0, first === -1 ? this.#samples.length : first);
  }
}

/** What the door looks at. */
export interface QuotaOptions {
  /** Most bytes of keys and values; null for no quota. */
  readonly quotaBytes: number | null;
  readonly stateMachine: () => StateMachine;
  /** Whether the disk has little more room than for what is under way. */
  readonly isDiskNearlyFull: () => boolean;
}

/** The door. */
export class Quota {
  readonly #options: QuotaOptions;

  constructor(options: QuotaOptions) {
    this.#options = options;
  }

  /** Why a command is not let in now, or null. Costs next to nothing while there is room. */
  problemOf(command: Command): ErrorAnswer | null {
    if (command.kind !== "transaction") return null;
    const excess = this.#excessOf(command);
    const { session } = command;
    const isDone = excess !== null && session !== null && this.#options.stateMachine().isAnswered(session);
    return isDone ? null : excess;
  }

  #excessOf(transaction: Transaction): ErrorAnswer | null {
    const { quotaBytes, stateMachine, isDiskNearlyFull } = this.#options;
    const state = stateMachine();
    if (isDiskNearlyFull() && state.growth(transaction.mutations) > 0) {
      return notApplied(
        "storageFull",
        "Cannot write: the disk of the leader is nearly full. Make room or delete keys; it goes on by itself.",
      );
    }
    // Without looking at what is replaced: most writes are far below the quota.
    if (quotaBytes === null || state.stateBytes + sizeOf(transaction) <= quotaBytes) return null;
    const growth = state.growth(transaction.mutations);
    if (growth <= 0 || state.stateBytes + growth <= quotaBytes) return null;
    return notApplied(
      "storageFull",
      `Cannot write: the store holds ${state.stateBytes} bytes of keys and values, and its quota is ${quotaBytes} ` +
        "(--quota-bytes). Delete keys; it goes on by itself.",
    );
  }
}

/** Bytes of the keys and values that a command puts. */
function sizeOf({ mutations }: Transaction): number {
  let bytes = 0;
  for (const mutation of mutations) {
    const value = writtenValue(mutation);
    if (value !== null) bytes += mutation.key.length + value.length;
  }
  return bytes;
}
