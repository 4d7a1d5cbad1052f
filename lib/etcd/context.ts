/** The parts that all services of the etcd front end share. */
import type { CloseSignal } from "../client/call_context.ts";
import type { ClientCore } from "../client/core.ts";
import type { BoundedLines } from "../platform/bounded_lines.ts";
import type { Clock, Random } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { NodeStatus } from "../protocol/messages.ts";
import type { HeaderGiven } from "./messages/common.ts";
import { etcdRevision } from "./revisions.ts";

/** The node that answers, as the front end knows it at the moment; a gateway names the node that it uses. */
export interface NodeView {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly raftTerm: number;
  /** Member id of the leader; 0 while there is none. */
  readonly leader: bigint;
  /** The newest revision of kvraft that the node has applied. */
  readonly revision: number;
}

/** The node that the front end uses, as it sees itself, without the rights of a user. */
export interface ServedNode {
  readonly view: () => NodeView;
  /** Resolves to its status. Rejects with KvraftError if the node does not answer. */
  readonly status: () => Promise<NodeStatus>;
  /** Resolves to whether it can answer a linearizable read now. */
  readonly isReadable: () => Promise<boolean>;
}

/** A client of the cluster, for the time of one request. */
export interface UsedClient {
  readonly core: ClientCore;
  /** Called once the request has ended. */
  readonly release: () => void;
}

/** The cluster that a front end serves. */
export interface ServedCluster {
  /** Whether the nodes speak TLS with each other. */
  readonly isTls: boolean;
  /**
   * Connects to the node at an address as the user of a token; the caller closes the client. Null where the clients of the
   * front end reach all nodes by themselves.
   */
  readonly connectTo: ((address: string, token: string | null) => Promise<ClientCore>) | null;
}

/** The clients of the cluster by the tokens of the front end's own clients. */
export interface Clients {
  /**
   * Resolves to the client for a token; for none, and for one that is not accepted, to one without a user: what it asks for is
   * refused while authentication is enabled. `remote`: the address of the other end. Rejects with EtcdError or KvraftError.
   */
  use(token: string | null, remote: string): Promise<UsedClient>;
  /** Resolves to a token for a user. Rejects with EtcdError or KvraftError. */
  signIn(user: { readonly name: string; readonly password: string }, remote: string): Promise<string>;
}

/** Dependencies of the services. */
export interface EtcdContext extends ServedNode, ServedCluster {
  /** The front end's own client, which has no user: what it requests for clients of etcd without a token must need none. */
  readonly core: ClientCore;
  readonly clients: Clients;
  /** Closed when the front end begins to stop: calls that wait for other clients end then. */
  readonly closing: CloseSignal;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes audit lines about clients that were refused. */
  readonly refusals: Pick<BoundedLines, "write">;
}

/** Returns the header of an answer as of a revision of kvraft; null for one without a revision. */
export function headerOf({ view }: Pick<EtcdContext, "view">, revision: number | null): HeaderGiven {
  const { clusterId, memberId, raftTerm } = view();
  return {
    clusterId,
    memberId,
    revision: revision === null ? undefined : etcdRevision(revision),
    raftTerm,
  };
}
