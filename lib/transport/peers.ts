/**
 * The connections to all other nodes: two lanes to each, so that heartbeats and votes never wait behind entries.
 *
 * control: votes, heartbeats, read indexes, TimeoutNow and their responses. bulk: AppendEntries, chunks of snapshots,
 * forwarded writes and their responses.
 *
 * The members change with the configuration. A node that connects and is not a member (such as a leader in a configuration
 * that this node has not received yet) needs responses too: it becomes a transient peer, with lanes like a member's, until
 * it is a member, or until it had no connection to this node and was sent nothing for INTRODUCED_IDLE_MS. At most
 * MAX_INTRODUCED_PEERS are kept; beyond that the one that was idle for the longest time is dropped.
 */
import { assert } from "../platform/assert.ts";
import type { NodeId } from "../raft/types.ts";
import { formatAddress, parseAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Timer } from "../platform/clock.ts";
import { INTRODUCED_IDLE_MS, MAX_INTRODUCED_PEERS } from "../protocol/limits.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import { leastOf, type PeerAuthenticatedBy } from "../protocol/messages.ts";
import type { PeerMessage } from "../protocol/peer_frames.ts";

/** The options of a peer that are known at the start: this node's address, and the handlers of events. */
type StartOptions = Pick<
  PeerOptions,
  "address" | "etcdUrl" | "onStateChange" | "onUnreachable" | "onRefused"
>;

/** Options of {@link Peers.start}. */
export interface PeersStart extends StartOptions {
  /** The initial members, with or without this node. */
  readonly members: readonly NodeAddress[];
}

/** Options of {@link Peers}. */
export interface PeersOptions extends Omit<PeerOptions, keyof StartOptions> {
  /** Whether a node has a connection to this one, over which it may send a request. */
  readonly isCalling: (id: NodeId) => boolean;
  /** Returns how a node has authenticated each of its connections to this one. */
  readonly callerAuthentications: (id: NodeId) => readonly PeerAuthenticatedBy[];
}

/** A peer that is not a member. */
interface TransientPeer {
  readonly peer: Peer;
  /** Time at which it last connected, was sent a message, or was found connected. */
  usedAt: number;
}

/** State of the connection to another node. */
export interface PeerConnectionView {
  readonly id: NodeId;
  /** Whether both lanes are connected. */
  readonly isConnected: boolean;
  /** Round trip time of the last ping; null before the first answer. */
  readonly roundTripMs: number | null;
  /** How the connections between the two nodes are authenticated, the least of them; null without a connection. */
  readonly authenticatedBy: PeerAuthenticatedBy | null;
}

