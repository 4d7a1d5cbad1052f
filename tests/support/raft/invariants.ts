/**
 * The promises of the consensus core, checked from outside over a whole cluster (Raft Figure 3, thesis §6.4).
 *
 * Whoever runs the nodes reports what they do; each report throws when it breaks a promise:
 * - a term has one leader, and nobody votes twice in it, restarts included;
 * - two logs that agree on an entry's index and term agree on everything before it;
 * - a leader was elected by a majority of those who vote in its newest configuration, of both halves of a joint one, and
 *   commits only what such a majority has on disk: nobody else counts;
 * - every new leader has all committed entries, and they stay durable on so many nodes that none of the configurations
 *   that may decide elects anybody without one of them;
 * - a snapshot holds what its entries give, with the configuration as of its index, and takes no node back;
 * - all nodes apply the same entries in the same order; term, vote and commit index never go back;
 * - a read is answered at no index below what was committed anywhere when it came in.
 */
import { assert, assertEquals } from "@std/assert";
import type {
  Configuration,
  Entry,
  EntryId,
  HardState,
  Message,
  NodeId,
  RaftStatus,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import { configurationText, TEXT_CODEC } from "./configuration.ts";
import type { RaftDisk } from "./disk.ts";
import { entryText } from "./text.ts";

/** Watches one cluster. */
export class RaftInvariants {
  readonly #disks: ReadonlyMap<NodeId, RaftDisk>;
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  readonly #founding: Configuration;
  /** By index and term: the entry and the term of its predecessor. */
  readonly #entries = new Map<string, string>();
  readonly #committed: Entry[] = [];
  #commitIndex = 0;

  /** Watches the nodes with these disks; more may be added. */
  constructor(disks: ReadonlyMap<NodeId, RaftDisk>, founding: Configuration) {
    this.#disks = disks;
    this.#founding = founding;
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
    if (status.role !== "leader") return;
    // What decided was the configuration before this step: it may have gone on to the next by itself.
    const { configuration } = previous ?? status;
    if (this.#leaders.get(term) === id) {
      if (previous === null || status.commitIndex === previous.commitIndex) return;
      this.#assertCounted(configuration, { index: status.commitIndex, term });
      return;
    }
    assert(!this.#leaders.has(term), `term ${term} has one leader, not ${this.#leaders.get(term)} and ${id}`);
    this.#leaders.set(term, id);
    const votedFor = (node: NodeId): boolean => {
      if (node !== id) return this.#votes.get(`${node} in term ${term}`) === id;
      const { hardState } = this.#disk(id);
      return hardState.term === term && hardState.vote === id;
    };
    assert(hasMajorities(configuration, votedFor), `${id} won term ${term} by ${said(configuration)}`);
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
    const { hardState, entries, compacted } = this.#disk(node);
    assert(hardState.term >= before.term, `the durable term of node ${node} never falls`);
    assert(
      hardState.commitIndex >= before.commitIndex,
      `the durable commit index of node ${node} never falls`,
    );
    assert(
      hardState.commitIndex <= this.#disk(node).lastIndex,
      `node ${node} knows only entries it has as committed`,
    );
    if (hardState.term === before.term && before.vote !== null) {
      assertEquals(hardState.vote, before.vote, `node ${node} keeps its vote`);
    }
    let previousTerm = compacted.term;
    for (const entry of entries) {
      const key = `${entry.index}@${entry.term}`;
      const text = `${entryText(entry)} after term ${previousTerm}`;
      assertEquals(this.#entries.get(key) ?? text, text, "logs that agree at an entry agree before it");
      this.#entries.set(key, text);
      previousTerm = entry.term;
    }
    const deciding = this.deciding();
    for (const entry of this.#committed) this.#assertDurable(entry, deciding);
  }

  /** A node applies an entry. */
  applies(node: NodeId, entry: Entry): void {
    const known = this.#committed[entry.index - 1];
    if (known === undefined) {
      assertEquals(entry.index, this.#committed.length + 1, "entries are applied in order");
      this.#committed.push(entry);
      this.#assertDurable(entry, this.deciding());
    } else assertEquals(entryText(entry), entryText(known), `node ${node} applies what the others apply`);
  }

  /** The state of a node becomes that of a snapshot; it had applied up to `appliedIndex`. */
  restores(node: NodeId, snapshot: SnapshotMetadata, appliedIndex: number): void {
    assert(snapshot.index > appliedIndex, `a snapshot takes node ${node} forward`);
    this.#assertTrue(snapshot);
  }

  /** A node has taken a snapshot. */
  took(snapshot: SnapshotMetadata): void {
    this.#assertTrue(snapshot);
  }

  /**
   * Every configuration that may still decide something: the newest that is committed, and later ones in a log on disk.
   * A majority that is to work must be one of each of them.
   */
  deciding(): readonly Configuration[] {
    const found = new Map<string, Configuration>();
    const newest = this.#configurationAt(this.#committed.length);
    const add = (one: Configuration): unknown => found.set(configurationText(one), one);
    add(newest.configuration);
    for (const disk of this.#disks.values()) {
      // Where another entry stands in its place, what follows is lost.
      if (!disk.holds(newest)) continue;
      for (const { index, kind, data } of disk.entries) {
        if (kind === "configuration" && index > newest.index) add(TEXT_CODEC.decode(data));
      }
    }
    return [...found.values()];
  }

  /** A read that came in when `commitIndex` was {@link commitIndex} may be answered at `index`. */
  answers(node: NodeId, index: number, commitIndex: number): void {
    assert(index >= commitIndex, `node ${node} reads at ${index}, and ${commitIndex} was committed before`);
  }

  #assertDurable(entry: Entry, deciding: readonly Configuration[]): void {
    const isSafe = deciding.every((one) => winsNothingWithout(one, (node) => this.#holds(node, entry)));
    assert(isSafe, `the committed entry ${entryText(entry)} is durable on a majority`);
  }

  #assertCounted(configuration: Configuration, committed: EntryId): void {
    assert(
      hasMajorities(configuration, (node) => this.#holds(node, committed)),
      `a leader commits ${committed.index}@${committed.term} by ${said(configuration)}`,
    );
  }

  /** Whether a snapshot is of the entries that were committed. */
  #assertTrue({ index, term, configuration }: SnapshotMetadata): void {
    assertEquals(term, this.#committed[index - 1]?.term, `a snapshot of ${index} has what was committed`);
    const expected = configurationText(this.#configurationAt(index).configuration);
    assertEquals(configurationText(configuration), expected, `the configuration as of ${index}`);
  }

  #configurationAt(index: number): SnapshotMetadata {
    const entry = this.#committed.slice(0, index).findLast(({ kind }) => kind === "configuration");
    if (entry === undefined) return { index: 0, term: 0, configuration: this.#founding };
    return { index: entry.index, term: entry.term, configuration: TEXT_CODEC.decode(entry.data) };
  }

  #holds(node: NodeId, entry: EntryId): boolean {
    return this.#disk(node).holds(entry);
  }

  #disk(node: NodeId): RaftDisk {
    const disk = this.#disks.get(node);
    assert(disk !== undefined, "every node has a disk");
    return disk;
  }
}

/** Whether a majority of the voters, and in a joint configuration of the outgoing ones too, are such nodes. */
export function hasMajorities({ confState }: Configuration, isSuch: (node: NodeId) => boolean): boolean {
  const { voters, votersOutgoing } = confState;
  return [voters, votersOutgoing].every((half) => {
    return half.length === 0 || half.filter(isSuch).length > half.length / 2;
  });
}

/**
 * Whether no election is won without one of these nodes: they are a majority of the voters, or of the outgoing ones. (One
 * half of a joint configuration is enough, as an election needs both. What is committed by the final configuration, in the
 * leader's log only as yet, has no more.)
 */
function winsNothingWithout({ confState }: Configuration, isSuch: (node: NodeId) => boolean): boolean {
  const { voters, votersOutgoing } = confState;
  return [voters, votersOutgoing].some((half) => half.filter(isSuch).length > half.length / 2);
}

function said(configuration: Configuration): string {
  return `a majority of each half of ${configurationText(configuration)}`;
}
