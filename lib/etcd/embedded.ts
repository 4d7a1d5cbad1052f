/** The front end of a node for clients of etcd: a client of the node within its process, like any other one. */
import { ClientCore } from "../client/core.ts";
import { formatAddress } from "../platform/address.ts";
import type { LineWriter } from "../platform/bounded_lines.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Connection, Dialer, Listener } from "../platform/network.ts";
import { IN_PROCESS, inProcessDialer } from "../transport/in_process.ts";
import type { ServedCluster, ServedNode } from "./context.ts";
import { EtcdFrontEnd } from "./front_end.ts";

/** Watches of one client within the process: as many as its node has. */
const MAX_WATCHES = 100_000;

/** The parts of a node that its front end needs. */
export interface EmbeddedEtcdOptions extends ServedNode, Pick<ServedCluster, "isTls"> {
  /** Dials the other nodes. */
  readonly dialer: Dialer;
  /** Listens already, so that a port that is taken was found before the node began. */
  readonly listener: Listener;
  /** Opens a connection to the node; `remote`: the address for which it signs in, null for the front end itself. */
  readonly connect: (remote: string | null) => Connection;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes audit lines. */
  readonly audit: LineWriter;
}

/** A running front end. */
export type EmbeddedEtcd = Pick<EtcdFrontEnd, "counts" | "close">;

/** Opens the front end of a node that is served. */
export function openEmbeddedEtcd(options: EmbeddedEtcdOptions): Promise<EmbeddedEtcd> {
  const { listener, connect, dialer, clock, random } = options;
  const cluster = [formatAddress(IN_PROCESS)];
  return EtcdFrontEnd.open({
    ...options,
    address: listener.address,
    network: { listen: () => listener },
    connect: (credentials, remote) =>
      ClientCore.connect({ cluster, ...credentials }, {
        network: inProcessDialer(() => connect(remote)),
        clock,
        random,
        maxWatches: MAX_WATCHES,
      }),
    connectTo: (address, token) =>
      ClientCore.connect({ cluster: [address], ...(token === null ? {} : { token }) }, {
        network: dialer,
        clock,
        random,
      }),
  });
}
