/**
 * The configurations that a search has met, and need not enter again (Lowe's memoisation, with one thing added: of two
 * that differ only in what is left to choose from, the one that leaves less is not entered either), and its stack.
 */
import type { ComponentStep, Placement } from "./components.ts";
import type { KeyState } from "./model.ts";
import { assert } from "../platform/assert.ts";

/** Bits in one word of a set. */
export const WORD_BITS = 16;

/** All that the rest of a search depends on. */
export interface SearchConfiguration {
  /** The state, the required steps that are placed and the next revision to come: what must be equal. */
  readonly name: string;
  /** The greatest revision so far. The smaller, the more is open. */
  readonly floor: number;
  /** The least revision that is left for a write of unknown revision. The smaller, the more is open. */
  readonly open: number;
  /** The optional steps that are placed, as a set in words. The fewer, the more is open. */
  readonly optional: string;
}

/** The configurations that were met, by their names. */
export class Memory {
  readonly #met = new Map<string, SearchConfiguration[]>();
  #size = 0;

  /** Configurations that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** Adds a configuration; false if one was met that left at least as much open. */
  remember(configuration: SearchConfiguration): boolean {
    const { name } = configuration;
    const met = this.#met.get(name);
    if (met?.some((other) => leavesMore(other, configuration))) return false;
    if (met === undefined) this.#met.set(name, [configuration]);
    else met.push(configuration);
    this.#size++;
    return true;
  }
}

function leavesMore(a: SearchConfiguration, b: SearchConfiguration): boolean {
  return a.floor <= b.floor && a.open <= b.open && isSubset(a.optional, b.optional);
}

function isSubset(a: string, b: string): boolean {
  for (let i = 0; i < a.length; i++) if ((a.charCodeAt(i) & ~b.charCodeAt(i)) !== 0) return false;
  return true;
}

/** Whether a set has this element. */
export function hasBit(words: Uint16Array, bit: number): boolean {
  return (((words[bit >>> 4] ?? 0) >>> (bit & 15)) & 1) === 1;
}

/** Puts an element into a set. */
export function setBit(words: Uint16Array, bit: number): void {
  words[bit >>> 4] = (words[bit >>> 4] ?? 0) | (1 << (bit & 15));
}

/** Takes an element out of a set. */
export function clearBit(words: Uint16Array, bit: number): void {
  words[bit >>> 4] = (words[bit >>> 4] ?? 0) & ~(1 << (bit & 15));
}

/** A set's words as the characters of a text. */
export function textOf(words: Uint16Array): string {
  let text = "";
  for (const word of words) text += String.fromCharCode(word);
  return text;
}

/** Nodes that fit a pair of which makes one exact number. */
const MAX_NODES = 2 ** 26;
const ABSENT = 0;

/** Numbers states, and returns the keys of a numbered state. */
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

/** The bounds of one check. */
export interface CheckLimits {
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Milliseconds for the whole check. */
  readonly timeMs: number;
  /** Configurations and states that one component's search remembers; one takes about 150 bytes. */
  readonly configurations: number;
}

/** Looks at the clock in every so many steps only: it costs as much as a step. */
const STEPS_PER_LOOK = 256;

/** The unused part of the bounds. */
export class Budget {
  readonly #limits: CheckLimits;
  readonly #deadline: number;
  #steps = 0;
  #isLate = false;

  /** The time begins now. */
  constructor(limits: CheckLimits) {
    this.#limits = limits;
    this.#deadline = limits.now() + limits.timeMs;
  }

  /** To be asked before each step of a search that remembers `entries`: which bound was passed, or null. */
  exceeded(entries: number): "time" | "memory" | null {
    if (entries > this.#limits.configurations) return "memory";
    if (this.#steps++ % STEPS_PER_LOOK === 0) this.#isLate ||= this.#limits.now() > this.#deadline;
    return this.#isLate ? "time" : null;
  }
}

/** Where in a configuration's alternatives the search is. */
export interface Cursor {
  /** An event of the list; the first return in it once the required steps were all tried. */
  readonly event: number;
  readonly optional: number;
  /** Which of the revisions that the step may have. */
  readonly option: number;
}

/** A placed step, and what to go back to. */
export interface Frame extends Cursor {
  readonly step: ComponentStep;
  readonly isRequired: boolean;
  /** Nothing else needs to be tried in its place. */
  readonly forced: boolean;
  readonly placement: Placement;
  readonly state: number;
  readonly floor: number;
  readonly open: number;
  readonly place: number;
  readonly first: number;
  readonly end: number;
}

/** The result of placing a step. */
export interface Move {
  readonly state: number;
  readonly floor: number;
  readonly open: number;
  readonly place: number;
  readonly placement: Placement;
}
