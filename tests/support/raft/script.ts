/**
 * Golden scripts of the consensus core: readable steps, and under each the reactions of the nodes.
 *
 * A line that begins with `>` is a step, one that begins with two spaces is its output, every other line is prose.
 * {@link runScript} executes the steps and returns the text with the actual output: equal to its input when the core
 * behaves as written.
 *
 *     > nodes 3 election=10 heartbeat=2   nodes 1 to 3; limits may follow (appendBytes=…, entryCacheBytes=…, …)
 *     > recover 2 term=4 log=1,1,4        restarts node 2 from a disk with entries of these terms (commit=…, cached=…)
 *     > timeout 1 12                      election timeouts of node 1 from its next role on, in ticks
 *     > tick 1 10                         time passes for node 1 (`all` for every node)
 *     > elect 1                           all time out, node 1 first; everything is delivered, without output
 *     > propose 1 a | read 2 | transfer 1 3 (or `any`)
 *     > ready 1                           carries out one Ready: writes and syncs, sends, applies, answers
 *     > deliver 1 2                       what is in flight from 1 to 2 arrives (only one kind, if named)
 *     > settle                            readies and deliveries until nothing moves
 *     > drop | delay | duplicate 1 2      in flight from 1 to 2: lost, kept back, or copied and the copy kept back
 *     > repeat 1 2                        what is in flight from 1 to 2 arrives, and a copy is still in flight
 *                                         (of all these only the second, with `#2` at the end)
 *     > arrive                            what was kept back arrives (only the last of it: `arrive last`)
 *     > cut 1 2 | heal 1 2                both ways; `cut 1>2` one way
 *     > reconnect 1 2                     node 1 learns that messages to 2 may have been lost
 *     > unreachable 2 1                   node 2 learns that no process listens at the address of node 1
 *     > disk-space 1 no                   node 1 learns whether its disk has space (yes or no)
 *     > transfer-from-full-disk 1         node 1 transfers leadership to a node with disk space
 *     > hold-disk 1 | release-disk 1      syncs of node 1 wait until they are released
 *     > stall-disk 1                      the disk of node 1 reports that it can't complete the write in flight
 *     > hold-entry-reads 1 | release-entry-reads 1    reads of entries from node 1's disk complete when released
 *     > crash 1 | restart 1               what was not synced is lost
 *     > log 1 | peers 1 | status          the log on node 1's disk; its view of the others; the state of all nodes
 *     > join 4                            a new node, which belongs to no cluster yet
 *     > configure 1 voters=1,2 learners=4 proposes this configuration at node 1 (removed=… may follow)
 *     > compact 1 upto=3                  node 1 takes a snapshot at its applied index and drops its log up to 3 (default: all)
 *     > snapshot-failed 1 4               node 1 learns that sending a snapshot to 4 has failed
 *
 * A snapshot is sent at once and arrives as installSnapshot, complete or not at all. A node's configuration is shown
 * only where it differs from the initial one.
 *
 * Steps may share a line (`> ready 1; deliver 1 2`). `quietly` before them replaces their output by the state of the
 * changed nodes afterwards.
 */
import { assert } from "@std/assert";
import {
  DEFAULT_LIMITS,
  type Message,
  type NodeId,
  type Raft,
  type RaftLimits,
  type Ready,
} from "../../../lib/raft/mod.ts";
import { configurationOf, configurationText, parseConfiguration } from "./configuration.ts";
import { RaftDisk } from "./disk.ts";
import { assignments, contentOf, links, ScriptNode } from "./script_node.ts";
import {
  entriesText,
  entryText,
  messageText,
  peerText,
  persistText,
  snapshotText,
  statusText,
} from "./text.ts";

/** Runs the steps of a script; returns its text with the output that they give now. */
export function runScript(source: string): string {
  const cluster = new ScriptCluster();
  const lines: string[] = [];
  for (const line of source.split("\n")) {
    if (line.startsWith("  ")) continue;
    lines.push(line);
    if (line.startsWith("> ")) lines.push(...cluster.execute(line.slice(2)).map((said) => `  ${said}`));
  }
  return lines.join("\n");
}

/** More rounds than this without settling are a loop. */
const MAX_SETTLE_MOVES = 10_000;

class ScriptCluster {
  readonly #nodes = new Map<NodeId, ScriptNode>();
  #electionTicks = 10;
  #heartbeatTicks = 2;
  #limits: RaftLimits = DEFAULT_LIMITS;
  #founding = configurationOf({ voters: [] });
  #inFlight: Message[] = [];
  #keptBack: Message[] = [];
  readonly #cuts = new Set<string>();
  readonly #readNames = new Map<string, string>();
  #said: string[] = [];
  #draws = 0;

