/**
 * The invariants of the core, checked after every step of every node (Raft Figure 3, thesis §4 and §6.4). The simulator
 * and the random network of cores use this class; the model shares its predicates (promises.ts).
 *
 * The observer records for each node the log that the node passed to its disk and the log that its disk has confirmed,
 * and for the cluster all committed entries. Each invariant is a comparison of these:
 * - a term has one leader, elected by majorities of its configuration, and no node votes twice in a term, restarts included;
 * - two logs that agree on an entry's index and term agree on all entries before it;
 * - the state that a message claims is on its sender's disk;
 * - an entry is committed once majorities of the deciding configuration have it on disk, and stays on so many disks that no
 *   configuration that may decide elects a node without it; a new leader has all committed entries;
 * - one configuration decides at a time (configuration_history.ts);
 * - a snapshot contains the committed entries, with the configuration of its index, and reduces no node's commit index;
 * - all nodes apply the same entries in the same order; term, vote and commit index never go back;
 * - a read is answered at no index below the commit index of its request, and under a lease by only one node.
 */
import { assert } from "@std/assert";
import type {
  Configuration,
  ConfigurationCodec,
  Entry,
  Message,
  NodeId,
  Persist,
  RaftStatus,
  Ready,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import type { RareState } from "../../sim/coverage.ts";
import { hashBytes, hashNumbers } from "../hashes.ts";
import { Commits } from "./commits.ts";
import { configurationText } from "./configuration.ts";
import { Elections } from "./elections.ts";
import { ConfigurationHistory } from "./configuration_history.ts";
import type { CoreObserver } from "./core_probes.ts";
import { NodePicture, type Recovered } from "./log_picture.ts";
import { hasMajorities, regression, unfulfilledClaim } from "./promises.ts";
import { messageText } from "./text.ts";

/** Dependencies of the invariants. */
export interface RaftInvariantsOptions {
  /** The founding configuration. */
  readonly founding: Configuration;
  /** The codec of the nodes' configuration entries. */
  readonly codec: ConfigurationCodec;
  readonly violated: (message: string) => void;
  readonly trace: (line: () => string) => void;
  /** Counts rare states. */
  readonly count?: (state: RareState, times?: number) => void;
  /** Whether the running code belongs to a live process: a dying one runs a little longer, without effect. */
  readonly isLive?: () => boolean;
}

/** Observes one cluster. */
export class RaftInvariants implements CoreObserver {
  protected readonly isLive: () => boolean;
  protected readonly count: (state: RareState, times?: number) => void;
  readonly #nodes = new Map<number, NodePicture>();
  readonly #elections: Elections;
  readonly #configurations: ConfigurationHistory;
  readonly #commits: Commits;
  /** By term and index: the entry's content and its predecessor's term. */
  readonly #entries = new Map<string, number>();
  readonly #violated: (message: string) => void;
  readonly #trace: (line: () => string) => void;

  constructor(options: RaftInvariantsOptions) {
    this.isLive = options.isLive ?? ((): boolean => true);
    this.count = options.count ?? ((): void => {});
    this.#violated = options.violated;
    this.#trace = options.trace;
    const check = (holds: boolean, message: string): void => this.check(holds, message);
    this.#elections = new Elections({ check, count: this.count });
    const committed: number[] = [];
    this.#configurations = new ConfigurationHistory({
      ...options,
      committed,
      count: this.count,
      check,
    });
    this.#commits = new Commits({
      committed,
      nodes: this.#nodes,
      configurations: this.#configurations,
      count: this.count,
      check,
    });
  }

  /** Highest index that was ever committed. */
  get commitIndex(): number {
    return this.#commits.terms.length;
  }

  /** Returns the last observed status of a node; null before its first turn. */
  statusOf(node: number): RaftStatus | null {
    return this.#nodes.get(node)?.status ?? null;
  }

  /** Returns the leader of the highest term among the running nodes. */
  get leader(): number | null {
    let best: RaftStatus | null = null;
    for (const { status } of this.#nodes.values()) {
      if (status?.role === "leader" && (best === null || status.term > best.term)) best = status;
    }
    return best?.id ?? null;
  }

  /** The newest configuration that was ever committed. */
  get committedConfiguration(): Configuration {
    return this.#configurations.newestIn(this.#commits.terms).configuration;
  }

  /** Returns whether all other members in a node's configuration were removed. A node with an empty disk may have none. */
  knowsNoMember(id: NodeId): boolean {
    const { members: present } = this.committedConfiguration;
    const known = this.#nodes.get(id)?.known;
    return known?.every((one) => one.id === id || !present.some((member) => member.id === one.id)) ?? false;
  }

  /** Returns every configuration that may decide without another change: the committed one, and the newest in each log. */
  get configurationsInForce(): readonly Configuration[] {
    const all = new Set([this.committedConfiguration]);
    for (const { handed, durable } of this.#nodes.values()) {
      for (const { terms } of [handed, durable]) {
        const { index, configuration } = this.#configurations.newestIn(terms);
        if (index > 0) all.add(configuration);
      }
    }
    return [...all];
  }

  /** Returns the configurations in each of which a working set of nodes needs a majority. */
  get deciding(): readonly Configuration[] {
    return this.#commits.deciding;
  }

  /** Returns whether every voter has recorded this node's data directory id on disk. */
  isKnownByData(node: NodeId): boolean {
    const { confState: { voters, votersOutgoing } } = this.committedConfiguration;
    return [...voters, ...votersOutgoing].every((voter) => {
      const { configuration: { members } } = this.#configurations.newestIn(this.#node(voter).durable.terms);
      return (members.find(({ id }) => id === node)?.dataId ?? null) !== null;
    });
  }

  /** Returns whether a node has its removal on its own disk. */
  knowsOfRemoval(node: NodeId): boolean {
    const { terms } = this.#node(node).durable;
    return this.#configurations.newestIn(terms).configuration.removedIds.includes(node);
  }

  /** Called when a node's disk was emptied. */
  wiped(node: NodeId): void {
    this.#node(node).isAmnesiac = true;
  }

  /** Called when a node's process has ended. */
  died(node: number): void {
    this.#node(node).processEnded();
  }

  /** Called when a node starts, with the recovered state. */
  recovered(id: number, recovered: Recovered): void {
    if (!this.isLive()) return;
    const node = this.#node(id);
    if (node.isAmnesiac) return;
    const { compacted } = recovered;
    const { durable, handed, underWay } = node;
    const before = { hardState: durable.hardState, terms: [...durable.terms] };
    const handedLength = handed.terms.length;
    for (const picture of [durable, handed]) picture.takeRecovered(recovered, this.#commits.terms);
    const { terms } = durable;
    this.check(
      terms.length >= compacted.index && (terms[compacted.index - 1] ?? 0) === compacted.term,
      `the log of node ${id} begins behind ${compacted.index}@${compacted.term}, and that was not committed`,
    );
    this.#checkHardState(id, before.hardState, durable.hardState);
    this.#checkKept(id, before.terms, { compactedIndex: compacted.index, underWay });
    for (const [position, term] of terms.entries()) {
      this.check(
        this.#entries.has(`${position + 1}@${term}`),
        `node ${id} found an entry ${position + 1}@${term} that was never written`,
      );
    }
    for (const entry of recovered.cachedEntries) this.#checkEntry(entry, terms[entry.index - 2] ?? 0);
    if (terms.length < handedLength) this.count("lostUnsynced");
    if (underWay !== null) this.#commits.checkDurability(rewrittenFrom(underWay));
    node.underWay = null;
    node.checkedIndex = 0;
    node.takenSnapshots = [];
    node.processEnded();
    this.#trace(() =>
      `n${id} recovered up to ${recovered.lastIndex}@${terms.at(-1) ?? 0}, term ${durable.hardState.term}`
    );
  }

  stepped(message: Message, ignored: string | null): void {
    if (!this.isLive()) return;
    this.#trace(() =>
      `n${message.to} steps ${messageText(message, { entriesText: ({ length }) => `${length}` })}` +
      (ignored === null ? "" : ` (${ignored})`)
    );
    if (ignored === "staleTerm") this.count("lateMessages");
    if (ignored === "leaderIsAlive") this.count("disturbances");
    if (ignored === "notOutstanding") this.count("staleAnswers");
    this.#checkClaims([message]);
    switch (message.kind) {
      case "preVoteResponse":
        if (!message.granted) this.count("preVoteRefusals");
        break;
      case "requestVoteResponse":
        if (!message.granted) this.count("voteRefusals");
        break;
      case "appendEntriesResponse":
        if (message.result.kind === "rejected") this.count("conflictHints");
        else this.#checkAcknowledged(message, message.result.matchIndex);
        break;
      case "readIndex":
        this.count("readsThroughFollowers");
        break;
      default:
        break;
    }
  }

  led(
    status: RaftStatus,
    decided: Configuration,
    { hasWon, holdsLease }: { readonly hasWon: boolean; holdsLease(): boolean },
  ): void {
    if (!this.isLive()) return;
    const { id, term, commitIndex } = status;
    const node = this.#node(id);
    node.holdsLease = holdsLease;
    this.#commits.leaderKnows(commitIndex, decided);
    if (!hasWon) return;
    for (const [other, { holdsLease }] of this.#nodes) {
      const isAlone = other === id || !holdsLease();
      this.check(isAlone, `node ${id} leads term ${term} while node ${other} answers reads under a lease`);
    }
    this.check(!node.isAmnesiac, `node ${id}, whose disk was emptied, leads term ${term}`);
    const votes = (voter: NodeId): boolean =>
      voter === id
        ? node.durable.hardState.term === term && node.durable.hardState.vote === id
        : this.#elections.hasVoted(voter, { term, candidate: id });
    this.check(
      hasMajorities(decided, votes),
      `node ${id} leads term ${term} without the votes of majorities of ${configurationText(decided)}`,
    );
  }

  readAccepted({ id }: RaftStatus, readId: number): void {
    if (this.isLive()) this.#node(id).reads.set(readId, this.#commits.leaderCommit);
  }

  readUnderLease({ id, term, commitIndex }: RaftStatus): void {
    if (!this.isLive()) return;
    this.count("readsUnderLease");
    this.check(
      commitIndex >= this.commitIndex,
      `leader ${id} of term ${term} answers a read from ${commitIndex}, and ${this.commitIndex} is committed`,
    );
  }

  tookReady(status: RaftStatus, ready: Ready | null): void {
    const node = this.#node(status.id);
    node.known = status.configuration.members;
    if (!this.isLive() || node.isAmnesiac) return;
    const persist = ready?.persist ?? null;
    if (persist !== null) this.#handed(node, status, persist);
    if (ready !== null && ready.entryReads.length > 0) this.count("entriesReadBack");
    this.#noteStatus(node, status, persist);
    if (persist !== null) this.#configurations.checkWrite(node.handed.terms, status, persist);
    if (ready === null) return;
    this.#checkClaims(ready.messages);
    this.#applies(node, status.id, ready);
    for (const { readId, index } of ready.reads) {
      const committed = node.reads.get(readId);
      this.check(
        committed !== undefined,
        `node ${status.id} answers a read twice, or one that it did not accept`,
      );
      node.reads.delete(readId);
      this.check(
        index === null || index >= (committed ?? 0),
        `node ${status.id} answers a read at ${index}, and ${committed} was committed when it came in`,
      );
    }
  }

  persisted(id: number, index: number, term: number): void {
    const node = this.#node(id);
    if (!this.isLive() || node.isAmnesiac) return;
    const { underWay, durable } = node;
    assert(underWay !== null, `node ${id} confirms a write that is under way`);
    assert(underWay.lastIndex === index && underWay.lastTerm === term, "it is that write");
    const from = rewrittenFrom(underWay);
    const isShortened = from <= durable.terms.length;
    durable.take(underWay, this.#commits.terms);
    node.underWay = null;
    this.#checkHardState(id, durable.hardState, durable.hardState);
    if (underWay.entries.some(({ kind }) => kind === "configuration")) this.#commits.checkDurability(1);
    else if (isShortened) this.#commits.checkDurability(from);
    this.#checkClaims(underWay.messagesAfterSync);
  }

  compacted(id: NodeId, snapshot: SnapshotMetadata): void {
    if (!this.isLive() || this.#node(id).isAmnesiac) return;
    this.count("snapshotsTaken");
    this.#node(id).takenSnapshots.push(snapshot);
    this.#checkSnapshots(this.#node(id), id);
  }

  noticed(state: RareState): void {
    if (this.isLive()) this.count(state);
  }

  /** Reports a violation. */
  protected check(holds: boolean, message: string): void {
    if (!holds) this.#violated(message);
  }

  /** Checks that a start recovers all durable state, except what the write in flight overwrote. */
  #checkKept(
    id: NodeId,
    before: readonly number[],
    { compactedIndex, underWay }: { readonly compactedIndex: number; readonly underWay: Persist | null },
  ): void {
    const { terms } = this.#node(id).durable;
    const rewritten = underWay?.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    for (const [position, term] of before.entries()) {
      if (position + 1 >= rewritten) break;
      // A snapshot replaced a conflicting log.
      const isReplaced = (underWay?.snapshot ?? null) !== null || position < compactedIndex;
      if (isReplaced && this.#commits.terms[position] !== term) break;
      this.check(
        terms[position] === term,
        `node ${id} lost the durable entry ${position + 1}@${term}; it found term ${terms[position]}`,
      );
    }
  }

  #checkHardState(id: NodeId, before: Persist["hardState"], after: Persist["hardState"]): void {
    if (before === null || after === null) return;
    const wrong = regression(before, after);
    this.check(wrong === null, `on the disk of node ${id} ${wrong}`);
    const { terms } = this.#node(id).durable;
    this.check(
      after.commitIndex <= terms.length,
      `node ${id} has ${terms.length} entries on disk, and ${after.commitIndex} as its commit index`,
    );
  }

  #handed(node: NodePicture, status: RaftStatus, persist: Persist): void {
    const { id } = status;
    this.check(node.underWay === null, `node ${id} has two writes under way`);
    const { hardState, entries, snapshot } = persist;
    const before = node.handed.hardState;
    if (hardState !== null) {
      const wrong = regression(before, hardState);
      this.check(wrong === null, `node ${id} writes a hard state in which ${wrong}`);
      this.check(hardState.commitIndex >= before.commitIndex, `node ${id} writes an older commit index`);
    }
    const [first] = entries;
    if (first !== undefined && first.index <= node.handed.terms.length) {
      this.count("conflictTruncations");
      this.#trace(() => `n${id} discards entries ${first.index}..${node.handed.terms.length}`);
      const ledBefore = node.status?.role === "leader" && node.status.term === status.term;
      this.check(!ledBefore, `the leader ${id} of term ${status.term} discards its own entries`);
      this.check(first.index > node.checkedIndex, `node ${id} discards the committed entry ${first.index}`);
      if (this.#configurations.newestIn(node.handed.terms).index >= first.index) {
        this.count("configurationsRolledBack");
      }
    }
    if (snapshot !== null) {
      this.#configurations.checkSnapshot(id, snapshot);
      node.checkedIndex = Math.max(node.checkedIndex, snapshot.index);
    }
    node.handed.take(persist, this.#commits.terms);
    for (const entry of entries) this.#checkEntry(entry, node.handed.terms[entry.index - 2] ?? 0);
    node.underWay = persist;
  }

  /** Checks Log Matching: an entry's term and index identify it and all entries before it. */
  #checkEntry(entry: Entry, previousTerm: number): void {
    const key = `${entry.index}@${entry.term}`;
    const hash = hashBytes(entry.data, hashNumbers([previousTerm, entry.kind.length]));
    const known = this.#entries.get(key);
    this.#configurations.note(entry);
    if (known === undefined) this.#entries.set(key, hash);
    else this.check(known === hash, `there are two entries ${key}, or two different ones before them`);
  }

  /** Checks the claims of messages, and that a vote goes to one node. */
  #checkClaims(messages: readonly Message[]): void {
    for (const message of messages) {
      const { hardState, terms } = this.#node(message.from).durable;
      const wrong = unfulfilledClaim(message, { hardState, lastIndex: terms.length });
      this.check(wrong === null, wrong ?? "");
      this.#elections.sent(message);
    }
  }

  /** Checks that an acknowledged entry is equal to the leader's. */
  #checkAcknowledged({ from, to, term }: Message, matchIndex: number): void {
    const { durable: { hardState, terms } } = this.#node(from);
    const { status, handed } = this.#node(to);
    const isLeading = status?.role === "leader" && status.term === term;
    if (!isLeading || hardState.term !== term || matchIndex > handed.terms.length) return;
    this.check(
      terms[matchIndex - 1] === handed.terms[matchIndex - 1],
      `node ${from} acknowledges ${matchIndex}, and holds another entry there than the leader ${to}`,
    );
  }

  #noteStatus(node: NodePicture, status: RaftStatus, persist: Persist | null): void {
    const before = node.status;
    const { id, term, commitIndex } = status;
    if (before !== null) {
      const wrong = regression(before, status);
      this.check(wrong === null, `of node ${id} ${wrong}`);
      this.check(commitIndex >= before.commitIndex, `the commit index of node ${id} falls`);
    }
    if (status.role === "leader" && before?.role === "leader" && commitIndex > before.commitIndex) {
      const last = node.handed.terms[commitIndex - 1];
      this.check(
        last === term,
        `leader ${id} of term ${term} commits by counting copies of ${commitIndex}@${last}`,
      );
    }
    if (before?.role === "leader" && status.role === "follower" && term === before.term) {
      const { confState: { voters } } = status.configuration;
      this.count(voters.includes(id) ? "leadersResigned" : "removedLeadersSteppedDown");
    }
    if (status.role !== before?.role || term !== before.term) {
      this.#trace(() => `n${id} is ${status.role} in term ${term}`);
      if (status.role === "candidate") this.#elections.campaigned(term);
    }
    node.status = status;
    this.#checkCommits(node, status, persist);
    if (status.role === "leader" && this.#elections.leads(status)) this.#commits.checkComplete(node, status);
  }

  /** Checks that entries to apply come in order and are committed, and that a snapshot advances the applied index. */
  #applies(node: NodePicture, id: NodeId, { restore, committed }: Ready): void {
    if (restore !== null) {
      this.check(
        restore.index > (node.appliedIndex ?? 0),
        `a snapshot takes node ${id} back to ${restore.index}`,
      );
      node.appliedIndex = restore.index;
    }
    for (const { index, term } of committed) {
      const expected = (node.appliedIndex ?? index - 1) + 1;
      this.check(index === expected, `node ${id} applies entry ${index}, and ${expected} is next`);
      node.appliedIndex = index;
      const known = this.#commits.terms[index - 1] ?? term;
      this.check(known === term, `node ${id} applies ${index}@${term}, and ${index}@${known} was committed`);
    }
  }

  /**
   * A follower may commit entries in memory while an older write is in flight. The picture contains only entries passed to
   * the disk, so such commits are checked later.
   */
  #checkCommits(node: NodePicture, status: RaftStatus, persist: Persist | null): void {
    const isComplete = persist !== null || node.underWay === null || status.role === "leader";
    if (!isComplete) return;
    const end = Math.min(status.commitIndex, node.handed.terms.length);
    while (node.checkedIndex < end) {
      node.checkedIndex += 1;
      this.#commits.check(node, status, node.checkedIndex);
    }
    this.#checkSnapshots(node, status.id);
  }

  /** Checks the snapshots whose commits were checked; the others wait. */
  #checkSnapshots(node: NodePicture, id: NodeId): void {
    const isDue = ({ index }: SnapshotMetadata): boolean => index <= node.checkedIndex;
    for (const snapshot of node.takenSnapshots.filter(isDue)) {
      this.#configurations.checkSnapshot(id, snapshot);
    }
    node.takenSnapshots = node.takenSnapshots.filter((snapshot) => !isDue(snapshot));
  }

  #node(id: number): NodePicture {
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const node = new NodePicture();
    this.#nodes.set(id, node);
    return node;
  }
}

/** Returns the first index at which a write may change the disk. */
function rewrittenFrom({ entries, snapshot }: Persist): number {
  return snapshot === null ? entries[0]?.index ?? Number.POSITIVE_INFINITY : 1;
}
