/**
 * The links to all other nodes: two lanes to each, so that heartbeats and votes never wait behind entries.
 *
 * control: votes, heartbeats, read indexes, TimeoutNow and their answers. bulk: AppendEntries, pieces of snapshots,
 * forwarded writes and their answers.
 *
 * The members come and go with the configuration. Whoever calls and is no member (a leader that a node does not know
 * yet, because what would tell it is still on its way) must get its answers too: it is introduced, and linked to like
 * a member until it has become one, or for INTRODUCED_IDLE_MS it had no connection to this node and was sent nothing.
 * At most MAX_INTRODUCED_PEERS of these are kept; one more, and the one that was idle the longest goes.
 */
import { assert } from "../platform/assert.ts";
import type { NodeId } from "../raft/types.ts";
import { formatAddress, parseAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Timer } from "../platform/clock.ts";
import { INTRODUCED_IDLE_MS, MAX_INTRODUCED_PEERS } from "../protocol/limits.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import type { PeerMessage } from "../protocol/peer_frames.ts";

/** The options of a peer that are known at the start: where others dial this node, and who takes its events. */
type StartOptions = Pick<PeerOptions, "address" | "onStateChange" | "onUnreachable" | "onRefused">;

/** What the links begin with. */
export interface PeersStart extends StartOptions {
  /** All nodes to begin with; this one among them or not. */
  readonly members: readonly NodeAddress[];
}

/** What the links are made from. */
export interface PeersOptions extends Omit<PeerOptions, keyof StartOptions> {
  /** Whether a node has a connection to this one, over which it may yet say something that wants an answer. */
  readonly isCalling: (id: NodeId) => boolean;
}

/** A node beside the members. */
interface TransientPeer {
  readonly peer: Peer;
  /** When it last called, was last sent something, or was last seen to be connected. */
  usedAt: number;
}

/** A link to another node, as it is just now. */
export interface PeerConnectionView {
  readonly id: NodeId;
  /** Whether both lanes are up. */
  readonly isConnected: boolean;
  /** How long the last ping took there and back; null while none has come back. */
  readonly roundTripMs: number | null;
}

/** Sends to every other node of the cluster. No event comes any more once it is closed. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #members = new Map<NodeId, Peer>();
  /** Nobody who is a member; the one that was used last is last. */
  readonly #transientPeers = new Map<NodeId, TransientPeer>();
  /** Links that are on their way out. */
  readonly #leaving = new Set<Promise<void>>();
  #timer: Timer | null = null;
  #isClosed = false;
  /** Null before {@link start}, when there are no links. */
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
   * These are the members from now on: links to others are closed, those to a member with another address are opened
   * anew. While a change is not committed, the members of both configurations belong here: a leader that is being
   * removed still waits for answers.
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
   * A node has called that answers must reach, member or not. Whoever calls runs, so no lane to it waits any longer for
   * its next attempt. Nothing else changes for a member.
   */
  introduce(id: NodeId, address: string): void {
    if (this.#isClosed || id === this.#options.self) return;
    const member = this.#members.get(id);
    if (member !== undefined) return member.hurry();
    const known = this.#transientPeers.get(id);
    this.#transientPeers.delete(id);
    if (known !== undefined && known.peer.address !== address) this.#drop(known.peer);
    const isUsable = known !== undefined && known.peer.address === address;
    const peer = isUsable ? known.peer : this.#open({ id, address: parseAddress(address) });
    peer.hurry();
    this.#transientPeers.set(id, { peer, usedAt: this.#options.clock.now() });
    if (this.#transientPeers.size > MAX_INTRODUCED_PEERS) this.#forgetOldest();
    this.#watchTransientPeers();
  }

  /**
   * Queues a message for the end of the turn. False when it was dropped: not connected, too much is queued, or no
   * such node. The core sends again what matters.
   */
  send(message: PeerMessage, to: NodeId): boolean {
    const member = this.#members.get(to);
    if (member !== undefined) return member.send(message);
    const transient = this.#transientPeers.get(to);
    if (transient === undefined) return false;
    this.#use(to, transient);
    return transient.peer.send(message);
  }

  /** Whether both lanes to a node are up. */
  isConnected(id: NodeId): boolean {
    return (this.#members.get(id) ?? this.#transientPeers.get(id)?.peer)?.isConnected ?? false;
  }

  /** The links to the members, by id. */
  views(): readonly PeerConnectionView[] {
    return [...this.#members].map(([id, { isConnected, roundTripMs }]) => ({ id, isConnected, roundTripMs }))
      .sort((a, b) => a.id - b.id);
  }

  /** Ends every link; resolves when nothing is left of them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    const transientPeers = [...this.#transientPeers.values()].map(({ peer }) => peer);
    await Promise.all([...this.#members.values(), ...transientPeers].map((peer) => peer.close()));
    await Promise.all(this.#leaving);
  }

  /** One timer for all transientPeers: it fires for the oldest, forgets those that are idle and sets itself for the next. */
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

  /** Puts a transient peer behind those who were used before. */
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