  /** Executes the steps of a line; returns their output. */
  execute(step: string): readonly string[] {
    this.#said = [];
    const quietly = step.startsWith("quietly ");
    const act = (): void => {
      for (const one of (quietly ? step.slice("quietly ".length) : step).split("; ")) {
        const [command = "", ...args] = one.split(" ");
        this.#command(command, args);
        for (const node of this.#nodes.values()) this.#showChange(node);
      }
    };
    if (quietly) this.#quietly(act);
    else act();
    for (const node of this.#nodes.values()) this.#showChange(node);
    return this.#said;
  }

  #command(command: string, args: readonly string[]): void {
    const [first = "", second = ""] = args;
    switch (command) {
      case "nodes":
        return this.#makeNodes(Number(first), args.slice(1));
      case "join":
        return this.#join(Number(first));
      case "settle":
        return this.#settle();
      case "status":
        return this.#sayStatus();
      case "deliver":
      case "drop":
      case "delay":
      case "duplicate":
      case "repeat":
        return this.#handleMessages(command, args);
      case "arrive":
        return this.#arrive(first === "last");
      case "cut":
        for (const link of links(args)) this.#cuts.add(link);
        return;
      case "heal":
        if (args.length === 0) this.#cuts.clear();
        for (const link of links(args)) this.#cuts.delete(link);
        return;
      case "elect":
        return this.#quietly(() => this.#elect(Number(first)));
      case "tick":
        return this.#tick(first === "all" ? [...this.#nodes.keys()] : [Number(first)], Number(second || 1));
      default:
        return this.#nodeCommand(command, this.#node(Number(first)), args.slice(1));
    }
  }

  #nodeCommand(command: string, node: ScriptNode, args: readonly string[]): void {
    const [first = ""] = args;
    switch (command) {
      case "recover":
        return this.#recover(node, args);
      case "timeout":
        node.timeoutTicks = Number(first);
        return;
      case "log":
        return this.#sayLog(node);
      case "ready":
        if (!this.#takeReady(node)) this.#say(`${node.id} has nothing to do`);
        return;
      case "hold-disk":
        node.diskHeld = true;
        return;
      case "release-disk":
        node.diskHeld = false;
        if (node.disk.underWay !== null) this.#syncEnds(node);
        return;
      case "hold-entry-reads":
        node.entryReadsHeld = true;
        return;
      case "release-entry-reads":
        node.entryReadsHeld = false;
        while (node.entryReads.length > 0) node.endEntryRead();
        return;
      case "crash":
        return node.crash();
      case "restart":
        return this.#start(node);
      default:
        return this.#coreCommand(command, node, args);
    }
  }

  #coreCommand(command: string, node: ScriptNode, args: readonly string[]): void {
    const { id, raft } = node;
    const [argument = ""] = args;
    assert(raft !== null, `node ${id} is down`);
    switch (command) {
      case "propose": {
        const proposed = raft.propose(new TextEncoder().encode(argument));
        if (proposed.kind === "refused") this.#say(`${id} refuses: ${proposed.reason}`);
        else this.#say(`${id} takes it as ${proposed.index}@${proposed.term}`);
        return;
      }
      case "read": {
        const requested = raft.readIndex();
        if (requested.kind === "refused") this.#say(`${id} refuses the read`);
        else this.#say(`${id} takes it as ${this.#nameRead(id, requested.readId)}`);
        return;
      }
      case "transfer": {
        const target = raft.transferLeadership(argument === "any" ? null : Number(argument));
        this.#say(target === null ? `${id} refuses to transfer` : `${id} transfers to ${target}`);
        return;
      }
      case "configure": {
        const proposed = raft.proposeConfiguration(parseConfiguration(args.join(" ")));
        if (proposed.kind === "refused") this.#say(`${id} refuses: ${proposed.reason}`);
        else this.#say(`${id} takes it as ${proposed.index}@${proposed.term}`);
        return;
      }
      case "compact":
        return this.#compact(node, raft, Number(argument.split("=")[1] ?? node.applied.index));
      case "snapshot-failed":
        return raft.snapshotFailed(Number(argument));
      case "peers":
        for (const peer of raft.status().peers) this.#say(peerText(peer));
        return;
      case "reconnect":
        return raft.messagesLost(Number(argument));
      case "unreachable":
        return raft.reportUnreachable(Number(argument));
      case "stall-disk":
        return raft.storageStalled();
      case "disk-space":
        return raft.reportDiskSpace(argument === "yes");
      case "transfer-from-full-disk": {
        const target = raft.transferFromFullDisk();
        this.#say(target === null ? `${id} finds no node with disk space` : `${id} transfers to ${target}`);
        return;
      }
      default:
        throw new Error(`Cannot run the script: there is no step "${command}"`);
    }
  }

