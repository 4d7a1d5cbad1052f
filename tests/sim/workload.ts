/**
 * The clients of a run: each makes calls through the production client library, some at a time, until it is asked to
 * stop, and records its calls and their answers.
 */
import {
  CompactedError,
  type ConnectOptions,
  FutureRevisionError,
  type KvClient,
  KvraftError,
} from "../../lib/mod.ts";
import { textOf } from "./invariants/history_forms.ts";
import { assertNever } from "../../lib/platform/assert.ts";
import { connectOn } from "../../lib/testing.ts";
import type { KeyValue } from "../../lib/kv/mod.ts";
import { drawBranches, performBranches, SeenKeys } from "../../lib/loadgen/mod.ts";
import type { Clock, Random } from "../../lib/platform/clock.ts";
import type { Network } from "../../lib/platform/network.ts";
import type { Entry, Operation, Outcome } from "../../lib/lincheck/history.ts";
import type { SeededRandom } from "../support/seeded_random.ts";
import type { Coverage } from "./coverage.ts";
import { type Plan, readsPastInTransactions } from "./plan.ts";
import type { Process } from "./environment/process.ts";
import { isDenial } from "./users/administrator.ts";

/** Options of a client. */
export interface SimClientOptions {
  readonly number: number;
  readonly process: Process;
  readonly platform: { readonly network: Network; readonly clock: Clock; readonly random: Random };
  readonly cluster: () => readonly string[];
  /** Returns how it signs in; empty in a run without users. */
  readonly credentials: () => Pick<ConnectOptions, "token">;
  readonly plan: Plan;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly isOver: () => boolean;
  readonly violated: (message: string) => void;
  readonly trace: (line: () => string) => void;
}

type Body<O extends Operation = Operation> = O extends Operation
  ? Omit<O, "client" | "calledAt" | "returnedAt">
  : never;

/** Time that calls may take. */
const TIMEOUTS_MS = [300, 2_000, 5_000, 20_000];

/** Most reads of the past are of one of so many revisions before the newest one. */
const RECENT_REVISIONS = 10;

/** Tolerance for the end of a call: a timer's delay and a turn of the event loop. */
const SLACK_MS = 5;

/** One client. */
export class SimClient {
  /** Its operations so far, with the calls that have not ended. */
  readonly history: Operation[] = [];
  readonly #options: SimClientOptions;
  #client: KvClient | null = null;
  #calls = 0;
  #ended = 0;
  #running = 0;
  readonly #seen = new SeenKeys();
  /** The greatest revision that an answer showed. */
  #lastRevision = 0;

  constructor(options: SimClientOptions) {
    this.#options = options;
  }

  /** Calls that have not ended. */
  get openCalls(): number {
    return this.#calls - this.#ended;
  }

  /** Whether it has stopped. */
  get isIdle(): boolean {
    return this.#running === 0;
  }

