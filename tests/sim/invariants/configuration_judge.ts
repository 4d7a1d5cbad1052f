/** Judges configurations as they are written, gone by, and put into snapshots: one decides at a time. */
import type { NodeId, Persist, RaftStatus, SnapshotMetadata } from "../../../lib/raft/mod.ts";
import {
  type Configurations,
  configurationText,
  type Placed,
  votersText,
  whyNotSuccessor,
} from "./configurations.ts";
import type { Coverage } from "../coverage.ts";

/** What judging takes from its surroundings. */
export interface ConfigurationJudgeOptions {
  readonly all: Configurations;
  /** Terms of committed entries; index i at position i − 1. */
  readonly committed: readonly number[];
  readonly coverage: Coverage;
  readonly check: (holds: boolean, message: string) => void;
  readonly trace: (line: () => string) => void;
}

/** Judges. */
export class ConfigurationJudge {
  readonly #options: ConfigurationJudgeOptions;

  constructor(options: ConfigurationJudgeOptions) {
    this.#options = options;
  }

  /** What a snapshot stands for was committed, and its configuration is the one of there. */
  snapshot(id: NodeId, { index, term, configuration }: SnapshotMetadata): void {
    this.#options.check(
      this.#options.committed[index - 1] === term,
      `node ${id} has a snapshot up to ${index}@${term}, and ${
        this.#options.committed[index - 1] ?? "nothing"
      } was committed`,
    );
    const placed = this.#options.all.newestIn(this.#options.committed, index);
    this.#options.check(
      configurationText(configuration) === configurationText(placed.configuration),
      `the snapshot of node ${id} up to ${index} says ${votersText(configuration.confState)}, and it was ${
        votersText(placed.configuration.confState)
      }`,
    );
  }

  /** The core goes by the newest configuration of its log, and a leader adds none that could decide apart. */
  configurations(terms: readonly number[], status: RaftStatus, { entries }: Persist): void {
    const { id, term, configuration } = status;
    const newest = this.#options.all.newestIn(terms);
    // A node that was added knows of nobody until its log says so.
    const isKnown = newest.index > 0 || configuration.members.length > 0;
    this.#options.check(
      !isKnown || configurationText(configuration) === configurationText(newest.configuration),
      `node ${id} goes by ${votersText(configuration.confState)}, and its log says ${
        votersText(newest.configuration.confState)
      }`,
    );
    if (status.role !== "leader") return;
    for (const entry of entries) {
      if (entry.kind !== "configuration" || entry.term !== term) continue;
      const before = this.#options.all.newestIn(terms, entry.index - 1);
      this.#change(status, before, this.#options.all.newestIn(terms, entry.index));
    }
  }

  #change({ id, term, commitIndex }: RaftStatus, before: Placed, after: Placed): void {
    const [from, to] = [before.configuration.confState, after.configuration.confState];
    this.#options.trace(() =>
      `n${id} proposes ${votersText(to)} at ${after.index}, after ${votersText(from)}`
    );
    const wrong = whyNotSuccessor(from, to);
    this.#options.check(
      wrong === null,
      `leader ${id} goes from ${votersText(from)} to ${votersText(to)}: ${wrong}`,
    );
    this.#options.check(
      before.index <= this.#options.committed.length,
      `leader ${id} proposes ${votersText(to)} before ${votersText(from)} is committed`,
    );
    // By what it knows itself: while it stood still, others may have gone on in a later term. Out of a joint
    // configuration there is one way only, so that whoever knows it to be committed may take it.
    this.#options.check(
      from.votersOutgoing.length > 0 || this.#options.committed[commitIndex - 1] === term,
      `leader ${id} proposes ${votersText(to)} before it has committed in its term ${term}`,
    );
    if (from.votersOutgoing.length > 0 && before.term !== term) {
      this.#options.coverage.count("jointsLeftByAnother");
    }
    if (to.votersOutgoing.length > 0) this.#options.coverage.count("jointsEntered");
    if (to.voters.some((voter) => from.learners.includes(voter))) {
      this.#options.coverage.count("learnersPromoted");
    }
    if (to.votersOutgoing.some((voter) => to.learners.includes(voter))) {
      this.#options.coverage.count("votersDemoted");
    }
  }
}
