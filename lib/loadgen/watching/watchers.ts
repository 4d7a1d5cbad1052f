/** Watchers of a workload's keys, and the records of what they saw. */
import type { KvClient } from "../../client/client.ts";
import { KvraftError } from "../../client/errors.ts";
import type { WatchBatch, WatchEvent as ClientEvent, WatchRequest } from "../../client/watch/types.ts";
import type { KeyValue } from "../../kv/command.ts";
import type { WatchedEntry, WatchEvent, WatchNotice, WatchRecord } from "../../lincheck/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import type { Clock } from "../../platform/clock.ts";
import { pause } from "../../platform/promise.ts";
import { seededRandom } from "../keys.ts";
import { keySelection, textOfBytes } from "../texts.ts";
import { drawWatch, type WatchPlan } from "./watch_plan.ts";

/** Events that are recorded; what they weigh limits a run in memory. */
export const MAX_EVENTS = 1_000_000;
/** A watcher whose watch or connection failed waits so long before the next attempt. */
const FAILURE_PAUSE_MS = 100;

/** The part of {@link KvClient} that a watcher calls. */
export type WatchClient = Pick<KvClient, "watch" | "close">;

/** Options of {@link Watchers}. */
export interface WatchersOptions {
  readonly count: number;
  readonly seed: number;
  /** The prefix of the workload's keys, and their number. */
  readonly prefix: string;
  readonly keys: number;
  /** Returns a client with connections of its own: each watch may be at another node. */
  readonly connect: () => Promise<WatchClient>;
  readonly clock: Pick<Clock, "now" | "after">;
}

/** A watch that runs or has ended. */
interface OpenRecord extends WatchRecord {
  readonly notices: WatchNotice[];
  isOpen: boolean;
}

/** Watchers at work, until they are stopped. */
export class Watchers {
  /** Resolves when all have ended. Rejects with any error that is not one of the client library. */
  readonly finished: Promise<void>;
  readonly #options: WatchersOptions;
  readonly #records: OpenRecord[] = [];
  readonly #stopped = new AbortController();
  /** Called at every notice and at every end of a watch. */
  #onChange: () => void = () => {};
  #events = 0;
  #shown: { readonly first: number; readonly present: number } | null = null;