  /** Begins to call. */
  start(): void {
    this.#running += 1;
    this.#options.process.wake(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { cluster, credentials, platform, plan, isOver } = this.#options;
    while (!isOver()) {
      try {
        this.#client = await connectOn(platform, {
          cluster: cluster(),
          timeoutMs: 3_000,
          ...credentials(),
        });
        break;
      } catch (error) {
        this.#noteError(error);
        await this.#pause(200);
      }
    }
    const client = this.#client;
    if (client !== null) {
      await Promise.all(Array.from({ length: plan.callsPerClient }, () => this.#callOn(client)));
      await client.close();
    }
    this.#running -= 1;
  }

  async #callOn(client: KvClient): Promise<void> {
    const { plan, random, isOver } = this.#options;
    while (!isOver()) {
      await this.#pause(plan.thinkMs * 2 * random.next());
      await this.#callOnce(client);
    }
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }

  async #callOnce(client: KvClient): Promise<void> {
    const { random } = this.#options;
    this.#calls += 1;
    const timeoutMs = random.pick(TIMEOUTS_MS);
    const kind = random.below(100);
    const calledAt = this.#options.platform.clock.now();
    if (kind < 30) await this.#put(client, timeoutMs);
    else if (kind < 60) await this.#get(client, timeoutMs);
    else if (kind < 70) await this.#delete(client, timeoutMs);
    else if (kind < 85) await this.#compareAndSet(client, timeoutMs);
    else if (kind < 92) await this.#list(client, timeoutMs);
    else if (kind < 93) await this.#compact(client, timeoutMs);
    else if (kind < 96) await this.#transaction(client, timeoutMs);
    else await this.#branches(client, timeoutMs);
    const tookMs = this.#options.platform.clock.now() - calledAt;
    if (tookMs > timeoutMs + SLACK_MS) {
      this.#options.violated(
        `a call of c${this.#options.number} took ${tookMs.toFixed(1)} ms, and had ${timeoutMs} ms`,
      );
    }
    this.#ended += 1;
  }

  #key(): string {
    return `k${this.#options.random.below(this.#options.plan.keys)}`;
  }

  /** Returns a value that no other write has. */
  #value(): string {
    const { number, random, plan } = this.#options;
    const name = `c${number}.${this.#calls}.${this.history.length}`;
    const bytes = random.chance(0.5) ? 0 : random.below(plan.maxValueBytes);
    return name.padEnd(bytes, ".");
  }

  async #put(client: KvClient, timeoutMs: number): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    await this.#record(
      () => client.put(key, value, { timeoutMs }),
      (outcome) => ({ kind: "put", key, value, outcome }),
    );
  }

  async #get(client: KvClient, timeoutMs: number): Promise<void> {
    const [key, past] = [this.#key(), this.#past()];
    await this.#record(
      async () => {
        const entry = await client.get(key, { ...past, timeoutMs });
        return entry === null ? null : entryOf(entry);
      },
      (outcome) => ({ kind: "get", key, ...past, outcome }),
    );
  }

  /** Returns the past revision of a read, at times: one that this client has seen. */
  #past(): { readonly revision?: number } {
    const { random, coverage } = this.#options;
    if (!random.chance(0.2)) return {};
    coverage.count("pastRequests");
    const span = random.chance(0.7) ? Math.min(RECENT_REVISIONS, this.#lastRevision) : this.#lastRevision;
    return { revision: this.#lastRevision - random.below(span + 1) };
  }

  /** Returns a revision that is mostly a past one, at times a compacted one, and seldom one of the future. */
  #revisionNearPresent(): number {
    const { random } = this.#options;
    if (random.chance(0.1)) return this.#lastRevision + 1 + random.below(RECENT_REVISIONS);
    const span = random.chance(0.7) ? Math.min(RECENT_REVISIONS, this.#lastRevision) : this.#lastRevision;
    return this.#lastRevision - random.below(span + 1);
  }

  /** Compacts the history at a revision that this client has seen. */
  async #compact(client: KvClient, timeoutMs: number): Promise<void> {
    const { random, coverage } = this.#options;
    try {
      await client.compact(random.below(this.#lastRevision + 1), { timeoutMs });
      coverage.count("compactionsByHand");
    } catch (error) {
      this.#noteError(error);
    }
  }

  async #delete(client: KvClient, timeoutMs: number): Promise<void> {
    const key = this.#key();
    await this.#record(
      () => client.delete(key, { timeoutMs }),
      (outcome) => ({ kind: "delete", key, outcome }),
    );
  }

  async #compareAndSet(client: KvClient, timeoutMs: number): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    const expect = this.#lastSeen(key);
    await this.#record(
      async () => {
        const { succeeded, current, revision } = await client.compareAndSet(key, {
          expect,
          value,
          timeoutMs,
        });
        return { succeeded, current: current === null ? null : entryOf(current), revision };
      },
      (outcome) => ({ kind: "compareAndSet", key, expect, value, outcome }),
    );
  }

  async #list(client: KvClient, timeoutMs: number): Promise<void> {
    const { random } = this.#options;
    const range = { prefix: "k", start: null, end: null, after: null, reverse: random.chance(0.3) };
    const limit = random.pick([2, 100]);
    const past = this.#past();
    await this.#record(
      async () => {
        const { entries, cursor, revision } = await client.list({
          prefix: range.prefix,
          reverse: range.reverse,
          limit,
          ...past,
          timeoutMs,
        });
        const listed = entries.map((entry) => ({ key: textOf(entry.key), ...entryOf(entry) }));
        return { entries: listed, more: cursor !== null, revision };
      },
      (outcome) => ({ kind: "list", range, limit, ...past, outcome }),
    );
  }

  async #transaction(client: KvClient, timeoutMs: number): Promise<void> {
    const [one, other] = [this.#key(), this.#key()];
    const expect = this.#lastSeen(one);
    const checks = expect === null
      ? [{ kind: "exists", key: one, exists: false } as const]
      : [{ kind: "value", key: one, value: expect } as const];
    const mutations = one === other
      ? [{ kind: "put", key: one, value: this.#value() } as const]
      : [{ kind: "put", key: one, value: this.#value() } as const, { kind: "delete", key: other } as const];
    await this.#record(
      () =>
        client.transaction({ checks: checks.map(({ kind: _, ...check }) => check), mutations, timeoutMs }),
      (outcome) => ({ kind: "transaction", checks, mutations, outcome }),
    );
  }

  async #branches(client: KvClient, timeoutMs: number): Promise<void> {
    const { random, plan, coverage } = this.#options;
    let part = 0;
    const transaction = drawBranches({
      random: () => random.next(),
      keys: Array.from({ length: plan.keys }, (_, number) => `k${number}`).sort(),
      counters: ["k0n"],
      value: () => `${this.#value()}.${++part}`,
      seen: (key) => this.#seen.get(key),
      pastRevision: readsPastInTransactions(plan) ? () => this.#revisionNearPresent() : null,
    });
    await this.#record(
      async () => {
        const result = await performBranches(client, { transaction, options: { timeoutMs } });
        coverage.count(result.kind === "failed" ? "branchesFailed" : "branchesExecuted");
        return result;
      },
      (outcome) => ({ kind: "branchingTransaction", transaction, outcome }),
    );
  }

  /** Returns a value that the key probably has. */
  #lastSeen(key: string): string | null {
    for (let position = this.history.length - 1; position >= 0; position--) {
      const operation = this.history[position];
      if (operation?.outcome.kind !== "answered") continue;
      if (operation.kind === "get" && operation.key === key) return operation.outcome.result?.value ?? null;
      if (operation.kind === "put" && operation.key === key) return operation.value;
      if (operation.kind === "delete" && operation.key === key) return null;
    }
    return null;
  }

  /** Makes a call and records its outcome. */
  async #record<Result>(
    call: () => Promise<Result>,
    bodyOf: (outcome: Outcome<Result>) => Body,
  ): Promise<void> {
    const { number, process, coverage, trace } = this.#options;
    const { scheduler } = process;
    const calledAt = scheduler.nowMs;
    const position = this.history.length;
    const write = (outcome: Outcome<Result>, returnedAt: number | null): void => {
      this.history[position] = { ...bodyOf(outcome), client: number, calledAt, returnedAt };
    };
    write({ kind: "unknown" }, null);
    trace(() => `c${number} calls ${callText(bodyOf({ kind: "unknown" }))}`);
    try {
      const result = await call();
      this.#noteRevision(result);
      write({ kind: "answered", result }, scheduler.nowMs);
      this.#noteSeen(this.history[position]);
      trace(() =>
        `c${number} got ${JSON.stringify(result).slice(0, 120)} for ${callText(bodyOf({ kind: "unknown" }))}`
      );
    } catch (error) {
      const { outcome } = this.#noteError(error);
      const isWrite = bodyOf({ kind: "unknown" }).kind !== "get" &&
        bodyOf({ kind: "unknown" }).kind !== "list";
      const kind = isWrite && outcome !== "not-applied" ? "unknown" : "notApplied";
      coverage.count(kind === "unknown" ? "unknownOutcomes" : "notAppliedOutcomes");
      write({ kind }, scheduler.nowMs);
    }
    scheduler.note(scheduler.nowMs);
  }

  #noteSeen(operation: Operation | undefined): void {
    if (operation !== undefined) this.#seen.note(operation);
  }

  #noteRevision(result: unknown): void {
    if (typeof result !== "object" || result === null || !("revision" in result)) return;
    if (typeof result.revision === "number") {
      this.#lastRevision = Math.max(this.#lastRevision, result.revision);
    }
  }

  /** Returns a call's error. No revision that this client has seen may be one of the future. */
  #noteError(error: unknown): KvraftError {
    if (!(error instanceof KvraftError)) throw error;
    const { number, coverage, trace, violated } = this.#options;
    trace(() => `c${number} failed (${error.code}, ${error.outcome}): ${error.message}`);
    if (isDenial(error)) violated(`c${number} keeps its rights and is refused: ${error.message}`);
    if (error instanceof FutureRevisionError) violated(`c${number}: ${error.message}`);
    if (error instanceof CompactedError) coverage.count("pastCompacted");
    return error;
  }
}

function callText(body: Body): string {
  switch (body.kind) {
    case "put":
    case "compareAndSet":
      return `${body.kind} ${body.key} ${body.value.slice(0, 12)}`;
    case "get":
    case "delete":
      return `${body.kind} ${body.key}`;
    case "transaction":
      return `transaction ${body.mutations.map(({ kind, key }) => `${kind} ${key}`).join(", ")}`;
    case "branchingTransaction":
      return `transaction ${JSON.stringify(body.transaction)}`;
    case "list":
      return "list";
    default:
      return assertNever(body);
  }
}

function entryOf({ value, createRevision, modRevision, version }: KeyValue): Entry {
  return { value: textOf(value), createRevision, modRevision, version };
}
