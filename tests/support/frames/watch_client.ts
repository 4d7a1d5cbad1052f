/** Watches over a connection of their own to one node, frame by frame: the client library would choose the node itself. */
import type { EventQuery } from "../../../lib/client/watch/event_pages.ts";
import { assert } from "@std/assert";
import { compareKeys, type KeySet } from "../../../lib/kv/mod.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Address, Dialer } from "../../../lib/platform/network.ts";
import {
  type ClientRequest,
  decodeServerMessage,
  encodeClientRequest,
  isNotice,
  type ServerFrame,
  type ServerMessage,
} from "../../../lib/protocol/client_frames.ts";
import type { WatchEvent } from "../../../lib/protocol/watch_event.ts";
import { dial } from "../../../lib/transport/dial.ts";
import type { FrameChannel } from "../../../lib/transport/frame_channel.ts";

const SIZES = { readBytes: 65_536, retainedBytes: 65_536, maxQueuedBytes: 16_777_216 };
const DIAL_TIMEOUT_MS = 2_000;

type Unnumbered<R> = R extends ClientRequest ? Omit<R, "requestId"> : never;

/** A watch that a test asks for. By default of all events, from now on, without previous values. */
export interface WatchOptions {
  readonly keys: KeySet;
  readonly from?: number | null;
  readonly puts?: boolean;
  readonly deletes?: boolean;
  readonly previous?: boolean;
  readonly visibleOnly?: boolean;
}

/** A watch, with what it was sent. */
export class TestWatch {
  readonly watchId: number;
  /** The revision of the answer. */
  readonly started: number;
  /** The events of each complete revision, in the order of arrival. */
  readonly revisions: { readonly revision: number; readonly events: readonly WatchEvent[] }[] = [];
  /** Frames with events. */
  frames = 0;
  /** The newest revision that a progress notice named; 0 before the first. */
  progressed = 0;
  /** How the node has ended it; null while it has not. */
  ended: ServerFrame<"watchEnded"> | null = null;
  readonly #ending = Promise.withResolvers<ServerFrame<"watchEnded">>();
  #part: WatchEvent[] = [];

  /** Made by {@link WatchClient.watch}. */
  constructor(watchId: number, started: number) {
    this.watchId = watchId;
    this.started = started;
  }

  /** Resolves when the node has ended it. */
  get whenEnded(): Promise<ServerFrame<"watchEnded">> {
    return this.#ending.promise;
  }

  /** Takes its end. */
  end(end: ServerFrame<"watchEnded">): void {
    this.ended = end;
    this.#ending.resolve(end);
  }

