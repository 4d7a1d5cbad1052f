/**
 * The committed entries of a cluster: each is committed by majorities that have it on disk, stays on so many disks that no
 * election can be won without it, and is in the log of every new leader (Raft §5.4, thesis §4.3).
 */
import { assert } from "@std/assert";
import type { Configuration, NodeId, RaftStatus } from "../../../lib/raft/mod.ts";
import type { RareState } from "../../sim/coverage.ts";
import { configurationText } from "./configuration.ts";
import type { ConfigurationHistory } from "./configuration_history.ts";
import type { NodePicture } from "./log_picture.ts";
import { blocksElections, hasMajorities } from "./promises.ts";

/** Dependencies of the checks. */
export interface CommitsOptions {
  /** Terms of committed entries, index i at position i − 1; {@link Commits} adds to it. */
  readonly committed: number[];
  readonly nodes: ReadonlyMap<NodeId, NodePicture>;
  readonly configurations: ConfigurationHistory;
  readonly count: (state: RareState) => void;
  readonly check: (holds: boolean, message: string) => void;
}

/** Checks committed entries. */
export class Commits {
  readonly #options: CommitsOptions;
  /** The configuration that committed an entry, by index, until the commit is checked. */
  readonly #decided = new Map<number, Configuration>();
  #leaderCommit = 0;

  constructor(options: CommitsOptions) {
    this.#options = options;
  }

  /** Terms of committed entries; index i at position i − 1. */
  get terms(): readonly number[] {
    return this.#options.committed;
  }

  /** The highest commit index of any leader. */
  get leaderCommit(): number {
    return this.#leaderCommit;
  }

  /** The newest committed configuration, and all later ones in logs on disk. */
  get deciding(): readonly Configuration[] {
    const { nodes, configurations } = this.#options;
    const newest = configurations.newestIn(this.terms);
    const all = new Set([newest.configuration]);
    for (const { durable: { terms } } of nodes.values()) {
      // A conflicting entry removes all later ones from a log.
      if (newest.index > 0 && terms[newest.index - 1] !== newest.term) continue;
      for (const one of configurations.laterIn(terms, newest.index)) all.add(one);
    }
    return [...all];
  }

  /** Records the commit index of a leader, and the configuration that decided it. */
  leaderKnows(commitIndex: number, decided: Configuration): void {
    this.#leaderCommit = Math.max(this.#leaderCommit, commitIndex);
    for (let index = this.terms.length + 1; index <= commitIndex; index++) {
      if (!this.#decided.has(index)) this.#decided.set(index, decided);
    }
  }

  /** Checks the entry `index`, which a node regards as committed. */
  check({ handed }: NodePicture, { id, role, term }: RaftStatus, index: number): void {
    const { committed, nodes, count, check } = this.#options;
    const own = handed.terms[index - 1];
    const known = committed[index - 1];
    if (known !== undefined) {
      check(own === known, `node ${id} commits ${index}@${own}, and ${index}@${known} was committed before`);
      return;
    }
    assert(own !== undefined, `node ${id} has the entry ${index} that it commits`);
    committed.push(own);
    if (role === "leader" && own < term) count("earlierTermCommits");
    const decided = this.#decided.get(index);
    this.#decided.delete(index);
    assert(decided !== undefined, "a leader is the first to know that an entry is committed");
    const isHolder = this.#holdersOf(index);
    check(
      hasMajorities(decided, isHolder),
      `node ${id} commits ${index}@${own} by ${configurationText(decided)}, durable only on [${
        [...nodes.keys()].filter(isHolder)
      }]`,
    );
    this.checkDurability(index);
  }

  /** Checks that no election can be won without the committed entries from `from` on. */
  checkDurability(from: number): void {
    const { deciding, terms } = this;
    for (let index = from; index <= terms.length; index++) {
      const isSafe = deciding.every((one) => blocksElections(one, this.#holdersOf(index)));
      this.#options.check(isSafe, `the committed entry ${index}@${terms[index - 1]} is on too few disks`);
    }
  }

  /** Checks that a new leader has every committed entry. */
  checkComplete({ handed }: NodePicture, { id, term }: RaftStatus): void {
    for (const [position, committed] of this.terms.entries()) {
      const own = handed.terms[position];
      this.#options.check(
        own === committed,
        `leader ${id} of term ${term} has ${own ?? "nothing"} where ${
          position + 1
        }@${committed} was committed`,
      );
    }
  }

  /** Returns for each node whether it has the committed entry `index` on its disk. */
  #holdersOf(index: number): (node: NodeId) => boolean {
    return (node) => this.#options.nodes.get(node)?.durable.terms[index - 1] === this.terms[index - 1];
  }
}
