/**
 * The configurations that a log holds, and which of them says what.
 *
 * A configuration decides from the moment it is appended, committed or not; an entry that is truncated takes its
 * configuration with it (thesis §4.1: a node always uses the latest configuration in its log).
 *
 * Invariants: there is at least one; indexes rise; the first is the configuration as of `compactedIndex`, the index of the
 * newest snapshot; all others belong to entries of the log above it.
 */
import { assert } from "../platform/assert.ts";
import { members } from "./quorum.ts";
import type { Configuration, ConfState, MemberRecord, NodeId, SnapshotMetadata } from "./types.ts";

/** A configuration and where it stands in the log. */
interface Placed {
  readonly index: number;
  readonly configuration: Configuration;
}

/** The configurations of one log. */
export class ConfigurationHistory {
  #snapshot: Placed;
  #later: Placed[] = [];
  /** Nodes of the configurations from one position on, for as long as nothing changes. */
  #known: { readonly from: Placed; readonly newest: Placed; readonly nodes: ReadonlySet<NodeId> } | null =
    null;

  constructor({ index, configuration }: SnapshotMetadata) {
    this.#snapshot = { index, configuration };
  }

  /** The configuration that decides. */
  get newest(): Configuration {
    return this.#newest.configuration;
  }

  /** Index of its entry; that of the snapshot when the log has none. */
  get newestIndex(): number {
    return this.#newest.index;
  }

  /** The configuration as of an index that the snapshot does not hide. */
  at(index: number): Configuration {
    return this.#placedAt(index).configuration;
  }

  /** Every node of the configuration as of `index`, or of a later one: those that a change may still need. */
  nodesFrom(index: number): ReadonlySet<NodeId> {
    const from = this.#placedAt(index);
    const newest = this.#newest;
    if (this.#known?.from !== from || this.#known.newest !== newest) {
      const meant = [from, ...this.#later.filter((placed) => placed.index > index)];
      const ids = meant.flatMap(({ configuration }) => members(configuration.confState));
      this.#known = { from, newest, nodes: new Set(ids.sort((a, b) => a - b)) };
    }
    return this.#known.nodes;
  }

  /** An entry with a configuration was appended. */
  append(index: number, configuration: Configuration): void {
    assert(index > this.newestIndex, "configurations are appended in order");
    this.#later.push({ index, configuration });
  }

  /** The entries from `index` on were discarded. */
  truncateFrom(index: number): void {
    assert(index > this.#snapshot.index, "what a snapshot holds is never discarded");
    while ((this.#later.at(-1)?.index ?? 0) >= index) this.#later.pop();
  }

  /** A received snapshot took the place of the log. */
  reset({ index, configuration }: SnapshotMetadata): void {
    this.#snapshot = { index, configuration };
    this.#later = [];
  }

  /** A snapshot of everything up to `index` exists: what was before it is of no interest any more. */
  compactTo(index: number): void {
    this.#snapshot = { index, configuration: this.at(index) };
    this.#later = this.#later.filter((placed) => placed.index > index);
  }

  /** All of them, oldest first (see dump.ts). */
  dump(): readonly Placed[] {
    return [this.#snapshot, ...this.#later];
  }

  get #newest(): Placed {
    return this.#later.at(-1) ?? this.#snapshot;
  }

  #placedAt(index: number): Placed {
    assert(index >= this.#snapshot.index, "the configuration before a snapshot's is not known any more");
    return this.#later.findLast((placed) => placed.index <= index) ?? this.#snapshot;
  }
}

/**
 * The joint configuration on the way from one to another (Raft §6): both majorities decide. A node that leaves is not
 * among the removed ones yet, as its vote is still needed.
 */
export function jointOf(current: Configuration, target: Configuration): Configuration {
  const { voters, learners } = target.confState;
  return successor(current, target, { voters, learners, votersOutgoing: current.confState.voters });
}

/** The configuration that a joint one leads to. */
export function finalOf(joint: Configuration): Configuration {
  return successor(joint, joint, { ...joint.confState, votersOutgoing: [] });
}

/** The configuration after `current` in which voters stay as they are; whoever is dropped is a removed node. */
export function plainOf(current: Configuration, target: Configuration): Configuration {
  return successor(current, target, target.confState);
}

/** The configurations that are appended one after the other on the way from `current` to `target`. */
export function stepsTo(
  target: Configuration,
  current: Configuration,
): readonly [Configuration, ...Configuration[]] {
  const before = current.confState.voters;
  const after = target.confState.voters;
  const staysSame = before.length === after.length &&
    before.every((node, position) => node === after[position]);
  if (staysSame) return [plainOf(current, target)];
  const joint = jointOf(current, target);
  return [joint, finalOf(joint)];
}

/** Which rule keeps a configuration from being asked for when `current` is there, as a sentence; null when none does. */
export function targetProblem(
  { confState, members: records, removedIds }: Configuration,
  current: Configuration,
): string | null {
  const { voters, learners, votersOutgoing } = confState;
  if (voters.length === 0) return "a cluster has at least one voter";
  if (votersOutgoing.length > 0) return "a joint configuration is not asked for: the core makes it";
  for (const ids of [voters, learners, records.map(({ id }) => id), removedIds]) {
    if (ids.some((id, position) => position > 0 && id <= (ids[position - 1] ?? 0))) return "lists are sorted";
  }
  if (learners.some((id) => voters.includes(id))) return "a node is a voter or a learner";
  const ids = members(confState);
  const isExact = ids.length === records.length && ids.every((id, position) => records[position]?.id === id);
  if (!isExact) return "the members are those who vote or learn";
  const removed = [...current.removedIds, ...removedIds];
  return ids.some((id) => removed.includes(id)) ? "a removed node does not come back under its id" : null;
}

function successor(current: Configuration, target: Configuration, confState: ConfState): Configuration {
  const records = new Map<NodeId, MemberRecord>();
  for (const record of [...current.members, ...target.members]) records.set(record.id, record);
  const ids = members(confState);
  const gone = [...current.removedIds, ...target.removedIds, ...current.members.map(({ id }) => id)];
  const removedIds = [...new Set(gone)].filter((id) => !ids.includes(id)).sort((a, b) => a - b);
  return {
    confState,
    members: ids.flatMap((id) => records.get(id) ?? []),
    removedIds,
  };
}
