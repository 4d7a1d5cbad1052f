/** A workload with watchers of its keys and with leases, and the record of everything that they saw. */
import type { Operation, WatchedRun, WatchRecord } from "../../lincheck/mod.ts";
import { hasKey } from "../../lincheck/transactions/transaction.ts";
import { performRecorded } from "../perform.ts";
import { keyName } from "../requests.ts";
import { Workload, type WorkloadOptions } from "../workload.ts";
import { type LeaseCalls, leaseKeys, Leases } from "./leases.ts";
import { type WatchClient, Watchers } from "./watchers.ts";

/** Time for the watchers to begin, before the first operation. */
const BEGIN_MS = 5_000;
/** Keys of one of the transactions that end a workload. */
const LAST_KEYS = 50;

/** Options of a watched workload. */
export interface WatchedWorkloadOptions extends WorkloadOptions {
  readonly watchers: number;
  /** Returns a client with connections of its own. */
  readonly connect: () => Promise<WatchClient>;
  /** Null: without leases. */
  readonly leases: LeaseCalls | null;
  /** Time for the watchers to show the last writes. */
  readonly catchUpMs: number;
}

/** A workload, its watchers and its leases. */
export class WatchedWorkload {
  /** The operations, which are stopped first. */
  readonly workload: Workload;
  readonly #options: WatchedWorkloadOptions;
  readonly #watchers: Watchers;
  readonly #leases: Leases | null;
  readonly #last: Operation[] = [];
  #late: readonly WatchRecord[] = [];

  private constructor(
    options: WatchedWorkloadOptions,
    { watchers, leases }: { readonly watchers: Watchers; readonly leases: Leases | null },
  ) {
    this.#options = options;
    this.#watchers = watchers;
    this.#leases = leases;
    const leaseForPut: WorkloadOptions["leaseForPut"] = (random) => leases?.forPut(random) ?? null;
    this.workload = Workload.start({ ...options, leaseForPut });
    // They end before the operations when no more events can be recorded.
    watchers.finished.then(() => this.workload.stop(), () => this.workload.abort());
    leases?.finished.catch(() => this.workload.abort());
  }

  /** Starts the watchers, and once they have begun, the operations. */
  static async start(options: WatchedWorkloadOptions): Promise<WatchedWorkload> {
    const { seed, clock, timeoutMs, watchers: count } = options;
    const watchers = Watchers.start({ ...options, count });
    const { leases: calls, clients: [client], clients, prefix } = options;
    const leases = calls === null || client === undefined
      ? null
      // The client after the others writes every key a last time.
      : Leases.start({
        leases: calls,
        client,
        firstClient: clients.length + 2,
        prefix,
        seed,
        clock,
        timeoutMs,
      });
    await watchers.begun(BEGIN_MS);
    return new WatchedWorkload(options, { watchers, leases });
  }

  /** The events that the watchers saw so far. */
  get events(): number {
    return this.#watchers.events;
  }

  /** Everything that was recorded. */
  get run(): WatchedRun {
    const { workload, prefix } = { workload: this.workload, prefix: this.#options.prefix };
    return {
      history: [...workload.history, ...this.#leases?.history ?? [], ...this.#last],
      leases: this.#leases?.calls ?? [],
      watches: this.#watchers.records,
      prefix,
    };
  }

  /** Watches that had not shown the last writes in time; known after {@link finish}. */
  get late(): readonly WatchRecord[] {
    return this.#late;
  }

  /**
   * Waits for the end of the operations, writes every key a last time, waits until the watchers have shown that, and
   * stops them. Rejects with any error that is not one of the client library.
   */
  async finish(): Promise<void> {
    try {
      await this.workload.finished;
      this.#leases?.stop();
      await this.#leases?.finished;
      await this.#writeLast();
      const { catchUpMs } = this.#options;
      this.#late = await this.#watchers.caughtUp((record) => this.#lastOf(record), catchUpMs);
    } finally {
      this.#leases?.stop();
      this.#watchers.stop();
      await Promise.all([this.#watchers.finished, this.#leases?.finished]);
    }
  }

  /** Ends everything at once. */
  async abort(): Promise<void> {
    this.workload.abort();
    this.#leases?.stop();
    this.#watchers.stop();
    await Promise.all([this.workload.finished, this.#watchers.finished, this.#leases?.finished]);
  }

  /** Writes all keys, so that every watch has something to show, and no key is attached to a lease. */
  async #writeLast(): Promise<void> {
    const { prefix, keys, clients: [client], clients, clock, timeoutMs } = this.#options;
    if (client === undefined) return;
    const number = clients.length + 1;
    const own = Array.from({ length: keys }, (_, position) => keyName(prefix, position));
    const names = [...own, ...this.#leases === null ? [] : leaseKeys(prefix)];
    for (let from = 0; from < names.length; from += LAST_KEYS) {
      const mutations = names.slice(from, from + LAST_KEYS)
        .map((key) => ({ kind: "put" as const, key, value: `last ${key.slice(prefix.length)}` }));
      const request = { kind: "transaction", checks: [], mutations } as const;
      this.#last.push(await performRecorded(client, { request, number, clock, timeoutMs }));
    }
  }

  /** Returns the revision of the last write that a watch has to show; 0 for none. */
  #lastOf({ keys, only }: WatchRecord): number {
    if (only === "deletes") return 0;
    const revisions = this.#last.flatMap((operation) => {
      if (operation.kind !== "transaction" || operation.outcome.kind !== "answered") return [];
      const isShown = operation.mutations.some(({ key }) => hasKey(keys, key));
      return isShown ? [operation.outcome.result.revision ?? 0] : [];
    });
    return Math.max(0, ...revisions);
  }
}
