/**
 * One stream of watches: the requests of its client, in order, and the messages that it is sent.
 *
 * A request is handled before the next one is read, so watches begin in the order of their requests, as clients of etcd rely
 * on, and a client that sends more than it reads is held up by the flow control of HTTP/2.
 */
import { assertNever } from "../../platform/assert.ts";
import { CompactedError, KvraftError, TooManyWatchesError } from "../../client/errors.ts";
import type { Timer } from "../../platform/clock.ts";
import { pause, withResolvers } from "../../platform/promise.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import {
  WATCH_REQUEST,
  WATCH_RESPONSE,
  type WatchCreateRequest,
  type WatchResponseGiven,
} from "../messages/watch.ts";
import { etcdRevision } from "../revisions.ts";
import { PROTOBUF } from "../rpc/grpc.ts";
import type { ByteMessages, Call, Format } from "../rpc/method.ts";
import { etcdError } from "../rpc/status.ts";
import { BEFORE_FIRST_REVISION, DUPLICATE_ID, reasonOf } from "./cancel_reasons.ts";
import { CatchUp } from "./catch_up.ts";
import type { CoreWatches } from "./core_watches.ts";
import type { EventMessage } from "./event_message.ts";
import type { PageSlots } from "./page_slots.ts";
import { StreamWatch, type WatchOutput } from "./stream_watch.ts";
import { WatchIds } from "./watch_ids.ts";
import { firstRevisionOf, keyBytesOf, planOf, type WatchPlan } from "./watch_plan.ts";

/** Unsent bytes of a stream from which on it gets no events: its watches fall behind. */
export const MAX_UNSENT_BYTES = 262_144;
/** Interval of the notices of watches that ask for them, and the part of it that is random, as in etcd. */
export const NOTICE_INTERVAL_MS = 600_000;
const NOTICE_JITTER = 0.1;
/** The least time between two questions for one answer about progress. */
const PROGRESS_PAUSE_MS = 100;
/** The id in messages that are of no watch. */
const NO_WATCH = -1n;
/** In place of a revision: a request about progress has no answer. */
const UNANSWERED = -1;

/** The bounds that all streams of a front end share. */
export interface WatchAdmission {
  /** Counts a watch with so many bytes of keys; returns why there may be no further one, or null. */
  enter(keyBytes: number): string | null;
  leave(keyBytes: number): void;
}

/** Options of {@link WatchStream}. */
export interface WatchStreamOptions {
  readonly context: Pick<EtcdContext, "view" | "closing" | "clock" | "random">;
  readonly watches: CoreWatches;
  readonly admission: WatchAdmission;
  readonly slots: PageSlots;
  readonly messages: ByteMessages;
  readonly format: Format;
  readonly call: Call;
}

/** A stream. */
export class WatchStream implements WatchOutput {
  readonly #options: WatchStreamOptions;
  readonly #ids = new WatchIds<StreamWatch>();
  readonly #stop = new AbortController();
  readonly #catchUp: CatchUp;
  /** Settles when the stream ends. */
  readonly #ended = withResolvers<void>();
  /** Whether a request about progress waits for its answer, and what wakes it. */
  #isProgressAsked = false;
  #progressMade: (() => void) | null = null;
  #noticeTimer: Timer | null = null;

