/**
 * The state by replay alone: every committed entry, applied once, in order, to a state machine that never reads a
 * snapshot. The state from a snapshot must be equal to it in every byte.
 */
import { crc32 } from "node:zlib";
import {
  type Command,
  LEASE_LIMITS,
  type LeaseLimits,
  StateMachine,
  type StateMachineOptions,
  type StateView,
} from "../../../lib/kv/mod.ts";
import { stateRecordEncoder } from "../../../lib/server/snapshot/state_codec.ts";

/** Replays applied entries, and keeps the state after each. */
export class Replay {
  /** Most sessions of a state machine in this simulation. */
  readonly maxSessions: number;
  readonly leaseLimits: LeaseLimits;
  readonly #machine: StateMachine;
  /** Copy-on-write states, which cost little; the state after entry i is at position i. */
  readonly #views: StateView[];
  readonly #hashes = new Map<number, number>();

  constructor(options: StateMachineOptions) {
    this.maxSessions = options.maxSessions ?? Number.POSITIVE_INFINITY;
    this.leaseLimits = options.leaseLimits ?? LEASE_LIMITS;
    this.#machine = new StateMachine(options);
    this.#views = [this.#machine.snapshot()];
  }

  /** Returns whether this is the replaying state machine, which belongs to no node. */
  isOwn(machine: StateMachine): boolean {
    return machine === this.#machine;
  }

  /** Applies the next entry; undefined for one that is no command. */
  apply(index: number, command: Command | null | undefined): void {
    if (command === undefined) this.#machine.applyNoop(index);
    else this.#machine.apply(index, command);
    this.#views.push(this.#machine.snapshot());
  }

  /** Returns whether a state from a snapshot is equal to the replayed one; true before the first entry. */
  isSame(machine: StateMachine): boolean {
    const { appliedIndex } = machine;
    const view = this.#views[appliedIndex];
    if (view === undefined) return false;
    const known = this.#hashes.get(appliedIndex) ?? hashOf(view);
    this.#hashes.set(appliedIndex, known);
    return hashOf(machine.snapshot()) === known;
  }
}

function hashOf(view: StateView): number {
  const encode = stateRecordEncoder();
  let hash = 0;
  for (const record of view.records()) hash = Math.imul(hash ^ crc32(encode(record)), 0x01000193);
  return hash;
}
