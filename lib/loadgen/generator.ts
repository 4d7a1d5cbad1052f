/**
 * Keeps requests under way on a store for a while and times them.
 *
 * Closed loop (no rate): every slot sends its next request when the last one was answered, and a latency counts from
 * when the request was sent. Open loop (a rate): requests fall due at even intervals, independent of the store; the
 * first free slot sends the next one, and a latency counts from when the request was due: while the store does not answer,
 * requests go on falling due, and their waiting is in the figures.
 *
 * What fell due in the warm-up is not counted. What fell due afterwards is, however late it ends.
 */
import { LatencyHistogram } from "./histogram.ts";
import { type Distribution, keyChooser, keyOfNumber } from "./keys.ts";
import { assert } from "../platform/assert.ts";
import type { Clock, Random, Timer } from "../platform/clock.ts";

/** A slot whose request failed rests so long: a store that refuses at once is not stormed. */
const REST_AFTER_FAILURE_MS = 10;
/** Requests, and bytes of values, under way while the keys are written for the first time. */
const LOADING_SLOTS = 256;
const LOADING_BYTES = 16_777_216;
const MS_OF_SECOND = 1_000;

/** A store under load: resolves when the request was answered, rejects when it was not done. */
export interface Target {
  put(key: string, value: Uint8Array): Promise<unknown>;
  get(key: string): Promise<unknown>;
}

/** The kinds of requests. */
export const REQUEST_KINDS = ["put", "get"] as const;
/** One of {@link REQUEST_KINDS}. */
export type RequestKind = typeof REQUEST_KINDS[number];
/** How often each comes, relative to the other; at least one is above 0. */
export type RequestMix = Readonly<Record<RequestKind, number>>;

/** The load to put on a store. */
export interface Load {
  /** Each works by itself. */
  readonly clients: number;
  /** Requests that each client has under way at a time. */
  readonly inFlight: number;
  readonly mix: RequestMix;
  readonly valueBytes: number;
  readonly keyCount: number;
  readonly distribution: Distribution;
  /** Requests a second that fall due, of all clients together; null: each slot sends as soon as it can. */
  readonly ratePerSecond: number | null;
  readonly warmupMs: number;
  readonly durationMs: number;
}

/** Options of a generator. */
export interface GeneratorOptions {
  readonly load: Load;
  /** Clients are dealt out to these in turn. At least one. */
  readonly targets: readonly Target[];
  readonly prefix: string;
  readonly clock: Pick<Clock, "now" | "after">;
  readonly random: Random;
  /** The name under which a failure is counted. */
  readonly codeOf: (error: unknown) => string;
}

/** The measurements of a run. */
export interface Measured {
  /** From the end of the warm-up to the last answer. */
  readonly elapsedMs: number;
  /** Times of what was answered, by kind. */
  readonly latency: Readonly<Record<RequestKind, LatencyHistogram>>;
  /** Failed requests by code. */
  readonly errors: ReadonlyMap<string, number>;
  /** Requests that were sent, those of the warm-up and those that failed included. */
  readonly sent: number;
  /** Requests that fell due and were never sent, since every slot was taken. Always 0 in a closed loop. */
  readonly unsent: number;
}

/** Writes every key once, so that reads find something. Rejects when a put does. */
export async function loadKeys(
  { targets, prefix, load: { keyCount, valueBytes } }: Pick<GeneratorOptions, "targets" | "prefix" | "load">,
  { onProgress, signal }: { onProgress?: (keys: number) => void; signal?: AbortSignal | null } = {},
): Promise<void> {
  const value = valueOf(valueBytes);
  let next = 0;
  const slot = async (target: Target): Promise<void> => {
    while (next < keyCount && signal?.aborted !== true) {
      const number = next++;
      await target.put(keyOfNumber(prefix, number), value);
      onProgress?.(number + 1);
    }
  };
  const slots = Math.min(
    keyCount,
    LOADING_SLOTS,
    Math.max(1, Math.floor(LOADING_BYTES / Math.max(1, valueBytes))),
  );
  await Promise.all(Array.from({ length: slots }, (_, index) => slot(targetOf(targets, index))));
}

/** Load on a store, from {@link start} until {@link finished}. */
export class Generator {
  readonly startedAt: number;
  /** Resolves when every request has ended. */
  readonly finished: Promise<Measured>;
  /** Of the requests that ended since it was last cleared, the warm-up included. */
  readonly recent = new LatencyHistogram();
  readonly #options: GeneratorOptions;
  readonly #value: Uint8Array;
  readonly #chooseKey: () => number;
  readonly #putShare: number;
  readonly #countFrom: number;
  readonly #latency = { put: new LatencyHistogram(), get: new LatencyHistogram() };
  readonly #errors = new Map<string, number>();
  readonly #pacer: Pacer;
  #endAt: number;
  /** Requests whose time slots have waited for or wait for, in an open loop. */
  #scheduled = 0;
  #sent = 0;
  #failures = 0;
  #lastEndAt = 0;

