/**
 * The layout of a state in 32-bit words, and the choice of one state among those that differ only by names of nodes.
 *
 *     0 to 2   state of each node (node_table.ts)
 *     3        the leader of each term (2 bits each, terms 1 to 8), and the number of the committed sequence
 *     4        the counts of bounded actions (4 bits each)
 *     5        waiting reads: two slots of 12 bits
 *     6 …      the messages in flight, in descending order; 0 for none
 *
 * The network is a set: of two equal messages one is lost. (In a repetition the message stays after its arrival.)
 */
import type { NodeTable } from "./node_table.ts";

/** Positions of the words after the states of the nodes. */
export const LEADERS_WORD = 3;
export const COUNTS_WORD = 4;
export const READS_WORD = 5;
export const FIRST_MESSAGE_WORD = 6;

/** Largest count in 4 bits. */
export const MAX_COUNT = 15;

/** Largest term whose leader can be stored. */
export const MAX_TERM = 8;

/** The counters, with the position of their 4 bits. */
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

/** Packs a message in flight. */
export function packMessage(content: number, ends: { readonly from: number; readonly to: number }): number {
  return (content + 1) << 4 | ends.from << 2 | ends.to;
}

/** Returns the content number of a packed message. */
export function messageContent(word: number): number {
  return (word >>> 4) - 1;
}

/** Returns the position of the sender of a packed message. */
export function messageFrom(word: number): number {
  return word >>> 2 & 3;
}

/** Returns the position of the receiver of a packed message. */
export function messageTo(word: number): number {
  return word & 3;
}

/** Returns the id of node `other` relative to node `self`: 1 itself, 2 the next in cyclic order, 3 the one after. */
export function relativeId(self: number, other: number): number {
  return (other - self + NODES) % NODES + 1;
}

/** Returns the position of the node with the id `id` relative to node `self`. */
export function positionOf(self: number, id: number): number {
  return (self + id - 1) % NODES;
}

/** A waiting read: its key at its node, and the number of committed entries when it was requested. */
export interface WaitingRead {
  readonly node: number;
  readonly key: number;
  readonly committed: number;
}

/** Unpacks the waiting reads. */
export function unpackReads(word: number): WaitingRead[] {
  const reads: WaitingRead[] = [];
  for (const slot of [word & 0xfff, word >>> 12 & 0xfff]) {
    if (slot !== 0) reads.push({ node: (slot & 3) - 1, committed: slot >>> 2 & 0xf, key: slot >>> 6 });
  }
  return reads;
}

/** Packs at most two waiting reads. */
export function packReads(reads: readonly WaitingRead[]): number {
  const [low = 0, high = 0] = reads.map(({ node, key, committed }) => key << 6 | committed << 2 | node + 1)
    .sort((a, b) => b - a);
  return low | high << 12;
}

/**
 * The six permutations of three nodes, as the old position for each new position. The last three reverse the cyclic order,
 * so that the relative ids of the other two nodes are exchanged.
 */
const RENAMINGS = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]] as const;
const FIRST_MIRRORED = 3;

/**
 * Renames the nodes of a state so that states that differ only by names become equal. If two nodes are in equal states,
 * it does not compare the remaining words, which leads to some duplicate states and is not an error. Returns the old
 * position for each new position.
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

/** Renames the nodes in all words after the states of the nodes. */
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

/** Sorts the messages of a state in descending order. */
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
