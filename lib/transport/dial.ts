/** The dialling end of a connection: connect, say hello, and come back with a welcome or with the reason why not. */
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

/** Whom to dial, as whom, and with what patience. */
export interface DialOptions {
  readonly network: Dialer;
  readonly clock: Clock;
  readonly address: Address;
  readonly caller: Caller;
  readonly sizes: ChannelSizes;
  /** From the start to the welcome. */
  readonly timeoutMs: number;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** See `FrameChannelOptions.onFault`; for the time after the welcome, too. */
  readonly onFault?: (error: unknown) => void;
}

/** A connection that is ready for frames of the version welcomed. Whoever has it closes it. */
export interface Dialled {
  readonly channel: FrameChannel;
  readonly welcome: Welcome;
}

/**
 * Connects and says hello. Rejects with {@link NetworkError} when there is nobody to talk to (`timedOut` and
 * `aborted` among the reasons) and with {@link HandshakeError} when somebody said no; nothing is left open then.
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
    if (stop.signal.aborted) throw stop.signal.reason; // why it was ended says more than how that felt
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
    case "foreign":
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

/** `an HTTP server`, `a PostgreSQL server`: by how the first letter of an abbreviation is spoken. */
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

/** What asking needs. */
export interface ProbeOptions {
  readonly network: Network;
  readonly clock: Clock;
  /** From the start to the welcome, at each address. Default PEER_CONNECT_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/**
 * Asks whoever is at `address` for its welcome, as a node of the cluster and without touching the lanes that there may
 * be. Who answers is the caller's to compare with whom it expects. Rejects like {@link dial}.
 */
export function probePeer(
  address: Address,
  { caller, ...options }: ProbeOptions & { readonly caller: Omit<PeerCaller, "lane"> },
): Promise<Welcome> {
  return ask(address, { ...caller, lane: "probe" }, options);
}

/**
 * Asks the nodes at `addresses` in turn for a welcome, as a client that knows nothing yet; the first who gives one
 * says which cluster this is and who its members are. Rejects with an AggregateError whose message has every reason.
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
