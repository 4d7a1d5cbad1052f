/** The possible actions of a scenario and their results: states as words (layout.ts), with the nodes of node_table.ts. */
import { assert } from "../../lib/platform/assert.ts";
import type { Action } from "./action.ts";
import { type Committed, committedWith, isComplete, violationInCluster } from "./cluster_invariants.ts";
import {
  COUNTERS,
  COUNTS_WORD,
  FIRST_MESSAGE_WORD,
  LEADERS_WORD,
  MAX_COUNT,
  MAX_TERM,
  messageContent,
  messageFrom,
  messageTo,
  packMessage,
  packReads,
  positionOf,
  READS_WORD,
  relativeId,
  sortMessages,
  unpackReads,
} from "./layout.ts";
import { NodeTable, type Transition } from "./node_table.ts";
import type { DiskStart, Scenario } from "./scenario.ts";

/** The result of an action. */
export interface Outcome {
  readonly transition: Transition;
  /** The violated invariant, or null. */
  readonly broken: string | null;
  /** The state after it, without the messages. */
  readonly rest: Uint32Array;
  /** The messages in flight after it if none is lost, packed: the earlier ones, then the new ones. */
  readonly flights: readonly number[];
}

const MAX_WAITING_READS = 2;
const POSITIONS = [0, 1, 2] as const;
const OTHERS = [2, 3] as const;

/** The transition system of a scenario. */
export class ScenarioMachine {
  readonly nodes = new NodeTable();
  /** Number of words of a state. */
  readonly words: number;
  readonly #scenario: Scenario;
  /** Sequences of committed entries, by number. */
  readonly #committed: Committed[] = [{ log: "", terms: [] }];
  readonly #committedNumbers = new Map([["/", 0]]);
  readonly #rest: Uint32Array;

  constructor(scenario: Scenario) {
    const { disks, bounds: { campaigns, transfers } } = scenario;
    const lastTerm = Math.max(...disks.map(({ term }) => term)) + campaigns + transfers;
    assert(lastTerm <= MAX_TERM, "the leaders of all terms fit into a state");
    assert(
      Object.values(scenario.bounds).every((bound) => bound <= MAX_COUNT),
      "all counts fit into a state",
    );
    this.#scenario = scenario;
    this.words = FIRST_MESSAGE_WORD + scenario.bounds.messages;
    this.#rest = new Uint32Array(this.words);
  }

  /** Returns the initial state. */
  start(): Uint32Array {
    const state = new Uint32Array(this.words);
    for (const position of POSITIONS) {
      state[position] = this.nodes.start({ ...diskOf(this.#scenario.disks[position], position), process: 0 });
    }
    return state;
  }

  /** Returns the possible actions in a state (many of them change nothing). */
  actions(state: Uint32Array): Action[] {
    const actions: Action[] = [];
    for (const node of POSITIONS) this.#actionsOf(node, { state, actions });
    const mayRepeat = countOf(state, "repetitions") < this.#scenario.bounds.repetitions;
    for (let word = FIRST_MESSAGE_WORD; word < state.length && state[word] !== 0; word++) {
      const arrival = { node: messageTo(state[word] ?? 0), argument: word - FIRST_MESSAGE_WORD };
      actions.push({ kind: "deliver", ...arrival });
      if (mayRepeat) actions.push({ kind: "repeat", ...arrival });
    }
    return actions;
  }

  /** Returns the result of an action, valid until the next call; null if it changes nothing. */
  act(state: Uint32Array, action: Action): Outcome | null {
    const { node, kind } = action;
    const transition = this.nodes.transition(state[node] ?? 0, this.#input(state, action));
    if (transition.isIdle) return null;
    const rest = this.#rest;
    rest.set(state);
    rest[node] = transition.next;
    rest.fill(0, FIRST_MESSAGE_WORD);
    this.#count(rest, { action, transition });
    if (kind === "restart") {
      rest[READS_WORD] = packReads(unpackReads(state[READS_WORD] ?? 0).filter((read) => read.node !== node));
    }
    const broken = transition.broken ?? this.#remember(rest, { node, transition });
    return { transition, broken, rest, flights: flightsAfter(state, { action, transition }) };
  }

  #actionsOf(node: number, { state, actions }: { state: Uint32Array; actions: Action[] }): void {
    const { bounds } = this.#scenario;
    const view = this.nodes.view(state[node] ?? 0);
    const add = (kind: Action["kind"], argument = 0): void => void actions.push({ kind, node, argument });
    if (view.role === "leader") {
      if (view.rounds < bounds.rounds) add("heartbeat");
      if (countOf(state, "proposals") < bounds.proposals) add("propose");
      for (const other of OTHERS) {
        if (countOf(state, "transfers") < bounds.transfers) add("transfer", other);
        if (countOf(state, "reconnections") < bounds.reconnections) add("reconnect", other);
      }
    } else {
      if (view.heardFromLeader) add("lapse");
      if (countOf(state, "campaigns") < bounds.campaigns && !view.isDiskStuck) add("campaign");
    }
    const waiting = unpackReads(state[READS_WORD] ?? 0).length;
    if (countOf(state, "reads") < bounds.reads && waiting < MAX_WAITING_READS) add("read");
    if (view.isWriting) add("sync");
    if (view.mayCompact && countOf(state, "compactions") < bounds.compactions) add("compact");
    if (countOf(state, "crashes") < bounds.crashes) add("restart");
  }

  #input(state: Uint32Array, { kind, node, argument }: Action): number {
    switch (kind) {
      case "deliver":
      case "repeat": {
        const word = state[FIRST_MESSAGE_WORD + argument] ?? 0;
        return this.nodes.deliveryNumber(messageContent(word), relativeId(node, messageFrom(word)));
      }
      case "transfer":
      case "reconnect":
        return this.nodes.inputNumber({ kind, target: argument });
      case "restart": {
        // Processes of a node differ only by their read ids.
        const process = this.#scenario.bounds.reads === 0 ? 0 : countOf(state, "crashes") + 1;
        return this.nodes.inputNumber({ kind, process });
      }
      default:
        return this.nodes.inputNumber({ kind });
    }
  }

  #count(
    rest: Uint32Array,
    { action: { kind }, transition }: { action: Action; transition: Transition },
  ): void {
    if (kind === "restart") count(rest, "crashes");
    else if (kind === "campaign") count(rest, "campaigns");
    else if (kind === "repeat") count(rest, "repetitions");
    else if (kind === "transfer") count(rest, "transfers");
    else if (kind === "reconnect") count(rest, "reconnections");
    else if (kind === "compact") count(rest, "compactions");
    else if (kind === "propose" && transition.proposed) count(rest, "proposals");
    else if (kind === "read" && transition.read !== null) count(rest, "reads");
  }

  /** Updates leaders and committed entries; returns the violated invariant, or null. */
  #remember(
    rest: Uint32Array,
    { node, transition }: { readonly node: number; readonly transition: Transition },
  ): string | null {
    const view = this.nodes.view(transition.next);
    const history = rest[LEADERS_WORD] ?? 0;
    const committed = this.#committed[history >>> 16];
    assert(committed !== undefined, "every number of a committed sequence exists");
    let leaders = history & 0xffff;
    if (transition.leads > 0) {
      const bit = 2 * (transition.leads - 1);
      if ((leaders >>> bit & 3) !== 0) return "a term has one leader";
      leaders |= node + 1 << bit;
      if (!isComplete(view, committed)) return "a new leader has every entry committed in earlier terms";
    }
    const committedNow = committedWith(committed, view);
    if (committedNow === null) return "all nodes commit the same entries";
    const number = committedNow === committed ? history >>> 16 : this.#committedNumber(committedNow);
    rest[LEADERS_WORD] = (leaders | number << 16) >>> 0;
    if (transition.read !== null || transition.answered.length > 0) {
      const broken = this.#answerReads(rest, { node, transition, committed: committed.log.length });
      if (broken !== null) return broken;
    }
    const [a = 0, b = 0, c = 0] = rest;
    return violationInCluster(
      [this.nodes.view(a), this.nodes.view(b), this.nodes.view(c)],
      node,
      committedNow.log,
    );
  }

