/**
 * How a state of a world lies in 32-bit words, and which of its mirror images stands for all of them.
 *
 *     0 to 2   state of each node (node_table.ts)
 *     3        who led which term (2 bits each, terms 1 to 8), and the number of the sequence that is committed
 *     4        what has happened, of what is bounded (4 bits each)
 *     5        reads that wait: two slots of 12 bits
 *     6 …      the messages under way, falling; 0 for none
 *
 * A network is a set: of two equal messages one is lost. (Repetition is an arrival after which the message stays.)
 */
import type { NodeTable } from "./node_table.ts";

/** Where things are. The first words are the nodes' own. */
export const LEADERS_WORD = 3;
export const COUNTS_WORD = 4;
export const READS_WORD = 5;
export const FIRST_MESSAGE_WORD = 6;

/** What 4 bits can count. */
export const MAX_COUNT = 15;

/** Terms whose leaders have room. */
export const MAX_TERM = 8;

/** What is counted, by the position of its 4 bits. */
export const COUNTERS = {
  crashes: 0,
  proposals: 4,
  reads: 8,
  transfers: 12,
  repetitions: 16,
  reconnections: 20,
  campaigns: 24,
  compactions: 28,
} as const;

/** Positions from 0 to 2; the node at position p has id p + 1. */
const NODES = 3;

/** Packs a message under way. */
export function packMessage(content: number, ends: { readonly from: number; readonly to: number }): number {
  return (content + 1) << 4 | ends.from << 2 | ends.to;
}

/** What a packed message says. */
export function messageContent(word: number): number {
  return (word >>> 4) - 1;
}

/** The position of its sender. */
export function messageFrom(word: number): number {
  return word >>> 2 & 3;
}

/** The position of its addressee. */
export function messageTo(word: number): number {
  return word & 3;
}

/** How node `other` is called by node `self`: 1 itself, 2 the next round the circle, 3 the one after that. */
export function relativeId(self: number, other: number): number {
  return (other - self + NODES) % NODES + 1;
}

/** The position of the node that node `self` calls `id`. */
export function positionOf(self: number, id: number): number {
  return (self + id - 1) % NODES;
}

/** A read that waits: its key at its node, and how much was committed when it came in. */
export interface WaitingRead {
  readonly node: number;
  readonly key: number;
  readonly committed: number;
}

/** The reads that wait. */
export function unpackReads(word: number): WaitingRead[] {
  const reads: WaitingRead[] = [];
  for (const slot of [word & 0xfff, word >>> 12 & 0xfff]) {
    if (slot !== 0) reads.push({ node: (slot & 3) - 1, committed: slot >>> 2 & 0xf, key: slot >>> 6 });
  }
  return reads;
}

/** Packs at most two reads that wait. */
export function packReads(reads: readonly WaitingRead[]): number {
  const [low = 0, high = 0] = reads.map(({ node, key, committed }) => key << 6 | committed << 2 | node + 1)
    .sort((a, b) => b - a);
  return low | high << 12;
}

/**
 * The six ways to rename three nodes, as [the old position that comes to new position q for each q].
 * The last three turn the circle round, so that every node sees the other two exchanged.
 */
const RENAMINGS = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]] as const;
const FIRST_MIRRORED = 3;

/**
 * Renames the nodes of a state so that all states that differ only by names become one, nearly: where two nodes are
 * in equal states the choice between names is not looked into, which costs some states and is no error.
 * Returns, for each new position, the old one.
 */
export function makeCanonical(state: Uint32Array, nodes: NodeTable): readonly [number, number, number] {
  const [a = 0, b = 0, c = 0] = state;
  const [mirrorA, mirrorB, mirrorC] = [nodes.mirror(a), nodes.mirror(b), nodes.mirror(c)];
  let best = 0;
  let [first, second, third] = [a, b, c];
  for (let renaming = 1; renaming < RENAMINGS.length; renaming++) {
    const [x, y, z] = RENAMINGS[renaming] ?? RENAMINGS[0];
    const [stateA, stateB, stateC] = renaming < FIRST_MIRRORED ? [a, b, c] : [mirrorA, mirrorB, mirrorC];
    const one = x === 0 ? stateA : x === 1 ? stateB : stateC;
    if (one > first) continue;
    const two = y === 0 ? stateA : y === 1 ? stateB : stateC;
    if (one === first && two > second) continue;
    const three = z === 0 ? stateA : z === 1 ? stateB : stateC;
    if (one === first && two === second && three >= third) continue;
    best = renaming;
    first = one;
    second = two;
    third = three;
  }
  const renaming = RENAMINGS[best] ?? RENAMINGS[0];
  if (best === 0) return renaming;
  state[0] = first;
  state[1] = second;
  state[2] = third;
  rename(state, renaming);
  return renaming;
}

/** Gives the nodes their new names wherever a state names them beside its first words. */
function rename(state: Uint32Array, renaming: readonly [number, number, number]): void {
  const newOf = [renaming.indexOf(0), renaming.indexOf(1), renaming.indexOf(2)];
  const leaders = state[LEADERS_WORD] ?? 0;
  let renamed = leaders & 0xffff0000;
  for (let bit = 0; bit < 2 * MAX_TERM; bit += 2) {
    const leader = leaders >>> bit & 3;
    if (leader !== 0) renamed |= (newOf[leader - 1] ?? 0) + 1 << bit;
  }
  state[LEADERS_WORD] = renamed;
  const reads = state[READS_WORD] ?? 0;
  if (reads !== 0) {
    state[READS_WORD] = packReads(
      unpackReads(reads).map((read) => ({ ...read, node: newOf[read.node] ?? 0 })),
    );
  }
  for (let position = FIRST_MESSAGE_WORD; position < state.length; position++) {
    const word = state[position] ?? 0;
    if (word === 0) break;
    const [from = 0, to = 0] = [newOf[messageFrom(word)], newOf[messageTo(word)]];
    state[position] = (word & ~15) | from << 2 | to;
  }
  sortMessages(state);
}

/** Puts the messages of a state in falling order. */
export function sortMessages(state: Uint32Array): void {
  for (let end = FIRST_MESSAGE_WORD + 1; end < state.length; end++) {
    const word = state[end] ?? 0;
    let place = end;
    while (place > FIRST_MESSAGE_WORD && (state[place - 1] ?? 0) < word) {
      state[place] = state[place - 1] ?? 0;
      place--;
    }
    state[place] = word;
  }
}
