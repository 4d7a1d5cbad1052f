/**
 * Explores a scenario breadth first: it tries all actions in each state, until it finds no new state or has too many
 * states. Every invariant is checked after every action, so a violation is found with the fewest possible actions.
 *
 * Reductions, and why they hide no violation:
 * - A message whose arrival would change nothing stays in flight: it does not prevent any other action.
 * - A message is lost only when a message is sent and the network is full, then any of them: until then, a message that
 *   does not arrive is equivalent to a lost one.
 * - A crash and the restart are one action: a node that is down is equivalent to one without actions.
 * - States that differ only by the names of nodes are one state (layout.ts); node_table.ts checks that names don't matter.
 */
import { assert } from "../../lib/platform/assert.ts";
import { type Action, MAX_LOSABLE, packAction } from "./action.ts";
import { makeCanonical } from "./layout.ts";
import type { Coverage } from "./node_table.ts";
import { StateStore } from "./state_store.ts";
import { pathTo, type Step } from "./path.ts";
import type { Scenario } from "./scenario.ts";
import { ScenarioMachine, withMessages } from "./scenario_machine.ts";

/** Result of an exploration. */
export interface Findings {
  /** Number of different states. */
  readonly states: number;
  /** Number of actions that changed the state. */
  readonly actions: number;
  /** All sequences of this many actions were tried. */
  readonly depth: number;
  /** Whether all reachable states were explored. */
  readonly isComplete: boolean;
  /** Number of different states of a node, and of runs of the core. */
  readonly nodeStates: number;
  readonly coreRuns: number;
  /** Number of different messages. */
  readonly messages: number;
  /** Memory of the stored states. */
  readonly bytes: number;
  /** How often each event that a scenario must cover occurred. */
  readonly met: Coverage;
  /** The first violated invariant, and the shortest path to it. */
  readonly violation: { readonly invariant: string; readonly steps: readonly Step[] } | null;
  /** The path to the state that was found last: no path is longer. */
  readonly longestPath: readonly Step[];
}

/** The election of the first leader fails after this many steps. */
const MAX_ELECTION_STEPS = 200;

/** Explores a scenario to completion, or until it has `maxStates` states. */
export function explore(scenario: Scenario, options: { readonly maxStates: number }): Findings {
  return new Explorer(scenario).run(options.maxStates);
}

class Explorer {
  readonly #scenario: Scenario;
  readonly #machine: ScenarioMachine;
  readonly #store: StateStore;
  readonly #from: Uint32Array;
  readonly #to: Uint32Array;
  #actions = 0;
  #violation: Findings["violation"] = null;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#machine = new ScenarioMachine(scenario);
    const { words } = this.#machine;
    this.#store = new StateStore(words);
    this.#from = new Uint32Array(words);
    this.#to = new Uint32Array(words);
  }

  run(maxStates: number): Findings {
    const store = this.#store;
    store.add(this.#machine.start(), { parent: 0, action: 0 });
    let number = this.#electFirst();
    let depth = 0;
    let levelEnd = store.size;
    while (number < store.size && store.size < maxStates && this.#violation === null) {
      if (number === levelEnd) {
        depth++;
        levelEnd = store.size;
      }
      this.#expand(number);
      number++;
    }
    const { nodes } = this.#machine;
    return {
      states: store.size,
      actions: this.#actions,
      depth,
      isComplete: number === store.size && this.#violation === null,
      nodeStates: nodes.size,
      coreRuns: nodes.runs,
      messages: nodes.messages,
      bytes: store.bytes,
      met: nodes.met,
      violation: this.#violation,
      longestPath: pathTo(store.size - 1, { store, machine: this.#machine, last: null }),
    };
  }

  #expand(number: number): void {
    const state = this.#from;
    this.#store.read(number, state);
    for (const action of this.#machine.actions(state)) {
      this.#follow(number, action);
      if (this.#violation !== null) return;
    }
  }

  /** Adds the states after an action, one for each choice of lost messages. */
  #follow(parent: number, action: Action): void {
    const outcome = this.#machine.act(this.#from, action);
    if (outcome === null) return;
    this.#actions++;
    if (outcome.broken !== null) {
      const { broken } = outcome;
      const steps = pathTo(parent, { store: this.#store, machine: this.#machine, last: action });
      this.#violation = { invariant: broken, steps };
      return;
    }
    for (const lost of lossesOf(outcome.flights.length, this.#scenario.bounds.messages)) {
      withMessages(this.#to, outcome, lost);
      makeCanonical(this.#to, this.#machine.nodes);
      this.#store.add(this.#to, { parent, action: packAction(action, lost) });
    }
  }

  /** Elects the first leader of the scenario, without lost messages; returns the number of the initial state. */
  #electFirst(): number {
    if (this.#scenario.leader === null) return 0;
    let candidate = this.#scenario.leader - 1;
    const state = this.#from;
    for (let number = 0; number < MAX_ELECTION_STEPS; number++) {
      this.#store.read(number, state);
      const action = this.#nextOfElection(state, candidate);
      if (action === null) {
        assert(
          this.#machine.nodes.view(state[candidate] ?? 0).role === "leader",
          "the election has a winner",
        );
        return number;
      }
      const outcome = this.#machine.act(state, action);
      assert(outcome !== null && outcome.broken === null, "an undisturbed election violates no invariant");
      const excess = Math.max(0, outcome.flights.length - this.#scenario.bounds.messages);
      const lost = (1 << excess) - 1;
      withMessages(this.#to, outcome, lost);
      candidate = makeCanonical(this.#to, this.#machine.nodes).indexOf(candidate);
      const isNew = this.#store.add(this.#to, { parent: number, action: packAction(action, lost) });
      if (!isNew) break;
    }
    throw new Error(`Cannot start the scenario "${this.#scenario.name}": its first election does not end`);
  }

  #nextOfElection(state: Uint32Array, candidate: number): Action | null {
    const actions = this.#machine.actions(state);
    const moves = (action: Action): boolean => this.#machine.act(state, action) !== null;
    const urgent = actions.find((action) =>
      (action.kind === "sync" || action.kind === "deliver") && moves(action)
    );
    if (urgent !== undefined) return urgent;
    const { role, rounds } = this.#machine.nodes.view(state[candidate] ?? 0);
    const next = role === "leader" ? "heartbeat" : "campaign";
    if (role === "leader" && rounds > 0) return null;
    return actions.find(({ kind, node }) => kind === next && node === candidate) ?? null;
  }
}

/** Returns every choice of messages to lose, as bits, so that `capacity` of `count` remain; [0] if all fit. */
function lossesOf(count: number, capacity: number): readonly number[] {
  if (count <= capacity) return [0];
  assert(count <= MAX_LOSABLE, "the bits of all messages fit into an action");
  const key = count * (MAX_LOSABLE + 1) + capacity;
  const known = LOSSES.get(key);
  if (known !== undefined) return known;
  const losses: number[] = [];
  for (let bits = 0; bits < 1 << count; bits++) if (onesOf(bits) === count - capacity) losses.push(bits);
  LOSSES.set(key, losses);
  return losses;
}

const LOSSES = new Map<number, readonly number[]>();

function onesOf(bits: number): number {
  let ones = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) ones++;
  return ones;
}