  /** Takes a frame with events. */
  take({ revision, events, more }: ServerFrame<"watchEvents">): void {
    this.frames++;
    this.#part.push(...events);
    if (more) return;
    this.revisions.push({ revision, events: this.#part });
    this.#part = [];
  }

  /** The revisions and events as text: `7 put a=1`, `8 delete a`, with `(was …)` if previous values were asked for. */
  get text(): readonly string[] {
    return this.revisions.flatMap(({ revision, events }) =>
      events.map((event) => `${revision} ${textOf(event)}`)
    );
  }
}

/** A connection to a node. */
export class WatchClient {
  readonly #channel: FrameChannel;
  readonly #answers = new Map<number, (message: ServerMessage | null) => void>();
  readonly #watches = new Map<number, TestWatch>();
  #nextRequestId = 1;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<string>;

  private constructor(channel: FrameChannel) {
    this.#channel = channel;
    this.closed = channel.readFrames((payload) => this.#receive(decodeServerMessage(payload))).then(
      (reason) => {
        for (const answer of this.#answers.values()) answer(null);
        return reason;
      },
    );
  }

  /** Connects to the node at an address. */
  static async open(
    { network, clock, address }: {
      readonly network: Dialer;
      readonly clock: Clock;
      readonly address: Address;
    },
  ): Promise<WatchClient> {
    const { signal } = new AbortController();
    const caller = { role: "client", clusterId: null } as const;
    const timeoutMs = DIAL_TIMEOUT_MS;
    const { channel } = await dial({ network, clock, address, caller, sizes: SIZES, timeoutMs, signal });
    return new WatchClient(channel);
  }

  /** Sends a request; resolves to its answer, or to null when the connection ends before. */
  request(request: Unnumbered<ClientRequest>): Promise<ServerMessage | null> {
    const requestId = this.#nextRequestId++;
    const { promise, resolve } = Promise.withResolvers<ServerMessage | null>();
    if (!this.#channel.send(encodeClientRequest, { ...request, requestId })) return Promise.resolve(null);
    this.#answers.set(requestId, resolve);
    return promise;
  }

  /** Begins a watch; resolves to the refusal if there is one, and to null when the connection ends. */
  async watch(options: WatchOptions): Promise<TestWatch | ServerFrame<"error"> | null> {
    const watchId = this.#nextRequestId;
    const { keys, from = null, puts = true, deletes = true, previous = false, visibleOnly = false } = options;
    const answer = await this.request({ kind: "watch", keys, from, puts, deletes, previous, visibleOnly });
    if (answer === null || answer.kind === "error") return answer;
    const watch = this.#watches.get(watchId);
    assert(watch !== undefined, `a watch is answered by watchStarted, not ${answer.kind}`);
    return watch;
  }

  /** Begins a watch that must not be refused. */
  async start(options: WatchOptions): Promise<TestWatch> {
    const watch = await this.watch(options);
    if (watch instanceof TestWatch) return watch;
    throw new Error(`The watch was refused: ${watch?.message ?? "the connection ended"}`);
  }

  /** Resolves to the revision up to which all watches of the connection were sent everything. */
  async progress(): Promise<number> {
    const answer = await this.request({ kind: "watchProgress", atOnce: false });
    assert(answer?.kind === "watchProgressResult", `a request for progress is answered: ${answer?.kind}`);
    return answer.revision;
  }

  /** Resolves to the revision of the node, and the watches that were not sent everything up to it. */
  async progressAtOnce(): Promise<{ readonly revision: number; readonly behind: readonly number[] }> {
    const answer = await this.request({ kind: "watchProgress", atOnce: true });
    assert(answer?.kind === "watchProgressResult", `a request for progress is answered: ${answer?.kind}`);
    return { revision: answer.revision, behind: answer.behind };
  }

  /** Reads a page of events. */
  readEvents(query: EventQuery): Promise<ServerMessage | null> {
    return this.request({ kind: "readEvents", consistency: "linearizable", ...query });
  }

  /** Reads nothing more until {@link resumeReading}. */
  pauseReading(): void {
    this.#channel.pauseReading();
  }

  /** Continues after {@link pauseReading}. */
  resumeReading(): void {
    this.#channel.resumeReading();
  }

  /** Closes the connection. */
  close(): void {
    this.#channel.close("the test has ended");
  }

  #receive(message: ServerMessage): void {
    if (!isNotice(message)) {
      if (message.kind === "watchStarted") {
        const { requestId, revision } = message;
        this.#watches.set(requestId, new TestWatch(requestId, revision));
      }
      this.#answers.get(message.requestId)?.(message);
      this.#answers.delete(message.requestId);
      return;
    }
    switch (message.kind) {
      case "watchEvents":
        return this.#of(message.watchId).take(message);
      case "watchEnded":
        return this.#of(message.watchId).end(message);
      case "watchProgressed":
        for (const watchId of message.watchIds) this.#of(watchId).progressed = message.revision;
        return;
      default:
    }
  }

  #of(watchId: number): TestWatch {
    const watch = this.#watches.get(watchId);
    assert(watch !== undefined, `a notice is of a watch that began: ${watchId}`);
    return watch;
  }
}

/** Returns the keys that begin with `prefix`, which ends with a byte below 255. */
export function prefixKeys(prefix: string): KeySet {
  const start = new TextEncoder().encode(prefix);
  const end = start.slice();
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1;
  return { kind: "range", start, end };
}

/** Whether a key is one of `keys`. */
export function isKeyOf(keys: KeySet, key: Uint8Array): boolean {
  if (keys.kind === "key") return compareKeys(keys.key, key) === 0;
  return compareKeys(keys.start, key) <= 0 && (keys.end === null || compareKeys(key, keys.end) < 0);
}

/** All keys. */
export const ALL_KEYS: KeySet = { kind: "range", start: new Uint8Array(0), end: null };

function textOf(event: WatchEvent): string {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const before = event.previous === undefined
    ? ""
    : ` (was ${event.previous === null ? "absent" : text(event.previous.value)})`;
  return event.kind === "put"
    ? `put ${text(event.entry.key)}=${text(event.entry.value)}${before}`
    : `delete ${text(event.key)}${before}`;
}
