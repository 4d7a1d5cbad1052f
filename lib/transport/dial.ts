/** The dialling end of a connection: connects, sends a hello, and returns the welcome or the reason for its absence. */
import { formatAddress } from "../platform/address.ts";
import type { Clock } from "../platform/clock.ts";
import { NetworkError } from "../platform/errors.ts";
import type { Address, Dialer, Network } from "../platform/network.ts";
import { DecodeError, HandshakeError } from "../protocol/errors.ts";
import {
  type Caller,
  type Challenge,
  decodeHelloAnswer,
  encodeHello,
  encodePeerProof,
  type PeerCaller,
  type SentRefusal,
  type Welcome,
} from "../protocol/hello.ts";
import type { NodeId } from "../raft/types.ts";
import { MAX_FRAME_BYTES, MAX_HELLO_BYTES, PEER_CONNECT_TIMEOUT_MS } from "../protocol/limits.ts";
import { type ChannelSizes, FrameChannel } from "./frame_channel.ts";
import { describeEnd } from "./frame_reader.ts";
import { BY_CERTIFICATE } from "./handshake/certificate_rules.ts";
import type { Authenticated, DiallerHandshake, PeerAuthentication } from "./handshake/peer_authentication.ts";

/** Options of {@link dial}. */
export interface DialOptions {
  readonly network: Dialer;
  readonly clock: Clock;
  readonly address: Address;
  readonly caller: Caller;
  /** Offers and checks the proofs of a peer; missing without the peer secret. */
  readonly handshake?: DiallerHandshake | null;
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
  /** How the two nodes are authenticated; null without the peer secret. */
  readonly authenticated: Authenticated | null;
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
  const { network, clock, address, sizes, onFault = null } = options;
  const connection = await network.connect(address, signal);
  const channel = new FrameChannel(connection, { clock, sizes, onFault });
  const close = (): void => channel.close("the attempt to connect was ended");
  signal.addEventListener("abort", close);
  try {
    signal.throwIfAborted();
    const welcomed = await greet(channel, options);
    signal.throwIfAborted();
    channel.allow({ maxFrameBytes: MAX_FRAME_BYTES, retainedBytes: sizes.retainedBytes });
    return { channel, ...welcomed };
  } catch (error) {
    channel.close("no welcome");
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

/** Sends the hello, proves what is asked for, and returns the welcome. */
async function greet(
  channel: FrameChannel,
  { address, caller, handshake = null }: Pick<DialOptions, "address" | "caller" | "handshake">,
): Promise<Omit<Dialled, "channel">> {
  const where = formatAddress(address);
  const hello = handshake === null || caller.role === "client"
    ? caller
    : { ...caller, credentials: handshake.credentials };
  channel.send(encodeHello, hello);
  let { answer, payload } = await hear(channel, where);
  if (answer.kind === "challenge") {
    if (handshake === null || hello.role === "client") {
      throw notKvraft(where, "it asks for a proof that was not offered");
    }
    const { binding } = channel.security;
    const proof = handshake.prove({ hello, challenge: answer, payload, binding, where });
    channel.send(encodePeerProof, proof);
    ({ answer, payload } = await hear(channel, where));
    if (answer.kind === "challenge") throw notKvraft(where, "it asks for a second proof");
  }
  const proved = handshake?.check(answer, where) ?? null;
  // The network has checked the node's certificate, before the hello.
  const isCertified = channel.security.security === "tls" && hello.role === "peer";
  const authenticated = isCertified && (proved === null || proved.by === "none") ? BY_CERTIFICATE : proved;
  if (answer.kind === "welcome") return { welcome: answer, authenticated };
  throw new HandshakeError(answer.code, `Cannot use the node at ${where}: ${answer.message}`);
}

/** Returns the next answer to the hello, and its payload. */
async function hear(
  channel: FrameChannel,
  where: string,
): Promise<{ readonly answer: Welcome | SentRefusal | Challenge; readonly payload: Uint8Array }> {
  const next = await channel.readFrame();
  switch (next.kind) {
    case "frame": {
      const payload = next.payload.slice();
      return { answer: decodeAnswer(payload, where), payload };
    }
    case "otherProtocol":
      throw next.looksLike === "TLS"
        ? new HandshakeError("tlsRequired", needsTls(where))
        : new HandshakeError(
          "notKvraft",
          `Cannot use ${where}: it answers like ${serverOf(next.looksLike)}, not like a node of kvraft.`,
        );
    case "frameTooLarge":
      throw notKvraft(where, describeEnd(next));
    case "ended":
    case "cutOff":
    case "failed":
      throw new NetworkError("failed", { message: `Cannot connect to ${where}: ${describeEnd(next)}.` });
  }
}

function decodeAnswer(payload: Uint8Array, where: string): Welcome | SentRefusal | Challenge {
  try {
    return decodeHelloAnswer(payload);
  } catch (error) {
    if (error instanceof DecodeError) throw notKvraft(where, error.message);
    throw error;
  }
}

/** Returns the message for a connection without TLS to a port that speaks it. */
function needsTls(where: string): string {
  return `Cannot use ${where}: it takes connections with TLS only. Connect with it: --tls-ca names the certificate of ` +
    "its authority, in the client library the option tls.";
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

/** A node of the cluster that probes another one. */
export interface ProbingPeer {
  readonly caller: Omit<PeerCaller, "lane" | "credentials" | "etcdUrl">;
  /** The node that should answer. */
  readonly expectedNodeId: NodeId;
  /** The peer secret; null, the default, without one. */
  readonly peerAuthentication?: PeerAuthentication | null;
}

/**
 * Requests the welcome of the node at `address`, as a node of the cluster, without affecting existing lanes. The caller
 * compares the welcome with the expected node. Rejects like {@link dial}.
 */
export function probePeer(
  address: Address,
  { caller, expectedNodeId, peerAuthentication, ...options }: ProbeOptions & ProbingPeer,
): Promise<Welcome> {
  const handshake = peerAuthentication?.dial(expectedNodeId) ?? null;
  return ask(
    address,
    { caller: { ...caller, lane: "probe", etcdUrl: null, credentials: null }, handshake },
    options,
  );
}

/**
 * Requests a welcome from the nodes at `addresses` in turn, as a client without a cluster id; the first welcome identifies
 * the cluster and its members. Rejects with an AggregateError whose message has every reason.
 *
 * `verify` returns the welcome to use in place of one, or rejects with the reason why that node is not used.
 */
export async function probeAny(
  addresses: readonly Address[],
  { verify = (_, welcome) => Promise.resolve(welcome), ...options }: ProbeOptions & {
    readonly verify?: (address: Address, welcome: Welcome) => Promise<Welcome>;
  },
): Promise<Welcome> {
  const errors: Error[] = [];
  for (const address of addresses) {
    try {
      const welcome = await ask(address, { caller: { role: "client", clusterId: null } }, options);
      return await verify(address, welcome);
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
  dialler: Pick<DialOptions, "caller" | "handshake">,
  { network, clock, timeoutMs = PEER_CONNECT_TIMEOUT_MS, signal }: ProbeOptions,
): Promise<Welcome> {
  const { channel, welcome } = await dial({
    network,
    clock,
    address,
    ...dialler,
    sizes: SIZES,
    timeoutMs,
    signal,
  });
  channel.close("only the welcome was wanted");
  return welcome;
}