/** The connections to every other node of the cluster. No event occurs after it is closed. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #members = new Map<NodeId, Peer>();
  /** By id, the most recently used last; none of them is a member. */
  readonly #transientPeers = new Map<NodeId, TransientPeer>();
  /** Peers that are being closed. */
  readonly #leaving = new Set<Promise<void>>();
  #timer: Timer | null = null;
  #isClosed = false;
  /** Null before {@link start}, when there are no peers. */
  #peerOptions: PeerOptions | null = null;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Begins to connect to every other node. */
  start({ members, ...options }: PeersStart): void {
    assert(this.#peerOptions === null, "links start once");
    this.#peerOptions = { ...this.#options, ...options };
    this.update(members);
  }

  /**
   * Sets the members: closes peers that are not among them, and reconnects those with another address. While a change is
   * not committed, the members of both configurations belong here: a leader that is being removed still waits for
   * responses.
   */
  update(members: readonly NodeAddress[]): void {
    if (this.#isClosed) return;
    const others = new Map(members.filter(({ id }) => id !== this.#options.self).map((one) => [one.id, one]));
    for (const [id, peer] of this.#members) {
      if (others.get(id) !== undefined) continue;
      this.#members.delete(id);
      this.#drop(peer);
    }
    for (const [id, member] of others) {
      const transient = this.#transientPeers.get(id);
      this.#transientPeers.delete(id);
      const known = this.#members.get(id) ?? transient?.peer;
      const isUsable = known !== undefined && known.address === formatAddress(member.address);
      if (known !== undefined && !isUsable) this.#drop(known);
      this.#members.set(id, isUsable ? known : this.#open(member));
    }
    this.#watchTransientPeers();
  }

  /**
   * Connects to a node that has connected to this one, so that responses reach it. Since it runs, its lanes retry at once.
   * Nothing else changes for a member.
   */
  introduce(id: NodeId, address: string): void {
    if (this.#isClosed || id === this.#options.self) return;
    const member = this.#members.get(id);
    if (member !== undefined) return member.retryNow();
    const known = this.#transientPeers.get(id);
    this.#transientPeers.delete(id);
    if (known !== undefined && known.peer.address !== address) this.#drop(known.peer);
    const isUsable = known !== undefined && known.peer.address === address;
    const peer = isUsable ? known.peer : this.#open({ id, address: parseAddress(address) });
    peer.retryNow();
    this.#transientPeers.set(id, { peer, usedAt: this.#options.clock.now() });
    if (this.#transientPeers.size > MAX_INTRODUCED_PEERS) this.#forgetOldest();
    this.#watchTransientPeers();
  }

  /**
   * Queues a message for the end of the turn. False if it was dropped: not connected, too much is queued, or an unknown
   * node. The core retransmits what it needs.
   */
  send(message: PeerMessage, to: NodeId): boolean {
    const member = this.#members.get(to);
    if (member !== undefined) return member.send(message);
    const transient = this.#transientPeers.get(to);
    if (transient === undefined) return false;
    this.#use(to, transient);
    return transient.peer.send(message);
  }

  /** Closes the lanes to nodes that do not know the cluster's feature level. */
  dropBelowFeatureLevel(): void {
    for (const peer of this.#members.values()) peer.dropBelowFeatureLevel();
    for (const { peer } of this.#transientPeers.values()) peer.dropBelowFeatureLevel();
  }

  /** Closes the lanes on which a secret was proved that was replaced, and retries those that wait. */
  secretReplaced(): void {
    for (const peer of this.#members.values()) peer.secretReplaced();
    for (const { peer } of this.#transientPeers.values()) peer.secretReplaced();
  }

  /** Whether both lanes to a node are connected. */
  isConnected(id: NodeId): boolean {
    return (this.#members.get(id) ?? this.#transientPeers.get(id)?.peer)?.isConnected ?? false;
  }

  /** Returns how the connections between this node and another are authenticated; null without one. */
  authenticatedBy(id: NodeId): PeerAuthenticatedBy | null {
    const lanes = (this.#members.get(id) ?? this.#transientPeers.get(id)?.peer)?.authentications ?? [];
    return leastOf([...lanes, ...this.#options.callerAuthentications(id)]);
  }

  /** Returns the state of the connections to the members, by id. */
  views(): readonly PeerConnectionView[] {
    return [...this.#members].map(([id, { isConnected, roundTripMs }]) => (
      { id, isConnected, roundTripMs, authenticatedBy: this.authenticatedBy(id) }
    )).sort((a, b) => a.id - b.id);
  }

  /** Closes every peer; resolves once that is done. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    const transientPeers = [...this.#transientPeers.values()].map(({ peer }) => peer);
    await Promise.all([...this.#members.values(), ...transientPeers].map((peer) => peer.close()));
    await Promise.all(this.#leaving);
  }

  /** Sets the one timer of all transient peers for the oldest; when it fires, idle ones are dropped. */
  #watchTransientPeers(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const [oldest] = this.#transientPeers.values();
    if (oldest === undefined) return;
    const { clock } = this.#options;
    this.#timer = clock.after(oldest.usedAt + INTRODUCED_IDLE_MS - clock.now(), () => {
      this.#forgetIdle(clock.now());
      this.#watchTransientPeers();
    });
  }

  #forgetIdle(now: number): void {
    for (const [id, transient] of [...this.#transientPeers]) {
      if (transient.usedAt > now - INTRODUCED_IDLE_MS) break;
      if (this.#options.isCalling(id)) this.#use(id, transient);
      else this.#forgetOldest();
    }
  }

  /** Records the use of a transient peer. */
  #use(id: NodeId, transient: TransientPeer): void {
    transient.usedAt = this.#options.clock.now();
    this.#transientPeers.delete(id);
    this.#transientPeers.set(id, transient);
  }

  #forgetOldest(): void {
    for (const [id, { peer }] of this.#transientPeers) {
      this.#transientPeers.delete(id);
      return this.#drop(peer);
    }
  }

  #open(node: NodeAddress): Peer {
    assert(this.#peerOptions !== null, "links are opened after the start");
    return new Peer(node, this.#peerOptions);
  }

  #drop(peer: Peer): void {
    const dropped = peer.drop().finally(() => this.#leaving.delete(dropped));
    this.#leaving.add(dropped);
  }
}
