/**
 * One connection to one node: the hello, then requests and answers, many at a time.
 *
 * Every request is settled exactly once: answered, lost with the connection, silent for too long, or aborted by its
 * caller. What is not answered says whether it may have reached the node; only a request whose bytes were still in
 * this process when the connection closed surely did not.
 */
import { assert } from "../assert.ts";
import { formatAddress } from "../net/address.ts";
import { decodeServerMessage, encodeClientRequest } from "../net/client_codec.ts";
import type {
  ClientRequest,
  ErrorResponse,
  LeaderNotice,
  MembersNotice,
  ServerMessage,
} from "../net/client_messages.ts";
import type { Clock } from "../net/clock.ts";
import { UnknownKindError } from "../net/errors.ts";
import type { ChannelSizes, FrameChannel } from "../net/frame_channel.ts";
import { dial } from "../net/handshake.ts";
import type { Welcome } from "../net/hello_codec.ts";
import type { Address, Network } from "../net/network.ts";
import type { NodeId } from "../raft/types.ts";
import { MAX_IN_FLIGHT_BYTES } from "./admission.ts";

/** From the start of a dial to the node's welcome. */
export const DIAL_TIMEOUT_MS = 1_000;
/** A node from which nothing came for so long, while a request waits, is taken for hung: its connection is closed. */
export const SILENCE_LIMIT_MS = 1_000;

/** Requests that timed out may still wait to be written beside those under way, hence twice what may be under way. */
const SIZES: ChannelSizes = {
  readBytes: 65_536,
  retainedBytes: 1_048_576,
  maxQueuedBytes: 2 * MAX_IN_FLIGHT_BYTES,
};

/** Kinds of requests. */
export type RequestKind = ClientRequest["kind"];

type Unnumbered<R> = R extends ClientRequest ? Omit<R, "requestId"> : never;

/** A request of a kind, before the connection numbers it. */
export type RequestOf<K extends RequestKind> = Unnumbered<ClientRequest> & { readonly kind: K };

/** By what each request is answered when it was done. */
const ANSWERS = {
  write: "writeResult",
  get: "getResult",
  list: "listResult",
  status: "statusResult",
  stateHash: "stateHashResult",
  transferLeadership: "transferLeadershipResult",
  changeMembership: "membershipChanged",
  takeSnapshot: "snapshotTaken",
  readSnapshot: "snapshotPart",
  closeSnapshot: "snapshotClosed",
} as const satisfies Record<RequestKind, ServerMessage["kind"]>;

/** What answers a request of a kind when it was done. */
export type ResultOf<K extends RequestKind> = Extract<ServerMessage, { readonly kind: typeof ANSWERS[K] }>;

/** What a node says unasked. */
export type Notice = LeaderNotice | MembersNotice;

/** How a request ended without an answer. `left`: whether it may have reached the node. */
export type Unanswered =
  /** The connection ended. */
  | { readonly kind: "lost"; readonly left: boolean; readonly reason: string }
  /** Its time was up. */
  | { readonly kind: "silent"; readonly left: boolean }
  /** Its caller's signal ended it. */
  | { readonly kind: "aborted"; readonly left: boolean };

/** How a request ended. */
export type RequestEnd<K extends RequestKind> =
  | { readonly kind: "answered"; readonly message: ResultOf<K> }
  | { readonly kind: "refused"; readonly error: ErrorResponse }
  | Unanswered;

/** What ends a request before its answer. */
export interface RequestLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | null;
}

/** How to open a connection. */
export interface OpenOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly address: Address;
  /** The cluster that the node must belong to; null before one is known. */
  readonly clusterId: string | null;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/** A request under way. */
interface Pending {
  /** Where its frame begins in the stream of all bytes sent. */
  readonly position: number;
  readonly sentAt: number;
  /** Takes the answer; gives false for a message that is no answer to this kind of request. */
  readonly answer: (message: ServerMessage) => boolean;
  /** The request ends without an answer. */
  readonly end: (end: Unanswered) => void;
}

