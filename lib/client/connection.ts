/**
 * One connection to one node: the hello, then requests and answers, many at a time.
 *
 * Every request ends exactly once: answered, lost with the connection, unanswered for too long, or aborted by its
 * caller. A request without an answer ends with whether it may have reached the node; it did not only if its bytes were
 * still in this process when the connection closed.
 */
import { errorMessage } from "../platform/errors.ts";
import { formatAddress } from "../platform/address.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Address, Dialer } from "../platform/network.ts";
import { NumberMap } from "../platform/memory/number_map.ts";
import { withResolvers } from "../platform/promise.ts";
import {
  type ClientRequest,
  decodeServerMessage,
  encodeClientRequest,
  type ErrorResponse,
  isNotice,
  isResultOf,
  type Notice,
  type RequestKind,
  type ResultOf,
  type ServerMessage,
} from "../protocol/client_frames.ts";
import { UnknownKindError } from "../protocol/errors.ts";
import type { Welcome } from "../protocol/hello.ts";
import type { NodeId } from "../raft/types.ts";
import type { ChannelSizes, FrameChannel } from "../transport/frame_channel.ts";
import { dial } from "../transport/dial.ts";
import { MAX_IN_FLIGHT_BYTES } from "./admission.ts";
import { TIMER_TICK_MS } from "./call_context.ts";
import { ConnectionWatches, type WatchNotice } from "./watch/connection_watches.ts";

/** The longest time from the start of a dial to the node's welcome. */
export const DIAL_TIMEOUT_MS = 1_000;
/**
 * A node with unanswered requests that sends nothing for this time counts as hung: its connection is closed.
 *
 * Much longer than an attempt, which goes on to another node before. An overloaded cluster is slow and not hung, and it
 * would answer no client if all of them reconnected. With one second here, 2,000 clients in one process did 4.3 to 5.8
 * thousand puts a second and 4,000 did 0.4 to 0.8 thousand while most calls timed out; now 11.9 and 6.4 thousand.
 */
export const SILENCE_LIMIT_MS = 10_000;

/**
 * A node that left a request unanswered and has sent nothing for this time is not used while others can be: it may be
 * suspended or cut off. One that is only slow sends other answers meanwhile.
 */
const SUSPECT_AFTER_MS = 500;
/** Time that a node has to answer a {@link NodeConnection.probe}. */
const PROBE_TIMEOUT_MS = 1_000;

/** Requests that timed out may still wait to be written beside those under way, hence twice what may be under way. */
const SIZES: ChannelSizes = {
  readBytes: 65_536,
  retainedBytes: 2_097_152, // a page of a long listing
  maxQueuedBytes: 2 * MAX_IN_FLIGHT_BYTES,
};

type Unnumbered<R> = R extends ClientRequest ? Omit<R, "requestId"> : never;

/** A request of a kind, before the connection numbers it. */
export type RequestOf<K extends RequestKind> = Unnumbered<ClientRequest> & { readonly kind: K };

/** A notice about the cluster. */
export type ClusterNotice = Exclude<Notice, WatchNotice>;

/** How a request ended without an answer. `left`: whether it may have reached the node. */
export type Unanswered =
  /** The connection ended. */
  | { readonly kind: "lost"; readonly left: boolean; readonly reason: string }
  /** No answer came in its time. */
  | { readonly kind: "silent"; readonly left: boolean }
  /** Its caller's signal ended it. */
  | { readonly kind: "aborted"; readonly left: boolean };

/** How a request ended. */
export type RequestEnd<K extends RequestKind> =
  | { readonly kind: "answered"; readonly message: ResultOf<K> }
  | { readonly kind: "refused"; readonly error: ErrorResponse }
  | Unanswered;

/** The limits of a request. */
export interface RequestLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | null;
}

/** Options of {@link NodeConnection.open}. */
export interface OpenOptions {
  readonly network: Dialer;
  readonly clock: Clock;
  readonly address: Address;
  /** The cluster that the node must belong to; null when none is known yet. */
  readonly clusterId: string | null;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/** A request in flight. */
interface Pending {
  /** The offset of its frame in the stream of all bytes sent. */
  readonly position: number;
  /** The time at which it ends without an answer. */
  readonly deadline: number;
  /** Takes the answer; returns false, and does not end, for a message of a wrong kind. */
  answer(message: ServerMessage): boolean;
  /** Ends the request without an answer. */
  end(end: Unanswered): void;
}

/** A request of one kind in flight. */
class PendingRequest<K extends RequestKind> implements Pending {
  readonly position: number;
  readonly deadline: number;
  readonly #kind: K;
  readonly #onEnd: (end: RequestEnd<K>) => void;
  /** Removes the listener of its caller's signal, if there is one. */
  release: (() => void) | null = null;

