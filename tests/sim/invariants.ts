/**
 * The promises of the core, checked after every step of every node (reliability §2).
 *
 * The observer keeps its own picture of each node: the log as the node handed it to its disk, the log as far as its
 * disk confirmed it, and, of the whole cluster, what was ever committed. Each promise is one comparison of these.
 */
import { assert } from "@std/assert";
import type { Command, CommandResult, StateMachine } from "../../lib/kv/mod.ts";
import { encodeResult } from "../../lib/net/command_codec.ts";
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
} from "../../lib/raft/mod.ts";
import type { RecoveredLog } from "../../lib/storage/mod.ts";
import {
  Configurations,
  configurationText,
  isDecidedBy,
  type Placed,
  votersText,
  whyNotSuccessor,
} from "./configurations.ts";
import type { Coverage, RareState } from "./coverage.ts";
import { LogPicture } from "./log_picture.ts";
import { messageText } from "./message_text.ts";
import type { Observer } from "./probes.ts";
import type { Replay } from "./replay.ts";

/** What a transaction that applied did, under the revision that it made. */
export interface AppliedTransaction {
  readonly index: number;
  readonly revision: number;
  readonly command: Extract<Command, { kind: "transaction" }>;
  readonly result: Extract<CommandResult, { kind: "applied" }>;
}

interface NodePicture {
  readonly handed: LogPicture;
  readonly durable: LogPicture;
  /** Handed to the disk, not confirmed. */
  underWay: Persist | null;
  /** Commits that were looked at. */
  judgedIndex: number;
  status: RaftStatus | null;
  /** Its disk was emptied: whatever it says from now on must be heard by nobody. The pictures stay as they were. */
  isAmnesiac: boolean;
}

