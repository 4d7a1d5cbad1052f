/**
 * Decides whether a leader admits a write: not while too many wait ({@link WriteAdmission}, {@link RangeAdmission}), and
 * not when it would make the state exceed its quota, or when the disk is nearly full ({@link Quota}).
 */
import type { LiveSettings } from "./config/config.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import {
  type BranchingTransaction,
  type Command,
  DATABASE_PREFIX_BYTES,
  type DatabaseWrite,
  sizeOfBranches,
  type StateMachine,
  type Transaction,
  VERSIONSTAMP_ELEMENT_BYTES,
  writtenValue,
} from "../kv/mod.ts";
import { type ErrorAnswer, notApplied } from "./reply.ts";

/** Maximum number of waiting writes: a bound on memory. */
const MAX_WRITES = 8_192;
/** Maximum number with those that keep leases alive, of which each node sends a few a turn. */
export const MAX_WRITES_WITH_KEEP_ALIVES = MAX_WRITES + 1_024;
/** Number of writes that may wait for any time. */
const FEW_WRITES = 1_024;
/** Maximum time that the oldest write has waited when another is admitted. */
const MAX_WAIT_MS = 250;
/** One in so many writes is timed: reading the clock for each would be 1 % of the cost of a write. */
const WRITES_PER_SAMPLE = 64;

/** The time at which a write was proposed. */
interface Sample {
  readonly index: number;
  readonly atMs: number;
}

/**
 * Limits the writes that wait for their entries by the time that they wait, since 1,024 small writes take a fifth of a
 * second and as many large ones ten. A write is refused while the oldest has waited for MAX_WAIT_MS, so that its client
 * retries later. FEW_WRITES may always wait, so that a short stall of a disk or network refuses none.
 */
export class WriteAdmission {
  readonly #clock: Clock;
  /** Ascending in index and time; only of writes that wait, so at most a few hundred. */
  #samples: Sample[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes that a write was proposed as the entry at `index`; entries up to `appliedIndex` are applied. */
  proposed(index: number, appliedIndex: number): void {
    if (index % WRITES_PER_SAMPLE !== 0) return;
    this.#forget(appliedIndex);
    // Earlier samples at and above this index were of proposals in a lost term.
    if ((this.#samples.at(-1)?.index ?? 0) >= index) this.#samples = [];
    this.#samples.push({ index, atMs: this.#clock.now() });
  }

  /** Whether another write is to be refused while `waiting` writes wait; entries up to `appliedIndex` are applied. */
  isFull(waiting: number, appliedIndex: number): boolean {
    if (waiting < FEW_WRITES) return false;
    if (waiting >= MAX_WRITES) return true;
    this.#forget(appliedIndex);
    const [oldest] = this.#samples;
    return oldest !== undefined && this.#clock.now() - oldest.atMs >= MAX_WAIT_MS;
  }

  /** Removes the samples of applied writes. */
  #forget(appliedIndex: number): void {
    const first = this.#samples.findIndex(({ index }) => index > appliedIndex);
    this.#samples.splice(0, first === -1 ? this.#samples.length : first);
  }
}

/**
 * Maximum number of keys that the ranges of all waiting transactions and the leases to revoke have, a tenth of a second
 * of work. Entries are applied many in one turn, and a few hundred range deletes would stop all other requests for
 * seconds.
 */
export const MAX_WAITING_RANGE_KEYS = 131_072;

/**
 * Limits the keys that the ranges of waiting transactions have, and their other work, which counts as keys: those of one
 * transaction are always admitted.
 */
export class RangeAdmission {
  #keys = 0;

