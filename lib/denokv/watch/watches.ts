/**
 * The watches of a front end: requests of KV Connect that are answered by a stream of frames.
 *
 * A stream stays open over elections and losses of nodes: its client would wait longer after each end of it. It ends when the
 * client goes away, when its access token is removed, and when the front end stops.
 */
import { keyText } from "../../kv/keys.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { unlessAborted, withResolvers } from "../../platform/promise.ts";
import { WebError, type WebRequest } from "../../web/mod.ts";
import type { WatchedState } from "./frames.ts";
import { MAX_READ_KEY_BYTES } from "../limits.ts";
import { WatchedKeys, type WatchedStore } from "./watched_keys.ts";
import { WatchStream } from "./watch_stream.ts";

/** Keys of one watch; Deno's clients send at most 10. Their largest values together are far below the clients' limit of a frame. */
export const MAX_WATCHED_KEYS = 100;
/** Watches of a front end. */
export const MAX_WATCHES = 20_000;
/** Bytes of the keys of all watches of a front end, each with {@link KEY_COST_BYTES}. One more watch is refused. */
export const MAX_WATCHED_BYTES = 67_108_864;
/** Bytes of memory that a key takes besides its own, at least: 20,000 watches of ten keys of 70 bytes are within the bound. */
export const KEY_COST_BYTES = 256;
/** Time for the beginning of a watch: an election takes less. */
export const START_TIMEOUT_MS = 2_000;
/** Interval at which idle watches are looked for, and all are checked again. */
const PING_INTERVAL_MS = 2_500;

/** The access by which a watch was begun. */
export interface WatchAccess {
  readonly databaseId: number;
  /** The access token; 0 for a database that is open to all. */
  readonly credentialId: number;
}

/** The numbers of the watches of one database. */
export interface WatchCounts {
  readonly databaseId: number;
  /** Watches that are open. */
  readonly watches: number;
  /** Watches begun so far: a client begins a watch again each time that it breaks. */
  readonly begun: number;
  /** Frames sent so far, empty ones included. */
  readonly frames: number;
  /** Bytes of these frames. */
  readonly frameBytes: number;
}

/** The options of {@link Watches}. */
export interface WatchesOptions {
  readonly databases: WatchedStore;
  readonly clock: Clock;
  /** Whether a watch may go on: its database exists, and its access token, or access without one. */
  readonly isAllowed: (access: WatchAccess) => boolean;
}

/** Keys that at least one watch uses. */
interface SharedKeys {
  readonly name: string;
  readonly keys: WatchedKeys;
  users: number;
}

type MutableCounts = { -readonly [Name in keyof Omit<WatchCounts, "databaseId">]: number };

/** All watches of a front end. */
export class Watches {
  readonly #options: WatchesOptions;
  readonly #shared = new Map<string, SharedKeys>();
  readonly #open = new Map<WatchStream, WatchAccess>();
  readonly #counts = new Map<number, MutableCounts>();
  /** Watches that are open or begin, and the bytes of their keys. */
  #size = 0;
  #keyBytes = 0;
  #pingTimer: Timer | null = null;
  readonly #stop = new AbortController();

  constructor(options: WatchesOptions) {
    this.#options = options;
  }