  private constructor(options: GeneratorOptions) {
    const { load, clock, targets } = options;
    this.#options = options;
    this.#value = valueOf(load.valueBytes);
    this.#chooseKey = keyChooser(load.distribution, { keyCount: load.keyCount, random: options.random });
    this.#putShare = load.mix.put / (load.mix.put + load.mix.get);
    this.#pacer = new Pacer(clock);
    this.startedAt = clock.now();
    this.#countFrom = this.startedAt + load.warmupMs;
    this.#endAt = this.#countFrom + load.durationMs;
    const slots = Array.from({ length: load.clients * load.inFlight }, (_, slot) =>
      // The slots of one client share its connection.
      this.#work(targetOf(targets, Math.floor(slot / load.inFlight))));
    this.finished = Promise.all(slots).then(() => this.#measured());
  }

  /** Begins. */
  static start(options: GeneratorOptions): Generator {
    return new Generator(options);
  }

  /** When the last request may be sent. */
  get endAt(): number {
    return this.#endAt;
  }

  /** Requests that failed so far, warm-up included. */
  get failures(): number {
    return this.#failures;
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#endAt = Math.min(this.#endAt, this.#options.clock.now());
    this.#pacer.wakeAll();
  }

  async #work(target: Target): Promise<void> {
    const { clock, load: { ratePerSecond }, random, prefix } = this.#options;
    let now = this.startedAt;
    while (true) {
      let dueAt = now;
      if (ratePerSecond !== null) {
        dueAt = this.startedAt + this.#scheduled++ / ratePerSecond * MS_OF_SECOND;
        if (dueAt > now) {
          await this.#pacer.until(Math.min(dueAt, this.#endAt));
          now = clock.now();
        }
      }
      if (dueAt >= this.#endAt || now >= this.#endAt) return;
      this.#sent += 1;
      const kind = random() < this.#putShare ? "put" : "get";
      const key = keyOfNumber(prefix, this.#chooseKey());
      try {
        await (kind === "put" ? target.put(key, this.#value) : target.get(key));
      } catch (error) {
        this.#fail(error, dueAt);
        await new Promise<void>((resolve) => void clock.after(REST_AFTER_FAILURE_MS, resolve));
        now = clock.now();
        continue;
      }
      now = clock.now();
      this.#lastEndAt = now;
      this.recent.record(now - dueAt);
      if (dueAt >= this.#countFrom) this.#latency[kind].record(now - dueAt);
    }
  }

  #fail(error: unknown, dueAt: number): void {
    this.#lastEndAt = this.#options.clock.now();
    this.#failures += 1;
    if (dueAt < this.#countFrom) return;
    const code = this.#options.codeOf(error);
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  #measured(): Measured {
    const { ratePerSecond } = this.#options.load;
    const fellDue = ratePerSecond === null
      ? this.#sent
      // Times are sums of fractions: what falls due a hair before the end falls due at it.
      : Math.ceil((this.#endAt - this.startedAt) / MS_OF_SECOND * ratePerSecond - 1e-6);
    return {
      elapsedMs: Math.max(0, Math.max(this.#endAt, this.#lastEndAt) - this.#countFrom),
      latency: this.#latency,
      errors: this.#errors,
      sent: this.#sent,
      unsent: Math.max(0, fellDue - this.#sent),
    };
  }
}

function targetOf(targets: readonly Target[], index: number): Target {
  const target = targets[index % targets.length];
  if (target === undefined) throw new RangeError("There is no target to put load on.");
  return target;
}

/** Returns bytes that vary, so that they do not compress. */
function valueOf(bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  for (let position = 0; position < bytes; position++) {
    value[position] = (position * 167 + (position >> 8) * 31) & 0xff;
  }
  return value;
}

/** A waiting slot. */
interface Sleeper {
  readonly dueAt: number;
  readonly wake: () => void;
}

/** Timers are set for the first who waits. Invariant: times are asked for in ascending order. */
export class Pacer {
  readonly #clock: Pick<Clock, "now" | "after">;
  #sleepers: Sleeper[] = [];
  #timer: Timer | null = null;

  /** Begins without waiting slots. */
  constructor(clock: Pick<Clock, "now" | "after">) {
    this.#clock = clock;
  }

  /** Resolves at `dueAt` or as soon after it as the timers of this process allow; or when {@link wakeAll} is called. */
  until(dueAt: number): Promise<void> {
    const last = this.#sleepers.at(-1);
    assert(last === undefined || last.dueAt <= dueAt, "times are asked for in ascending order");
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#sleepers.push({ dueAt, wake: resolve });
    if (this.#timer === null) this.#setTimer();
    return promise;
  }

  /** Wakes all slots, due or not. */
  wakeAll(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const sleepers = this.#sleepers;
    this.#sleepers = [];
    for (const { wake } of sleepers) wake();
  }

  #setTimer(): void {
    const [first] = this.#sleepers;
    if (first === undefined) return;
    this.#timer = this.#clock.after(Math.max(0, first.dueAt - this.#clock.now()), () => {
      this.#timer = null;
      const now = this.#clock.now();
      const waiting = this.#sleepers.findIndex(({ dueAt }) => dueAt > now);
      const due = this.#sleepers.splice(0, waiting === -1 ? this.#sleepers.length : waiting);
      for (const { wake } of due) wake();
      if (this.#timer === null) this.#setTimer();
    });
  }
}