  #makeNodes(count: number, options: readonly string[]): void {
    const limits: Record<string, number> = { ...DEFAULT_LIMITS };
    for (const [name, value] of assignments(options)) {
      if (name === "election") this.#electionTicks = Number(value);
      else if (name === "heartbeat") this.#heartbeatTicks = Number(value);
      else {
        assert(name in limits, `there is no limit ${name}`);
        limits[name] = Number(value);
      }
    }
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    const ids = Array.from({ length: count }, (_, position) => position + 1);
    const founding = configurationOf({ voters: ids });
    this.#founding = founding;
    for (const id of ids) {
      this.#nodes.set(
        id,
        new ScriptNode(id, { disk: new RaftDisk({ founding }), timeoutTicks: this.#longestTimeout }),
      );
    }
    for (const node of this.#nodes.values()) {
      this.#start(node);
      node.shown = this.#statusText(node);
    }
  }

  get #longestTimeout(): number {
    return 2 * this.#electionTicks - 1;
  }

  #join(id: NodeId): void {
    const node = new ScriptNode(id, { disk: new RaftDisk(), timeoutTicks: this.#longestTimeout });
    this.#nodes.set(id, node);
    this.#start(node);
  }

  #recover(node: ScriptNode, options: readonly string[]): void {
    const given = new Map(assignments(options));
    node.cachedEntries = Number(given.get("cached") ?? Number.MAX_SAFE_INTEGER);
    node.disk = new RaftDisk({ founding: this.#founding, ...contentOf(given) });
    this.#start(node);
  }

  #start(node: ScriptNode): void {
    node.applied = node.disk.snapshot;
    node.start({
      electionTicks: this.#electionTicks,
      heartbeatTicks: this.#heartbeatTicks,
      random: () => this.#random(node),
      limits: this.#limits,
    }, node.cachedEntries);
  }

  /** Returns the election timeout that the script sets, but no number twice (read ids are drawn from it too). */
  #random(node: ScriptNode): number {
    this.#draws++;
    const fraction = (this.#draws * 0.618) % 1;
    return (node.timeoutTicks - this.#electionTicks + fraction * 0.99) / this.#electionTicks;
  }

  #tick(nodes: readonly NodeId[], count: number): void {
    for (let tick = 0; tick < count; tick++) {
      for (const id of nodes) this.#node(id).raft?.tick();
    }
  }

  #elect(id: NodeId): void {
    const others = [...this.#nodes.keys()].filter((other) => other !== id);
    this.#tick(others, this.#electionTicks);
    this.#tick([id], 2 * this.#electionTicks);
    this.#settle();
    this.#tick([id], this.#heartbeatTicks);
    this.#settle();
    assert(this.#node(id).raft?.isLeader === true, `node ${id} was elected`);
  }

  #settle(): void {
    for (let move = 0; move < MAX_SETTLE_MOVES; move++) {
      const worked = [...this.#nodes.values()].filter((node) => this.#takeReady(node));
      const arriving = this.#inFlight;
      this.#inFlight = [];
      for (const message of arriving) this.#deliver(message);
      if (worked.length === 0 && arriving.length === 0) return;
    }
    throw new Error("Cannot settle: the nodes do not come to rest");
  }

  /** Carries out the work of a node's Ready; returns false when there was none. */
  #takeReady(node: ScriptNode): boolean {
    const { id } = node;
    const ready = node.takeReady();
    if (ready === null) return false;
    if (ready.persist !== null) this.#say(`${id} writes ${persistText(ready.persist)}`);
    for (const message of ready.messages) this.#send(message);
    this.#applyAndAnswer(node, ready);
    for (const entryRead of ready.entryReads) {
      const use = entryRead.to === null ? "to apply" : `to send to ${entryRead.to}`;
      this.#say(`${id} reads back from ${entryRead.firstIndex} ${use}`);
      if (!node.entryReadsHeld) node.endEntryRead();
    }
    for (const { to, index } of ready.snapshots) {
      this.#say(`${id} has to send ${to} a snapshot, of ${index} or later`);
    }
    for (const message of node.snapshotMessages(ready)) this.#send(message);
    if (ready.persist !== null && !node.diskHeld) this.#syncEnds(node);
    return true;
  }

  #applyAndAnswer(node: ScriptNode, { restore, committed, reads }: Ready): void {
    const { id } = node;
    if (restore !== null) this.#say(`${id} becomes what the snapshot ${snapshotText(restore)} holds`);
    if (committed.length > 0) this.#say(`${id} applies ${committed.map(entryText).join(", ")}`);
    node.applied = committed.at(-1) ?? restore ?? node.applied;
    for (const { readId, index } of reads) {
      const name = this.#nameRead(id, readId);
      this.#say(index === null ? `${id} gives up ${name}` : `${id} may answer ${name} at index ${index}`);
    }
  }

  #compact(node: ScriptNode, raft: Raft, compactedIndex: number): void {
    const { index, term } = node.applied;
    const snapshot = { index, term, configuration: raft.configurationAt(index) };
    node.keepSnapshot(snapshot, compactedIndex);
    this.#say(`${node.id} has the snapshot ${snapshotText(snapshot)}`);
  }

  #sayLog({ id, disk: { compacted, entries } }: ScriptNode): void {
    const after = compacted.index === 0 ? "" : `, after ${compacted.index}@${compacted.term},`;
    this.#say(`${id} holds${after} ${entriesText(entries)}`);
  }

  #syncEnds(node: ScriptNode): void {
    const { lastIndex, lastTerm, messagesAfterSync } = node.endWrite();
    this.#say(`${node.id} has synced up to ${lastIndex}@${lastTerm}`);
    for (const message of messagesAfterSync) this.#send(message);
    this.#showChange(node);
  }

  #send(message: Message): void {
    const cut = this.#cuts.has(`${message.from}>${message.to}`);
    this.#say(this.#text(message) + (cut ? " (lost)" : ""));
    if (!cut) this.#inFlight.push(message);
  }

  #deliver(message: Message): void {
    const node = this.#node(message.to);
    if (node.raft === null) return;
    const ignored = node.raft.step(message);
    if (ignored !== null) {
      const { from, kind, term } = message;
      this.#say(`${node.id} ignores ${kind} term=${term} of ${from}: ${ignored}`);
    }
    this.#showChange(node);
  }

  #handleMessages(
    command: "deliver" | "repeat" | "drop" | "delay" | "duplicate",
    [from, to, which = ""]: readonly string[],
  ): void {
    const number = which.startsWith("#") ? Number(which.slice(1)) : null;
    const kind = number === null && which !== "" ? which : null;
    const alike = this.#inFlight.filter((message) =>
      message.from === Number(from) && message.to === Number(to) && (kind ?? message.kind) === message.kind
    );
    const meant = number === null ? alike : alike.slice(number - 1, number);
    assert(meant.length > 0, `no such message is in flight from ${from} to ${to}`);
    if (command === "delay" || command === "duplicate") this.#keptBack.push(...meant);
    if (command !== "duplicate" && command !== "repeat") {
      this.#inFlight = this.#inFlight.filter((message) => !meant.includes(message));
    }
    if (command === "deliver" || command === "repeat") {
      for (const message of meant) {
        this.#deliver(message);
      }
    }
  }

  #arrive(onlyLast: boolean): void {
    for (const message of this.#keptBack.splice(onlyLast ? -1 : 0)) {
      this.#say(this.#text(message));
      this.#deliver(message);
    }
  }

  #node(id: NodeId): ScriptNode {
    const node = this.#nodes.get(id);
    assert(node !== undefined, `there is no node ${id}`);
    return node;
  }

  #nameRead(node: NodeId, readId: number): string {
    const key = `${node}/${readId}`;
    const name = this.#readNames.get(key) ?? `r${this.#readNames.size + 1}`;
    this.#readNames.set(key, name);
    return name;
  }

  #text(message: Message): string {
    return messageText(message, { nameRead: (node, readId) => this.#nameRead(node, readId) });
  }

  #say(line: string): void {
    this.#said.push(line);
  }

  /** Hides the output of `act`, and shows the state of the changed nodes afterwards. */
  #quietly(act: () => void): void {
    const before = this.#said;
    const shown = new Map([...this.#nodes.values()].map((node) => [node, node.shown]));
    this.#said = [];
    act();
    this.#said = before;
    for (const [node, text] of shown) node.shown = text;
  }

  #showChange(node: ScriptNode): void {
    const text = this.#statusText(node);
    if (text === node.shown) return;
    node.shown = text;
    this.#say(`${node.id} is ${text}`);
  }

  #sayStatus(): void {
    for (const node of this.#nodes.values()) this.#say(`${node.id} is ${this.#statusText(node)}`);
  }

  #statusText({ raft }: ScriptNode): string {
    if (raft === null) return "down";
    const text = configurationText(raft.configuration);
    const members = text === configurationText(this.#founding)
      ? ""
      : ` ${text === "" ? "without members" : text}`;
    return statusText(raft.status()) + members;
  }
}
