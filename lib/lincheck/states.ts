/**
 * The states of a few keys, each kept once: two states are equal exactly when their numbers are.
 *
 * A search meets the same states again and again and remembers many of them. A state is a binary tree over the keys'
 * slots whose nodes are shared between states, so a change costs O(log keys) and a comparison nothing.
 */
import { assert } from "../platform/assert.ts";
import type { KeyState } from "./model.ts";

/** Nodes that fit a pair of which makes one exact number. */
const MAX_NODES = 2 ** 26;
const ABSENT = 0;

/** Gives out and takes apart the numbers of states. */
export class StateTable {
  readonly #depth: number;
  /** Number 0 is the key that does not exist. */
  readonly #leaves: (KeyState | null)[] = [null];
  readonly #leafNumbers = new Map<string, number>();
  /** Children of inner nodes; a node's level is known from where it was reached, so levels share the numbers. */
  readonly #lefts: number[] = [];
  readonly #rights: number[] = [];
  readonly #nodeNumbers = new Map<number, number>();
  /** The state in which no key exists. */
  readonly empty: number;

  /** A table for states of `slots` keys, numbered from 0. */
  constructor(slots: number) {
    this.#depth = slots <= 1 ? 0 : 32 - Math.clz32(slots - 1);
    let root = ABSENT;
    for (let level = 0; level < this.#depth; level++) root = this.#node(root, root);
    this.empty = root;
  }

  /** Entries in memory. */
  get size(): number {
    return this.#leaves.length + this.#lefts.length;
  }

  /** One key of a state; null: it does not exist. */
  get(state: number, slot: number): KeyState | null {
    let node = state;
    for (let level = this.#depth - 1; level >= 0; level--) {
      node = ((slot >>> level) & 1 ? this.#rights[node] : this.#lefts[node]) ?? ABSENT;
    }
    return this.#leaves[node] ?? null;
  }

  /** The state that differs from `state` in one key. */
  with(state: number, slot: number, key: KeyState | null): number {
    return this.#with(state, { slot, leaf: this.#leaf(key), level: this.#depth - 1 });
  }

  #with(
    node: number,
    path: { readonly slot: number; readonly leaf: number; readonly level: number },
  ): number {
    const { slot, leaf, level } = path;
    if (level < 0) return leaf;
    const left = this.#lefts[node] ?? ABSENT;
    const right = this.#rights[node] ?? ABSENT;
    const below = { slot, leaf, level: level - 1 };
    return (slot >>> level) & 1
      ? this.#node(left, this.#with(right, below))
      : this.#node(this.#with(left, below), right);
  }

  #leaf(key: KeyState | null): number {
    if (key === null) return ABSENT;
    const text = `${key.createRevision} ${key.modRevision} ${key.version} ${key.value}`;
    const known = this.#leafNumbers.get(text);
    if (known !== undefined) return known;
    const number = this.#leaves.push(key) - 1;
    this.#leafNumbers.set(text, number);
    return number;
  }

  #node(left: number, right: number): number {
    const pair = left * MAX_NODES + right;
    const known = this.#nodeNumbers.get(pair);
    if (known !== undefined) return known;
    this.#lefts.push(left);
    const number = this.#rights.push(right) - 1;
    assert(this.size < MAX_NODES, "a table of states stays below the numbers that a pair can hold");
    this.#nodeNumbers.set(pair, number);
    return number;
  }
}
