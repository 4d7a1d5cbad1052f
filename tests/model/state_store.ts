/**
 * The states that were found, each with a fixed number of 32-bit words, in the order in which they were found. The list is the
 * queue of the breadth-first search and, with the parents, the tree of shortest paths.
 *
 * All words of a state are compared, so a hash collision confuses no states.
 */
import { assert } from "../../lib/platform/assert.ts";

const STATES_A_CHUNK = 65_536;
const FIRST_SLOTS = 65_536;
/** Slots in use before the table doubles. */
const MAX_LOAD = 0.6;
/** Additional words per state: the number of its parent, and the action that led here. */
const EXTRA_WORDS = 2;

/** A set of states, with the path to each. */
export class StateStore {
  readonly #words: number;
  readonly #stride: number;
  readonly #chunks: Uint32Array[] = [];
  /** Open addressing: number of a state plus 1, or 0. */
  #slots = new Uint32Array(FIRST_SLOTS);
  #size = 0;

  /** Creates an empty set for states of `words` words. */
  constructor(words: number) {
    this.#words = words;
    this.#stride = words + EXTRA_WORDS;
  }

  /** Number of states in the set. */
  get size(): number {
    return this.#size;
  }

  /** Memory in use, in bytes. */
  get bytes(): number {
    return this.#slots.byteLength + this.#chunks.length * STATES_A_CHUNK * this.#stride * 4;
  }

  /** Adds the state after `action` in state number `parent`; returns false if it is in the set already. */
  add(state: Uint32Array, { parent, action }: { readonly parent: number; readonly action: number }): boolean {
    const slot = this.#find(state);
    if (this.#slots[slot] !== 0) return false;
    const position = this.#size % STATES_A_CHUNK;
    if (position === 0) this.#chunks.push(new Uint32Array(STATES_A_CHUNK * this.#stride));
    const chunk = this.#chunk(this.#size);
    const start = position * this.#stride;
    chunk.set(state, start);
    chunk[start + this.#words] = parent;
    chunk[start + this.#words + 1] = action;
    this.#size++;
    this.#slots[slot] = this.#size;
    if (this.#size > this.#slots.length * MAX_LOAD) this.#grow();
    return true;
  }

  /** Copies state `number` into `into`. */
  read(number: number, into: Uint32Array): void {
    const start = (number % STATES_A_CHUNK) * this.#stride;
    into.set(this.#chunk(number).subarray(start, start + this.#words));
  }

  /** Returns the parent and the action of state `number`. */
  origin(number: number): { readonly parent: number; readonly action: number } {
    const chunk = this.#chunk(number);
    const end = (number % STATES_A_CHUNK) * this.#stride + this.#words;
    return { parent: chunk[end] ?? 0, action: chunk[end + 1] ?? 0 };
  }

  #chunk(number: number): Uint32Array {
    const chunk = this.#chunks[Math.floor(number / STATES_A_CHUNK)];
    assert(chunk !== undefined, "only states in the set have a number");
    return chunk;
  }

  /** Returns the slot of a state, or the free slot for it. */
  #find(state: Uint32Array): number {
    const mask = this.#slots.length - 1;
    let slot = hashOf(state) & mask;
    for (;;) {
      const number = this.#slots[slot] ?? 0;
      if (number === 0 || this.#isAt(number - 1, state)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isAt(number: number, state: Uint32Array): boolean {
    const chunk = this.#chunk(number);
    const start = (number % STATES_A_CHUNK) * this.#stride;
    for (let word = 0; word < this.#words; word++) {
      if (chunk[start + word] !== state[word]) return false;
    }
    return true;
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const state = new Uint32Array(this.#words);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.#size; number++) {
      this.read(number, state);
      let slot = hashOf(state) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }
}

function hashOf(state: Uint32Array): number {
  let hash = 0x811c9dc5;
  for (let word = 0; word < state.length; word++) {
    hash = Math.imul(hash ^ (state[word] ?? 0), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