/** Watches one cluster. Throws what no cluster may do. */
export class Invariants implements Observer {
  readonly #nodes = new Map<number, NodePicture>();
  readonly #coverage: Coverage;
  readonly #isLive: () => boolean;
  readonly #leaders = new Map<number, number>();
  readonly #campaigns = new Set<number>();
  readonly #votes = new Map<string, number>();
  readonly #configurations: Configurations;
  readonly #replay: Replay;
  /** Who decided that an entry is committed, by index, from the moment that its leader knew until it is judged. */
  readonly #deciding = new Map<number, ConfState>();
  /** By term and index: the entry's content and its predecessor's term. */
  readonly #entries = new Map<string, number>();
  /** Terms of committed entries; index i at position i − 1. */
  readonly #committed: number[] = [];
  /** What applying gave, by index. */
  readonly #results: number[] = [];
  /** By revision, from 1. */
  readonly transactions: AppliedTransaction[] = [];
  readonly #applications = new Map<string, number>();
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
    this.#replay = options.replay;
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
    this.#node(node).status = null;
  }

  recovered(id: number, recovered: RecoveredLog): void {
    if (!this.#isLive()) return;
    const node = this.#node(id);
    if (node.isAmnesiac) return;
    const found = new LogPicture();
    found.takeRecovered(recovered, this.#committed);
    const { base } = recovered;
    this.#check(
      found.terms.length >= base.index && (found.terms[base.index - 1] ?? 0) === base.term,
      `the log of node ${id} begins behind ${base.index}@${base.term}, and that was not committed`,
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
      const isReplaced = (snapshot ?? null) !== null || position < base.index;
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
    for (const entry of recovered.tail) this.#checkEntry(entry, found.terms[entry.index - 2] ?? 0);
    if (recovered.cut !== null) this.#coverage.count("tornTails");
    if (recovered.segments > 1) this.#coverage.count("segmentRolls");
    if (found.terms.length < handed.terms.length) this.#coverage.count("lostUnsynced");
    for (const picture of [durable, handed]) picture.takeRecovered(recovered, this.#committed);
    node.underWay = null;
    node.judgedIndex = 0;
    node.status = null;
    this.#trace(() =>
      `n${id} recovered up to ${recovered.lastIndex}@${found.terms.at(-1) ?? 0}, term ${found.hardState.term}`
    );
  }

  stepped(message: Message, ignored: string | null): void {
    if (!this.#isLive()) return;
    this.#trace(() =>
      `n${message.to} heard ${messageText(message)}${ignored === null ? "" : ` (${ignored})`}`
    );
    if (ignored === "of an earlier term") this.#coverage.count("lateMessages");
    if (ignored === "leader is alive") this.#coverage.count("disturbances");
    if (ignored === "answers nothing that is outstanding") this.#coverage.count("staleAnswers");
    this.#checkPromise(message);
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

  led(status: RaftStatus, decided: Configuration, { hasWon }: { readonly hasWon: boolean }): void {
    if (!this.#isLive()) return;
    const { id, term, commitIndex } = status;
    const node = this.#node(id);
    for (let index = this.commitIndex + 1; index <= commitIndex; index++) {
      if (!this.#deciding.has(index)) this.#deciding.set(index, decided.confState);
    }
    if (!hasWon) return;
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

  /** What a message says of its sender is on the sender's disk (reliability §3, 2 and 4). */
  #checkPromise(message: Message): void {
    // These promise nothing, not even a term: a pre-vote asks for the next one, and a read asks a leader that has it.
    if (message.kind === "preVote" || message.kind === "readIndex") return;
    if (message.kind === "preVoteResponse" && message.granted) return;
    const { hardState, terms } = this.#node(message.from).durable;
    const { from, term } = message;
    this.#check(
      hardState.term >= term,
      `n${from} speaks for term ${term}, and its disk knows ${hardState.term}`,
    );
    // Once the sender has moved on to a later term, what it promised in this one binds nobody any more.
    if (hardState.term > term) return;
    if (message.kind === "requestVoteResponse" && message.granted) {
      this.#check(
        hardState.vote === message.to,
        `n${from} gave a vote in term ${term} that is not on its disk`,
      );
    }
    if (message.kind === "appendEntriesResponse" && message.result.kind === "accepted") {
      const { matchIndex } = message.result;
      const leader = this.#node(message.to).handed;
      // A late answer may find that its leader has moved on, and thrown away what it speaks of.
      const hasMovedOn = leader.hardState.term > term;
      this.#check(
        matchIndex <= terms.length && (hasMovedOn || terms[matchIndex - 1] === leader.terms[matchIndex - 1]),
        `n${from} acknowledges ${matchIndex}, and its disk has ${terms.length} entries`,
      );
    }
  }

  tookReady(status: RaftStatus, ready: Ready | null): void {
    if (!this.#isLive()) return;
    const node = this.#node(status.id);
    if (node.isAmnesiac) return;
    const persist = ready?.persist ?? null;
    if (persist !== null) this.#handed(node, status, persist);
    if (ready !== null && ready.loads.length > 0) this.#coverage.count("entriesReadBack");
    this.#stands(node, status, persist);
    if (persist !== null) this.#judgeConfigurations(node, status, persist);
    for (const { index, term } of ready?.committed ?? []) {
      const known = this.#committed[index - 1] ?? term;
      this.#check(
        known === term,
        `node ${status.id} applies ${index}@${term}, and ${index}@${known} was committed`,
      );
    }
  }

  persisted(id: number, index: number, term: number): void {
    if (!this.#isLive()) return;
    const node = this.#node(id);
    if (node.isAmnesiac) return;
    assert(node.underWay !== null, `node ${id} confirms a write that is under way`);
    assert(node.underWay.lastIndex === index && node.underWay.lastTerm === term, "it is that write");
    node.durable.take(node.underWay, this.#committed);
    node.underWay = null;
  }

  compacted(id: NodeId, snapshot: SnapshotMetadata): void {
    if (!this.#isLive() || this.#node(id).isAmnesiac) return;
    this.#coverage.count("snapshotsTaken");
    this.#checkSnapshot(id, snapshot);
  }

  restored(machine: StateMachine): void {
    if (!this.#isLive()) return;
    this.#check(
      this.#replay.isSame(machine),
      `the state of a snapshot up to ${machine.appliedIndex} is not what replay gives`,
    );
  }

  noticed(state: RareState): void {
    if (this.#isLive()) this.#coverage.count(state);
  }

  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void {
    if (!this.#isLive() || this.#replay.isOwn(machine)) return;
    const { revision, keyCount, sessionCount } = machine;
    let hash = hashNumbers([revision, keyCount, sessionCount]);
    if (what !== null) hash = hashBytes(encodeResult(what.result), hash);
    const known = this.#results[index - 1];
    if (known !== undefined) {
      this.#check(known === hash, `the state after entry ${index} is not the same on all nodes`);
      return;
    }
    this.#check(
      this.#results.length === index - 1,
      `entry ${index} is applied before entry ${this.#results.length + 1}`,
    );
    this.#results.push(hash);
    this.#replay.apply(index, what?.command);
    if (what !== null) this.#noteApplication(index, what.command, what.result);
  }

  #noteApplication(index: number, command: Command | null, result: CommandResult): void {
    if (result.kind === "sessionsExpired") this.#coverage.count("sessionsExpired", result.expired);
    if (result.kind === "refused" && result.reason === "sessionExpired") {
      this.#coverage.count("sessionsExpired");
    }
    if (command?.kind !== "transaction" || result.kind !== "applied") return;
    const { session } = command;
    const key = session === null ? null : `${session.sessionId}/${session.sequence}`;
    const before = key === null ? undefined : this.#applications.get(key);
    if (before !== undefined) {
      this.#check(
        before === result.revision,
        `the write ${key} was applied twice: revisions ${before} and ${result.revision}`,
      );
      this.#coverage.count("duplicatesAbsorbed");
      return;
    }
    if (key !== null) this.#applications.set(key, result.revision);
    this.#check(
      result.revision === this.transactions.length + 1,
      `revision ${result.revision} follows ${this.transactions.length}`,
    );
    this.transactions.push({ index, revision: result.revision, command, result });
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
      this.#checkSnapshot(id, snapshot);
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

  /** What a snapshot stands for was committed, and its configuration is the one of there. */
  #checkSnapshot(id: NodeId, { index, term, configuration }: SnapshotMetadata): void {
    this.#check(
      this.#committed[index - 1] === term,
      `node ${id} has a snapshot up to ${index}@${term}, and ${
        this.#committed[index - 1] ?? "nothing"
      } was committed`,
    );
    const placed = this.#configurations.newestIn(this.#committed, index);
    this.#check(
      configurationText(configuration) === configurationText(placed.configuration),
      `the snapshot of node ${id} up to ${index} says ${votersText(configuration.confState)}, and it was ${
        votersText(placed.configuration.confState)
      }`,
    );
  }

  /** The core goes by the newest configuration of its log, and a leader adds none that could decide apart. */
  #judgeConfigurations(node: NodePicture, status: RaftStatus, { entries }: Persist): void {
    const { id, term, configuration } = status;
    const { terms } = node.handed;
    const newest = this.#configurations.newestIn(terms);
    // A node that was added knows of nobody until its log says so.
    const isKnown = newest.index > 0 || configuration.members.length > 0;
    this.#check(
      !isKnown || configurationText(configuration) === configurationText(newest.configuration),
      `node ${id} goes by ${votersText(configuration.confState)}, and its log says ${
        votersText(newest.configuration.confState)
      }`,
    );
    if (status.role !== "leader") return;
    for (const entry of entries) {
      if (entry.kind !== "configuration" || entry.term !== term) continue;
      const before = this.#configurations.newestIn(terms, entry.index - 1);
      this.#judgeChange(status, before, this.#configurations.newestIn(terms, entry.index));
    }
  }

  #judgeChange({ id, term }: RaftStatus, before: Placed, after: Placed): void {
    const [from, to] = [before.configuration.confState, after.configuration.confState];
    this.#trace(() => `n${id} proposes ${votersText(to)} at ${after.index}, after ${votersText(from)}`);
    const wrong = whyNotSuccessor(from, to);
    this.#check(wrong === null, `leader ${id} goes from ${votersText(from)} to ${votersText(to)}: ${wrong}`);
    this.#check(
      before.index <= this.commitIndex,
      `leader ${id} proposes ${votersText(to)} before ${votersText(from)} is committed`,
    );
    // Out of a joint configuration there is one way only, so that whoever knows it to be committed may take it.
    this.#check(
      from.votersOutgoing.length > 0 || this.#committed.at(-1) === term,
      `leader ${id} proposes ${votersText(to)} before it has committed in its term ${term}`,
    );
    if (from.votersOutgoing.length > 0 && before.term !== term) this.#coverage.count("jointsLeftByAnother");
    if (to.votersOutgoing.length > 0) this.#coverage.count("jointsEntered");
    if (to.voters.some((voter) => from.learners.includes(voter))) this.#coverage.count("learnersPromoted");
    if (to.votersOutgoing.some((voter) => to.learners.includes(voter))) this.#coverage.count("votersDemoted");
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
    const node: NodePicture = {
      handed: new LogPicture(),
      durable: new LogPicture(),
      underWay: null,
      judgedIndex: 0,
      status: null,
      isAmnesiac: false,
    };
    this.#nodes.set(id, node);
    return node;
  }
}

function hashNumbers(numbers: readonly number[]): number {
  return numbers.reduce((hash, value) => Math.imul(hash ^ value, 0x01000193), 0x811c9dc5);
}

function hashBytes(bytes: Uint8Array, begin: number): number {
  let hash = begin;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
