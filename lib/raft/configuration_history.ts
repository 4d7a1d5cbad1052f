/**
 * The configurations in a log.
 *
 * A configuration is in force from the moment it is appended, committed or not; when its entry is truncated, it is rolled
 * back (thesis §4.1: a node always uses the latest configuration in its log).
 *
 * Invariants: there is at least one; indexes rise; the first is the configuration as of the newest snapshot; all others
 * belong to entries of the log above it.
 */
import { assert } from "../platform/assert.ts";
import { members } from "./quorum.ts";
import type { Configuration, NodeId, SnapshotMetadata } from "./types.ts";

/** A configuration and the index of its entry. */
interface IndexedConfiguration {
  readonly index: number;
  readonly configuration: Configuration;
}

/** The configurations of one log. */
export class ConfigurationHistory {
  #snapshot: IndexedConfiguration;
  #later: IndexedConfiguration[] = [];
  /** Result of the last {@link nodesFrom}, valid until a configuration is added or removed. */
  #cachedNodes: {
    readonly from: IndexedConfiguration;
    readonly newest: IndexedConfiguration;
    readonly nodes: ReadonlySet<NodeId>;
  } | null = null;

  constructor({ index, configuration }: SnapshotMetadata) {
    this.#snapshot = { index, configuration };
  }

  /** The configuration in force. */
  get newest(): Configuration {
    return this.#newest.configuration;
  }

  /** Index of its entry; the snapshot's index when the log has none. */
  get newestIndex(): number {
    return this.#newest.index;
  }

  /** Returns the configuration as of `index`, which is not below the snapshot's index. */
  at(index: number): Configuration {
    return this.#entryAt(index).configuration;
  }

  /** Returns every node of the configuration as of `index` or of a later one: those that a pending change may need. */
  nodesFrom(index: number): ReadonlySet<NodeId> {
    const from = this.#entryAt(index);
    const newest = this.#newest;
    if (this.#cachedNodes?.from !== from || this.#cachedNodes.newest !== newest) {
      const relevant = [from, ...this.#later.filter((candidate) => candidate.index > index)];
      const ids = relevant.flatMap(({ configuration }) => members(configuration.confState));
      this.#cachedNodes = { from, newest, nodes: new Set(ids.sort((a, b) => a - b)) };
    }
    return this.#cachedNodes.nodes;
  }

  /** Adds the configuration of an appended entry. */
  append(index: number, configuration: Configuration): void {
    assert(index > this.newestIndex, "configurations are appended in order");
    this.#later.push({ index, configuration });
  }

  /** Rolls back the configurations of the entries from `index` on, which were discarded. */
  truncateFrom(index: number): void {
    assert(index > this.#snapshot.index, "a snapshot's configuration is never discarded");
    while ((this.#later.at(-1)?.index ?? 0) >= index) this.#later.pop();
  }

  /** Replaces all configurations by that of a received snapshot. */
  reset({ index, configuration }: SnapshotMetadata): void {
    this.#snapshot = { index, configuration };
    this.#later = [];
  }

  /** Drops the configurations before a snapshot of everything up to `index`. */
  compactTo(index: number): void {
    this.#snapshot = { index, configuration: this.at(index) };
    this.#later = this.#later.filter((candidate) => candidate.index > index);
  }

  /** Returns all configurations, oldest first, for RaftDump. */
  dump(): readonly IndexedConfiguration[] {
    return [this.#snapshot, ...this.#later];
  }

  get #newest(): IndexedConfiguration {
    return this.#later.at(-1) ?? this.#snapshot;
  }

  #entryAt(index: number): IndexedConfiguration {
    assert(index >= this.#snapshot.index, "the configurations before a snapshot are no longer known");
    return this.#later.findLast((candidate) => candidate.index <= index) ?? this.#snapshot;
  }
}
