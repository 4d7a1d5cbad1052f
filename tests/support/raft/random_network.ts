/**
 * A small random cluster of bare cores: nodes without I/O over a network that loses, repeats, reorders and cuts,
 * and disks whose writes end later or not at all. Nodes take snapshots and cut their logs, operators ask for other
 * members. One seed decides everything, so a failure can be run again.
 *
 * A run has two parts. In the first, chance decides every step, and {@link RaftInvariants} watches. In the second a
 * majority (of every configuration that may decide) drawn by chance is healed for good while the rest stays dead or half deaf, and the majority must come to
 * work again.
 */
import { assertEquals } from "@std/assert";
import {
  type Entry,
  type Message,
  type NodeId,
  type RaftLimits,
  type Ready,
  type SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import { configurationOf, configurationText, TEXT_CODEC } from "./configuration.ts";
import { RaftDisk } from "./disk.ts";
import { drawRaftFaults, type RaftFaults } from "./random_faults.ts";
import { RaftInvariants } from "./invariants.ts";
import { hasMajorities } from "./promises.ts";
import { CoreNode } from "./core_node.ts";
import { observeCore } from "./core_probes.ts";
import { randomTarget } from "./random_changes.ts";
import { entryText, messageText, persistText, snapshotText, statusText } from "./text.ts";
import { SeededRandom } from "../seeded_random.ts";

/** Small, so that every bound is met within a short run. */
const LIMITS: RaftLimits = {
  appendBytes: 100,
  inflightMessages: 3,
  inflightBytes: 250,
  uncommittedBytes: 400,
  entryCacheBytes: 120,
  applyBytes: 150,
  pendingReads: 4,
};
const ELECTION_TICKS = 3;
/** In steps of the run. Ticks come as they like: what a lease promises does not depend upon them. */
const LEASE_MS = 400;
/** How much faster or slower than the run's clock a node's is. */
const CLOCK_DRIFT = 0.04;
const MAX_IN_FLIGHT = 60;
const MAX_NODES = 8;
const MAX_QUIET_MOVES = 2_000;
/** A snapshot that did not arrive is sent again after so many rounds. */
const SNAPSHOT_ROUNDS = 4;
/** Generous: an election takes two timeouts, a follower that lags some more. */
const MAX_LIVENESS_ROUNDS = 60 * ELECTION_TICKS;

class SimulatedNode extends CoreNode {
  /** Its status as the trace showed it last. */
  shown = "";
  appliedIndex = 0;
  /** The snapshot that is being written; it stands for the state of a while ago by the time it is durable. */
  snapshotUnderWay: SnapshotMetadata | null = null;
  confirmedReads = 0;
}

/** One run. Its invariants see all cores of the program until it is disposed of. */
export class RaftNetwork implements Disposable {
  readonly #invariants: RaftInvariants;
  readonly #stopObserving: () => void;
  /** Every entry that was given out to be applied. */
  readonly #applied: Entry[] = [];
  /** Everything that happened, latest last; kept only when asked for. */
  readonly trace: string[] = [];
  readonly #traces: boolean;
  readonly #random: SeededRandom;
  readonly #faults: RaftFaults;
  readonly #nodes: SimulatedNode[] = [];
  #inFlight: Message[] = [];
  readonly #cuts = new Set<string>();
  /** How fast time passes beside deliveries, in steps of 1000. */
  readonly #tickWeight: number;
  /** Whether reads are answered under leases: in every second run. */
  readonly #leases: boolean;
  #nowMs = 0;
  #proposals = 0;

  constructor(seed: number, options: { trace: boolean }) {
    this.#traces = options.trace;
    this.#random = new SeededRandom(seed);
    this.#leases = seed % 2 === 0;
    const random = this.#random;
    this.#faults = drawRaftFaults(random);
    this.#tickWeight = random.pick([60, 120, 240]);
    const size = random.pick([1, 2, 3, 3, 3, 4, 5, 5]);
    this.#note(`${size} nodes, ${JSON.stringify(this.#faults)}`);
    const founding = configurationOf({ voters: Array.from({ length: size }, (_, position) => position + 1) });
    this.#invariants = new RaftInvariants({
      founding,
      codec: TEXT_CODEC,
      violated: (message) => {
        throw new Error(message);
      },
      trace: () => {},
    });
    this.#stopObserving = observeCore(this.#invariants);
    for (let count = 0; count < size; count++) this.#addNode(new RaftDisk({ founding }));
  }

  [Symbol.dispose](): void {
    this.#stopObserving();
  }

  /** Lets chance decide `steps` steps. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#nowMs++;
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
      this.#nowMs += LEASE_MS / ELECTION_TICKS;
      for (const node of this.#nodes) node.raft?.tick();
      this.#becomeQuiet();
      const leader = majority.find(({ raft }) => raft?.isLeader === true)?.raft ?? null;
      if (leader !== null && leader.term > proposedIn && leader.propose(last).kind === "accepted") {
        proposedIn = leader.term;
      }
      for (const { raft } of unread.keys()) raft?.readIndex();
      this.#becomeQuiet();
      for (const [node, reads] of unread) if (node.confirmedReads > reads) unread.delete(node);
      if (round % SNAPSHOT_ROUNDS === 0) this.#giveUpSnapshots();
      const members = this.#settledMembers();
      const position = this.#applied.findLastIndex(({ data }) => data === last);
      const served = majority.filter(({ id }) => members.includes(id));
      const applied = position >= 0 && served.every(({ appliedIndex }) => appliedIndex > position);
      if (members.length > 0 && applied && served.every((node) => !unread.has(node))) return;
    }
    throw new Error(`The majority [${majority.map(({ id }) => id)}] did not recover`);
  }

  #randomStep(node: SimulatedNode): void {
    const random = this.#random;
    const dice = random.below(1_000);
    if (dice < this.#tickWeight) node.raft?.tick();
    else if (dice < 650) this.#deliverOne();
    else if (dice < 800) this.#endWrite(node);
    else if (dice < 850) node.endEntryRead(this.#random.below(node.entryReads.length));
    else if (dice < 910) this.#propose(node);
    else if (dice < 930) this.#moveSnapshot(node);
    else if (dice < 960) node.raft?.readIndex();
    else this.#rareStep(node);
    this.#showStatus(node);
  }

  #rareStep(chosen: SimulatedNode): void {
    const random = this.#random;
    const { crashes, cuts, transfers, changes } = this.#faults;
    // What happens to a leader matters most.
    const leader = this.#nodes.find(({ raft }) => raft?.isLeader === true) ?? chosen;
    const node = random.chance(0.5) ? leader : chosen;
    const other = random.pick(this.#nodes);
    if (this.#leases && random.chance(0.5)) return this.#attackLease(leader, other);
    switch (random.below(12)) {
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
        if (random.chance(0.2)) node.raft?.reportUnreachable(other.id);
        if (node.disk.underWay !== null && random.chance(0.2)) node.raft?.storageStalled();
        return;
      case 6:
        return this.#makeImpatient(other);
      case 7:
        return node.raft?.snapshotFailed(other.id);
      default:
        if (changes) this.#change(node);
    }
  }

  /** Tempts voters to break their lease, while the leader does not learn of it. */
  #attackLease(leader: SimulatedNode, other: SimulatedNode): void {
    switch (this.#random.below(4)) {
      case 0:
        for (const { id } of this.#nodes) this.#cuts.add(`${id}>${leader.id}`).add(`${leader.id}>${id}`);
        return;
      case 1:
        if (other === leader) return;
        this.#crash(other);
        return this.#start(other);
      case 2:
        for (const node of this.#nodes) if (node !== leader) this.#makeImpatient(node);
        return;
      case 3:
        leader.raft?.transferLeadership(null);
    }
  }

  /** For this node, an election timeout has passed. */
  #makeImpatient(node: SimulatedNode): void {
    for (let tick = 0; tick < 2 * ELECTION_TICKS; tick++) {
      node.raft?.tick();
      this.#showStatus(node);
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

  /** An operator asks for other members; a node that is to be new is started before. */
  #change(node: SimulatedNode): void {
    if (node.raft?.isLeader !== true) return;
    const joining = this.#nodes.length < MAX_NODES ? this.#nodes.length + 1 : null;
    const target = randomTarget(this.#random, node.raft.configuration, joining);
    if (target === null || node.raft.configuration.confState.votersOutgoing.length > 0) return;
    if (target.members.some(({ id }) => id === joining)) this.#addNode(new RaftDisk());
    const proposed = node.raft.proposeConfiguration(target);
    const outcome = proposed.kind === "accepted" ? `${proposed.index}@${proposed.term}` : proposed.reason;
    this.#note(`${node.id} is asked for ${configurationText(target)}: ${outcome}`);
  }

  #addNode(disk: RaftDisk): void {
    const node = new SimulatedNode(this.#nodes.length + 1, disk);
    this.#nodes.push(node);
    this.#start(node);
  }

  /** Begins a snapshot of what is applied, or ends the one that was begun, and cuts the log somewhere before it. */
  #moveSnapshot(node: SimulatedNode): void {
    const { raft, disk, appliedIndex } = node;
    if (raft === null || !this.#faults.snapshots) return;
    const snapshot = node.snapshotUnderWay;
    if (snapshot === null) {
      // The core is ahead of the state machine while a received snapshot waits to be taken over.
      if (appliedIndex <= raft.status().snapshotIndex) return;
      const term = this.#applied[appliedIndex - 1]?.term ?? 0;
      const configuration = raft.configurationAt(appliedIndex);
      // A node that was added does not know the founding configuration: its snapshots wait for a later one.
      if (configuration.members.length === 0) return;
      node.snapshotUnderWay = { index: appliedIndex, term, configuration };
      return;
    }
    node.snapshotUnderWay = null;
    // One that was received meanwhile may be newer.
    if (snapshot.index <= raft.status().snapshotIndex) return;
    node.keepSnapshot(snapshot, Math.max(0, snapshot.index - this.#random.below(5)));
    this.#note(
      `${node.id} has the snapshot ${snapshotText(snapshot)}, and its log after ${disk.compacted.index}`,
    );
  }

  /** The sender of a snapshot notices that it does not arrive. */
  #giveUpSnapshots(): void {
    for (const { raft } of this.#nodes) {
      for (const { id, kind } of raft?.status().peers ?? []) {
        if (kind === "snapshot") raft?.snapshotFailed(id);
      }
    }
  }

  /** The members by the newest leader's configuration, once that is committed and not a joint one; else none. */
  #settledMembers(): readonly NodeId[] {
    const leaders = this.#nodes.flatMap(({ raft }) => raft?.isLeader === true ? [raft] : []);
    const leader = leaders.sort((a, b) => b.term - a.term)[0];
    if (leader === undefined || leader.configuration !== leader.committedConfiguration) return [];
    const { confState, members } = leader.configuration;
    return confState.votersOutgoing.length > 0 ? [] : members.map(({ id }) => id);
  }

  #start(node: SimulatedNode): void {
    const { hardState, compacted, entries } = node.disk;
    this.#note(
      `${node.id} starts: ${
        JSON.stringify(hardState)
      }, ${entries.length} entries after ${compacted.index}@${compacted.term}`,
    );
    const speed = 1 + CLOCK_DRIFT * (node.id % 3 - 1);
    const now = (): number => node.id * 1_000 + this.#nowMs * speed;
    const cachedEntries = this.#random.below(4);
    this.#invariants.recovered(node.id, node.disk.recovered(cachedEntries));
    node.start({
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      random: () => this.#random.next(),
      limits: LIMITS,
      lease: this.#leases ? { durationMs: LEASE_MS, now } : null,
    }, cachedEntries);
    node.shown = "";
    node.appliedIndex = node.disk.snapshot.index;
  }

  #crash(node: SimulatedNode): void {
    if (node.raft === null) return;
    const records = (node.disk.underWay?.entries.length ?? 0) + 3;
    node.crash(this.#random.below(records));
    this.#invariants.died(node.id);
    this.#note(`${node.id} crashes`);
    node.snapshotUnderWay = null;
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
    const ignored = receiver.raft.step(message);
    this.#note(
      `${messageText(message)}${ignored === null ? "" : ` (${ignored})`}`,
    );
    this.#showStatus(receiver);
  }

  #endWrite(node: SimulatedNode): void {
    if (node.raft === null || node.disk.underWay === null) return;
    const { lastIndex, lastTerm, messagesAfterSync } = node.endWrite();
    this.#note(`${node.id} has synced up to ${lastIndex}@${lastTerm}`);
    for (const message of messagesAfterSync) this.#send(message);
    this.#showStatus(node);
  }

  #propose(node: SimulatedNode): void {
    if (node.raft?.isLeader !== true) return;
    this.#proposals++;
    node.raft.propose(new TextEncoder().encode(`${this.#proposals}`.padEnd(this.#random.below(60), ".")));
  }

  #send(message: Message): void {
    if (this.#inFlight.length >= MAX_IN_FLIGHT) this.#inFlight.splice(this.#random.below(MAX_IN_FLIGHT), 1);
    this.#inFlight.push(message);
  }

  /** Carries out one Ready; false when there was nothing to do. */
  #carryOut(node: SimulatedNode): boolean {
    const ready = node.takeReady();
    if (ready === null) return false;
    this.#showStatus(node);
    if (ready.persist !== null) this.#note(`${node.id} writes ${persistText(ready.persist)}`);
    for (const message of ready.messages) this.#send(message);
    this.#applyAndAnswer(node, ready);
    for (const message of node.snapshotMessages(ready)) this.#send(message);
    if (!this.#faults.slowDisks && this.#random.chance(0.8)) this.#endWrite(node);
    return true;
  }

  #applyAndAnswer(node: SimulatedNode, { restore, committed, reads }: Ready): void {
    if (restore !== null) node.appliedIndex = restore.index;
    for (const entry of committed) {
      const known = this.#applied[entry.index - 1] ??= entry;
      assertEquals(entryText(entry), entryText(known), `node ${node.id} applies what the others apply`);
      node.appliedIndex = entry.index;
    }
    node.confirmedReads += reads.filter(({ index }) => index !== null).length;
  }

  #showStatus(node: SimulatedNode): void {
    if (!this.#traces || node.raft === null) return;
    const text = statusText(node.raft.status());
    if (text !== node.shown) this.#note(`${node.id} is ${text}`);
    node.shown = text;
  }

  /** All of a majority is up and connected; of each other node either nothing is left, or others receive its messages and it receives none. */
  #healMajority(): readonly SimulatedNode[] {
    const random = this.#random;
    const shuffled = this.#nodes.map((node) => ({ node, key: random.next() })).sort((a, b) => a.key - b.key);
    const order = shuffled.map(({ node }) => node);
    const inMemory = this.#nodes.flatMap(({ raft }) => raft === null ? [] : [raft.configuration]);
    const deciding = [...this.#invariants.deciding, ...inMemory];
    let size = 0;
    while (size < order.length) {
      const healed = new Set(order.slice(0, ++size).map(({ id }) => id));
      if (deciding.every((one) => hasMajorities(one, (node) => healed.has(node)))) break;
    }
    size += random.below(order.length - size + 1);
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
        moved = node.disk.underWay !== null || node.entryReads.length > 0 || moved;
        this.#endWrite(node);
        while (node.entryReads.length > 0) node.endEntryRead(this.#random.below(node.entryReads.length));
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