  #answerReads(
    rest: Uint32Array,
    { node, transition, committed }: {
      readonly node: number;
      readonly transition: Transition;
      readonly committed: number;
    },
  ): string | null {
    let waiting = unpackReads(rest[READS_WORD] ?? 0);
    if (transition.read !== null) waiting.push({ node, key: transition.read, committed });
    for (const { key, index } of transition.answered) {
      const read = waiting.find((one) => one.node === node && one.key === key);
      if (read === undefined) return "each read is answered once";
      if (index !== null && index < read.committed) {
        return "a read index includes all entries committed before the request";
      }
      waiting = waiting.filter((one) => one !== read);
    }
    rest[READS_WORD] = packReads(waiting);
    return null;
  }

  #committedNumber(committed: Committed): number {
    const text = `${committed.log}/${committed.terms}`;
    const known = this.#committedNumbers.get(text);
    if (known !== undefined) return known;
    this.#committedNumbers.set(text, this.#committed.length);
    return this.#committed.push(committed) - 1;
  }
}

/** Writes the state of an outcome into `state`, without the lost messages (bits over `flights`). */
export function withMessages(state: Uint32Array, { rest, flights }: Outcome, lost: number): void {
  state.set(rest);
  let word = FIRST_MESSAGE_WORD;
  for (let flight = 0; flight < flights.length; flight++) {
    if ((lost >>> flight & 1) === 0) state[word++] = flights[flight] ?? 0;
  }
  sortMessages(state);
}

/** Returns the messages in flight after an action, if none is lost. */
function flightsAfter(
  state: Uint32Array,
  { action: { kind, node, argument }, transition }: {
    readonly action: Action;
    readonly transition: Transition;
  },
): number[] {
  const flights: number[] = [];
  const delivered = kind === "deliver" ? FIRST_MESSAGE_WORD + argument : -1;
  for (let word = FIRST_MESSAGE_WORD; word < state.length; word++) {
    const flight = state[word] ?? 0;
    if (flight === 0) break;
    if (word !== delivered) flights.push(flight);
  }
  for (const { content, to } of transition.sent) {
    const flight = packMessage(content, { from: node, to: positionOf(node, to) });
    if (!flights.includes(flight)) flights.push(flight);
  }
  return flights;
}

function countOf(state: Uint32Array, counter: keyof typeof COUNTERS): number {
  return (state[COUNTS_WORD] ?? 0) >>> COUNTERS[counter] & 15;
}

function count(state: Uint32Array, counter: keyof typeof COUNTERS): void {
  state[COUNTS_WORD] = (state[COUNTS_WORD] ?? 0) + (1 << COUNTERS[counter]);
}

/** Returns the content of the disk of the node at a position, with relative ids. */
function diskOf(
  disk: DiskStart,
  position: number,
): Pick<Parameters<NodeTable["start"]>[0], "hardState" | "entries"> {
  const vote = disk.vote === null ? null : relativeId(position, disk.vote - 1);
  const data = new TextEncoder().encode("x");
  return {
    hardState: { term: disk.term, vote, commitIndex: 0 },
    entries: disk.log.map((term, index) => ({ index: index + 1, term, kind: "command", data })),
  };
}
