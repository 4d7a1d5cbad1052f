/**
 * A small random world for the bare core: nodes without I/O over a network that loses, repeats, reorders and cuts,
 * and disks whose writes end later or not at all. One seed decides everything, so a failure can be run again.
 *
 * A run has two parts. In the first, chance decides every step, and {@link RaftInvariants} watches. In the second a
 * majority drawn by chance is healed for good while the rest stays dead or half deaf, and the majority must come to
 * work again.
 */
import { assert } from "@std/assert";
import {
  type Entry,
  type Load,
  type Message,
  type NodeId,
  Raft,
  type RaftLimits,
  type RaftStatus,
  type Ready,
} from "../../lib/raft/mod.ts";
import { RaftDisk } from "./raft_disk.ts";
import { RaftInvariants } from "./raft_invariants.ts";
import { messageText, persistText, statusText } from "./raft_text.ts";
import { SeededRandom } from "./seeded_random.ts";

/** Small, so that every bound is met within a short run. */
const LIMITS: RaftLimits = {
  appendBytes: 100,
  inflightMessages: 3,
  inflightBytes: 250,
  uncommittedBytes: 400,
  tailBytes: 120,
  applyBytes: 150,
  pendingReads: 4,
};
const ELECTION_TICKS = 3;
const MAX_IN_FLIGHT = 60;
const MAX_QUIET_MOVES = 2_000;
/** Generous: an election takes two timeouts, a follower that lags some more. */
const MAX_LIVENESS_ROUNDS = 60 * ELECTION_TICKS;

interface SimulatedNode {
  readonly id: NodeId;
  readonly disk: RaftDisk;
  /** null while crashed. */
  raft: Raft | null;
  last: RaftStatus | null;
  appliedIndex: number;
  /** Loads under way, with what the disk held when they began. */
  loads: { readonly load: Load; readonly entries: readonly Entry[] }[];
  /** Reads that were accepted, and what was committed anywhere when they came in. */
  reads: Map<number, number>;
  confirmedReads: number;
}

/** Faults of a run: each seed turns some of them off, so that the others meet in rare ways (swarm testing). */
interface Faults {
  readonly loss: number;
  readonly repetition: number;
  readonly reordering: boolean;
  readonly cuts: boolean;
  readonly crashes: boolean;
  readonly slowDisks: boolean;
  readonly transfers: boolean;
}

/** One run. */
export class RaftNetwork {
  readonly invariants: RaftInvariants;
  /** What happened, latest last; kept only when asked for. */
  readonly trace: string[] = [];
  readonly #traces: boolean;
  readonly #random: SeededRandom;
  readonly #faults: Faults;
  readonly #nodes: readonly SimulatedNode[];
  #inFlight: Message[] = [];
  readonly #cuts = new Set<string>();
  /** How fast time passes beside deliveries, in steps of 1000. */
  readonly #tickWeight: number;
  #proposals = 0;

