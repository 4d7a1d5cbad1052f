/**
 * The promises of the core, checked after every step of every node (reliability §2).
 *
 * The observer keeps its own picture of each node: the log as the node handed it to its disk, the log as far as its
 * disk confirmed it, and, of the whole cluster, what was ever committed. Each promise is one comparison of these.
 */
import { assert } from "@std/assert";
import type { Command, CommandResult, StateMachine } from "../../../lib/kv/mod.ts";
import type {
  Configuration,
  ConfState,
  Entry,
  Message,
  NodeId,
  Persist,
  RaftStatus,
  Ready,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import type { RecoveredLog } from "../../../lib/storage/mod.ts";
import { Configurations, isDecidedBy, votersText } from "./configurations.ts";
import { Applied, type AppliedTransaction } from "./applied.ts";
import { ConfigurationJudge } from "./configuration_judge.ts";
import type { Coverage, RareState } from "../coverage.ts";
import { hashBytes, hashNumbers } from "./hashes.ts";
import { Leases } from "./leases.ts";
import { LogPicture, newNodePicture, type NodePicture, standsNowhere } from "./log_picture.ts";
import { messageText } from "./message_text.ts";
import type { Observer } from "./probes.ts";
import { brokenPromise } from "./spoken_promises.ts";
import type { Replay } from "./replay.ts";

/** Watches one cluster. Throws what no cluster may do. */
export class Invariants implements Observer {
  readonly #nodes = new Map<number, NodePicture>();
  readonly #coverage: Coverage;
  readonly #isLive: () => boolean;
  readonly #leaders = new Map<number, number>();
  readonly #leases: Leases;
  readonly #campaigns = new Set<number>();
  readonly #votes = new Map<string, number>();
  readonly #configurations: Configurations;
  readonly #applied: Applied;
  readonly #judge: ConfigurationJudge;
  /** Who decided that an entry is committed, by index, from the moment that its leader knew until it is judged. */
  readonly #deciding = new Map<number, ConfState>();
  /** By term and index: the entry's content and its predecessor's term. */
  readonly #entries = new Map<string, number>();
  /** Terms of committed entries; index i at position i − 1. */
  readonly #committed: number[] = [];
  readonly #violated: (message: string) => void;
  readonly #trace: (line: () => string) => void;

  constructor(options: {
    /** The configuration that the cluster begins with. */
    readonly founding: Configuration;
    readonly replay: Replay;
    readonly coverage: Coverage;
    /** Whether the code that runs belongs to a process that lives: a dying one runs on a little, to no effect. */
    readonly isLive: () => boolean;
    readonly violated: (message: string) => void;
    readonly trace: (line: () => string) => void;
  }) {
    this.#coverage = options.coverage;
    this.#isLive = options.isLive;
    this.#violated = options.violated;
    this.#trace = options.trace;
    this.#configurations = new Configurations(options.founding);
    const check = (holds: boolean, message: string): void => this.#check(holds, message);
    this.#applied = new Applied({ replay: options.replay, coverage: options.coverage, check });
    this.#leases = new Leases(check);
    this.#judge = new ConfigurationJudge({
      all: this.#configurations,
      committed: this.#committed,
      coverage: options.coverage,
      check,
      trace: options.trace,
    });
  }

  /** What was applied, by revision, from 1. */
  get transactions(): readonly AppliedTransaction[] {
    return this.#applied.transactions;
  }

  /** Highest index that was ever committed. */
  get commitIndex(): number {
    return this.#committed.length;
  }

  /** How a node stood when it was seen last; null before its first turn. */
  statusOf(node: number): RaftStatus | null {
    return this.#nodes.get(node)?.status ?? null;
  }

  /** Who leads the highest term, as far as somebody that runs says so. */
  get leader(): number | null {
    let best: RaftStatus | null = null;
    for (const { status } of this.#nodes.values()) {
      if (status?.role === "leader" && (best === null || status.term > best.term)) best = status;
    }
    return best?.id ?? null;
  }

  /** The newest configuration that was ever committed. */
  get committedConfiguration(): Configuration {
    return this.#configurations.newestIn(this.#committed).configuration;
  }

  /** Whether none of the others that a node goes by is a member any more. One with an empty disk may go by nobody. */
  knowsNobody(id: NodeId): boolean {
    const { members: present } = this.committedConfiguration;
    const known = this.#nodes.get(id)?.known;
    return known?.every((one) => one.id === id || !present.some((member) => member.id === one.id)) ?? false;
  }

  /** Every configuration that may come to decide without another change: the committed one, and the newest in each log. */
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

  /** Whether every voter has it on its disk which data folder is this node's. */
  isKnownByData(node: NodeId): boolean {
    const { confState: { voters, votersOutgoing } } = this.committedConfiguration;
    return [...voters, ...votersOutgoing].every((voter) => {
      const { terms } = this.#node(voter).durable;
      const { configuration: { members } } = this.#configurations.newestIn(terms);
      return (members.find(({ id }) => id === node)?.dataId ?? null) !== null;
    });
  }

  /** Whether a node's own disk says that it was removed. */
  knowsOfRemoval(node: NodeId): boolean {
    const { terms } = this.#node(node).durable;
    return this.#configurations.newestIn(terms).configuration.removedIds.includes(node);
  }

  /** A node's disk is empty now. */
  wiped(node: NodeId): void {
    this.#node(node).isAmnesiac = true;
  }

  /** A node's process is no more. */
  died(node: number): void {
    this.#leases.died(node);
    standsNowhere(this.#node(node));
  }

  recovered(id: number, recovered: RecoveredLog): void {
    if (!this.#isLive()) return;
    const node = this.#node(id);
    if (node.isAmnesiac) return;
    const found = new LogPicture();
    found.takeRecovered(recovered, this.#committed);
    const { compacted } = recovered;
    this.#check(
      found.terms.length >= compacted.index && (found.terms[compacted.index - 1] ?? 0) === compacted.term,
      `the log of node ${id} begins behind ${compacted.index}@${compacted.term}, and that was not committed`,
    );
    const { durable, handed } = node;
    this.#check(
      found.hardState.term >= durable.hardState.term,
      `node ${id} forgot term ${durable.hardState.term}: it woke up in ${found.hardState.term}`,
    );
    if (found.hardState.term === durable.hardState.term && durable.hardState.vote !== null) {
      this.#check(found.hardState.vote === durable.hardState.vote, `node ${id} forgot its vote`);
    }
    // Whatever was under way may have reached the disk in part, and then overrides what was durable before.
    const rewrittenFrom = node.underWay?.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    for (const [position, term] of durable.terms.entries()) {
      if (position + 1 >= rewrittenFrom) break;
      // A snapshot took the place of a log that did not agree with it.
      const { snapshot } = node.underWay ?? {};
      const isReplaced = (snapshot ?? null) !== null || position < compacted.index;
      if (isReplaced && this.#committed[position] !== term) break;
      this.#check(
        found.terms[position] === term,
        `node ${id} lost the durable entry ${position + 1}@${term}; it found term ${found.terms[position]}`,
      );
    }
    for (const [position, term] of found.terms.entries()) {
      this.#check(
        this.#entries.has(`${position + 1}@${term}`),
        `node ${id} found an entry ${position + 1}@${term} that nobody wrote`,
      );
    }
    for (const entry of recovered.cachedEntries) this.#checkEntry(entry, found.terms[entry.index - 2] ?? 0);
    if (recovered.cut !== null) this.#coverage.count("tornTails");
    if (recovered.segments > 1) this.#coverage.count("segmentRolls");
    if (found.terms.length < handed.terms.length) this.#coverage.count("lostUnsynced");
    for (const picture of [durable, handed]) picture.takeRecovered(recovered, this.#committed);
    node.underWay = null;
    node.judgedIndex = 0;
    node.takenSnapshots = [];
    standsNowhere(node);
    this.#trace(() =>
      `n${id} recovered up to ${recovered.lastIndex}@${found.terms.at(-1) ?? 0}, term ${found.hardState.term}`
    );
  }

  stepped(message: Message, ignored: string | null): void {
    if (!this.#isLive()) return;
    this.#trace(() =>
      `n${message.to} heard ${messageText(message)}${ignored === null ? "" : ` (${ignored})`}`
    );
    if (ignored === "staleTerm") this.#coverage.count("lateMessages");
    if (ignored === "leaderIsAlive") this.#coverage.count("disturbances");
    if (ignored === "notOutstanding") this.#coverage.count("staleAnswers");
    const [sender, receiver] = [this.#node(message.from).durable, this.#node(message.to).handed];
    const broken = brokenPromise(message, { sender, receiver });
    this.#check(broken === null, broken ?? "");
    switch (message.kind) {
      case "preVoteResponse":
        if (!message.granted) this.#coverage.count("preVoteRefusals");
        break;
      case "requestVoteResponse": {
        if (!message.granted) {
          this.#coverage.count("voteRefusals");
          break;
        }
        const key = `${message.from} in term ${message.term}`;
        const given = this.#votes.get(key) ?? message.to;
        this.#votes.set(key, given);
        this.#check(given === message.to, `the vote of ${key} went to ${given} and to ${message.to}`);
        break;
      }
      case "appendEntriesResponse":
        if (message.result.kind === "rejected") this.#coverage.count("conflictHints");
        break;
      case "readIndex":
        this.#coverage.count("readsThroughFollowers");
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
    if (!this.#isLive()) return;
    const { id, term, commitIndex } = status;
    const node = this.#node(id);
    this.#leases.led(id, holdsLease);
    for (let index = this.commitIndex + 1; index <= commitIndex; index++) {
      if (!this.#deciding.has(index)) this.#deciding.set(index, decided.confState);
    }
    if (!hasWon) return;
    this.#leases.won(status);
    this.#check(!node.isAmnesiac, `node ${id}, whose disk was emptied, leads term ${term}`);
    const votes = (voter: NodeId): boolean =>
      voter === id
        ? node.durable.hardState.term === term && node.durable.hardState.vote === id
        : this.#votes.get(`${voter} in term ${term}`) === id;
    this.#check(
      isDecidedBy(decided.confState, votes),
      `node ${id} leads term ${term} without the votes of a majority of ${votersText(decided.confState)}`,
    );
  }

  readUnderLease(status: RaftStatus): void {
    if (!this.#isLive()) return;
    this.#coverage.count("readsUnderLease");
    this.#leases.read(status, this.commitIndex);
  }

  tookReady(status: RaftStatus, ready: Ready | null): void {
    const node = this.#node(status.id);
    node.known = status.configuration.members;
    if (!this.#isLive() || node.isAmnesiac) return;
    const persist = ready?.persist ?? null;
    if (persist !== null) this.#handed(node, status, persist);
    if (ready !== null && ready.entryReads.length > 0) this.#coverage.count("entriesReadBack");
    this.#stands(node, status, persist);
    if (persist !== null) this.#judge.configurations(node.handed.terms, status, persist);
    for (const { index, term } of ready?.committed ?? []) {
      const known = this.#committed[index - 1] ?? term;
      this.#check(
        known === term,
        `node ${status.id} applies ${index}@${term}, and ${index}@${known} was committed`,
      );
    }
  }

  persisted(id: number, index: number, term: number): void {
    const node = this.#node(id);
    if (!this.#isLive() || node.isAmnesiac) return;
    assert(node.underWay !== null, `node ${id} confirms a write that is under way`);
    assert(node.underWay.lastIndex === index && node.underWay.lastTerm === term, "it is that write");
    node.durable.take(node.underWay, this.#committed);
    node.underWay = null;
  }

  compacted(id: NodeId, snapshot: SnapshotMetadata): void {
    if (!this.#isLive() || this.#node(id).isAmnesiac) return;
    this.#coverage.count("snapshotsTaken");
    this.#node(id).takenSnapshots.push(snapshot);
    this.#judgeSnapshots(this.#node(id), id);
  }

  restored(machine: StateMachine): void {
    if (this.#isLive()) this.#applied.restored(machine);
  }

  noticed(state: RareState): void {
    if (this.#isLive()) this.#coverage.count(state);
  }

  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void {
    if (this.#isLive()) this.#applied.applied(machine, index, what);
  }

  #handed(node: NodePicture, status: RaftStatus, persist: Persist): void {
    const { id } = status;
    this.#check(node.underWay === null, `node ${id} has two writes under way`);
    const { hardState, entries, snapshot } = persist;
    const before = node.handed.hardState;
    if (hardState !== null) {
      this.#check(hardState.term >= before.term, `the term of node ${id} falls on its disk`);
      this.#check(
        hardState.commitIndex >= before.commitIndex,
        `the commit index of node ${id} falls on its disk`,
      );
      if (hardState.term === before.term && before.vote !== null) {
        this.#check(hardState.vote === before.vote, `node ${id} changes its vote in term ${before.term}`);
      }
    }
    const [first] = entries;
    if (first !== undefined && first.index <= node.handed.terms.length) {
      this.#coverage.count("conflictTruncations");
      this.#trace(() => `n${id} throws away entries ${first.index}..${node.handed.terms.length}`);
      const ledBefore = node.status?.role === "leader" && node.status.term === status.term;
      this.#check(!ledBefore, `the leader ${id} of term ${status.term} throws away its own entries`);
      this.#check(
        first.index > node.judgedIndex,
        `node ${id} throws away the committed entry ${first.index}`,
      );
      if (this.#configurations.newestIn(node.handed.terms).index >= first.index) {
        this.#coverage.count("configurationsRolledBack");
      }
    }
    if (snapshot !== null) {
      this.#judge.snapshot(id, snapshot);
      node.judgedIndex = Math.max(node.judgedIndex, snapshot.index);
    }
    node.handed.take(persist, this.#committed);
    for (const entry of entries) this.#checkEntry(entry, node.handed.terms[entry.index - 2] ?? 0);
    node.underWay = persist;
  }

  /** Log matching: an entry's term and index name it, and with it all before it. */
  #checkEntry(entry: Entry, previousTerm: number): void {
    const key = `${entry.index}@${entry.term}`;
    const hash = hashBytes(entry.data, hashNumbers([previousTerm, entry.kind.length]));
    const known = this.#entries.get(key);
    this.#configurations.note(entry);
    if (known === undefined) this.#entries.set(key, hash);
    else this.#check(known === hash, `there are two entries ${key}, or two different ones before them`);
  }

  #stands(node: NodePicture, status: RaftStatus, persist: Persist | null): void {
    const before = node.status;
    const { id, term, commitIndex } = status;
    if (before !== null) {
      this.#check(term >= before.term, `the term of node ${id} falls from ${before.term} to ${term}`);
      this.#check(commitIndex >= before.commitIndex, `the commit index of node ${id} falls`);
    }
    if (status.role === "leader" && before?.role === "leader" && commitIndex > before.commitIndex) {
      const last = node.handed.terms[commitIndex - 1];
      this.#check(
        last === term,
        `leader ${id} of term ${term} commits by counting copies of ${commitIndex}@${last}`,
      );
    }
    if (before?.role === "leader" && status.role === "follower" && term === before.term) {
      const { confState: { voters } } = status.configuration;
      this.#coverage.count(voters.includes(id) ? "leadersResigned" : "removedLeadersSteppedDown");
    }
    if (status.role !== before?.role || term !== before.term) {
      this.#trace(() => `n${id} is ${status.role} in term ${term}`);
      if (status.role === "candidate") {
        if (
          this.#campaigns.size > 0 &&
          [...this.#campaigns].some((one) => one < term && !this.#leaders.has(one))
        ) {
          this.#coverage.count("splitVotes");
          this.#campaigns.clear();
        }
        this.#campaigns.add(term);
      }
    }
    node.status = status;
    this.#judgeCommits(node, status, persist);
    if (status.role === "leader") this.#leads(node, status);
  }

  /**
   * A follower may commit what it holds in memory while an older write is under way; the picture shows what was handed
   * to the disk, so such commits are judged once it shows them.
   */
  #judgeCommits(node: NodePicture, status: RaftStatus, persist: Persist | null): void {
    const isWhole = persist !== null || node.underWay === null || status.role === "leader";
    if (!isWhole) return;
    const end = Math.min(status.commitIndex, node.handed.terms.length);
    while (node.judgedIndex < end) {
      node.judgedIndex += 1;
      this.#commits(node, status, node.judgedIndex);
    }
    this.#judgeSnapshots(node, status.id);
  }

  /** Snapshots of what this node's commits are judged up to; the others wait until they are. */
  #judgeSnapshots(node: NodePicture, id: NodeId): void {
    const isDue = ({ index }: SnapshotMetadata): boolean => index <= node.judgedIndex;
    for (const snapshot of node.takenSnapshots.filter(isDue)) this.#judge.snapshot(id, snapshot);
    node.takenSnapshots = node.takenSnapshots.filter((snapshot) => !isDue(snapshot));
  }

  #commits(node: NodePicture, { id, role, term }: RaftStatus, index: number): void {
    const own = node.handed.terms[index - 1];
    const known = this.#committed[index - 1];
    if (known !== undefined) {
      this.#check(
        own === known,
        `node ${id} commits ${index}@${own}, and ${index}@${known} was committed before`,
      );
      return;
    }
    assert(own !== undefined, `node ${id} has the entry ${index} that it commits`);
    this.#committed.push(own);
    if (role === "leader" && own < term) this.#coverage.count("earlierTermCommits");
    const confState = this.#deciding.get(index);
    this.#deciding.delete(index);
    assert(confState !== undefined, "a leader is the first to know that an entry is committed");
    const isHolder = (holder: NodeId): boolean => this.#nodes.get(holder)?.durable.terms[index - 1] === own;
    this.#check(
      isDecidedBy(confState, isHolder),
      `node ${id} commits ${index}@${own} by ${votersText(confState)}, durable only on [${
        [...this.#nodes.keys()].filter(isHolder)
      }]`,
    );
  }

  #leads(node: NodePicture, { id, term }: RaftStatus): void {
    const known = this.#leaders.get(term);
    if (known === id) return;
    this.#check(known === undefined, `term ${term} has two leaders: ${known} and ${id}`);
    this.#leaders.set(term, id);
    this.#coverage.count("elections");
    if (term > 2 ** 32) this.#coverage.count("hugeTerms");
    // A late vote may still elect the leader of a term that is over; what later terms committed it need not have.
    if (Math.max(...this.#leaders.keys()) > term) return;
    for (const [position, committed] of this.#committed.entries()) {
      const own = node.handed.terms[position];
      this.#check(
        own === committed,
        `leader ${id} of term ${term} has ${own ?? "nothing"} where ${
          position + 1
        }@${committed} was committed`,
      );
    }
  }

  #check(holds: boolean, message: string): void {
    if (!holds) this.#violated(message);
  }

  #node(id: number): NodePicture {
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const node = newNodePicture();
    this.#nodes.set(id, node);
    return node;
  }
}
