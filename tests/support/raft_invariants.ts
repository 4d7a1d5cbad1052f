/**
 * The promises of the consensus core, checked from outside over a whole cluster (Raft Figure 3, thesis §6.4).
 *
 * Whoever runs the nodes reports what they do; each report throws when it breaks a promise:
 * - a term has one leader, and nobody votes twice in it, restarts included;
 * - two logs that agree on an entry's index and term agree on everything before it;
 * - every new leader has all committed entries, and what is committed is durable on a majority, from then on;
 * - all nodes apply the same entries in the same order; term, vote and commit index never go back;
 * - a read is answered at no index below what was committed anywhere when it came in.
 */
import { assert, assertEquals } from "@std/assert";
import type { Entry, HardState, Message, NodeId, RaftStatus } from "../../lib/raft/mod.ts";
import type { RaftDisk } from "./raft_disk.ts";
import { entryText } from "./raft_text.ts";

/** Watches one cluster. */
export class RaftInvariants {
  readonly #disks: ReadonlyMap<NodeId, RaftDisk>;
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** By index and term: the entry and the term of its predecessor. */
  readonly #entries = new Map<string, string>();
  readonly #committed: Entry[] = [];
  #commitIndex = 0;

  constructor(disks: ReadonlyMap<NodeId, RaftDisk>) {
    this.#disks = disks;
  }

  /** Highest index that any node has ever known to be committed. */
  get commitIndex(): number {
    return this.#commitIndex;
  }

  /** Every entry that was ever handed out to be applied. */
  get committed(): readonly Entry[] {
    return this.#committed;
  }

  /** A node stands so now; `previous` is how it stood before, in the same incarnation. */
  stands(status: RaftStatus, previous: RaftStatus | null): void {
    const { id, term } = status;
    if (previous !== null) {
      assert(term >= previous.term, `the term of node ${id} never falls`);
      assert(status.commitIndex >= previous.commitIndex, `the commit index of node ${id} never falls`);
    }
    this.#commitIndex = Math.max(this.#commitIndex, status.commitIndex);
    if (status.role !== "leader" || this.#leaders.get(term) === id) return;
    assert(!this.#leaders.has(term), `term ${term} has one leader, not ${this.#leaders.get(term)} and ${id}`);
    this.#leaders.set(term, id);
    // A late vote may still elect the leader of a term that is over; what later terms committed it need not have.
    if (Math.max(...this.#leaders.keys()) > term) return;
    for (const entry of this.#committed) {
      assert(
        this.#holds(id, entry),
        `leader ${id} of term ${term} has the committed entry ${entryText(entry)}`,
      );
    }
  }

  /** A message was handed to the network. */
  sent(message: Message): void {
    if (message.kind !== "requestVoteResponse" || !message.granted) return;
    const key = `${message.from} in term ${message.term}`;
    const given = this.#votes.get(key) ?? message.to;
    this.#votes.set(key, message.to);
    assertEquals(given, message.to, `the vote of ${key} goes to one node`);
  }

  /** The disk of a node has changed from `before`. */
  wrote(node: NodeId, before: HardState): void {
    const { hardState, entries } = this.#disk(node);
    assert(hardState.term >= before.term, `the durable term of node ${node} never falls`);
    assert(
      hardState.commitIndex >= before.commitIndex,
      `the durable commit index of node ${node} never falls`,
    );
    assert(hardState.commitIndex <= entries.length, `node ${node} knows only entries it has as committed`);
    if (hardState.term === before.term && before.vote !== null) {
      assertEquals(hardState.vote, before.vote, `node ${node} keeps its vote`);
    }
    let previousTerm = 0;
    for (const entry of entries) {
      const key = `${entry.index}@${entry.term}`;
      const text = `${entryText(entry)} after term ${previousTerm}`;
      assertEquals(this.#entries.get(key) ?? text, text, "logs that agree at an entry agree before it");
      this.#entries.set(key, text);
      previousTerm = entry.term;
    }
    for (const entry of this.#committed) this.#assertDurable(entry);
  }

  /** A node applies an entry. */
  applies(node: NodeId, entry: Entry): void {
    const known = this.#committed[entry.index - 1];
    if (known === undefined) {
      assertEquals(entry.index, this.#committed.length + 1, "entries are applied in order");
      this.#committed.push(entry);
      this.#assertDurable(entry);
    } else assertEquals(entryText(entry), entryText(known), `node ${node} applies what the others apply`);
  }

  /** A read that came in when `commitIndex` was {@link commitIndex} may be answered at `index`. */
  answers(node: NodeId, index: number, commitIndex: number): void {
    assert(index >= commitIndex, `node ${node} reads at ${index}, and ${commitIndex} was committed before`);
  }

  #assertDurable(entry: Entry): void {
    const holders = [...this.#disks.keys()].filter((node) => this.#holds(node, entry));
    assert(
      holders.length > this.#disks.size / 2,
      `the committed entry ${entryText(entry)} is durable on a majority, not only on [${holders}]`,
    );
  }

  #holds(node: NodeId, entry: Entry): boolean {
    return this.#disk(node).entries[entry.index - 1]?.term === entry.term;
  }

  #disk(node: NodeId): RaftDisk {
    const disk = this.#disks.get(node);
    assert(disk !== undefined, "every node has a disk");
    return disk;
  }
}
