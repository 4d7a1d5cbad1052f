/**
 * The client's knowledge of the cluster: addresses, the node at each, the leader, and addresses that failed lately. Opens
 * no connection and waits for nothing.
 *
 * The addresses that the program gave come before those of the members: they are known to be reachable for this client,
 * while a member's own address may not be. They are kept even when the whole cluster has moved to other addresses. Behind a
 * gateway they are the only ones: a gateway is there so that its clients do not dial the nodes.
 */
import type { Random } from "../platform/clock.ts";
import { isGatewayId } from "../protocol/hello.ts";
import type { Member } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";

export { isGatewayId } from "../protocol/hello.ts";

/** The time that an address is avoided after its first failure; each further failure doubles it. */
const AVOID_MIN_MS = 500;
/** The longest time that an address is avoided. */
const AVOID_MAX_MS = 5_000;

/** Failures of an address since it last answered. */
interface Failures {
  readonly count: number;
  readonly avoidUntil: number;
}

/** The leader and its term as a connected node last reported them. */
interface View {
  readonly leader: NodeId | null;
  readonly term: number;
}

/** The addresses, the nodes and the leader. */
export class Directory {
  readonly #given: readonly string[];
  readonly #answeredBy = new Map<string, NodeId>();
  readonly #failures = new Map<string, Failures>();
  readonly #views = new Map<NodeId, View>();
  #members: readonly Member[] = [];
  /** The applied index of the node that reported them. */
  #membersReportedAt = 0;

  /** `given`: the addresses that the program named, each in its one written form. */
  constructor(given: readonly string[]) {
    this.#given = [...new Set(given)];
  }

  /** The newest members that a node reported, sorted by id. */
  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * The leader that the node with the newest term reports, unless that leader itself reports otherwise in a later term.
   * Null when no connected node knows of one.
   */
  get leader(): NodeId | null {
    let newest: View | null = null;
    for (const view of this.#views.values()) {
      if (view.leader === null || (newest !== null && view.term <= newest.term)) continue;
      const own = this.#views.get(view.leader);
      if (own === undefined || own.term < view.term || own.leader === view.leader) newest = view;
    }
    return newest === null ? null : newest.leader;
  }

  /** Records that a node answered at `address`. */
  noteAnswer(address: string, node: NodeId): void {
    this.#answeredBy.set(address, node);
    this.#failures.delete(address);
  }

  /** Records that the address did not answer, or that its connection was lost. */
  noteFailure(address: string, now: number): void {
    const count = (this.#failures.get(address)?.count ?? 0) + 1;
    const avoidMs = Math.min(AVOID_MAX_MS, AVOID_MIN_MS * 2 ** (count - 1));
    this.#failures.set(address, { count, avoidUntil: now + avoidMs });
  }

  /**
   * Records the members that a node reported, with its applied index: a node that is behind does not bring back members
   * that have left. Drops what was known of addresses that no member has any more.
   */
  noteMembers(members: readonly Member[], appliedIndex: number): void {
    if (appliedIndex < this.#membersReportedAt) return;
    this.#membersReportedAt = appliedIndex;
    this.#members = members.toSorted((a, b) => a.id - b.id);
    const known = new Set(this.addresses());
    for (const address of this.#answeredBy.keys()) if (!known.has(address)) this.#answeredBy.delete(address);
    for (const address of this.#failures.keys()) if (!known.has(address)) this.#failures.delete(address);
  }

  /** Records the leader that a node reported in `term`; null: in the term that it last reported. */
  noteLeader(reporter: NodeId, leader: NodeId | null, term: number | null): void {
    const before = this.#views.get(reporter);
    this.#views.set(reporter, { leader, term: term ?? before?.term ?? 0 });
    // A node that has just been elected is alive, so its addresses are dialed again.
    if (leader === null || leader === before?.leader) return;
    for (const address of this.addressesOf(leader)) this.#failures.delete(address);
  }

  /** Drops the report of a node whose connection has ended. */
  forgetView(reporter: NodeId): void {
    this.#views.delete(reporter);
  }

  /** Every address, given ones first; no others once a gateway has answered. */
  addresses(): readonly string[] {
    if ([...this.#answeredBy.values()].some(isGatewayId)) return this.#given;
    return [...new Set([...this.#given, ...this.#members.map((member) => member.address)])];
  }

  /** Returns the addresses of a node, best first: given addresses at which it answered, then its own. */
  addressesOf(node: NodeId): readonly string[] {
    return this.addresses().filter((address) => this.nodeAt(address) === node);
  }

  /** Returns the node at an address: the one that answered last, else the member with that address, else null. */
  nodeAt(address: string): NodeId | null {
    const answered = this.#answeredBy.get(address);
    if (answered !== undefined) return answered;
    return this.#members.find((member) => member.address === address)?.id ?? null;
  }

  /** Whether an address failed lately. */
  isAvoided(address: string, now: number): boolean {
    const failures = this.#failures.get(address);
    return failures !== undefined && now < failures.avoidUntil;
  }

  /** Returns the addresses in the order to dial: leader, given addresses, others; last those that failed lately. */
  dialOrder(now: number, random: Random): readonly string[] {
    const leader = this.leader;
    const rank = (address: string): number => {
      if (this.isAvoided(address, now)) return 3;
      if (leader !== null && this.nodeAt(address) === leader) return 0;
      return this.#given.includes(address) ? 1 : 2;
    };
    return this.addresses()
      .map((address) => ({ address, rank: rank(address), chance: random() }))
      .sort((a, b) => a.rank - b.rank || a.chance - b.chance)
      .map(({ address }) => address);
  }
}