  /** Admits a transaction whose ranges have so many keys; returns false while too many keys wait. */
  tryEnter(keys: number): boolean {
    if (this.#keys > 0 && this.#keys + keys > MAX_WAITING_RANGE_KEYS) return false;
    this.#keys += keys;
    return true;
  }

  /** Notes the end of a transaction that was admitted with so many keys. */
  leave(keys: number): void {
    this.#keys -= keys;
    assert(this.#keys >= 0, "a transaction that leaves was admitted");
  }
}

/** A write that the quota is about. */
type QuotaWrite = Transaction | BranchingTransaction | DatabaseWrite;

/** The state that a quota depends on. */
export interface QuotaOptions {
  /** Its `quotaBytes`: the maximum bytes of keys and values; null for no quota. */
  readonly live: Pick<LiveSettings, "quotaBytes">;
  readonly stateMachine: () => StateMachine;
  /** Takes the bytes that a write would have added that the quota refuses. */
  readonly exceeded: (bytes: number) => void;
  /** Whether the disk has no space for the log's next file, and leadership is not being transferred. */
  readonly isDiskNearlyFull: () => boolean;
}

/**
 * Refuses writes that would make the state exceed its quota, or that add data while the disk is nearly full, so that
 * there is space for deletes.
 *
 * The leader checks before it proposes, and the log knows nothing of it: applying an entry must not depend on a node's
 * configuration. Writes that are admitted together may exceed the quota by their own size; it bounds memory, with a
 * margin above it. Deletes are always admitted, and so are retries of applied writes: they add nothing, and must get
 * their answer. Leases have a bound of their own and count for no quota; a nearly full disk takes no more of them.
 */
export class Quota {
  readonly #options: QuotaOptions;

  constructor(options: QuotaOptions) {
    this.#options = options;
  }

  /** Returns why a command is refused, or null. Cheap while the state is far below the quota. */
  problemOf(command: Command): ErrorAnswer | null {
    const isTransaction = command.kind === "transaction" || command.kind === "branchingTransaction" ||
      command.kind === "databaseWrite";
    if (!isTransaction && command.kind !== "grantLease") return null;
    const excess = isTransaction ? this.#excessOf(command) : this.#diskProblem();
    const { session } = command;
    const isDone = excess !== null && session !== null && this.#options.stateMachine().isAnswered(session);
    return isDone ? null : excess;
  }

  #excessOf(transaction: QuotaWrite): ErrorAnswer | null {
    const { live: { quotaBytes }, stateMachine } = this.#options;
    const state = stateMachine();
    const diskProblem = this.#diskProblem();
    if (diskProblem !== null && growthOf(transaction, state) > 0) return diskProblem;
    // A bound that ignores replaced values is cheaper, and enough while the state is far below the quota.
    if (quotaBytes === null || state.stateBytes + sizeOf(transaction) <= quotaBytes) return null;
    const growth = growthOf(transaction, state);
    if (growth <= 0 || state.stateBytes + growth <= quotaBytes) return null;
    this.#options.exceeded(growth);
    return notApplied(
      "storageFull",
      `Cannot write: the store holds ${state.stateBytes} bytes of keys and values, and its quota is ${quotaBytes} ` +
        "(--quota-bytes). Delete keys; writes are then accepted again.",
    );
  }

  /** Returns the refusal of a write that adds data, if the disk is nearly full. */
  #diskProblem(): ErrorAnswer | null {
    return !this.#options.isDiskNearlyFull() ? null : notApplied(
      "storageFull",
      "Cannot write: the disk of the leader is nearly full. Free disk space or delete keys; writes are then accepted again.",
    );
  }
}

/** Returns the change of the state's bytes if a transaction was applied now. */
function growthOf(write: QuotaWrite, state: StateMachine): number {
  switch (write.kind) {
    case "transaction":
      return state.growth(write.mutations);
    case "branchingTransaction":
      return state.growthOfBranches(write);
    case "databaseWrite":
      return state.growthOfDatabase(write);
    default:
      return assertNever(write);
  }
}

/** Returns the bytes of the keys and values that a command puts; of both branches, whichever is executed. */
function sizeOf(transaction: QuotaWrite): number {
  if (transaction.kind === "databaseWrite") return sizeOfDatabaseWrite(transaction);
  if (transaction.kind === "branchingTransaction") return sizeOfBranches(transaction).bytes;
  let bytes = 0;
  for (const mutation of transaction.mutations) {
    const value = writtenValue(mutation);
    if (value !== null) bytes += mutation.key.length + value.length;
  }
  return bytes;
}

function sizeOfDatabaseWrite({ mutations }: DatabaseWrite): number {
  let bytes = 0;
  for (const mutation of mutations) {
    if (mutation.kind === "delete") continue;
    // With the versionstamp that may be appended.
    bytes += DATABASE_PREFIX_BYTES + mutation.key.length + VERSIONSTAMP_ELEMENT_BYTES + mutation.value.length;
  }
  return bytes;
}
