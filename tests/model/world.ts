/** The small worlds that are explored: how they begin, and how much may happen in them. */

import type { Met } from "./node_table.ts";

/** How a node begins: what its disk holds. */
export interface DiskStart {
  readonly term: number;
  /** Whom it voted for in that term: 1 to 3, or null. */
  readonly vote: number | null;
  /** Terms of its entries, from index 1 on. */
  readonly log: readonly number[];
}

/** How much may happen. Every number but `messages` counts over a whole history. */
export interface Bounds {
  /** Election timers that run out, in the election of the first leader too. */
  readonly campaigns: number;
  /** Commands that leaders take. */
  readonly proposals: number;
  /** Messages under way at a time; a send beyond loses any of them, or is lost. */
  readonly messages: number;
  /** Crashes, each with a restart from what is on disk. */
  readonly crashes: number;
  /** Arrivals after which the message is still under way. */
  readonly repetitions: number;
  /** Rounds of heartbeats of one leader that its clock begins (reads begin more). */
  readonly rounds: number;
  readonly reads: number;
  readonly transfers: number;
  /** Connections of a leader that break, so that it sends again. */
  readonly reconnections: number;
  /** Snapshots that nodes take. */
  readonly compactions: number;
}

/** A world: three nodes, and what may happen to them. */
export interface World {
  readonly name: string;
  readonly disks: readonly [DiskStart, DiskStart, DiskStart];
  /** The node that leads when the world begins, elected with everything delivered; null for none. */
  readonly leader: 1 | 2 | 3 | null;
  readonly bounds: Bounds;
  /** What it was made for: an exploration that never met it proves nothing. */
  readonly meets: readonly (keyof Met)[];
}

const EMPTY_DISK: DiskStart = { term: 0, vote: null, log: [] };
const EMPTY_DISKS = [EMPTY_DISK, EMPTY_DISK, EMPTY_DISK] as const;

/** Raft Figure 8 with three nodes: 1 led term 1, 2 led term 2 by the vote of 3, and neither told anybody. */
const FIGURE_8_DISKS = [
  { term: 1, vote: 1, log: [1] },
  { term: 2, vote: 2, log: [2] },
  { term: 2, vote: 2, log: [] },
] as const;

/** Node 1 led term 1 and told nobody of its many entries; 2 led term 2 and told 3 of its few (Raft §5.4.1). */
const LONG_AND_OLD_DISKS = [
  { term: 2, vote: null, log: [1, 1, 1] },
  { term: 2, vote: 2, log: [2] },
  { term: 2, vote: 2, log: [2] },
] as const;

const NOTHING: Bounds = {
  campaigns: 0,
  proposals: 0,
  messages: 0,
  crashes: 0,
  repetitions: 0,
  rounds: 0,
  reads: 0,
  transfers: 0,
  reconnections: 0,
  compactions: 0,
};

const ELECTIONS: World = {
  name: "elections",
  disks: EMPTY_DISKS,
  leader: null,
  bounds: { ...NOTHING, campaigns: 2, messages: 2, crashes: 1 },
  meets: ["elections", "commits", "truncations", "rejections", "lostWrites"],
};
const FIGURE_8: World = {
  name: "figure 8",
  disks: FIGURE_8_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 4, messages: 2 },
  meets: ["elections", "commits", "truncations", "rejections"],
};
const LONG_AND_OLD: World = {
  name: "long and old",
  disks: LONG_AND_OLD_DISKS,
  leader: null,
  bounds: { ...NOTHING, campaigns: 2, messages: 2 },
  meets: ["elections", "commits", "truncations", "rejections"],
};
const QUESTION: World = {
  name: "question",
  disks: LONG_AND_OLD_DISKS,
  leader: null,
  bounds: { ...NOTHING, campaigns: 1, messages: 2, reconnections: 1 },
  meets: ["elections", "commits", "truncations", "rejections"],
};
const REPLICATION: World = {
  name: "replication",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 2, rounds: 1 },
  meets: ["elections", "commits", "truncations", "rejections"],
};
const PIPELINE: World = {
  name: "pipeline",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 1, proposals: 2, messages: 2, repetitions: 1 },
  meets: ["commits"],
};
const RECONNECTION: World = {
  name: "reconnection",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 1, proposals: 1, messages: 2, crashes: 1, reconnections: 1, rounds: 2 },
  meets: ["commits", "lostWrites"],
};
const REPETITION: World = {
  name: "repetition",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 2, repetitions: 1 },
  meets: ["elections", "commits", "truncations", "rejections"],
};
const READS: World = {
  name: "reads",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, messages: 2, reads: 2 },
  meets: ["elections", "commits", "readsAnswered"],
};
const TRANSFER: World = {
  name: "transfer",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, messages: 2, transfers: 1 },
  meets: ["elections", "commits", "handovers"],
};

const SNAPSHOT: World = {
  name: "snapshot",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 2, compactions: 1 },
  meets: ["elections", "commits", "installs"],
};
const SNAPSHOT_CRASH: World = {
  ...SNAPSHOT,
  name: "snapshot and crash",
  bounds: { ...SNAPSHOT.bounds, campaigns: 1, crashes: 1, reconnections: 1 },
  meets: ["commits", "installs", "lostWrites"],
};

/** Each is explored to its end within seconds: `deno task test`. */
export const SHORT_WORLDS: readonly World[] = [
  ELECTIONS,
  FIGURE_8,
  LONG_AND_OLD,
  QUESTION,
  REPLICATION,
  PIPELINE,
  RECONNECTION,
  REPETITION,
  READS,
  TRANSFER,
  SNAPSHOT,
  SNAPSHOT_CRASH,
];

/** The same with more of everything: `deno task model`. */
export const LONG_WORLDS: readonly World[] = [
  { ...ELECTIONS, bounds: { ...NOTHING, campaigns: 3, messages: 3, crashes: 1 } },
  { ...FIGURE_8, bounds: { ...NOTHING, campaigns: 4, messages: 3, crashes: 1 } },
  { ...LONG_AND_OLD, bounds: { ...NOTHING, campaigns: 3, messages: 2, crashes: 1 } },
  { ...QUESTION, bounds: { ...QUESTION.bounds, campaigns: 2 } },
  { ...REPLICATION, bounds: { ...NOTHING, campaigns: 2, proposals: 2, messages: 3, crashes: 1, rounds: 2 } },
  { ...PIPELINE, bounds: { ...NOTHING, campaigns: 1, proposals: 3, messages: 3, repetitions: 1 } },
  { ...RECONNECTION, bounds: { ...RECONNECTION.bounds, campaigns: 2, messages: 3 } },
  { ...REPETITION, bounds: { ...REPETITION.bounds, messages: 3, crashes: 1 } },
  { ...READS, bounds: { ...NOTHING, campaigns: 2, messages: 3, crashes: 1, reads: 2, proposals: 1 } },
  { ...TRANSFER, bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 3, crashes: 1, transfers: 2 } },
  { ...SNAPSHOT, bounds: { ...SNAPSHOT.bounds, reconnections: 1 } },
  { ...SNAPSHOT_CRASH, bounds: { ...SNAPSHOT_CRASH.bounds, messages: 3, compactions: 2 } },
];
