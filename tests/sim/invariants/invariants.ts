/** All invariants of the simulator: those of the core, and those of applied entries. */
import type { Command, CommandResult, StateMachine } from "../../../lib/kv/mod.ts";
import { CONFIGURATION_CODEC } from "../../../lib/protocol/configuration.ts";
import type { RecoveredLog } from "../../../lib/storage/mod.ts";
import { RaftInvariants, type RaftInvariantsOptions } from "../../support/raft/invariants.ts";
import type { Coverage } from "../coverage.ts";
import type { Process } from "../environment/process.ts";
import type { AppliedUsers } from "../users/applied_users.ts";
import { Applied } from "./applied.ts";
import type { AppliedHistory } from "./applied_history.ts";
import type { WatchTruth } from "./checked_watch.ts";
import type { LeaseTimes } from "./lease_times.ts";
import type { Observer } from "./probes.ts";
import type { Replay } from "./replay.ts";

/** Watches one cluster of servers. */
export class Invariants extends RaftInvariants implements Observer {
  readonly #applied: Applied;

  constructor(
    options: Omit<RaftInvariantsOptions, "codec" | "count"> & {
      readonly replay: Replay;
      readonly coverage: Coverage;
      readonly leaseTimes: LeaseTimes;
      readonly latestWallMs: () => number;
      readonly current: () => Process | null;
    },
  ) {
    const { coverage } = options;
    super({ ...options, codec: CONFIGURATION_CODEC, count: (state, times) => coverage.count(state, times) });
    const check = (holds: boolean, message: string): void => this.check(holds, message);
    this.#applied = new Applied({ ...options, check });
  }

  /** The applied transactions and the states that they made. */
  get history(): AppliedHistory {
    return this.#applied.history;
  }

  /** The users and roles that the applied entries made. */
  get users(): AppliedUsers {
    return this.#applied.users;
  }

  /** The time of the wall clock at which the next key expires; Infinity without one. */
  get nextExpiresAtMs(): number {
    return this.#applied.nextExpiresAtMs;
  }

  /** The events that watches must be sent. */
  get watchTruth(): WatchTruth {
    return this.#applied;
  }

  override recovered(id: number, recovered: RecoveredLog): void {
    super.recovered(id, recovered);
    if (!this.isLive()) return;
    if (recovered.cut !== null) this.count("tornTails");
    if (recovered.segments > 1) this.count("segmentRolls");
  }

  replied(requestId: number): void {
    if (this.isLive()) this.users.replied(requestId);
  }

  restored(machine: StateMachine): void {
    if (this.isLive()) this.#applied.restored(machine);
  }

  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void {
    if (this.isLive()) this.#applied.applied(machine, index, what);
  }
}
