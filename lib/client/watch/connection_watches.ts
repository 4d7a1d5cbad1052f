/**
 * The watches over one connection: requests that are answered once and then bring notices until they end.
 *
 * A node that is frozen or cut off ends nothing, and an idle watch expects nothing. So while there are watches, a
 * connection from which nothing comes is asked for a sign of life; without one its watches are lost, and continue at
 * another node. A node whose messages do not reach the leader gives such a sign, and gets no new entries: it refuses to
 * say up to which revision the watches were served, and that ends them too.
 */
import { assertNever } from "../../platform/assert.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { withResolvers } from "../../platform/promise.ts";
import type { ErrorResponse, Notice, ServerFrame } from "../../protocol/client_frames.ts";
import type { NodeConnection, RequestEnd, RequestOf } from "../connection.ts";

/** Time without a frame after which a node with watches is asked for a sign of life. */
export const QUIET_LIMIT_MS = 3_000;
/** Time that it has to answer. */
export const SIGN_TIMEOUT_MS = 3_000;
/** Time that a node has to answer once another one leads: it needs no other node for that answer. */
export const VERIFY_TIMEOUT_MS = 1_000;

/** A notice about a watch that its node sends. */
export type WatchNotice = Extract<Notice, { readonly kind: `watch${string}` }>;

/** How a watch over a connection ended. */
export type WatchEnd =
  /** The node refused to begin it. */
  | { readonly kind: "refused"; readonly error: ErrorResponse }
  /** The node ended it. */
  | { readonly kind: "ended"; readonly notice: ServerFrame<"watchEnded"> }
  /** The connection ended, or the node did not answer. */
  | { readonly kind: "lost"; readonly reason: string };

/** The receiver of a watch. Its functions do not throw. */
export interface WatchReceiver {
  /** The watch has begun; `revision` is the present one. */
  onStarted(revision: number): void;
  /** A revision has events, or further ones. */
  onEvents(frame: ServerFrame<"watchEvents">): void;
  /** Everything up to `revision` was sent. */
  onProgress(revision: number): void;
  /** The watch has ended, and nothing else follows. Not called for one that was cancelled. */
  onEnd(end: WatchEnd): void;
}

/** The watches over one connection. */
export class ConnectionWatches {
  readonly #connection: Pick<NodeConnection, "send" | "isOpen" | "framesReceived">;
  readonly #clock: Clock;
  readonly #receivers = new Map<number, WatchReceiver>();
  /** Those of them that have begun at the node. */
  readonly #started = new Set<number>();
  /** Watches that the node was asked to cancel, until it answers. */
  readonly #cancelling = new Set<number>();
  #timer: Timer | null = null;
  /** The connection's `framesReceived` when the timer was set. */
  #framesBefore = 0;
  /** Whether a request of {@link verify} is in flight. */
  #isVerifying = false;

  /** Watches nothing yet. */
  constructor(connection: Pick<NodeConnection, "send" | "isOpen" | "framesReceived">, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Requests a watch; returns its id, for {@link cancel}. `onEnd` of the receiver may be called at once. */
  start(request: RequestOf<"watch">, timeoutMs: number, receiver: WatchReceiver): number {
    let isOver = false;
    let watchId = 0;
    const limits = { now: this.#clock.now(), timeoutMs, signal: null };
    watchId = this.#connection.send(request, limits, (end) => {
      isOver = end.kind !== "answered";
      this.#answered(watchId, receiver, { end, timeoutMs });
    });
    if (!isOver) this.#receivers.set(watchId, receiver);
    this.#superviseFrom(this.#connection.framesReceived);
    return watchId;
  }

