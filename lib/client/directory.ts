/**
 * What the client knows of the cluster: addresses, who answers at each, who leads, and whom to leave alone for a
 * while. Opens nothing and waits for nothing.
 *
 * The addresses that the program gave come before those the cluster tells of: they are known to be meant for this
 * client, while a member's own address may not be reachable from where the client is. They are kept when the cluster
 * has long moved elsewhere; by then its members have told where.
 */
import type { Random } from "../platform/clock.ts";
import type { Member } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";

/** How long an address is left alone after its first failure; each further one doubles it. */
const AVOID_MIN_MS = 500;
/** The longest that an address is left alone. */
const AVOID_MAX_MS = 5_000;

/** Failures of an address since it last answered. */
interface Failures {
  readonly count: number;
  readonly avoidUntil: number;
}

/** What a node that the client is connected to said last about who leads. */
interface View {
  readonly leader: NodeId | null;
  readonly term: number;
}

/** Who is where, and who leads. */
export class Directory {
  readonly #given: readonly string[];
  readonly #answeredBy = new Map<string, NodeId>();
  readonly #failures = new Map<string, Failures>();
  readonly #views = new Map<NodeId, View>();
  #members: readonly Member[] = [];
  /** What the node had applied that told of them. */
  #membersToldAt = 0;

  /** `given`: the addresses that the program named, each in its one written form. */
  constructor(given: readonly string[]) {
    this.#given = [...new Set(given)];
  }

  /** The newest members that a node told of, sorted by id. */
  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * Who leads: what the node with the newest term says, unless the one that it names says otherwise since. Null
   * when no connected node names one.
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

  /** A node answered at `address`. */
  noteAnswer(address: string, node: NodeId): void {
    this.#answeredBy.set(address, node);
    this.#failures.delete(address);
  }

  /** The address did not answer, or its node went silent. */
  noteFailure(address: string, now: number): void {
    const count = (this.#failures.get(address)?.count ?? 0) + 1;
    const avoidMs = Math.min(AVOID_MAX_MS, AVOID_MIN_MS * 2 ** (count - 1));
    this.#failures.set(address, { count, avoidUntil: now + avoidMs });
  }

  /**
   * A node told who the members are, having applied so much: one that is behind does not bring back those who have
   * left. What was known of addresses that are no longer named is dropped.
   */
  noteMembers(members: readonly Member[], appliedIndex: number): void {
    if (appliedIndex < this.#membersToldAt) return;
    this.#membersToldAt = appliedIndex;
    this.#members = members.toSorted((a, b) => a.id - b.id);
    const known = new Set(this.addresses());
    for (const address of this.#answeredBy.keys()) if (!known.has(address)) this.#answeredBy.delete(address);
    for (const address of this.#failures.keys()) if (!known.has(address)) this.#failures.delete(address);
  }

  /** A node told who leads in `term`; without a term, in the one that it spoke of last. */
  noteLeader(teller: NodeId, leader: NodeId | null, term: number | null): void {
    const before = this.#views.get(teller);
    this.#views.set(teller, { leader, term: term ?? before?.term ?? 0 });
    // Who has just been elected is alive: its address deserves a try.
    if (leader === null || leader === before?.leader) return;
    for (const address of this.addressesOf(leader)) this.#failures.delete(address);
  }

  /** The connection to a node ended: what it said last is no news any more. */
  forgetView(teller: NodeId): void {
    this.#views.delete(teller);
  }

  /** Every address, given ones first. */
  addresses(): readonly string[] {
    return [...new Set([...this.#given, ...this.#members.map((member) => member.address)])];
  }

  /** Where a node can be dialled, best first: given addresses at which it answered, then its own. */
  addressesOf(node: NodeId): readonly string[] {
    return this.addresses().filter((address) => this.nodeAt(address) === node);
  }

  /** Who answers at an address: who did last, else the member that has it as its own, else unknown. */
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

  /** In which order to dial: the leader, then the given addresses, then others; last those that failed lately. */
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
