/** Asks which node answers at an address, before a change of membership names that address. */
import { errorMessage, shortened } from "../../platform/errors.ts";
import { formatAddress, isDialable, parseAddress } from "../../platform/address.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Address, Network } from "../../platform/network.ts";
import { FEATURE_LEVEL } from "../../kv/mod.ts";
import { olderVersion, type Welcome } from "../../protocol/hello.ts";
import type { Configuration, NodeId } from "../../raft/mod.ts";
import { probeAny, probePeer } from "../../transport/dial.ts";
import type { PeerAuthentication } from "../../transport/handshake/peer_authentication.ts";
import { type AddressedChange, ANY_NODE } from "./membership.ts";
import type { JoiningNode } from "./membership_change.ts";

/** The dependencies of a probe. */
export interface MemberProbeOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly self: NodeId;
  readonly clusterId: string;
  readonly dataId: number;
  /** The peer secret; null without one. */
  readonly peerAuthentication: PeerAuthentication | null;
  /** Where this node listens, with the real port. */
  readonly listening: Address;
  /** Returns the feature level of the state that this node has applied. */
  readonly featureLevel: () => number;
}

/** Connects to the nodes that changes of membership name. */
export class MemberProbe {
  readonly #options: MemberProbeOptions;
  readonly #closing = new AbortController();

  constructor(options: MemberProbeOptions) {
    this.#options = options;
  }

  /** Ends the probes that are in progress. */
  close(): void {
    this.#closing.abort();
  }

  /**
   * Returns the address at which other nodes reach this one: the one in the configuration, or before it is a member the
   * one at which it listens. A node that listens on all addresses cannot tell which of them that is; but before it is a
   * member it calls only nodes that called it there.
   */
  ownAddress({ members }: Configuration): string {
    const { self, listening } = this.#options;
    const host = isDialable(listening) ? listening.host : "localhost";
    return members.find(({ id }) => id === self)?.address ??
      formatAddress({ host, port: listening.port });
  }

  /** Returns the node at the address of a change; the reason where it is not the node that the change names. */
  async find(change: AddressedChange, configuration: Configuration): Promise<JoiningNode | string> {
    const { address } = change;
    const ownAddress = this.ownAddress(configuration);
    let { id } = change;
    try {
      if (id === ANY_NODE) id = await this.#idAt(address);
      const welcome = await this.#welcomeOf({ ...change, id }, ownAddress);
      const { clusterId, nodeId, dataId } = welcome;
      if (clusterId === this.#options.clusterId && nodeId === id) {
        const level = this.#options.featureLevel();
        if (welcome.featureLevel >= level) return { id, address, dataId };
        return olderVersion(id, welcome.featureLevel, level).replace(/\.$/, "");
      }
      const found = clusterId === this.#options.clusterId
        ? `node ${nodeId}`
        : `a node of cluster ${shortened(clusterId)}`;
      return `${found} answers at ${address}${change.kind === "update" ? `. ${adviceForMember(id)}` : ""}`;
    } catch (error) {
      const advice = change.kind === "update"
        ? adviceForMember(id)
        : `Start the new node first: kvraft server --node-id ${
          id === ANY_NODE ? "<n>" : id
        } --bind ${address} --join ${ownAddress}`;
      // The client drops what precedes a reason ("Cannot connect to …:"), and with it the address.
      const reason = errorMessage(error).replace(/^Cannot /, "the leader cannot ").replace(/\.$/, "");
      return `${reason}. ${advice}`;
    }
  }

  /** Resolves to the id of the node at an address. It is not authenticated: the same node has to prove it afterwards. */
  async #idAt(address: string): Promise<NodeId> {
    const { network, clock } = this.#options;
    const options = { network, clock, signal: this.#closing.signal };
    return (await probeAny([parseAddress(address)], options)).nodeId;
  }

  /**
   * Returns the welcome of the node at an address. A node that calls itself is refused as a peer, but not as a client. That
   * welcome has no proof of the peer secret: it prevents mistakes, and others that dial a wrong address demand the proof.
   */
  #welcomeOf({ id, address }: AddressedChange, ownAddress: string): Promise<Welcome> {
    const { network, clock, self, clusterId, dataId, peerAuthentication } = this.#options;
    const options = { network, clock, signal: this.#closing.signal };
    if (id === self) return probeAny([parseAddress(address)], options);
    const caller = {
      role: "peer",
      clusterId,
      nodeId: self,
      dataId,
      address: ownAddress,
      featureLevel: FEATURE_LEVEL,
    } as const;
    return probePeer(parseAddress(address), { ...options, caller, expectedNodeId: id, peerAuthentication });
  }
}

/** Returns what to do where a member does not answer at its new address. */
function adviceForMember(id: NodeId): string {
  return `Start node ${id} there first. With --force the address is changed nevertheless: while it is wrong, the ` +
    "cluster cannot reach the node";
}
