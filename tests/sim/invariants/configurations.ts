/**
 * The configurations of all logs of a run, and what must hold of them: one decides at a time.
 *
 * An entry's index and term name it, so who decides in a log follows from the terms of its entries alone, also where a
 * snapshot took their place. What the core believes is held against that.
 */
import { decodeConfiguration, encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import type { Configuration, ConfState, Entry, NodeId } from "../../../lib/raft/mod.ts";

/** A configuration with the entry that it came with; index and term 0 for the one that the cluster was founded with. */
export interface Placed {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/** All configurations that anybody wrote. */
export class Configurations {
  readonly #founding: Placed;
  readonly #placed = new Map<string, Placed>();
  /** Indexes of configuration entries, ascending. */
  readonly #indexes: number[] = [];

  constructor(founding: Configuration) {
    this.#founding = { index: 0, term: 0, configuration: founding };
  }

  /** An entry was written. */
  note({ kind, index, term, data }: Entry): void {
    const key = `${index}@${term}`;
    if (kind !== "configuration" || this.#placed.has(key)) return;
    this.#placed.set(key, { index, term, configuration: decodeConfiguration(data) });
    if (this.#indexes.includes(index)) return;
    this.#indexes.push(index);
    this.#indexes.sort((a, b) => a - b);
  }

  /** The newest one at or below `upTo` in a log whose entry i has the term at position i − 1. */
  newestIn(terms: readonly number[], upTo = terms.length): Placed {
    for (let position = this.#indexes.length - 1; position >= 0; position--) {
      const index = this.#indexes[position] ?? 0;
      if (index > upTo) continue;
      const placed = this.#placed.get(`${index}@${terms[index - 1]}`);
      if (placed !== undefined) return placed;
    }
    return this.#founding;
  }
}

/** Whether `holds` of a majority of each half that decides. */
export function isDecidedBy(
  { voters, votersOutgoing }: ConfState,
  holds: (node: NodeId) => boolean,
): boolean {
  return [voters, votersOutgoing].every((half) =>
    half.length === 0 || half.filter(holds).length * 2 > half.length
  );
}

/**
 * What is wrong with one configuration coming right after another; null when nothing is. Any majorities of the two must
 * meet: voters change only into a joint configuration, and out of it.
 */
export function whyNotSuccessor(before: ConfState, after: ConfState): string | null {
  const isSame = (a: readonly NodeId[], b: readonly NodeId[]): boolean => a.join() === b.join();
  if (after.voters.length === 0) return "nobody would decide";
  if (before.votersOutgoing.length > 0) {
    return after.votersOutgoing.length === 0 && isSame(before.voters, after.voters)
      ? null
      : "a joint configuration leads to its own voters alone";
  }
  if (after.votersOutgoing.length > 0) {
    return isSame(after.votersOutgoing, before.voters)
      ? null
      : "a joint configuration counts the voters before it";
  }
  return isSame(before.voters, after.voters) ? null : "voters change only by a joint configuration";
}

const TEXTS = new WeakMap<Configuration, string>();

/** A text that two configurations share exactly when they say the same. */
export function configurationText(configuration: Configuration): string {
  const text = TEXTS.get(configuration) ?? encodeConfiguration(configuration).join(" ");
  TEXTS.set(configuration, text);
  return text;
}

/** A configuration for a trace. */
export function votersText({ voters, votersOutgoing, learners }: ConfState): string {
  const leaving = votersOutgoing.length === 0 ? "" : ` with ${votersOutgoing}`;
  return `voters ${voters}${leaving}${learners.length === 0 ? "" : `, learners ${learners}`}`;
}
