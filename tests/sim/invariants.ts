/**
 * The promises of the core, checked after every step of every node (reliability §2).
 *
 * The observer keeps its own picture of each node: the log as the node handed it to its disk, the log as far as its
 * disk confirmed it, and, of the whole cluster, what was ever committed. Each promise is one comparison of these.
 */
import { assert } from "@std/assert";
import type { Command, CommandResult, StateMachine } from "../../lib/kv/mod.ts";
import { encodeResult } from "../../lib/net/command_codec.ts";
import type { Entry, HardState, Message, Persist, RaftStatus, Ready } from "../../lib/raft/mod.ts";
import type { RecoveredLog } from "../../lib/storage/mod.ts";
import type { Coverage, RareState } from "./coverage.ts";
import type { Observer } from "./probes.ts";

/** What a transaction that applied did, under the revision that it made. */
export interface AppliedTransaction {
  readonly index: number;
  readonly revision: number;
  readonly command: Extract<Command, { kind: "transaction" }>;
  readonly result: Extract<CommandResult, { kind: "applied" }>;
}

/** A log as far as somebody saw it: the terms of its entries; the entry at index i stands at position i − 1. */
class LogPicture {
  hardState: HardState = { term: 0, vote: null, commitIndex: 0 };
  readonly terms: number[] = [];

  take({ hardState, entries }: Pick<Persist, "hardState" | "entries">): void {
    if (hardState !== null) this.hardState = hardState;
    const [first] = entries;
    if (first === undefined) return;
    this.terms.length = first.index - 1;
    for (const entry of entries) this.terms.push(entry.term);
  }

  takeRecovered({ hardState, termRuns, lastIndex }: RecoveredLog): void {
    this.hardState = hardState;
    this.terms.length = 0;
    for (const [position, run] of termRuns.entries()) {
      const end = termRuns[position + 1]?.firstIndex ?? lastIndex + 1;
      for (let index = run.firstIndex; index < end; index++) this.terms.push(run.term);
    }
  }
}

interface NodePicture {
  readonly handed: LogPicture;
  readonly durable: LogPicture;
  /** Handed to the disk, not confirmed. */
  underWay: Persist | null;
  /** Commits that were looked at. */
  judgedIndex: number;
  status: RaftStatus | null;
}

/** Watches one cluster. Throws what no cluster may do. */
export class Invariants implements Observer {
  readonly #nodes = new Map<number, NodePicture>();
  readonly #coverage: Coverage;
  readonly #isLive: () => boolean;
  readonly #leaders = new Map<number, number>();
  readonly #campaigns = new Set<number>();
  readonly #votes = new Map<string, number>();
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
    readonly nodes: readonly number[];
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
    for (const node of options.nodes) {
      this.#nodes.set(node, {
        handed: new LogPicture(),
        durable: new LogPicture(),
        underWay: null,
        judgedIndex: 0,
        status: null,
      });
    }
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

  /** A node's process is no more. */
  died(node: number): void {
    this.#node(node).status = null;
  }

  recovered(id: number, recovered: RecoveredLog): void {
    if (!this.#isLive()) return;
    const node = this.#node(id);
    const found = new LogPicture();
    found.takeRecovered(recovered);
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
    for (const picture of [durable, handed]) picture.takeRecovered(recovered);
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
    const persist = ready?.persist ?? null;
    if (persist !== null) this.#handed(node, status, persist);
    if (ready !== null && ready.loads.length > 0) this.#coverage.count("entriesReadBack");
    this.#stands(node, status, persist);
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
    assert(node.underWay !== null, `node ${id} confirms a write that is under way`);
    assert(node.underWay.lastIndex === index && node.underWay.lastTerm === term, "it is that write");
    node.durable.take(node.underWay);
    node.underWay = null;
  }

  noticed(state: RareState): void {
    if (this.#isLive()) this.#coverage.count(state);
  }

  applied(
    machine: StateMachine,
    index: number,
    what: { readonly command: Command | null; readonly result: CommandResult } | null,
  ): void {
    if (!this.#isLive()) return;
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
    const { hardState, entries } = persist;
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
    }
    node.handed.take(persist);
    for (const entry of entries) this.#checkEntry(entry, node.handed.terms[entry.index - 2] ?? 0);
    node.underWay = persist;
  }

  /** Log matching: an entry's term and index name it, and with it all before it. */
  #checkEntry(entry: Entry, previousTerm: number): void {
    const key = `${entry.index}@${entry.term}`;
    const hash = hashBytes(entry.data, hashNumbers([previousTerm, entry.kind.length]));
    const known = this.#entries.get(key);
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
      this.#coverage.count("leadersResigned");
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
    const holders = [...this.#nodes].filter(([, { durable }]) => durable.terms[index - 1] === own);
    this.#check(
      holders.length * 2 > this.#nodes.size,
      `node ${id} commits ${index}@${own}, durable only on [${holders.map(([holder]) => holder)}]`,
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
    const node = this.#nodes.get(id);
    assert(node !== undefined, "only members take part");
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

function messageText(message: Message): string {
  const head = `${message.kind} of term ${message.term} from n${message.from}`;
  switch (message.kind) {
    case "appendEntries":
      return `${head}: ${message.entries.length} after ${message.prevLogIndex}@${message.prevLogTerm}, commit ${message.leaderCommit}`;
    case "appendEntriesResponse":
      return message.result.kind === "accepted"
        ? `${head}: has up to ${message.result.matchIndex}`
        : `${head}: rejected after ${message.result.prevLogIndex}, hint ${message.result.conflictIndex}@${message.result.conflictTerm}`;
    case "requestVote":
    case "preVote":
      return `${head}: log ends at ${message.lastLogIndex}@${message.lastLogTerm}`;
    case "requestVoteResponse":
    case "preVoteResponse":
      return `${head}: ${message.granted ? "granted" : "refused"}`;
    case "heartbeat":
    case "heartbeatResponse":
      return `${head}: round ${message.round}`;
    case "readIndexResponse":
      return `${head}: ${message.index}`;
    case "timeoutNow":
    case "readIndex":
      return head;
    case "installSnapshot":
      return `${head}: up to ${message.snapshot.index}@${message.snapshot.term}`;
  }
}
