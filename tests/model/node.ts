/**
 * One node of a small world: the production core and its disk, driven by one input at a time.
 *
 * Each input is followed at once by one Ready, which begins a write (it ends by a later input, or a crash loses it),
 * hands out messages and applies. What gathers while a write is under way goes with the next one, as in the driver.
 *
 * Time passes in the strides that can matter: a follower's leader falls silent, a node campaigns, a leader's
 * heartbeats are due. With elections after 2 ticks, heartbeats after 1 and timeouts of 3, each stride is a few ticks
 * of production code; nothing is abstracted. Left out are only the schedules in which something else happens to the
 * same node between the ticks of one stride; and writes that a crash leaves half done (tests/unit/raft has those).
 */
import { assert } from "../../lib/platform/assert.ts";
import {
  DEFAULT_LIMITS,
  type Entry,
  type EntryId,
  type HardState,
  type Message,
  type NodeId,
  Raft,
  type RaftDump,
  type ReadState,
  type SnapshotMetadata,
} from "../../lib/raft/mod.ts";
import { configurationOf, TEXT_CODEC } from "../support/raft/configuration.ts";
import { RaftDisk } from "../support/raft/disk.ts";

export const ELECTION_TICKS = 2;
export const HEARTBEAT_TICKS = 1;
/** What {@link RANDOM} makes of them. */
const TIMEOUT_TICKS = 2 * ELECTION_TICKS - 1;

/** Draws the longest election timeout, and the first read id. */
const RANDOM = 0.5;
/** Process k of a node draws its read ids from 2^47 + k × 2^38 on (the core draws 48 bits). */
const FIRST_READ_ID = 2 ** 47;
const READ_IDS_A_PROCESS = 2 ** 38;
/** Reads that one process may ask; a read's key is process × this + number. */
const READ_KEYS_A_PROCESS = 8;

/** One entry a message, so that logs meet in every stage of catching up. */
const LIMITS = { ...DEFAULT_LIMITS, appendBytes: 1 };

/**
 * A node's own id and the others', as seen by itself: it is 1, the next node round the circle of three is 2, the one
 * after that 3. So all nodes of a world are states of one machine (see node_table.ts).
 */
export const SELF: NodeId = 1;

/** What a node begins with. */
export interface NodeStart {
  readonly hardState: HardState;
  readonly compacted?: EntryId;
  readonly entries: readonly Entry[];
  readonly snapshot?: SnapshotMetadata;
  /** How often it was started before. */
  readonly process: number;
}

/** What can happen to a node. */
export type Input =
  | { readonly kind: "deliver"; readonly message: Message }
  /** The leader has been silent for an election timeout; the node does not campaign yet. */
  | { readonly kind: "lapse" }
  | { readonly kind: "campaign" }
  | { readonly kind: "heartbeat" }
  | { readonly kind: "sync" }
  /** A crash that loses the write under way, and a restart. */
  | { readonly kind: "restart"; readonly process: number }
  | { readonly kind: "propose" }
  | { readonly kind: "read" }
  | { readonly kind: "transfer"; readonly target: NodeId }
  /** The connection to a node has broken: what was sent to it may be lost. */
  | { readonly kind: "reconnect"; readonly target: NodeId }
  /** It takes a snapshot of all that it has applied, and cuts its log there. */
  | { readonly kind: "compact" };

/** What an input made a node do. */
export interface Effects {
  /** In the order in which they left. */
  readonly sent: Message[];
  readonly applied: Entry[];
  readonly answered: ReadState[];
  /** Whether a snapshot took the place of its state. */
  restored: boolean;
  /** The read that was taken. */
  read: number | null;
  proposed: boolean;
  /** Ticks that passed. */
  ticks: number;
  /** Whether there was a Ready. */
  worked: boolean;
}

/** A snapshot, and the state it stands for: the marks of its entries. */
interface ModelSnapshot extends SnapshotMetadata {
  readonly marks: string;
}

/**
 * An entry as one character: its term and what it is for. Every command of a small world has the same payload, so
 * that is all there is to an entry beside its index.
 */