  constructor(
    kind: K,
    { position, deadline }: Pick<Pending, "position" | "deadline">,
    onEnd: (end: RequestEnd<K>) => void,
  ) {
    this.position = position;
    this.deadline = deadline;
    this.#kind = kind;
    this.#onEnd = onEnd;
  }

  answer(message: ServerMessage): boolean {
    if (message.kind === "error") this.#settle({ kind: "refused", error: message });
    else if (isResultOf(message, this.#kind)) this.#settle({ kind: "answered", message });
    else return false;
    return true;
  }

  end(end: Unanswered): void {
    this.#settle(end);
  }

  #settle(end: RequestEnd<K>): void {
    this.release?.();
    this.#onEnd(end);
  }
}

/** An open connection. */
export class NodeConnection {
  /** The node's answer to the hello. */
  readonly welcome: Welcome;
  /** The address that was dialed. */
  readonly address: string;
  /** The watches over this connection. */
  readonly watches: ConnectionWatches;
  readonly #channel: FrameChannel;
  readonly #clock: Clock;
  readonly #pending = new NumberMap<Pending>();
  #nextRequestId = 1;
  #timer: Timer | null = null;
  /** The time at which the timer fires; Infinity without one. */
  #wakesAt = Infinity;
  /** Whether a callback at the end of the turn will stop the timer if no request is in flight. */
  #isIdling = false;
  /** The time of the first request since a frame last came; null without one. */
  #silentSince: number | null = null;
  /** Whether a request was not answered, and nothing has come since. */
  #isSuspect = false;
  #framesReceived = 0;

  private constructor(
    channel: FrameChannel,
    { welcome, address, clock }: {
      readonly welcome: Welcome;
      readonly address: string;
      readonly clock: Clock;
    },
  ) {
    this.welcome = welcome;
    this.address = address;
    this.#channel = channel;
    this.#clock = clock;
    this.watches = new ConnectionWatches(this, clock);
  }

  /** Connects and exchanges hellos. Rejects with NetworkError or HandshakeError, which name the address and the reason. */
  static async open({ network, clock, address, clusterId, signal }: OpenOptions): Promise<NodeConnection> {
    const caller = { role: "client", clusterId } as const;
    const options = { network, clock, address, caller, sizes: SIZES, timeoutMs: DIAL_TIMEOUT_MS, signal };
    const { channel, welcome } = await dial(options);
    return new NodeConnection(channel, { welcome, address: formatAddress(address), clock });
  }

  /** The node at the other end. */
  get node(): NodeId {
    return this.welcome.nodeId;
  }

  /** Whether requests can be sent. */
  get isOpen(): boolean {
    return this.#channel.closeReason === null;
  }

  /** Whether the node left a request unanswered and has sent nothing since: other nodes are preferred. */
  get isSuspect(): boolean {
    return this.#isSuspect;
  }

  /** Frames that have come since the hello. */
  get framesReceived(): number {
    return this.#framesReceived;
  }

  /** Reads until the connection ends; resolves to the reason. The owner of the connection calls it once. */
  async serve(onNotice: (notice: ClusterNotice) => void): Promise<string> {
    const reason = await this.#channel.readFrames((payload) => this.#receive(payload, onNotice));
    this.#losePending(reason);
    return reason;
  }

