/**
 * Refuses what would make the state outgrow its quota, or the log its disk, while there is still room to delete.
 *
 * A door, not a rule of the log: the leader asks before it proposes, so that what is applied never depends on a
 * configuration. Writes that were let in together may pass the quota by what they hold; it is a bound on memory, with
 * room above it, and not an account. Deletes are always let in, and it opens by itself once there is room again. So
 * are retries of what was applied: they add nothing, and must get their answer instead of hearing that nothing was done.
 */
import type { Command, StateMachine, Transaction } from "../kv/mod.ts";
import { type ErrorAnswer, notApplied } from "./answers.ts";

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
    if (mutation.kind === "put") bytes += mutation.key.length + mutation.value.length;
  }
  return bytes;
}
