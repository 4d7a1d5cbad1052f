/**
 * All that a node remembers, laid open, so that tests can tell whether two nodes are in the same state.
 *
 * Two nodes of one configuration whose dumps are equal act alike from then on, given the same inputs and the same
 * random numbers. A dump shares the node's objects: it is to be read at once, and never changed.
 */
import type { Message } from "./message.ts";
import type { Load, ReadState } from "./ready.ts";
import type { Role } from "./role.ts";
import type { Entry, HardState, NodeId, TermRun } from "./types.ts";

/** The memory of a log. */
export interface LogDump {
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly durableIndex: number;
  readonly handedIndex: number;
  /** The write under way. */
  readonly persisting: { readonly index: number; readonly term: number; readonly validIndex: number } | null;
  readonly runs: readonly TermRun[];
  /** The entries whose payload is in memory; they end at `lastIndex`. */
  readonly tail: readonly Entry[];
}

/** What all roles share. */
export interface StateDump {
  readonly term: number;
  readonly vote: NodeId | null;
  /** The hard state last handed out to be written, and the one that is durable. */
  readonly handed: HardState;
  readonly durable: HardState;
  readonly role: Role;
  readonly log: LogDump;
  /** What waits to be handed out: messages, and those that leave after the next sync. */
  readonly messages: readonly Message[];
  readonly promises: readonly Message[];
  readonly reads: readonly ReadState[];
  readonly loads: readonly Load[];
  readonly loadingCommitted: boolean;
  readonly persistingTicks: number | null;
  readonly nextReadId: number;
}

/** The memory of a node. */
export interface RaftDump extends StateDump {
  /** Entries read back from storage to be applied, not yet handed out. */
  readonly loadedCommitted: readonly Entry[];
}
