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
import type { NodeId } from "../raft/types.ts";
import { formatAddress, parseAddress } from "../platform/address.ts";
import { type NodeAddress } from "../protocol/node_list.ts";
import type { Timer } from "../platform/clock.ts";
import { INTRODUCED_IDLE_MS, MAX_INTRODUCED_PEERS } from "../protocol/limits.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import type { PeerMessage } from "../protocol/peer_codec.ts";

/** What the links are made from. */
export interface PeerLinksOptions extends PeerOptions {
  /** All nodes to begin with; this one among them or not. */
  readonly members: readonly NodeAddress[];
  /** Whether a node has a connection to this one, over which it may yet say something that wants an answer. */
  readonly isCalling: (id: NodeId) => boolean;
}

/** A node beside the members. */
interface Guest {
  readonly peer: Peer;
  /** When it last called, was last sent something, or was last seen to be connected. */
  usedAt: number;
}

/** A link to another node, as it is just now. */
export interface LinkView {
  readonly id: NodeId;
  /** Whether both lanes are up. */
  readonly isConnected: boolean;
  /** How long the last ping took there and back; null while none has come back. */
  readonly roundTripMs: number | null;
}

/** Sends to every other node of the cluster. No event comes any more once it is closed. */
export class PeerLinks {
  readonly #options: PeerLinksOptions;
  readonly #members = new Map<NodeId, Peer>();
  /** Nobody who is a member; the one that was used last is last. */
  readonly #guests = new Map<NodeId, Guest>();
  /** Links that are on their way out. */
  readonly #leaving = new Set<Promise<void>>();
  #timer: Timer | null = null;
  #isClosed = false;

  /** Begins to connect to every other node. */
  constructor(options: PeerLinksOptions) {
    this.#options = options;
    this.update(options.members);
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
      const guest = this.#guests.get(id);
      this.#guests.delete(id);
      const known = this.#members.get(id) ?? guest?.peer;
      const isUsable = known !== undefined && known.address === formatAddress(member.address);
      if (known !== undefined && !isUsable) this.#drop(known);
      this.#members.set(id, isUsable ? known : new Peer(member, this.#options));
    }
    this.#watchGuests();
  }

  /**
   * A node has called that answers must reach, member or not. Whoever calls runs, so no lane to it waits any longer for
   * its next attempt. Nothing else changes for a member.
   */
  introduce(id: NodeId, address: string): void {
    if (this.#isClosed || id === this.#options.self) return;
    const member = this.#members.get(id);
    if (member !== undefined) return member.hurry();
    const known = this.#guests.get(id);
    this.#guests.delete(id);
    if (known !== undefined && known.peer.address !== address) this.#drop(known.peer);
    const isUsable = known !== undefined && known.peer.address === address;
    const peer = isUsable ? known.peer : new Peer({ id, address: parseAddress(address) }, this.#options);
    peer.hurry();
    this.#guests.set(id, { peer, usedAt: this.#options.clock.now() });
    if (this.#guests.size > MAX_INTRODUCED_PEERS) this.#forgetOldest();
    this.#watchGuests();
  }

  /**
   * Queues a message for the end of the turn. False when it was dropped: not connected, too much is queued, or no
   * such node. The core sends again what matters.
   */
  send(message: PeerMessage, to: NodeId): boolean {
    const member = this.#members.get(to);
    if (member !== undefined) return member.send(message);
    const guest = this.#guests.get(to);
    if (guest === undefined) return false;
    this.#use(to, guest);
    return guest.peer.send(message);
  }

  /** Whether both lanes to a node are up. */
  isConnected(id: NodeId): boolean {
    return (this.#members.get(id) ?? this.#guests.get(id)?.peer)?.isConnected ?? false;
  }

  /** The links to the members, by id. */
  views(): readonly LinkView[] {
    return [...this.#members].map(([id, { isConnected, roundTripMs }]) => ({ id, isConnected, roundTripMs }))
      .sort((a, b) => a.id - b.id);
  }

  /** Ends every link; resolves when nothing is left of them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    const guests = [...this.#guests.values()].map(({ peer }) => peer);
    await Promise.all([...this.#members.values(), ...guests].map((peer) => peer.close()));
    await Promise.all(this.#leaving);
  }

  /** One timer for all guests: it fires for the oldest, forgets those that are idle and sets itself for the next. */
  #watchGuests(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const [oldest] = this.#guests.values();
    if (oldest === undefined) return;
    const { clock } = this.#options;
    this.#timer = clock.after(oldest.usedAt + INTRODUCED_IDLE_MS - clock.now(), () => {
      this.#forgetIdle(clock.now());
      this.#watchGuests();
    });
  }

  #forgetIdle(now: number): void {
    for (const [id, guest] of [...this.#guests]) {
      if (guest.usedAt > now - INTRODUCED_IDLE_MS) break;
      if (this.#options.isCalling(id)) this.#use(id, guest);
      else this.#forgetOldest();
    }
  }

  /** Puts a guest behind those who were used before. */
  #use(id: NodeId, guest: Guest): void {
    guest.usedAt = this.#options.clock.now();
    this.#guests.delete(id);
    this.#guests.set(id, guest);
  }

  #forgetOldest(): void {
    for (const [id, { peer }] of this.#guests) {
      this.#guests.delete(id);
      return this.#drop(peer);
    }
  }

  #drop(peer: Peer): void {
    const dropped = peer.drop().finally(() => this.#leaving.delete(dropped));
    this.#leaving.add(dropped);
  }
}