/** An open connection. */
export class NodeConnection {
  /** What the node said of itself and its cluster. */
  readonly welcome: Welcome;
  /** Where it was dialled. */
  readonly address: string;
  readonly #channel: FrameChannel;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #nextRequestId = 1;
  #lastReceivedAt: number;

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
    this.#lastReceivedAt = clock.now();
  }

  /** Connects and says hello. Rejects with NetworkError or HandshakeError, which name the address and the reason. */
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

  /** Reads until the connection ends; resolves to the reason. Called once, by whoever owns the connection. */
  async serve(onNotice: (notice: Notice) => void): Promise<string> {
    const reason = await this.#channel.readFrames((payload) => this.#receive(payload, onNotice));
    this.#losePending(reason);
    return reason;
  }

  /** Sends a request at the end of the turn. Never rejects. */
  request<K extends RequestKind>(
    request: RequestOf<K>,
    { timeoutMs, signal }: RequestLimits,
  ): Promise<RequestEnd<K>> {
    if (signal !== null && signal.aborted) return Promise.resolve({ kind: "aborted", left: false });
    const requestId = this.#nextRequestId++;
    const position = this.#channel.bytesOut + this.#channel.queuedBytes;
    if (!this.isOpen || !this.#channel.send(encodeClientRequest, { ...request, requestId })) {
      const reason = this.#channel.closeReason ?? "too many bytes wait to be sent to it";
      return Promise.resolve({ kind: "lost", left: false, reason });
    }
    const { promise, resolve } = Promise.withResolvers<RequestEnd<K>>();
    const settle = (end: RequestEnd<K>): void => {
      this.#pending.delete(requestId);
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
      resolve(end);
    };
    const timer = this.#clock.after(timeoutMs, () => this.#timeOut(requestId));
    const onAbort = (): void => settle({ kind: "aborted", left: true });
    signal?.addEventListener("abort", onAbort);
    this.#pending.set(requestId, {
      position,
      sentAt: this.#clock.now(),
      answer: (message) => {
        if (message.kind === "error") settle({ kind: "refused", error: message });
        else if (isResultOf(message, request.kind)) settle({ kind: "answered", message });
        else return false;
        return true;
      },
      end: settle,
    });
    return promise;
  }

  /** Ends the connection, and every request with it. Without effect when it has ended. */
  close(reason: string): void {
    this.#channel.close(reason);
    this.#losePending(reason);
  }

  #receive(payload: Uint8Array, onNotice: (notice: Notice) => void): void {
    this.#lastReceivedAt = this.#clock.now();
    let message: ServerMessage;
    try {
      message = decodeServerMessage(payload);
    } catch (error) {
      // News of a kind that a newer node has: whatever it says, nothing here depends on it.
      if (error instanceof UnknownKindError) return;
      this.close(error instanceof Error ? error.message : String(error));
      return;
    }
    if (message.kind === "leader" || message.kind === "members") {
      onNotice(message);
    } else if (message.requestId === 0) {
      this.close(message.kind === "error" ? message.message : "it answered no request");
    } else {
      // An answer to a request that has ended meanwhile is late, not wrong.
      const isWrong = this.#pending.get(message.requestId)?.answer(message) === false;
      if (isWrong) this.close(`it gave a ${message.kind} for another kind of request`);
    }
  }

  /** The request stays unanswered for now: its frame may be on its way, or may yet leave. */
  #timeOut(requestId: number): void {
    const request = this.#pending.get(requestId);
    assert(request !== undefined, "a request's timer ends with it");
    request.end({ kind: "silent", left: true });
    const silentMs = this.#clock.now() - Math.max(this.#lastReceivedAt, request.sentAt);
    if (silentMs >= SILENCE_LIMIT_MS) this.close(`nothing came from it for ${Math.ceil(silentMs)} ms`);
  }

  #losePending(reason: string): void {
    const { bytesHandedOut } = this.#channel;
    for (const { position, end } of [...this.#pending.values()]) {
      end({ kind: "lost", left: position < bytesHandedOut, reason });
    }
  }
}

function isResultOf<K extends RequestKind>(message: ServerMessage, kind: K): message is ResultOf<K> {
  return message.kind === ANSWERS[kind];
}
