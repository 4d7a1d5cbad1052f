/** The dialling end of a connection: connect, say hello, and come back with a welcome or with the reason why not. */
import { formatAddress } from "../platform/address.ts";
import type { Clock } from "../platform/clock.ts";
import { DecodeError, HandshakeError } from "../protocol/errors.ts";
import { NetworkError } from "../platform/errors.ts";
import { type ChannelSizes, FrameChannel } from "./frame_channel.ts";
import { describeEnd } from "./frame_reader.ts";
import {
  type Caller,
  decodeHelloAnswer,
  encodeHello,
  type Refusal,
  type Welcome,
} from "../protocol/hello.ts";
import { MAX_FRAME_BYTES } from "../protocol/limits.ts";
import type { Address, Dialer } from "../platform/network.ts";

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
