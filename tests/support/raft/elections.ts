/** The elections of a cluster: a node votes once in a term, and a term has one leader (Raft §5.2). */
import type { Message, NodeId, RaftStatus } from "../../../lib/raft/mod.ts";
import type { RareState } from "../../sim/coverage.ts";

/** Watches all nodes. */
export class Elections {
  readonly #check: (holds: boolean, message: string) => void;
  readonly #count: (state: RareState) => void;
  readonly #leaders = new Map<number, NodeId>();
  readonly #campaigns = new Set<number>();
  readonly #votes = new Map<string, NodeId>();

  constructor(
    { check, count }: {
      readonly check: (holds: boolean, message: string) => void;
      readonly count: (state: RareState) => void;
    },
  ) {
    this.#check = check;
    this.#count = count;
  }

  /** Records the vote in a message, if it grants one. */
  sent(message: Message): void {
    if (message.kind !== "requestVoteResponse" || !message.granted) return;
    const { from, to, term } = message;
    const key = `${from} in term ${term}`;
    const given = this.#votes.get(key) ?? to;
    this.#votes.set(key, given);
    this.#check(given === to, `the vote of ${key} went to ${given} and to ${to}`);
  }

  /** Returns whether a node sent its vote of a term to this candidate. */
  hasVoted(
    voter: NodeId,
    { term, candidate }: { readonly term: number; readonly candidate: NodeId },
  ): boolean {
    return this.#votes.get(`${voter} in term ${term}`) === candidate;
  }

  /** Records that a node is a candidate. */
  campaigned(term: number): void {
    if ([...this.#campaigns].some((one) => one < term && !this.#leaders.has(one))) {
      this.#count("splitVotes");
      this.#campaigns.clear();
    }
    this.#campaigns.add(term);
  }

  /** Records that a node leads; returns whether it has just begun to, and must have all committed entries. */
  leads({ id, term }: RaftStatus): boolean {
    const known = this.#leaders.get(term);
    if (known === id) return false;
    this.#check(known === undefined, `term ${term} has two leaders: ${known} and ${id}`);
    this.#leaders.set(term, id);
    this.#count("elections");
    if (term > 2 ** 32) this.#count("hugeTerms");
    // A late vote may still elect the leader of a past term, which need not have the entries committed in later terms.
    return Math.max(...this.#leaders.keys()) === term;
  }
}