  constructor(options: WatchStreamOptions) {
    this.#options = options;
    const { context: { clock }, slots, messages, watches: { core } } = options;
    const { signal } = this.#stop;
    this.#catchUp = new CatchUp({
      clock,
      slots,
      signal,
      whenWritable: () => this.isHeld ? messages.whenWritable() : Promise.resolve(),
      repeat: (call) => core.repeat(call, signal),
      failed: (watch, error) => this.#cancelOrFail(watch, error),
    });
  }

  get isHeld(): boolean {
    return this.#options.messages.unsentBytes >= MAX_UNSENT_BYTES;
  }

  /** Serves the client until it goes away. Rejects with the EtcdError or KvraftError that ends the stream. */
  async run(): Promise<void> {
    const { signal } = this.#options.call;
    const { closing } = this.#options.context;
    const onGone = (): void => this.#ended.resolve();
    const onClosing = (): void => this.fail(etcdError("stopped"));
    signal.addEventListener("abort", onGone);
    closing.add(onClosing);
    if (signal.aborted) onGone();
    if (closing.isClosed) onClosing();
    this.#readRequests().catch((error) => this.#ended.reject(error));
    try {
      await this.#ended.promise;
    } finally {
      signal.removeEventListener("abort", onGone);
      closing.remove(onClosing);
      this.#stop.abort();
      this.#noticeTimer?.cancel();
      this.#progressMade?.();
      for (const watch of this.#ids.values()) this.#release(watch);
    }
  }

  /** Ends the stream with an error. */
  fail(error: unknown): void {
    this.#ended.reject(error);
  }

  sendEvents(watch: StreamWatch, message: EventMessage): void {
    const { messages, format } = this.#options;
    if (format !== PROTOBUF) {
      for (const given of message.messages(watch.isFragmented)) {
        this.#send({ ...given, watchId: watch.watchId });
      }
      return;
    }
    for (const body of message.bodies(watch.isFragmented)) messages.writeParts(watch.idField, body);
  }

  fallBehind(watch: StreamWatch, options: { readonly isFailed: boolean }): void {
    this.#catchUp.add(watch, options);
  }

  watchProgressed(): void {
    this.#progressMade?.();
  }

  async #readRequests(): Promise<void> {
    const { messages, format } = this.#options;
    for (;;) {
      if (this.isHeld) await messages.whenWritable();
      const body = await messages.read();
      // The client has sent all of its requests; its watches go on.
      if (body === null) return;
      const { request } = format.decode(WATCH_REQUEST, body);
      if (request === null) continue;
      switch (request.kind) {
        case "createRequest":
          await this.#create(request.value);
          break;
        case "cancelRequest":
          this.#cancelByClient(request.value.watchId);
          break;
        case "progressRequest":
          void this.#answerProgress();
          break;
        default:
          assertNever(request);
      }
    }
  }

  async #create(request: WatchCreateRequest): Promise<void> {
    const { watches, admission } = this.#options;
    if (request.startRevision < 0) return this.#refuse(BEFORE_FIRST_REVISION);
    const planned = planOf(request);
    if (planned.kind === "refused") return this.#refuse(planned.reason);
    const { plan } = planned;
    const full = admission.enter(keyBytesOf(plan));
    if (full !== null) return this.#refuse(full);
    const watch = this.#watchOf(request, plan);
    if (watch === null) {
      admission.leave(keyBytesOf(plan));
      return this.#refuse(DUPLICATE_ID);
    }
    let isBegun = false;
    const begun = (revision: number): void => {
      isBegun = true;
      this.#send({
        header: headerOf(this.#options.context, revision),
        watchId: watch.watchId,
        created: true,
      });
    };
    try {
      await watches.core.repeat(() => watch.begin(firstRevisionOf(request), begun), this.#stop.signal);
      if (watch.isNotified && !this.#stop.signal.aborted) this.#startNotices();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (error instanceof CompactedError && !isBegun) begun(this.#presentRevision);
      if (isBegun) return this.#cancel(watch, error);
      this.#ids.forget(watch.watchId);
      this.#release(watch);
      this.#refuse(this.#reasonOf(error));
    }
  }

  /** Returns a new watch; null if its id is taken. */
  #watchOf(request: WatchCreateRequest, plan: WatchPlan): StreamWatch | null {
    const { context, watches } = this.#options;
    return this.#ids.take(request.watchId, (watchId) =>
      new StreamWatch({
        watchId,
        plan,
        isFragmented: request.fragment,
        isNotified: request.progressNotify,
        context,
        watches,
        output: this,
      }));
  }

  /** Answers a request for a watch that does not begin. */
  #refuse(cancelReason: string): void {
    const header = headerOf(this.#options.context, this.#presentRevision);
    this.#send({ header, watchId: NO_WATCH, created: true, canceled: true, cancelReason });
  }

  /** Ends a watch for its client; an unknown id has no answer. */
  #cancelByClient(watchId: bigint): void {
    const watch = this.#ids.forget(watchId);
    if (watch === null) return;
    this.#release(watch);
    this.#send({ header: headerOf(this.#options.context, this.#presentRevision), watchId, canceled: true });
  }

  /** Ends a watch that cannot go on. After a compaction its id stays taken. */
  #cancel(watch: StreamWatch, error: unknown): void {
    const { context } = this.#options;
    const { watchId } = watch;
    if (error instanceof CompactedError) {
      watch.end();
      // The first revision from which a watch may begin; clients begin again there. kvraft drops the events of the
      // compacted revision, too.
      const compactRevision = etcdRevision(error.compactedRevision) + 1;
      return this.#send({ header: headerOf(context, null), watchId, canceled: true, compactRevision });
    }
    const cancelReason = this.#reasonOf(error);
    this.#ids.forget(watchId);
    this.#release(watch);
    this.#send({ header: headerOf(context, this.#presentRevision), watchId, canceled: true, cancelReason });
  }

  #cancelOrFail(watch: StreamWatch, error: unknown): void {
    try {
      this.#cancel(watch, error);
    } catch (fault) {
      this.fail(fault);
    }
  }

  /** Returns the reason of an error for one watch; throws an error that ends the stream. */
  #reasonOf(error: unknown): string {
    if (!(error instanceof KvraftError) || error.code === "closed" || error.code === "aborted") throw error;
    if (error instanceof TooManyWatchesError) return `kvraft: ${error.message}`;
    const { call } = this.#options;
    call.noteRefusal(error);
    return reasonOf(error, { hasToken: call.token !== null });
  }

  /** Ends a watch whose id is free now. */
  #release(watch: StreamWatch): void {
    watch.end();
    this.#catchUp.remove(watch);
    this.#options.admission.leave(keyBytesOf(watch.plan));
  }

  /** Answers one or more requests about progress, once all watches have everything up to a revision of after the request. */
  async #answerProgress(): Promise<void> {
    if (this.#isProgressAsked) return;
    this.#isProgressAsked = true;
    const { context: { clock }, watches } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const made = withResolvers<void>();
      this.#progressMade = made.resolve;
      const present = await watches.askProgress() ?? this.#presentRevision;
      if (signal.aborted) return;
      const complete = this.#completeTo(present);
      if (complete !== null) {
        if (complete !== UNANSWERED) this.#sendProgress(NO_WATCH, complete);
        break;
      }
      await made.promise;
      await pause(PROGRESS_PAUSE_MS, { clock, signal });
    }
    this.#progressMade = null;
    this.#isProgressAsked = false;
  }

  /**
   * Returns the revision, not below `present`, up to which the client was sent everything; null if some watch is behind,
   * {@link UNANSWERED} if there is none, or one begins in the future: etcd does not answer then.
   */
  #completeTo(present: number): number | null {
    let complete = Infinity;
    let count = 0;
    for (const watch of this.#ids.values()) {
      if (watch.isEnded) continue;
      count++;
      if (watch.beginsAfter(present)) return UNANSWERED;
      complete = Math.min(complete, watch.completeTo ?? -1);
    }
    if (count === 0) return UNANSWERED;
    if (complete === Infinity) return present;
    return complete >= present ? complete : null;
  }

  /** Notifies the watches that ask for it, and had no event since the last time, now and then. */
  #startNotices(): void {
    const { context: { clock, random } } = this.#options;
    this.#noticeTimer ??= clock.after(NOTICE_INTERVAL_MS * (1 + NOTICE_JITTER * random()), () => {
      this.#noticeTimer = null;
      void this.#notify();
    });
  }

  async #notify(): Promise<void> {
    const present = await this.#options.watches.askProgress() ?? this.#presentRevision;
    if (this.#stop.signal.aborted) return;
    let isAnyNotified = false;
    for (const watch of this.#ids.values()) {
      if (watch.isEnded || !watch.isNotified) continue;
      isAnyNotified = true;
      const { completeTo } = watch;
      const isDue = !watch.hadEvent && completeTo !== null && !watch.beginsAfter(present);
      if (isDue) this.#sendProgress(watch.watchId, Math.min(completeTo, Math.max(present, 0)));
      watch.hadEvent = false;
    }
    if (isAnyNotified) this.#startNotices();
  }

  #sendProgress(watchId: bigint, revision: number): void {
    this.#send({ header: headerOf(this.#options.context, revision), watchId });
  }

  #send(response: WatchResponseGiven): void {
    const { messages, format } = this.#options;
    if (!this.#stop.signal.aborted) messages.write(format.encode(WATCH_RESPONSE, response));
  }

  /** The newest revision that the front end knows of. */
  get #presentRevision(): number {
    return this.#options.context.view().revision;
  }
}