export function entryMark(entry: Entry): string {
  return String.fromCharCode(2 * entry.term + (entry.kind === "noop" ? 0 : 1));
}

/** The state that a snapshot stands for. */
export function marksIn(snapshot: SnapshotMetadata): string {
  if (snapshot.index === 0) return "";
  assert("marks" in snapshot && typeof snapshot.marks === "string", "every snapshot comes from a node");
  return snapshot.marks;
}

/** A small number for a read id; unique within a node's life. */
export function readKey(readId: number): number {
  const offset = readId - FIRST_READ_ID;
  return Math.floor(offset / READ_IDS_A_PROCESS) * READ_KEYS_A_PROCESS + offset % READ_IDS_A_PROCESS;
}

/** One node, for as long as a process lives. */
export class ModelNode {
  readonly #raft: Raft;
  readonly disk: RaftDisk;
  /** What its newest snapshot stands for. */
  #snapshotMarks: string;

  constructor(start: NodeStart) {
    this.disk = new RaftDisk({ founding: configurationOf({ voters: [1, 2, 3] }), ...start });
    this.#snapshotMarks = marksIn(this.disk.snapshot);
    this.#raft = new Raft({
      id: SELF,
      configurationCodec: TEXT_CODEC,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      random: () => RANDOM + start.process * READ_IDS_A_PROCESS / 2 ** 48,
      limits: LIMITS,
      recovered: this.disk.recovered(),
    });
  }

  /** What the core remembers. */
  dump(): RaftDump {
    return this.#raft.dump();
  }

  /** Its log, one character an entry, with what was cut off. */
  marks(): string {
    const { compacted, cachedEntries } = this.#raft.dump().log;
    return this.#snapshotMarks.slice(0, compacted.index) + cachedEntries.map(entryMark).join("");
  }

  /** Carries out what a fresh process has to do: apply what it knows to be committed. */
  begin(): Effects {
    const effects = newEffects();
    this.#carryOut(effects);
    return effects;
  }

  /** Lets one thing happen to it. A restart is not among them: it is a new ModelNode. */
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
      case "sync": {
        const { lastIndex, lastTerm, messagesAfterSync } = this.disk.complete();
        effects.sent.push(...messagesAfterSync);
        raft.persisted(lastIndex, lastTerm);
        break;
      }
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

  /** The text of everything its future depends on. */
  fingerprint(): string {
    const { hardState, compacted, entries, snapshot, underWay } = this.disk;
    const dump = this.#raft.dump();
    // It is only ever asked whether the write takes that long.
    const persistingTicks = dump.persistingTicks === null
      ? null
      : Math.min(dump.persistingTicks, ELECTION_TICKS);
    return textOf([{ ...dump, persistingTicks }, hardState, compacted, entries, snapshot, underWay]);
  }

  /** Ticks until its election timer runs out. A node whose disk is stuck lets it pass. */
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
    assert(term !== undefined && index > log.snapshotIndex, "there is something to take a snapshot of");
    const marks = this.marks().slice(0, index);
    const snapshot: ModelSnapshot = { index, term, configuration: this.#raft.configurationAt(index), marks };
    this.#snapshotMarks = marks;
    this.disk.keepSnapshot(snapshot);
    this.#raft.compact({ snapshot, compactedIndex: index });
    this.disk.removeUpTo(this.#raft.status().firstIndex - 1);
  }

  #carryOut(effects: Effects): void {
    const ready = this.#raft.takeReady();
    if (ready === null) return;
    effects.worked = true;
    assert(ready.entryReads.length === 0, "small worlds hold their whole log in memory");
    if (ready.persist !== null) this.disk.begin(ready.persist);
    effects.sent.push(...ready.messages);
    for (const { to } of ready.snapshots) {
      const { snapshot } = this.disk;
      effects.sent.push({ kind: "installSnapshot", from: SELF, to, term: this.#raft.term, snapshot });
    }
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
 * A text that is the same for the same value: maps in the order of their keys, objects as what they dump; without what
 * only people look at.
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
