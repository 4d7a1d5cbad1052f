/**
 * Explores a small world breadth first: from each state everything that can happen, until nothing new is found or
 * the states are too many; then everything that few enough actions can do was tried. Every promise is checked after
 * every action, so the first that is broken is broken in as few actions as possible.
 *
 * What is left out, and why no broken promise is missed by it:
 * - A message whose arrival would change nothing stays under way: what can happen without it can happen beside it.
 * - A message is lost only when a send finds the network full, then any of them: until then, not arriving is as good.
 * - A crash and the restart are one action: a node that is down is one that nothing happens to.
 * - States that differ only by the names of nodes are one (layout.ts); node_table.ts checks that names don't matter.
 */
import { assert } from "../../lib/platform/assert.ts";
import { type Action, MAX_LOSABLE, packAction } from "./action.ts";
import { makeCanonical } from "./layout.ts";
import type { Met } from "./node_table.ts";
import { StateStore } from "./state_store.ts";
import { type Step, wayTo } from "./way.ts";
import type { World } from "./world.ts";
import { withMessages, WorldMachine } from "./world_machine.ts";

/** What an exploration has found. */
export interface Findings {
  /** Different states. */
  readonly states: number;
  /** Actions that changed something. */
  readonly actions: number;
  /** Everything that so many actions can do was tried. */
  readonly depth: number;
  /** Whether nothing is left to be tried. */
  readonly isComplete: boolean;
  /** Different states of a node, and runs of the core that found them. */
  readonly nodeStates: number;
  readonly coreRuns: number;
  /** Different messages. */
  readonly messages: number;
  /** Memory of the states. */
  readonly bytes: number;
  /** How often the core was seen to do what makes a world worth exploring. */
  readonly met: Met;
  /** The first promise that was broken, and the shortest way there. */
  readonly violation: { readonly promise: string; readonly steps: readonly Step[] } | null;
  /** The way to the state that was found last: none is longer. */
  readonly longestWay: readonly Step[];
}

/** More steps than this to elect the first leader are a loop. */
const MAX_ELECTION_STEPS = 200;

/** Explores a world until it is done, or until `maxStates` are known. */
export function explore(world: World, options: { readonly maxStates: number }): Findings {
  return new Explorer(world).run(options.maxStates);
}

class Explorer {
  readonly #world: World;
  readonly #machine: WorldMachine;
  readonly #store: StateStore;
  readonly #from: Uint32Array;
  readonly #to: Uint32Array;
  #actions = 0;
  #violation: Findings["violation"] = null;

  constructor(world: World) {
    this.#world = world;
    this.#machine = new WorldMachine(world);
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
      longestWay: wayTo(store.size - 1, { store, machine: this.#machine, last: null }),
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

  /** Adds what an action comes to, once for each choice of messages that are lost to it. */
  #follow(parent: number, action: Action): void {
    const outcome = this.#machine.act(this.#from, action);
    if (outcome === null) return;
    this.#actions++;
    if (outcome.broken !== null) {
      const { broken } = outcome;
      const steps = wayTo(parent, { store: this.#store, machine: this.#machine, last: action });
      this.#violation = { promise: broken, steps };
      return;
    }
    for (const lost of lossesOf(outcome.flights.length, this.#world.bounds.messages)) {
      withMessages(this.#to, outcome, lost);
      makeCanonical(this.#to, this.#machine.nodes);
      this.#store.add(this.#to, { parent, action: packAction(action, lost) });
    }
  }

  /** Elects the world's first leader with everything delivered; returns the number of the state to begin with. */
  #electFirst(): number {
    if (this.#world.leader === null) return 0;
    let candidate = this.#world.leader - 1;
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
      assert(outcome !== null && outcome.broken === null, "an undisturbed election breaks no promise");
      const excess = Math.max(0, outcome.flights.length - this.#world.bounds.messages);
      const lost = (1 << excess) - 1;
      withMessages(this.#to, outcome, lost);
      candidate = makeCanonical(this.#to, this.#machine.nodes).indexOf(candidate);
      const isNew = this.#store.add(this.#to, { parent: number, action: packAction(action, lost) });
      if (!isNew) break;
    }
    throw new Error(`Cannot begin the world "${this.#world.name}": its first election does not end`);
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

/** Every choice of messages to lose, as bits, so that `room` of `count` are left; 0 alone when all have room. */
function lossesOf(count: number, room: number): readonly number[] {
  if (count <= room) return [0];
  assert(count <= MAX_LOSABLE, "the bits of all messages have room in an action");
  const key = count * (MAX_LOSABLE + 1) + room;
  const known = LOSSES.get(key);
  if (known !== undefined) return known;
  const losses: number[] = [];
  for (let bits = 0; bits < 1 << count; bits++) if (onesOf(bits) === count - room) losses.push(bits);
  LOSSES.set(key, losses);
  return losses;
}

const LOSSES = new Map<number, readonly number[]>();

function onesOf(bits: number): number {
  let ones = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) ones++;
  return ones;
}