  private constructor(options: WatchersOptions) {
    this.#options = options;
    const runs = Array.from({ length: options.count }, (_, watcher) => this.#run(watcher));
    this.finished = Promise.all(runs).then(() => {});
    // A failure is reported to those who wait for the end.
    this.finished.catch(() => this.stop());
  }

  /** Starts the watchers. */
  static start(options: WatchersOptions): Watchers {
    return new Watchers(options);
  }

  /** Their watches, in the order of their starts. */
  get records(): readonly WatchRecord[] {
    return this.#records;
  }

  /** The events that were recorded. */
  get events(): number {
    return this.#events;
  }

  /** Whether no more events may be recorded. */
  get isFull(): boolean {
    return this.#events >= MAX_EVENTS;
  }

  /** Resolves once every watcher has begun a watch, or after `timeoutMs`; returns whether they have. */
  begun(timeoutMs: number): Promise<boolean> {
    return this.#until(() => {
      const watchers = this.#records.filter(({ notices }) => notices.length > 0).map(({ watcher }) =>
        watcher
      );
      return new Set(watchers).size === this.#options.count;
    }, timeoutMs);
  }

  /**
   * Resolves once every open watch has shown the revision that it has to show, or after `timeoutMs`. Returns the watches
   * that have not.
   */
  async caughtUp(
    revisionToShow: (record: WatchRecord) => number,
    timeoutMs: number,
  ): Promise<readonly WatchRecord[]> {
    const late = (): readonly WatchRecord[] =>
      this.#records.filter((record) =>
        record.isOpen && (record.notices.at(-1)?.revision ?? 0) < revisionToShow(record)
      );
    await this.#until(() => late().length === 0, timeoutMs);
    return late();
  }

  /** Ends all watches. */
  stop(): void {
    this.#stopped.abort(new Error("the watchers were stopped"));
  }

  async #until(isSo: () => boolean, timeoutMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#stopped;
    const timer = this.#options.clock.after(timeoutMs, resolve);
    const onStop = (): void => resolve();
    signal.addEventListener("abort", onStop);
    this.#onChange = () => void (isSo() && resolve());
    this.#onChange();
    if (signal.aborted) resolve();
    await promise;
    this.#onChange = () => {};
    timer.cancel();
    signal.removeEventListener("abort", onStop);
    return isSo();
  }

  async #run(watcher: number): Promise<void> {
    const { seed, prefix, keys: count, clock } = this.#options;
    const random = seededRandom(seed + Math.imul(watcher + 1, 0x85ebca6b));
    const { signal } = this.#stopped;
    let last: number | null = null;
    let start = 1;
    while (!signal.aborted) {
      const plan = drawWatch({ random, watcher, start, last, shown: this.#shown, prefix, count });
      const record = await this.#watch(plan, { watcher, start });
      if (record !== null) start += 1;
      last = record?.notices.at(-1)?.revision ?? last;
      if (record === null || record.notices.length === 0) await pause(FAILURE_PAUSE_MS, { clock, signal });
    }
  }

  /** Watches once; resolves to the record, or to null where the cluster could not be reached. */
  async #watch(
    plan: WatchPlan,
    { watcher, start }: { readonly watcher: number; readonly start: number },
  ): Promise<WatchRecord | null> {
    const { clock, connect } = this.#options;
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#stopped.signal]);
    const { keys, from, only, resync } = plan;
    const client = await connect().catch(orKvraftError);
    if (client instanceof KvraftError) return null;
    const timer = plan.lifetimeMs === null ? null : clock.after(plan.lifetimeMs, () => ended.abort());
    const record: OpenRecord = {
      watcher,
      start,
      keys,
      from,
      only,
      resync,
      startedAt: clock.now(),
      notices: [],
      isOpen: true,
    };
    this.#records.push(record);
    try {
      for await (const batch of client.watch(requestOf(plan, signal))) this.#record(record, batch);
    } catch (error) {
      orKvraftError(error);
    } finally {
      record.isOpen = false;
      timer?.cancel();
      await client.close();
      this.#onChange();
    }
    return record;
  }

  #record(record: OpenRecord, batch: WatchBatch): void {
    const notice = noticeOf(batch, this.#options.clock.now());
    record.notices.push(notice);
    const { first, present } = this.#shown ?? { first: notice.revision, present: notice.revision };
    this.#shown = { first, present: Math.max(present, notice.revision) };
    if (notice.kind === "events") this.#events += notice.events.length;
    if (notice.kind === "reset") this.#events += notice.entries.length;
    this.#onChange();
    if (this.isFull) this.stop();
  }
}

/** Returns an error of the client library; throws any other one. */
function orKvraftError(error: unknown): KvraftError {
  if (error instanceof KvraftError) return error;
  throw error;
}

function requestOf(
  { keys, from, only, previous, resync }: WatchPlan,
  signal: AbortSignal,
): WatchRequest {
  return {
    ...keySelection(keys),
    ...(from === null ? {} : { from }),
    ...(only === null ? {} : { only }),
    previous,
    resync,
    progress: true,
    signal,
  };
}

function noticeOf(batch: WatchBatch, receivedAt: number): WatchNotice {
  const { revision } = batch;
  switch (batch.kind) {
    case "events":
      return { kind: "events", revision, receivedAt, events: batch.events.map(eventOf) };
    case "reset": {
      const entries = batch.entries.map((entry) => ({ key: textOfBytes(entry.key), ...entryOf(entry) }));
      return { kind: "reset", revision, receivedAt, entries };
    }
    case "progress":
      return { kind: "progress", revision, receivedAt };
    default:
      return assertNever(batch);
  }
}

function eventOf(event: ClientEvent): WatchEvent {
  const { previous: before } = event;
  const previous = before === undefined ? "omitted" : before === null ? null : entryOf(before);
  return event.kind === "put"
    ? { kind: "put", key: textOfBytes(event.entry.key), entry: entryOf(event.entry), previous }
    : { kind: "delete", key: textOfBytes(event.key), modRevision: event.modRevision, previous };
}

function entryOf({ value, createRevision, modRevision, version, leaseId }: KeyValue): WatchedEntry {
  return { value: textOfBytes(value), createRevision, modRevision, version, leaseId: leaseId ?? null };
}
