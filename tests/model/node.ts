/**
 * One node of the model: the production core and its disk, with one input at a time.
 *
 * After each input the node takes one Ready: it starts a disk write (a later input completes it, or a crash loses it), sends
 * messages and applies entries. Output during a write goes with the next write, as in the driver.
 *
 * Time advances by a few ticks at once: until a follower has not received from its leader for an election timeout, until a
 * node campaigns, until heartbeats are due. The model omits schedules in which another input arrives between these ticks, and
 * partial writes at a crash (tests/unit/raft has those).
 */
import { assert } from "../../lib/platform/assert.ts";
import {
  DEFAULT_LIMITS,
  type Entry,
  type EntryId,
  type HardState,
  type Message,
  type NodeId,
  type Raft,
  type RaftDump,
  type ReadState,
  type SnapshotMetadata,
} from "../../lib/raft/mod.ts";
import { configurationOf } from "../support/raft/configuration.ts";
import { CoreNode } from "../support/raft/core_node.ts";
import { RaftDisk } from "../support/raft/disk.ts";

export const ELECTION_TICKS = 2;
export const HEARTBEAT_TICKS = 1;
/** The election timeout that {@link RANDOM} gives. */
const TIMEOUT_TICKS = 2 * ELECTION_TICKS - 1;

/** The value for the longest election timeout, and for the first read id. */
const RANDOM = 0.5;
/** Process k of a node uses read ids from 2^47 + k × 2^38 on (the core uses 48 random bits). */
const FIRST_READ_ID = 2 ** 47;
const READ_IDS_A_PROCESS = 2 ** 38;
/** Maximum number of reads of one process; a read's key is process × this + number. */
const READ_KEYS_A_PROCESS = 8;

/** One entry per message, so that all stages of catching up occur. */
const LIMITS = { ...DEFAULT_LIMITS, appendBytes: 1 };

/**
 * The id of a node relative to itself. The next node in cyclic order is 2, the one after that 3, so all nodes share one
 * table of states (node_table.ts).
 */
export const SELF: NodeId = 1;

/** The durable state at a start. */
export interface NodeStart {
  readonly hardState: HardState;
  readonly compacted?: EntryId;
  readonly entries: readonly Entry[];
  readonly snapshot?: SnapshotMetadata;
  /** The number of earlier starts. */
  readonly process: number;
}

/** An input of a node. */
export type Input =
  | { readonly kind: "deliver"; readonly message: Message }
  /** The node received nothing from its leader for an election timeout; it does not campaign yet. */
  | { readonly kind: "lapse" }
  | { readonly kind: "campaign" }
  | { readonly kind: "heartbeat" }
  | { readonly kind: "sync" }
  /** A crash that loses the write in progress, and a restart. */
  | { readonly kind: "restart"; readonly process: number }
  | { readonly kind: "propose" }
  | { readonly kind: "read" }
  | { readonly kind: "transfer"; readonly target: NodeId }
  /** The connection to a node broke: messages to it may be lost. */
  | { readonly kind: "reconnect"; readonly target: NodeId }
  /** The node takes a snapshot at its applied index, and cuts its log there. */
  | { readonly kind: "compact" };

/** The effects of an input. */
export interface Effects {
  /** In the order in which they were sent. */
  readonly sent: Message[];
  readonly applied: Entry[];
  readonly answered: ReadState[];
  /** Whether a snapshot replaced the state. */
  restored: boolean;
  /** The key of the accepted read. */
  read: number | null;
  proposed: boolean;
  /** The number of ticks. */
  ticks: number;
  /** Whether there was a Ready. */
  worked: boolean;
}

/** A snapshot with its state: the marks of its entries. */
interface ModelSnapshot extends SnapshotMetadata {
  readonly marks: string;
}

/**
 * Returns an entry as one character: its term and kind. All commands have the same payload, so this and the index identify
 * the entry.
 */
export function entryMark(entry: Entry): string {
  return String.fromCharCode(2 * entry.term + (entry.kind === "noop" ? 0 : 1));
}

/** Returns the state of a snapshot. */
export function marksIn(snapshot: SnapshotMetadata): string {
  if (snapshot.index === 0) return "";
  assert("marks" in snapshot && typeof snapshot.marks === "string", "every snapshot comes from a node");
  return snapshot.marks;
}

/** Returns a small number for a read id, unique in a node. */
export function readKey(readId: number): number {
  const offset = readId - FIRST_READ_ID;
  return Math.floor(offset / READ_IDS_A_PROCESS) * READ_KEYS_A_PROCESS + offset % READ_IDS_A_PROCESS;
}

/** One process of a node. */
export class ModelNode {
  readonly #core: CoreNode;
  readonly #raft: Raft;
  /** The state of the newest snapshot. */
  #snapshotMarks: string;

