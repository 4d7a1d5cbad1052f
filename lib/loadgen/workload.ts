/** Clients that go on after every error, and the history of their operations and answers. */
import type { History, Operation } from "../lincheck/mod.ts";
import {
  CompactedError,
  InvalidRequestError,
  KvraftError,
  type KvraftErrorCode,
  LeaseNotFoundError,
} from "../client/errors.ts";
import type { Clock, Random } from "../platform/clock.ts";
import { pause } from "../platform/promise.ts";
import { isWrite, type Mix, type RequestOptions, RequestSource, SeenKeys } from "./requests.ts";
import { perform, type Request, type WorkloadClient } from "./perform.ts";
import { seededRandom } from "./keys.ts";

/** Operations after which a workload stops, so that a history has an end in memory too. */
export const MAX_OPERATIONS = 200_000;
/** Entries shown by lists after which it stops: what one operation weighs depends on them. */
export const MAX_LISTED_ENTRIES = 1_000_000;
/** A client whose operation failed waits so long: an outage is not to be filled with refusals. */
const FAILURE_PAUSE_MS = 50;

/** Options of a workload. */
export interface WorkloadOptions {
  /** Each makes one operation at a time. */
  readonly clients: readonly WorkloadClient[];
  /** Decides what each client does, given the answers it gets. */
  readonly seed: number;
  readonly mix: Mix;
  /** The prefix of all keys, a character for each byte; no such key exists before. */
  readonly prefix: string;
  readonly keys: number;
  /** Deadline of each operation. */
  readonly timeoutMs: number;
  readonly clock: Pick<Clock, "now" | "after">;
  /** Returns the lease that a put attaches, or null. Default: none. */
  readonly leaseForPut?: (random: Random) => number | null;
  /** Default {@link MAX_OPERATIONS}. */
  readonly maxOperations?: number;
}

/** Runs until it is stopped, or has done all it may. */
export class Workload {
  /** When it began, in the clock's time. */
  readonly startedAt: number;
  /**
   * Resolves when every client has ended: after {@link stop} or {@link abort}, or when the history is full. Rejects
   * with any error that is not one of the client library.
   */
  readonly finished: Promise<void>;
  readonly #options: WorkloadOptions;
  readonly #history: Operation[] = [];
  readonly #errors = new Map<KvraftErrorCode, number>();
  readonly #stopped = new AbortController();
  readonly #aborted = new AbortController();
  readonly #seen = new SeenKeys();
  #listed = 0;
  #writes = 0;
  #lastWriteAt: number;

  private constructor(options: WorkloadOptions) {
    this.#options = options;
    this.startedAt = options.clock.now();
    this.#lastWriteAt = this.startedAt;
    this.finished = this.#runAll();
  }

  /** Starts the clients. */
  static start(options: WorkloadOptions): Workload {
    return new Workload(options);
  }

  /** The operations that have ended, in that order. */
  get history(): History {
    return this.#history;
  }

  /** How many operations failed, by the code of the error. */
  get errors(): ReadonlyMap<KvraftErrorCode, number> {
    return this.#errors;
  }

  /** Writes that were answered so far. */
  get answeredWrites(): number {
    return this.#writes;
  }

  /** When a write was last answered; the beginning before the first. */
  get lastWriteAt(): number {
    return this.#lastWriteAt;
  }

  /** Whether the history has no room for more operations. */
  get isFull(): boolean {
    const { maxOperations = MAX_OPERATIONS } = this.#options;
    return this.#history.length >= maxOperations || this.#listed >= MAX_LISTED_ENTRIES;
  }

  /** Begins no further operation; those under way go on to their end. */
  stop(): void {
    this.#stopped.abort();
  }

  /** Ends those under way too, each with the outcome that it has then. */
  abort(): void {
    this.#stopped.abort();
    this.#aborted.abort(new Error("the workload was ended"));
  }

  async #runAll(): Promise<void> {
    const runs = this.#options.clients.map((client, position) => this.#run(client, position + 1));
    const fault = (await Promise.allSettled(runs)).find((run) => run.status === "rejected");
    if (fault !== undefined) throw fault.reason;
  }

  async #run(client: WorkloadClient, number: number): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopped;
    const source = new RequestSource(this.#requestOptions(number));
    try {
      while (!signal.aborted && !this.isFull) {
        const isAnswered = await this.#callOnce(client, { number, request: source.next() });
        if (!isAnswered) await pause(FAILURE_PAUSE_MS, { clock, signal });
      }
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  #requestOptions(client: number): RequestOptions {
    const { seed, mix, prefix, keys, leaseForPut } = this.#options;
    // Golden ratio: neighbouring seeds and clients are to have nothing in common.
    const random = seededRandom(seed + Math.imul(client, 0x9e3779b9));
    const leases = leaseForPut === undefined ? {} : { leaseForPut };
    return { random, mix, prefix, keys, client, seen: this.#seen, ...leases };
  }

  /** Makes one operation and writes down how it ended; whether it was answered. */
  async #callOnce(
    client: WorkloadClient,
    { number, request }: { readonly number: number; readonly request: Request },
  ): Promise<boolean> {
    const { clock, timeoutMs } = this.#options;
    const options = { timeoutMs, signal: this.#aborted.signal };
    const calledAt = clock.now();
    try {
      const ended = await perform(client, { request, options });
      this.#record({ ...ended, client: number, calledAt, returnedAt: clock.now() });
      return true;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      if (error instanceof CompactedError) {
        // The revision was chosen before, and nothing of the store's state is known from it.
        this.#seen.noteCompacted(error.compactedRevision);
        return true;
      }
      if (error instanceof LeaseNotFoundError) {
        // It was chosen among leases that may have ended.
        const outcome = { kind: "notApplied" } as const;
        this.#record({ ...request, outcome, client: number, calledAt, returnedAt: clock.now() });
        return true;
      }
      if (error instanceof InvalidRequestError && request.kind === "branchingTransaction") {
        // A node of version 0.1 is among the members.
        this.#seen.hasBranches = false;
        return true;
      }
      this.#errors.set(error.code, (this.#errors.get(error.code) ?? 0) + 1);
      const kind = isWrite(request.kind) && error.outcome !== "not-applied" ? "unknown" : "notApplied";
      this.#record({ ...request, outcome: { kind }, client: number, calledAt, returnedAt: clock.now() });
      return false;
    }
  }

  #record(operation: Operation): void {
    this.#history.push(operation);
    this.#seen.note(operation);
    if (operation.outcome.kind !== "answered") return;
    if (operation.kind === "list") this.#listed += operation.outcome.result.entries.length;
    if (!isWrite(operation.kind)) return;
    this.#writes += 1;
    this.#lastWriteAt = this.#options.clock.now();
  }
}
