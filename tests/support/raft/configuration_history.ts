/**
 * The configurations in all logs of a run, and the rule that one decides at a time.
 *
 * The terms of a log's entries identify its configuration, because index and term identify an entry, even if a snapshot
 * replaced it. The check compares the core's configuration with that.
 */
import type {
  Configuration,
  ConfigurationCodec,
  Entry,
  NodeId,
  Persist,
  RaftStatus,
  SnapshotMetadata,
} from "../../../lib/raft/mod.ts";
import type { RareState } from "../../sim/coverage.ts";
import { configurationText } from "./configuration.ts";
import { wrongSuccessor } from "./promises.ts";

/** A configuration with the position of its entry; index and term 0 for the founding one. */
export interface Placed {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/** Dependencies of the checks. */
export interface ConfigurationHistoryOptions {
  readonly founding: Configuration;
  readonly codec: ConfigurationCodec;
  /** Terms of committed entries; index i at position i − 1. */
  readonly committed: readonly number[];
  readonly count: (state: RareState) => void;
  readonly check: (holds: boolean, message: string) => void;
  readonly trace: (line: () => string) => void;
}

/** All configurations that were written. */
export class ConfigurationHistory {
  readonly #options: ConfigurationHistoryOptions;
  readonly #founding: Placed;
  readonly #placed = new Map<string, Placed>();
  /** Indexes of configuration entries, ascending. */
  readonly #indexes: number[] = [];
  readonly #texts = new WeakMap<Configuration, string>();

  constructor(options: ConfigurationHistoryOptions) {
    this.#options = options;
    this.#founding = { index: 0, term: 0, configuration: options.founding };
  }

  /** Records a written entry. */
  note({ kind, index, term, data }: Entry): void {
    const key = `${index}@${term}`;
    if (kind !== "configuration" || this.#placed.has(key)) return;
    this.#placed.set(key, { index, term, configuration: this.#options.codec.decode(data) });
    if (this.#indexes.includes(index)) return;
    this.#indexes.push(index);
    this.#indexes.sort((a, b) => a - b);
  }

  /** Returns the newest one at or below `upTo` in a log whose entry i has the term at position i − 1. */
  newestIn(terms: readonly number[], upTo = terms.length): Placed {
    for (let position = this.#indexes.length - 1; position >= 0; position--) {
      const index = this.#indexes[position] ?? 0;
      if (index > upTo) continue;
      const placed = this.#placed.get(`${index}@${terms[index - 1]}`);
      if (placed !== undefined) return placed;
    }
    return this.#founding;
  }

  /** Returns those after `from` in a log with these terms, oldest first. */
  laterIn(terms: readonly number[], from: number): readonly Configuration[] {
    return this.#indexes.filter((index) => index > from).flatMap((index) =>
      this.#placed.get(`${index}@${terms[index - 1]}`)?.configuration ?? []
    );
  }

  /** Checks that a snapshot replaces committed entries, and has the configuration of its index. */
  checkSnapshot(id: NodeId, { index, term, configuration }: SnapshotMetadata): void {
    const { committed, check } = this.#options;
    check(
      committed[index - 1] === term,
      `node ${id} has a snapshot up to ${index}@${term}, and ${
        committed[index - 1] ?? "nothing"
      } was committed`,
    );
    const expected = this.newestIn(committed, index).configuration;
    check(
      this.#isSame(configuration, expected),
      `the snapshot of node ${id} up to ${index} has ${configurationText(configuration)}, and there was ${
        configurationText(expected)
      }`,
    );
  }

  /** Checks that the core uses the newest configuration of its log, and that a leader's next one shares a majority with it. */
  checkWrite(terms: readonly number[], status: RaftStatus, { entries }: Persist): void {
    const { id, term, configuration } = status;
    const newest = this.newestIn(terms);
    // A node that was added knows no members until its log has a configuration.
    const isKnown = newest.index > 0 || configuration.members.length > 0;
    this.#options.check(
      !isKnown || this.#isSame(configuration, newest.configuration),
      `node ${id} uses ${configurationText(configuration)}, and its log has ${
        configurationText(newest.configuration)
      }`,
    );
    if (status.role !== "leader") return;
    for (const entry of entries) {
      if (entry.kind !== "configuration" || entry.term !== term) continue;
      this.#checkChange(status, this.newestIn(terms, entry.index - 1), this.newestIn(terms, entry.index));
    }
  }

  #checkChange({ id, term, commitIndex }: RaftStatus, before: Placed, after: Placed): void {
    const { committed, check, count, trace } = this.#options;
    const [from, to] = [before.configuration.confState, after.configuration.confState];
    const change = `from ${configurationText(before.configuration)} to ${
      configurationText(after.configuration)
    }`;
    trace(() => `n${id} goes at ${after.index} ${change}`);
    const wrong = wrongSuccessor(from, to);
    check(wrong === null, `leader ${id} goes ${change}: ${wrong}`);
    check(before.index <= committed.length, `leader ${id} goes ${change}, and the first is not committed`);
    // The leader's own knowledge counts: while it was paused, others may have continued in a later term. A joint
    // configuration has only one successor, so a leader that knows it to be committed may append that.
    check(
      from.votersOutgoing.length > 0 || committed[commitIndex - 1] === term,
      `leader ${id} goes ${change} before it has committed in its term ${term}`,
    );
    if (from.votersOutgoing.length > 0 && before.term !== term) count("jointsLeftByAnother");
    if (to.votersOutgoing.length > 0) count("jointsEntered");
    if (to.voters.some((voter) => from.learners.includes(voter))) count("learnersPromoted");
    if (to.votersOutgoing.some((voter) => to.learners.includes(voter))) count("votersDemoted");
  }

  #isSame(one: Configuration, other: Configuration): boolean {
    return one === other || this.#text(one) === this.#text(other);
  }

  #text(configuration: Configuration): string {
    const text = this.#texts.get(configuration) ?? this.#options.codec.encode(configuration).join(" ");
    this.#texts.set(configuration, text);
    return text;
  }
}