  constructor(start: NodeStart) {
    this.#core = new CoreNode(
      SELF,
      new RaftDisk({ founding: configurationOf({ voters: [1, 2, 3] }), ...start }),
    );
    this.#snapshotMarks = marksIn(this.disk.snapshot);
    this.#raft = this.#core.start({
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      random: () => RANDOM + start.process * READ_IDS_A_PROCESS / 2 ** 48,
      limits: LIMITS,
    });
  }

  get disk(): RaftDisk {
    return this.#core.disk;
  }

  /** Returns the state of the core. */
  dump(): RaftDump {
    return this.#raft.dump();
  }

  /** Returns the log, one character per entry, including removed entries. */
  marks(): string {
    const { compacted, cachedEntries } = this.#raft.dump().log;
    return this.#snapshotMarks.slice(0, compacted.index) + cachedEntries.map(entryMark).join("");
  }

  /** Handles the first Ready of a process, which applies the committed entries. */
  begin(): Effects {
    const effects = newEffects();
    this.#carryOut(effects);
    return effects;
  }

  /** Applies one input; a restart is a new ModelNode instead. */
  apply(input: Exclude<Input, { kind: "restart" }>): Effects {
    const effects = newEffects();
    const raft = this.#raft;
    switch (input.kind) {
      case "deliver":
        raft.step(input.message);
        break;
      case "lapse":
        this.#tickUntil(
          effects,
          ({ role }) => role.kind === "follower" && role.elapsedTicks >= ELECTION_TICKS,
        );
        break;
      case "campaign":
        this.#campaign(effects);
        break;
      case "heartbeat":
        raft.tick();
        effects.ticks = 1;
        break;
      case "sync":
        effects.sent.push(...this.#core.endWrite().messagesAfterSync);
        break;
      case "propose":
        effects.proposed = raft.propose(new TextEncoder().encode("x")).kind === "accepted";
        break;
      case "read": {
        const requested = raft.readIndex();
        if (requested.kind === "accepted") effects.read = readKey(requested.readId);
        break;
      }
      case "transfer":
        raft.transferLeadership(input.target);
        break;
      case "reconnect":
        raft.messagesLost(input.target);
        raft.snapshotFailed(input.target);
        break;
      case "compact":
        this.#compact();
        break;
    }
    this.#carryOut(effects);
    return effects;
  }

  /** Returns a text of all state that affects the future. */
  fingerprint(): string {
    const { hardState, compacted, entries, snapshot, underWay } = this.disk;
    const dump = this.#raft.dump();
    // The core only compares it with the election timeout.
    const persistingTicks = dump.persistingTicks === null
      ? null
      : Math.min(dump.persistingTicks, ELECTION_TICKS);
    return textOf([{ ...dump, persistingTicks }, hardState, compacted, entries, snapshot, underWay]);
  }

  /** Ticks until the election timer expires. A node with a stuck disk does not campaign. */
  #campaign(effects: Effects): void {
    const { role } = this.#raft.dump();
    this.#tickUntil(effects, (dump) => dump.role !== role);
  }

  #tickUntil(effects: Effects, isOver: (dump: RaftDump) => boolean): void {
    while (effects.ticks < TIMEOUT_TICKS && !isOver(this.#raft.dump())) {
      this.#raft.tick();
      effects.ticks++;
    }
  }

  #compact(): void {
    const { log } = this.#raft.dump();
    const index = log.appliedIndex;
    const term = log.termRanges.findLast((range) => range.firstIndex <= index)?.term;
    assert(term !== undefined && index > log.snapshotIndex, "there are applied entries after the snapshot");
    const marks = this.marks().slice(0, index);
    const snapshot: ModelSnapshot = { index, term, configuration: this.#raft.configurationAt(index), marks };
    this.#snapshotMarks = marks;
    this.#core.keepSnapshot(snapshot, index);
  }

  #carryOut(effects: Effects): void {
    const ready = this.#core.takeReady();
    if (ready === null) return;
    effects.worked = true;
    assert(ready.entryReads.length === 0, "the model keeps the whole log in memory");
    effects.sent.push(...ready.messages, ...this.#core.snapshotMessages(ready));
    if (ready.restore !== null) {
      effects.restored = true;
      this.#snapshotMarks = marksIn(ready.restore);
    }
    effects.applied.push(...ready.committed);
    effects.answered.push(...ready.reads);
  }
}

function newEffects(): Effects {
  return {
    sent: [],
    applied: [],
    answered: [],
    restored: false,
    read: null,
    proposed: false,
    ticks: 0,
    worked: false,
  };
}

/**
 * Returns a text that is equal for equal values: maps sorted by key, objects as their dump. It omits fields that exist only
 * for display.
 */
function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Uint8Array) return `<${value.join(" ")}>`;
  if (value instanceof Map) return `{${[...value].map(textOf).sort().join(",")}}`;
  if (Array.isArray(value)) return `[${value.map(textOf).join(",")}]`;
  if ("dump" in value && typeof value.dump === "function") return textOf(value.dump());
  const parts = Object.entries(value).filter(([name]) => name !== "ticksSinceContact");
  return `(${parts.map(([, part]) => textOf(part)).join(",")})`;
}
