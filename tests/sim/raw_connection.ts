/** A connection to one node that passes on every message: requests with their answers, and notices. It repairs nothing. */
import { DIAL_TIMEOUT_MS } from "../../lib/client/connection.ts";
import type { Clock } from "../../lib/platform/clock.ts";
import { parseAddress } from "../../lib/platform/address.ts";
import type { Network } from "../../lib/platform/network.ts";
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
} from "../../lib/protocol/client_frames.ts";
import { dial } from "../../lib/transport/dial.ts";
import type { ChannelSizes, FrameChannel } from "../../lib/transport/frame_channel.ts";
import type { Process } from "./environment/process.ts";

type Unnumbered<R> = R extends ClientRequest ? Omit<R, "requestId"> : never;

/** A request without its number. */
export type RawRequest<K extends RequestKind> = Unnumbered<ClientRequest> & { readonly kind: K };

/** The answer to a request of a kind. */
export type RawAnswer<K extends RequestKind> = ResultOf<K> | ErrorResponse;

const SIZES: ChannelSizes = { readBytes: 65_536, retainedBytes: 65_536, maxQueuedBytes: 1_048_576 };

/** A node to connect to. */
export interface NodeChoice {
  readonly address: string;
  /** The process that runs there now. */
  readonly process: () => Process | null;
  /** Milliseconds by which its wall clock is ahead. */
  readonly wallOffsetMs: number;
}

/** A connection. */
export class RawConnection {
  readonly #channel: FrameChannel;
  /** The receivers of answers, by the number of their request. */
  readonly #waiting = new Map<number, (answer: ErrorResponse | ResultOf<RequestKind>) => void>();
  /** The number of the last request. */
  #requestId: number;

  private constructor(channel: FrameChannel, requestId: number) {
    this.#channel = channel;
    this.#requestId = requestId;
  }

  /** Connects to an address; requests have numbers above `requestId`. Rejects where no node answers. */
  static async open(
    { network, clock }: { readonly network: Network; readonly clock: Clock },
    address: string,
    requestId = 0,
  ): Promise<RawConnection> {
    const { channel } = await dial({
      network,
      clock,
      address: parseAddress(address),
      caller: { role: "client", clusterId: null },
      sizes: SIZES,
      timeoutMs: DIAL_TIMEOUT_MS,
      signal: new AbortController().signal,
    });
    return new RawConnection(channel, requestId);
  }

  /** Whether requests can be sent. */
  get isOpen(): boolean {
    return this.#channel.closeReason === null;
  }

  /** Reads until the connection ends. */
  async serve(onNotice: (notice: Notice) => void): Promise<void> {
    await this.#channel.readFrames((payload) => {
      const message = decodeServerMessage(payload);
      if (isNotice(message)) return onNotice(message);
      const take = this.#waiting.get(message.requestId);
      this.#waiting.delete(message.requestId);
      take?.(message);
    });
  }

  /** Sends a request; `take` receives its answer, if one comes, before any later message. */
  send<K extends RequestKind>(request: RawRequest<K>, take: (answer: RawAnswer<K>) => void): void {
    this.#requestId += 1;
    const requestId = this.#requestId;
    this.#waiting.set(requestId, (answer) => {
      if (answer.kind === "error" || isResultOf(answer, request.kind)) take(answer);
      else this.close("a request was answered by a message of another kind");
    });
    this.#channel.send(encodeClientRequest, { ...request, requestId });
  }

  /** Closes it. */
  close(reason: string): void {
    this.#channel.close(reason);
  }
}
