/** The dialling end of a connection: connects, sends a hello, and returns the welcome or the reason for its absence. */
import { formatAddress } from "../platform/address.ts";
import type { Clock } from "../platform/clock.ts";
import { NetworkError } from "../platform/errors.ts";
import type { Address, Dialer, Network } from "../platform/network.ts";
import { DecodeError, HandshakeError } from "../protocol/errors.ts";
import {
  type Caller,
  decodeHelloAnswer,
  encodeHello,
  type PeerCaller,
  type Refusal,
  type Welcome,
} from "../protocol/hello.ts";
import { MAX_FRAME_BYTES, MAX_HELLO_BYTES, PEER_CONNECT_TIMEOUT_MS } from "../protocol/limits.ts";
import { type ChannelSizes, FrameChannel } from "./frame_channel.ts";
import { describeEnd } from "./frame_reader.ts";

/** Options of {@link dial}. */
export interface DialOptions {
  readonly network: Dialer;
  readonly clock: Clock;
  readonly address: Address;
  readonly caller: Caller;
  readonly sizes: ChannelSizes;
  /** Time from the start to the welcome. */
  readonly timeoutMs: number;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** See `FrameChannelOptions.onFault`; also called after the welcome. */
  readonly onFault?: (error: unknown) => void;
}

/** A connection that is ready for frames of the welcomed version. The caller closes it. */
export interface Dialled {
  readonly channel: FrameChannel;
  readonly welcome: Welcome;
}

/**
 * Connects and sends a hello. Rejects with {@link NetworkError} if no node answers (also `timedOut` and `aborted`), and with
 * {@link HandshakeError} if the node refuses; then the connection is closed.
 */
export async function dial(options: DialOptions): Promise<Dialled> {
  const { clock, signal, timeoutMs } = options;
  const what = `Cannot connect to ${formatAddress(options.address)}`;
  const stop = new AbortController();
  const giveUp = (): void =>
    stop.abort(new NetworkError("aborted", { message: `${what}: given up.`, cause: signal.reason }));
  signal.addEventListener("abort", giveUp);
  if (signal.aborted) giveUp();
  const timer = clock.after(timeoutMs, () => {
    stop.abort(new NetworkError("timedOut", { message: `${what}: no answer within ${timeoutMs} ms.` }));
  });
  try {
    return await connectAndGreet(options, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) throw stop.signal.reason; // the reason explains more than the resulting error
    throw error;
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", giveUp);
  }
}

async function connectAndGreet(options: DialOptions, signal: AbortSignal): Promise<Dialled> {
  const { network, clock, address, caller, sizes, onFault = null } = options;
  const connection = await network.connect(address, signal);
  const channel = new FrameChannel(connection, { clock, sizes, onFault });
  const close = (): void => channel.close("the attempt to connect was ended");
  signal.addEventListener("abort", close);
  try {
    signal.throwIfAborted();
    const welcome = await greet(channel, { address, caller });
    signal.throwIfAborted();
    channel.allow({ maxFrameBytes: MAX_FRAME_BYTES, retainedBytes: sizes.retainedBytes });
    return { channel, welcome };
  } catch (error) {
    channel.close("no welcome");
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

async function greet(
  channel: FrameChannel,
  dialled: { readonly address: Address; readonly caller: Caller },
): Promise<Welcome> {
  const where = formatAddress(dialled.address);
  channel.send(encodeHello, dialled.caller);
  const first = await channel.readFrame();
  switch (first.kind) {
    case "frame": {
      const answer = decodeAnswer(first.payload, where);
      if (answer.kind === "welcome") return answer;
      throw new HandshakeError(answer.code, `Cannot use the node at ${where}: ${answer.message}`);
    }
    case "otherProtocol":
      throw new HandshakeError(
        "notKvraft",
        `Cannot use ${where}: it answers like ${serverOf(first.looksLike)}, not like a node of kvraft.`,
      );
    case "frameTooLarge":
      throw notKvraft(where, describeEnd(first));
    case "ended":
    case "cutOff":
    case "failed":
      throw new NetworkError("failed", { message: `Cannot connect to ${where}: ${describeEnd(first)}.` });
  }
}

function decodeAnswer(payload: Uint8Array, where: string): Welcome | Refusal {
  try {
    return decodeHelloAnswer(payload);
  } catch (error) {
    if (error instanceof DecodeError) throw notKvraft(where, error.message);
    throw error;
  }
}

/** Returns `an HTTP server` or `a PostgreSQL server`. */
function serverOf(protocol: string): string {
  return `${/^(?:HTTP|SSH|SMTP)/.test(protocol) ? "an" : "a"} ${protocol} server`;
}

function notKvraft(where: string, reason: string): HandshakeError {
  return new HandshakeError(
    "notKvraft",
    `Cannot use ${where}: it does not answer like a node of kvraft (${reason}).`,
  );
}

const SIZES = { readBytes: 1_024, retainedBytes: 1_024, maxQueuedBytes: MAX_HELLO_BYTES };

/** Options of a probe. */
export interface ProbeOptions {
  readonly network: Network;
  readonly clock: Clock;
  /** From the start to the welcome, at each address. Default PEER_CONNECT_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/**
 * Requests the welcome of the node at `address`, as a node of the cluster, without affecting existing lanes. The caller
 * compares the welcome with the expected node. Rejects like {@link dial}.
 */
export function probePeer(
  address: Address,
  { caller, ...options }: ProbeOptions & { readonly caller: Omit<PeerCaller, "lane"> },
): Promise<Welcome> {
  return ask(address, { ...caller, lane: "probe" }, options);
}

/**
 * Requests a welcome from the nodes at `addresses` in turn, as a client without a cluster id; the first welcome identifies
 * the cluster and its members. Rejects with an AggregateError whose message has every reason.
 */
export async function probeAny(addresses: readonly Address[], options: ProbeOptions): Promise<Welcome> {
  const errors: Error[] = [];
  for (const address of addresses) {
    try {
      return await ask(address, { role: "client", clusterId: null }, options);
    } catch (error) {
      if (options.signal.aborted || !(error instanceof Error)) throw error;
      errors.push(error);
    }
  }
  throw new AggregateError(
    errors,
    `Cannot reach the cluster. ${errors.map(({ message }) => message).join(" ")}`,
  );
}

async function ask(
  address: Address,
  caller: Caller,
  { network, clock, timeoutMs = PEER_CONNECT_TIMEOUT_MS, signal }: ProbeOptions,
): Promise<Welcome> {
  const { channel, welcome } = await dial({
    network,
    clock,
    address,
    caller,
    sizes: SIZES,
    timeoutMs,
    signal,
  });
  channel.close("only the welcome was wanted");
  return welcome;
}