  /** Ends a watch: its receiver gets nothing from now on. Without effect for one that has ended. */
  cancel(watchId: number): void {
    this.#started.delete(watchId);
    if (!this.#receivers.delete(watchId)) return;
    this.#sendCancel(watchId);
    this.#stopWithoutWatches();
  }

  /** Passes a notice on. One of a watch that was cancelled is late, not wrong. */
  receive(notice: WatchNotice): void {
    switch (notice.kind) {
      case "watchEvents":
        return this.#receiverOf(notice.watchId)?.onEvents(notice);
      case "watchProgressed":
        for (const watchId of notice.watchIds) this.#receiverOf(watchId)?.onProgress(notice.revision);
        return;
      case "watchEnded":
        this.#end(notice.watchId, { kind: "ended", notice });
        return;
      default:
        assertNever(notice);
    }
  }

  /**
   * Asks the node for a sign of life now: another node leads since lately, perhaps because this one is frozen. It is asked
   * for its status, which a node that works returns also during an election.
   */
  verify(): void {
    if (this.#receivers.size === 0 || this.#isVerifying) return;
    this.#isVerifying = true;
    const { framesReceived: framesBefore } = this.#connection;
    const limits = { now: this.#clock.now(), timeoutMs: VERIFY_TIMEOUT_MS, signal: null };
    this.#connection.send({ kind: "status" }, limits, (end) => {
      this.#isVerifying = false;
      if (end.kind === "silent" && this.#connection.framesReceived === framesBefore) {
        this.lose(`nothing came from it for ${VERIFY_TIMEOUT_MS} ms while another node was elected`);
      }
    });
  }

  /**
   * Asks the node how far it is; the watches that were sent everything up to there get a notice. Resolves to that revision
   * afterwards, null without watches or without an answer.
   */
  progress(): Promise<number | null> {
    if (this.#receivers.size === 0) return Promise.resolve(null);
    const { promise, resolve } = withResolvers<number | null>();
    const limits = { now: this.#clock.now(), timeoutMs: SIGN_TIMEOUT_MS, signal: null };
    this.#connection.send({ kind: "watchProgress", atOnce: true }, limits, (end) => {
      if (end.kind !== "answered") return resolve(null);
      const { revision, behind } = end.message;
      const lacking = new Set(behind);
      for (const watchId of [...this.#started]) {
        if (!lacking.has(watchId)) this.#receivers.get(watchId)?.onProgress(revision);
      }
      resolve(revision);
    });
    return promise;
  }

  /**
   * Ends all watches, because the connection is closed or its node does not serve them. A node that works again later
   * would send their events on, so they are cancelled while the connection is open.
   */
  lose(reason: string): void {
    for (const watchId of [...this.#receivers.keys()]) {
      this.#sendCancel(watchId);
      this.#end(watchId, { kind: "lost", reason });
    }
  }

  /** Returns the receiver of a watch; cancels one that has none, unless the node was asked to already. */
  #receiverOf(watchId: number): WatchReceiver | undefined {
    const receiver = this.#receivers.get(watchId);
    if (receiver === undefined && !this.#cancelling.has(watchId)) this.#sendCancel(watchId);
    return receiver;
  }

  #answered(
    watchId: number,
    receiver: WatchReceiver,
    { end, timeoutMs }: { readonly end: RequestEnd<"watch">; readonly timeoutMs: number },
  ): void {
    switch (end.kind) {
      case "answered":
        if (this.#receivers.has(watchId)) {
          this.#started.add(watchId);
          return receiver.onStarted(end.message.revision);
        }
        // It was cancelled before: the node may have received that while the watch had not begun yet.
        return this.#sendCancel(watchId);
      case "silent":
        if (!this.#receivers.has(watchId)) return;
        this.#sendCancel(watchId);
        return this.#end(watchId, { kind: "lost", reason: `it did not answer within ${timeoutMs} ms` });
      case "refused":
        return this.#end(watchId, { kind: "refused", error: end.error });
      case "lost":
        // At once if the connection is closed: the receiver is not known yet.
        if (watchId === 0) return receiver.onEnd({ kind: "lost", reason: end.reason });
        return this.#end(watchId, { kind: "lost", reason: end.reason });
      case "aborted":
        return;
      default:
        return assertNever(end);
    }
  }

  #end(watchId: number, end: WatchEnd): void {
    const receiver = this.#receivers.get(watchId);
    if (receiver === undefined) return;
    this.#receivers.delete(watchId);
    this.#started.delete(watchId);
    this.#stopWithoutWatches();
    receiver.onEnd(end);
  }

  #sendCancel(watchId: number): void {
    if (!this.#connection.isOpen) return;
    const limits = { now: this.#clock.now(), timeoutMs: SIGN_TIMEOUT_MS, signal: null };
    this.#cancelling.add(watchId);
    this.#connection.send({ kind: "cancelWatch", watchId }, limits, () => this.#cancelling.delete(watchId));
  }

  #stopWithoutWatches(): void {
    if (this.#receivers.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Checks after a while whether any frame has come since `framesBefore` of them had. */
  #superviseFrom(framesBefore: number): void {
    if (this.#timer !== null || this.#receivers.size === 0) return;
    this.#framesBefore = framesBefore;
    this.#timer = this.#clock.after(QUIET_LIMIT_MS, () => {
      this.#timer = null;
      const { framesReceived } = this.#connection;
      if (framesReceived === this.#framesBefore) this.#askForSign(framesReceived);
      else this.#superviseFrom(framesReceived);
    });
  }

  #askForSign(framesBefore: number): void {
    const limits = { now: this.#clock.now(), timeoutMs: SIGN_TIMEOUT_MS, signal: null };
    this.#connection.send({ kind: "watchProgress", atOnce: false }, limits, (end) => {
      const { framesReceived } = this.#connection;
      if (end.kind === "refused") this.lose(end.error.message);
      else if (end.kind === "silent" && framesReceived === framesBefore) {
        this.lose(`nothing came from it for ${QUIET_LIMIT_MS + SIGN_TIMEOUT_MS} ms`);
      } else this.#superviseFrom(framesReceived);
    });
  }
}
