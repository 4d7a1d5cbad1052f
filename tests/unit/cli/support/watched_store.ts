/** An {@link UnrulyStore} with watches, which make a mistake now and then if a test wants that. */
import { setImmediate } from "node:timers";
import { InvalidRequestError } from "../../../../lib/client/errors.ts";
import type { Bytes } from "../../../../lib/client/types.ts";
import type { WatchBatch, WatchEvent, WatchRequest } from "../../../../lib/client/watch/types.ts";
import { compareKeys } from "../../../../lib/kv/keys.ts";
import { type UnrulyOptions, UnrulyStore } from "./unruly_store.ts";

/** The mistakes that watches can make. */
export const WATCH_BREACHES = ["droppedEvent", "doubledRevision", "wrongValue", "wrongOrder"] as const;
/** One of {@link WATCH_BREACHES}. */
export type WatchBreach = typeof WATCH_BREACHES[number];

/** How the store behaves. */
export interface WatchedStoreOptions extends UnrulyOptions {
  /** Default null: none. */
  readonly watchBreach?: WatchBreach | null;
  /** Whether watches are refused. Default false. */
  readonly refusesWatches?: boolean;
}

/** One revision in this many is shown wrongly. */
const BREACH_EVERY = 25;

/** The store. */
export class WatchedStore extends UnrulyStore {
  readonly #options: WatchedStoreOptions;
  #shown = 0;
  /** Watches that were started, and those that have not ended. */
  readonly watchCounts = { started: 0, open: 0 };

  constructor(options: WatchedStoreOptions) {
    super(options);
    this.#options = options;
  }

  /** Shows changes from the requested revision on, until the signal ends it. */
  override async *watch(request: WatchRequest): AsyncGenerator<WatchBatch> {
    const { signal } = request;
    if (this.#options.refusesWatches === true) {
      throw new InvalidRequestError("every node must run kvraft 0.2 or later");
    }
    this.watchCounts.started += 1;
    this.watchCounts.open += 1;
    try {
      let upTo = request.from === undefined ? this.revision : request.from - 1;
      yield { kind: "progress", revision: upTo };
      while (signal?.aborted !== true) {
        for (const batch of this.#batchesAfter(upTo, request)) {
          upTo = Math.max(upTo, batch.revision);
          yield batch;
        }
        await new Promise<void>((resolve) => void setImmediate(() => resolve()));
      }
    } finally {
      this.watchCounts.open -= 1;
    }
  }

  #batchesAfter(upTo: number, request: WatchRequest): readonly WatchBatch[] {
    const first = this.past.findIndex(({ version }) => version.modRevision > upTo);
    if (first === -1) return [];
    const byRevision = Map.groupBy(this.past.slice(first), ({ version }) => version.modRevision);
    const batches = [...byRevision].flatMap(([revision, changes]): WatchBatch[] => {
      const events = changes.flatMap((change) => this.#eventsOf(change, request));
      return events.length === 0 ? [] : [{ kind: "events", revision, events }];
    });
    return batches.flatMap((batch) => this.#broken(batch));
  }

  #eventsOf(change: WatchedStore["past"][number], request: WatchRequest): readonly WatchEvent[] {
    const { key, version } = change;
    const bytes = Uint8Array.from(key, (character) => character.charCodeAt(0));
    const kind = version.value === null ? "delete" : "put";
    if (!isRequested(bytes, request) || (request.only !== undefined && request.only !== `${kind}s`)) {
      return [];
    }
    const before = this.past.slice(0, this.past.indexOf(change)).findLast((other) => other.key === key)
      ?.version;
    const previous = request.previous === true
      ? {
        previous: before === undefined || before.value === null
          ? null
          : { ...before, key: bytes, value: before.value },
      }
      : {};
    return version.value === null
      ? [{ kind: "delete", key: bytes, modRevision: version.modRevision, ...previous }]
      : [{ kind: "put", entry: { ...version, key: bytes, value: version.value }, ...previous }];
  }

  #broken(batch: WatchBatch): readonly WatchBatch[] {
    const { watchBreach = null } = this.#options;
    if (watchBreach === null || batch.kind !== "events" || (this.#shown += 1) % BREACH_EVERY !== 0) {
      return [batch];
    }
    switch (watchBreach) {
      case "droppedEvent":
        return [];
      case "doubledRevision":
        return [batch, batch];
      case "wrongOrder":
        return [{ ...batch, revision: batch.revision + 1 }];
      case "wrongValue": {
        const events = batch.events.map((event): WatchEvent =>
          event.kind === "put" ? { ...event, entry: { ...event.entry, value: new Uint8Array(1) } } : event
        );
        return [{ ...batch, events }];
      }
    }
  }
}

function isRequested(key: Uint8Array, { key: only, start, end }: WatchRequest): boolean {
  if (only !== undefined) return compareKeys(key, bytesOf(only)) === 0;
  return compareKeys(key, bytesOf(start ?? "")) >= 0 &&
    (end === undefined || compareKeys(key, bytesOf(end)) < 0);
}

function bytesOf(given: Bytes): Uint8Array {
  return typeof given === "string" ? new TextEncoder().encode(given) : given;
}