  /** Sends a request at the end of the turn; resolves to how it ended. Never rejects. */
  request<K extends RequestKind>(request: RequestOf<K>, limits: RequestLimits): Promise<RequestEnd<K>> {
    const { promise, resolve } = withResolvers<RequestEnd<K>>();
    this.send(request, { ...limits, now: this.#clock.now() }, resolve);
    return promise;
  }

  /**
   * Sends a request at the end of the turn; returns the id that it has on this connection. Calls `onEnd` once when it has
   * ended, which may be at once.
   */
  send<K extends RequestKind>(
    request: RequestOf<K>,
    { now: sentAt, timeoutMs, signal }: RequestLimits & { readonly now: number },
    onEnd: (end: RequestEnd<K>) => void,
  ): number {
    const requestId = this.#nextRequestId++;
    if (signal !== null && signal.aborted) {
      onEnd({ kind: "aborted", left: false });
      return requestId;
    }
    const position = this.#channel.bytesOut + this.#channel.queuedBytes;
    if (!this.isOpen || !this.#channel.send(encodeClientRequest, { ...request, requestId })) {
      const reason = this.#channel.closeReason ?? "too many bytes wait to be sent to it";
      onEnd({ kind: "lost", left: false, reason });
      return requestId;
    }
    const deadline = sentAt + timeoutMs;
    const pending = new PendingRequest(request.kind, { position, deadline }, onEnd);
    this.#pending.set(requestId, pending);
    this.#silentSince ??= sentAt;
    if (deadline < this.#wakesAt) this.#wakeAt(deadline, sentAt);
    if (signal !== null) this.#endWith(signal, requestId, pending);
    return requestId;
  }

  /** Asks the node for a sign of life if it owes an answer: one that gives none is suspect then. */
  probe(): void {
    if (this.#pending.size === 0) return;
    const limits = { now: this.#clock.now(), timeoutMs: PROBE_TIMEOUT_MS, signal: null };
    this.send({ kind: "status" }, limits, () => {});
  }

  /** Closes the connection and ends every request. Without effect when it is closed. */
  close(reason: string): void {
    this.#channel.close(reason);
    this.#losePending(reason);
  }

  /** Ends a request with its caller's signal. */
  #endWith<K extends RequestKind>(signal: AbortSignal, requestId: number, pending: PendingRequest<K>): void {
    const onAbort = (): void => {
      this.#ended(requestId);
      pending.end({ kind: "aborted", left: true });
    };
    signal.addEventListener("abort", onAbort);
    pending.release = () => signal.removeEventListener("abort", onAbort);
  }

  #receive(payload: Uint8Array, onNotice: (notice: ClusterNotice) => void): void {
    this.#silentSince = null;
    this.#isSuspect = false;
    this.#framesReceived += 1;
    let message: ServerMessage;
    try {
      message = decodeServerMessage(payload);
    } catch (error) {
      // A notice of a kind that only newer nodes have: nothing here depends on it.
      if (error instanceof UnknownKindError) return;
      this.close(errorMessage(error));
      return;
    }
    if (isNotice(message)) {
      if (message.kind === "leader" || message.kind === "members") onNotice(message);
      else this.watches.receive(message);
    } else if (message.requestId === 0) {
      this.close(message.kind === "error" ? message.message : "it answered no request");
    } else {
      const { requestId } = message;
      const request = this.#pending.get(requestId);
      // An answer to a request that has ended is late, not wrong.
      if (request === undefined) return;
      if (request.answer(message)) this.#ended(requestId);
      else this.close(`it gave a ${message.kind} for another kind of request`);
    }
  }

  /** Stops the timer at the end of the turn without requests, so that a request that follows at once reuses it. */
  #ended(requestId: number): void {
    this.#pending.delete(requestId);
    if (this.#pending.size > 0 || this.#isIdling) return;
    this.#isIdling = true;
    this.#clock.endOfTurn(() => {
      this.#isIdling = false;
      if (this.#pending.size === 0 && !this.#isSuspect) this.#stopTimer();
    });
  }

  /**
   * Sets the timer to the earliest deadline. One timer serves all requests and stays when that request is answered: one
   * for each, set and cancelled, cost about 15 % of the client's CPU per get.
   */
  #wakeAt(deadline: number, now: number): void {
    this.#timer?.cancel();
    this.#wakesAt = deadline;
    this.#timer = this.#clock.after(Math.max(0, deadline - now), () => this.#endOverdue());
  }

  /** Ends the requests whose deadline has passed: their frames may have been sent, or may be yet. */
  #endOverdue(): void {
    const now = this.#clock.now();
    const silentMs = now - (this.#silentSince ?? now);
    for (const requestId of this.#pending.keys()) {
      const request = this.#pending.get(requestId);
      if (request === undefined || request.deadline - now >= TIMER_TICK_MS) continue;
      this.#pending.delete(requestId);
      if (silentMs >= SUSPECT_AFTER_MS) this.#isSuspect = true;
      request.end({ kind: "silent", left: true });
    }
    // Afterwards: the end of a request may have begun others.
    let next = Infinity;
    for (const requestId of this.#pending.keys()) {
      next = Math.min(next, this.#pending.get(requestId)?.deadline ?? Infinity);
    }
    this.#stopTimer();
    if (this.#isSuspect) {
      if (silentMs >= SILENCE_LIMIT_MS) {
        return this.close(`nothing came from it for ${Math.ceil(silentMs)} ms`);
      }
      // Without further requests, no other request would discover that the node is unreachable.
      next = Math.min(next, now - silentMs + SILENCE_LIMIT_MS);
    }
    if (next < Infinity) this.#wakeAt(next, now);
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#wakesAt = Infinity;
  }

  #losePending(reason: string): void {
    this.#stopTimer();
    const { bytesWritten } = this.#channel;
    for (const requestId of this.#pending.keys()) {
      const request = this.#pending.get(requestId);
      if (request === undefined) continue;
      this.#pending.delete(requestId);
      request.end({ kind: "lost", left: request.position < bytesWritten, reason });
    }
    this.watches.lose(reason);
  }
}