  constructor(seed: number, options: { trace: boolean }) {
    this.#traces = options.trace;
    this.#random = new SeededRandom(seed);
    const random = this.#random;
    this.#faults = {
      loss: random.pick([0, 0.05, 0.3]),
      repetition: random.pick([0, 0.1, 0.4]),
      reordering: random.chance(0.5),
      cuts: random.chance(0.5),
      crashes: random.chance(0.6),
      slowDisks: random.chance(0.5),
      transfers: random.chance(0.5),
    };
    this.#tickWeight = random.pick([60, 120, 240]);
    const size = random.pick([1, 2, 3, 3, 3, 4, 5, 5]);
    this.#nodes = Array.from({ length: size }, (_, position): SimulatedNode => ({
      id: position + 1,
      disk: new RaftDisk(),
      raft: null,
      last: null,
      appliedIndex: 0,
      loads: [],
      reads: new Map(),
      confirmedReads: 0,
    }));
    this.invariants = new RaftInvariants(new Map(this.#nodes.map(({ id, disk }) => [id, disk])));
    this.#note(`${size} nodes, ${JSON.stringify(this.#faults)}`);
    for (const node of this.#nodes) this.#start(node);
  }

  /** Lets chance decide `steps` steps. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const node = this.#random.pick(this.#nodes);
      this.#randomStep(node);
      if (this.#random.chance(0.7)) this.#carryOut(node);
    }
  }

  /** Heals a majority for good, and demands that it works: a new write, applied by all, and a read by each. */
  mustRecover(): void {
    const majority = this.#healMajority();
    const last = new TextEncoder().encode("the last");
    const unread = new Map(majority.map((node) => [node, node.confirmedReads]));
    let proposedIn = 0;
    for (let round = 0; round < MAX_LIVENESS_ROUNDS; round++) {
      for (const node of this.#nodes) node.raft?.tick();
      this.#becomeQuiet();
      const leader = majority.find(({ raft }) => raft?.isLeader === true)?.raft ?? null;
      if (leader !== null && leader.term > proposedIn && leader.propose(last).kind === "accepted") {
        proposedIn = leader.term;
      }
      for (const node of unread.keys()) this.#read(node);
      this.#becomeQuiet();
      for (const [node, reads] of unread) if (node.confirmedReads > reads) unread.delete(node);
      const position = this.invariants.committed.findLastIndex(({ data }) => data === last);
      const applied = position >= 0 && majority.every(({ appliedIndex }) => appliedIndex > position);
      if (applied && unread.size === 0) return;
    }
    throw new Error(`The majority [${majority.map(({ id }) => id)}] did not recover`);
  }

  #randomStep(node: SimulatedNode): void {
    const random = this.#random;
    const dice = random.below(1_000);
    if (dice < this.#tickWeight) node.raft?.tick();
    else if (dice < 650) this.#deliverOne();
    else if (dice < 800) this.#endWrite(node);
    else if (dice < 850) this.#endLoad(node);
    else if (dice < 920) this.#propose(node);
    else if (dice < 960) this.#read(node);
    else this.#rareStep(node);
    this.#observe(node);
  }

  #rareStep(someone: SimulatedNode): void {
    const random = this.#random;
    const { crashes, cuts, transfers } = this.#faults;
    // What happens to a leader matters most.
    const leader = this.#nodes.find(({ raft }) => raft?.isLeader === true) ?? someone;
    const node = random.chance(0.5) ? leader : someone;
    const other = random.pick(this.#nodes);
    switch (random.below(7)) {
      case 0:
        if (crashes && random.chance(0.5)) this.#crash(node);
        return;
      case 1:
        for (const one of this.#nodes) if (one.raft === null && random.chance(0.5)) this.#start(one);
        return;
      case 2:
        if (cuts) this.#cut(node, other);
        return;
      case 3:
        this.#cuts.clear();
        return;
      case 4:
        if (transfers) node.raft?.transferLeadership(random.chance(0.5) ? null : other.id);
        return;
      case 5:
        node.raft?.messagesLost(other.id);
        if (node.disk.underWay !== null && random.chance(0.2)) node.raft?.storageStalled();
        return;
      case 6:
        // An impatient node: for it, an election timeout has passed.
        for (let tick = 0; tick < 2 * ELECTION_TICKS; tick++) other.raft?.tick();
    }
  }

  /** Cuts one way between two nodes, both ways, or a node off from all others. */
  #cut(node: SimulatedNode, other: SimulatedNode): void {
    const peers = this.#random.chance(0.5) ? [other] : this.#nodes;
    const bothWays = this.#random.chance(0.7);
    for (const { id } of peers) {
      this.#cuts.add(`${node.id}>${id}`);
      if (bothWays) this.#cuts.add(`${id}>${node.id}`);
    }
  }

  #start(node: SimulatedNode): void {
    this.#note(
      `${node.id} starts: ${JSON.stringify(node.disk.hardState)}, ${node.disk.entries.length} entries`,
    );
    node.raft = new Raft({
      id: node.id,
      confState: { voters: this.#nodes.map(({ id }) => id), learners: [], votersOutgoing: [] },
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      random: () => this.#random.next(),
      limits: LIMITS,
      recovered: node.disk.recovered(this.#random.below(4)),
    });
    node.last = null;
    node.appliedIndex = 0;
  }

  #crash(node: SimulatedNode): void {
    if (node.raft === null) return;
    const before = node.disk.hardState;
    const records = (node.disk.underWay?.entries.length ?? 0) + 2;
    node.disk.crash(this.#random.below(records));
    this.invariants.wrote(node.id, before);
    this.#note(`${node.id} crashes`);
    node.raft = null;
    node.loads = [];
    node.reads.clear();
  }

  #deliverOne(): void {
    const random = this.#random;
    if (this.#inFlight.length === 0) return;
    const picked = random.pick(this.#inFlight);
    const position = this.#faults.reordering
      ? this.#inFlight.indexOf(picked)
      : this.#inFlight.findIndex(({ from, to }) => from === picked.from && to === picked.to);
    const [message] = random.chance(this.#faults.repetition)
      ? this.#inFlight.slice(position, position + 1)
      : this.#inFlight.splice(position, 1);
    if (message !== undefined && !random.chance(this.#faults.loss)) this.#deliver(message);
  }

  #deliver(message: Message): void {
    const receiver = this.#nodes[message.to - 1];
    const cut = this.#cuts.has(`${message.from}>${message.to}`);
    if (receiver === undefined || receiver.raft === null || cut) return;
    const disposition = receiver.raft.step(message);
    this.#note(
      `${messageText(message, (_, readId) => String(readId))}${
        disposition === null ? "" : ` (${disposition})`
      }`,
    );
    this.#observe(receiver);
  }

  #endWrite(node: SimulatedNode): void {
    const { disk, raft } = node;
    if (raft === null || disk.underWay === null) return;
    const before = disk.hardState;
    const { lastIndex, lastTerm, messagesAfter } = disk.complete();
    this.#note(`${node.id} has synced up to ${lastIndex}@${lastTerm}`);
    this.invariants.wrote(node.id, before);
    for (const message of messagesAfter) this.#send(message);
    raft.persisted(lastIndex, lastTerm);
    this.#observe(node);
  }

  #endLoad(node: SimulatedNode): void {
    const [ended] = node.loads.splice(this.#random.below(node.loads.length), 1);
    if (ended !== undefined) node.raft?.loaded(ended.load, ended.entries);
  }

  #propose(node: SimulatedNode): void {
    if (node.raft?.isLeader !== true) return;
    this.#proposals++;
    node.raft.propose(new TextEncoder().encode(`${this.#proposals}`.padEnd(this.#random.below(60), ".")));
  }

  #read(node: SimulatedNode): void {
    const requested = node.raft?.readIndex();
    if (requested?.kind === "accepted") node.reads.set(requested.readId, this.invariants.commitIndex);
  }

  #send(message: Message): void {
    this.invariants.sent(message);
    if (this.#inFlight.length >= MAX_IN_FLIGHT) this.#inFlight.splice(this.#random.below(MAX_IN_FLIGHT), 1);
    this.#inFlight.push(message);
  }

  /** Carries out one Ready; false when there was nothing to do. */
  #carryOut(node: SimulatedNode): boolean {
    const ready = node.raft?.takeReady() ?? null;
    if (ready === null) return false;
    this.#observe(node);
    if (ready.persist !== null) {
      this.#note(`${node.id} writes ${persistText(ready.persist)}`);
      node.disk.begin(ready.persist);
    }
    for (const message of ready.messages) this.#send(message);
    this.#applyAndAnswer(node, ready);
    for (const load of ready.loads) node.loads.push({ load, entries: node.disk.read(load) });
    if (!this.#faults.slowDisks && this.#random.chance(0.8)) this.#endWrite(node);
    return true;
  }

  #applyAndAnswer(node: SimulatedNode, { committed, reads }: Ready): void {
    for (const entry of committed) {
      assert(entry.index === node.appliedIndex + 1, "entries are applied one by one");
      this.invariants.applies(node.id, entry);
      node.appliedIndex = entry.index;
    }
    for (const { readId, index } of reads) {
      const commitIndex = node.reads.get(readId);
      assert(commitIndex !== undefined, "a read is answered once");
      node.reads.delete(readId);
      if (index === null) continue;
      this.invariants.answers(node.id, index, commitIndex);
      node.confirmedReads++;
    }
  }

  #observe(node: SimulatedNode): void {
    if (node.raft === null) return;
    const status = node.raft.status();
    const text = statusText(status);
    if (node.last === null || text !== statusText(node.last)) this.#note(`${node.id} is ${text}`);
    this.invariants.stands(status, node.last);
    node.last = status;
  }

  /** All of a majority is up and connected; of each other node either nothing is left, or it is heard but hears nothing. */
  #healMajority(): readonly SimulatedNode[] {
    const random = this.#random;
    const shuffled = this.#nodes.map((node) => ({ node, key: random.next() })).sort((a, b) => a.key - b.key);
    const order = shuffled.map(({ node }) => node);
    const size = Math.floor(order.length / 2) + 1 + random.below(order.length - Math.floor(order.length / 2));
    const majority = order.slice(0, size);
    this.#cuts.clear();
    for (const lost of order.slice(size)) {
      if (random.chance(0.5)) this.#crash(lost);
      for (const { id } of majority) this.#cuts.add(`${id}>${lost.id}`);
    }
    for (const node of majority) if (node.raft === null) this.#start(node);
    this.#note(`healed for good: [${majority.map(({ id }) => id)}]`);
    return majority;
  }

  /** Carries out everything until nothing moves. */
  #becomeQuiet(): void {
    for (let move = 0; move < MAX_QUIET_MOVES; move++) {
      let moved = false;
      for (const node of this.#nodes) {
        moved = this.#carryOut(node) || moved;
        moved = node.disk.underWay !== null || node.loads.length > 0 || moved;
        this.#endWrite(node);
        while (node.loads.length > 0) this.#endLoad(node);
      }
      const arriving = this.#inFlight;
      this.#inFlight = [];
      for (const message of arriving) this.#deliver(message);
      if (!moved && arriving.length === 0) return;
    }
    throw new Error("The nodes do not come to rest");
  }

  #note(line: string): void {
    if (this.#traces) this.trace.push(line);
  }
}
