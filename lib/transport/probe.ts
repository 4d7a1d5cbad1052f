/** Connections that only ask who is there: say hello, hear the welcome, close. */
import type { Clock } from "../platform/clock.ts";
import { dial } from "./handshake.ts";
import type { Caller, PeerCaller, Welcome } from "../protocol/hello.ts";
import { MAX_HELLO_BYTES, PEER_CONNECT_TIMEOUT_MS } from "../protocol/limits.ts";
import type { Address, Network } from "../platform/network.ts";

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