  /** Returns the numbers by database. */
  counts(): readonly WatchCounts[] {
    return [...this.#counts].map(([databaseId, counts]) => ({ databaseId, ...counts }));
  }

  /**
   * Answers a request with a stream of frames; resolves once the stream has ended. Rejects with WebError or KvraftError if
   * the watch cannot begin; the request is not answered then.
   */
  async serve(request: WebRequest, access: WatchAccess, keys: readonly Uint8Array[]): Promise<void> {
    // A watch that never has a frame would be begun again without end.
    if (keys.length === 0) throw new WebError(400, "A watch needs at least one key");
    if (keys.length > MAX_WATCHED_KEYS) throw new WebError(400, `Too many keys (max ${MAX_WATCHED_KEYS})`);
    if (keys.some(({ length }) => length > MAX_READ_KEY_BYTES)) {
      throw new WebError(400, `Key too large for read (max ${MAX_READ_KEY_BYTES} bytes)`);
    }
    if (this.#stop.signal.aborted) throw stopping();
    const bytes = costOf(keys);
    if (this.#size >= MAX_WATCHES) throw new WebError(503, `This node has ${MAX_WATCHES} watches already.`);
    if (this.#keyBytes + bytes > MAX_WATCHED_BYTES) {
      throw new WebError(
        503,
        `This node has watches of too many keys already (max ${MAX_WATCHED_BYTES} bytes).`,
      );
    }
    this.#size++;
    this.#keyBytes += bytes;
    // Copies: the keys are views of the body of the request.
    const shared = this.#share(access.databaseId, keys.map((key) => key.slice()));
    try {
      const first = await this.#begin(shared.keys, request.signal);
      if (first !== null) await this.#send(request, first, { access, keys: shared.keys });
    } finally {
      this.#release(shared);
      this.#size--;
      this.#keyBytes -= bytes;
    }
  }

  /** Ends the watches that are not allowed any more: databases or access tokens have changed. */
  recheck(): void {
    const { isAllowed } = this.#options;
    for (const [stream, access] of this.#open) if (!isAllowed(access)) stream.end();
  }

  /** Ends all watches, and begins no more. */
  stop(): void {
    this.#stop.abort();
    for (const stream of this.#open.keys()) stream.end();
  }

  /** Returns the first state; null if the client has given up. Rejects if the watch cannot begin. */
  async #begin(keys: WatchedKeys, signal: AbortSignal): Promise<WatchedState | null> {
    if (signal.aborted) return null;
    const refused = withResolvers<never>();
    const timer = this.#options.clock.after(START_TIMEOUT_MS, () => {
      refused.reject(
        new WebError(503, "Cannot watch keys now: this node knows no leader, or has too much to do."),
      );
    });
    const onStop = (): void => refused.reject(stopping());
    this.#stop.signal.addEventListener("abort", onStop);
    try {
      const first = keys.started.then(() => keys.read());
      return await unlessAborted(Promise.race([first, refused.promise]), signal);
    } finally {
      timer.cancel();
      this.#stop.signal.removeEventListener("abort", onStop);
    }
  }

  /** Sends frames until the stream has ended. */
  async #send(
    request: WebRequest,
    first: WatchedState,
    { access, keys }: { readonly access: WatchAccess; readonly keys: WatchedKeys },
  ): Promise<void> {
    if (!this.#options.isAllowed(access)) throw new WebError(401, "The access token was removed.");
    const counts = this.#countsOf(access.databaseId);
    const answer = request.stream({ status: 200, headers: { "content-type": "application/octet-stream" } });
    const stream = new WatchStream(answer, first, {
      now: () => this.#options.clock.now(),
      onReady: () => keys.readyAgain(stream),
      onFrame: (bytes) => {
        counts.frames++;
        counts.frameBytes += bytes;
      },
    });
    counts.watches++;
    counts.begun++;
    this.#open.set(stream, access);
    this.#pingTimer ??= this.#options.clock.after(PING_INTERVAL_MS, this.#sendPings);
    keys.add(stream);
    await answer.closed;
    keys.remove(stream);
    this.#open.delete(stream);
    counts.watches--;
    if (this.#open.size > 0) return;
    this.#pingTimer?.cancel();
    this.#pingTimer = null;
  }

  readonly #sendPings = (): void => {
    this.#pingTimer = this.#options.clock.after(PING_INTERVAL_MS, this.#sendPings);
    // No change of a database reports that authentication was enabled.
    this.recheck();
    for (const stream of this.#open.keys()) stream.pingIfIdle();
  };

  #share(databaseId: number, keys: readonly Uint8Array[]): SharedKeys {
    const name = [databaseId, ...keys.flatMap((key) => [key.length, keyText(key)])].join(" ");
    let shared = this.#shared.get(name);
    if (shared === undefined || shared.keys.isStopped) {
      shared = { name, keys: new WatchedKeys({ ...this.#options, databaseId, keys }), users: 0 };
      this.#shared.set(name, shared);
    }
    shared.users++;
    return shared;
  }

  #release(shared: SharedKeys): void {
    if (--shared.users > 0) return;
    if (this.#shared.get(shared.name) === shared) this.#shared.delete(shared.name);
    shared.keys.stop();
  }

  #countsOf(databaseId: number): MutableCounts {
    const known = this.#counts.get(databaseId);
    if (known !== undefined) return known;
    const counts = { watches: 0, begun: 0, frames: 0, frameBytes: 0 };
    this.#counts.set(databaseId, counts);
    return counts;
  }
}

/** Returns the bytes that the keys of a watch count. */
function costOf(keys: readonly Uint8Array[]): number {
  return keys.reduce((sum, { length }) => sum + length + KEY_COST_BYTES, 0);
}

function stopping(): WebError {
  return new WebError(503, "Cannot watch keys: this server is stopping.");
}
