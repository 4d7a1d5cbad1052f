/** The scenarios of the model checker: the initial states, and the bounds on actions. */
import type { Coverage } from "./node_table.ts";

/** The disk of a node at the start. */
export interface DiskStart {
  readonly term: number;
  /** The node it voted for in that term, 1 to 3, or null. */
  readonly vote: number | null;
  /** Terms of its entries, from index 1 on. */
  readonly log: readonly number[];
}

/** The bounds of a scenario. All but `messages` apply to a whole path. */
export interface Bounds {
  /** Election timeouts, including the election of the first leader. */
  readonly campaigns: number;
  /** Accepted commands. */
  readonly proposals: number;
  /** Messages in flight at a time; at the limit a new message or any other one is lost. */
  readonly messages: number;
  /** Crashes, each with a restart from disk. */
  readonly crashes: number;
  /** Arrivals after which the message is still in flight. */
  readonly repetitions: number;
  /** Rounds of heartbeats of one leader that its clock starts (reads start more). */
  readonly rounds: number;
  readonly reads: number;
  readonly transfers: number;
  /** Broken connections of a leader, after which it sends again. */
  readonly reconnections: number;
  /** Snapshots that nodes take. */
  readonly compactions: number;
}

/** A scenario: three nodes and the bounds on their actions. */
export interface Scenario {
  readonly name: string;
  readonly disks: readonly [DiskStart, DiskStart, DiskStart];
  /** The first leader, elected without lost messages; null for none. */
  readonly leader: 1 | 2 | 3 | null;
  readonly bounds: Bounds;
  /** Events that must occur: without them the exploration proves nothing. */
  readonly covers: readonly (keyof Coverage)[];
}

const EMPTY_DISK: DiskStart = { term: 0, vote: null, log: [] };
const EMPTY_DISKS = [EMPTY_DISK, EMPTY_DISK, EMPTY_DISK] as const;

/** Raft Figure 8 with three nodes: 1 led term 1, 2 led term 2 with the vote of 3, and neither replicated an entry. */
const FIGURE_8_DISKS = [
  { term: 1, vote: 1, log: [1] },
  { term: 2, vote: 2, log: [2] },
  { term: 2, vote: 2, log: [] },
] as const;

/** Node 1 led term 1 and replicated none of its many entries; 2 led term 2 and replicated its few to 3 (Raft §5.4.1). */
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

const ELECTIONS: Scenario = {
  name: "elections",
  disks: EMPTY_DISKS,
  leader: null,
  bounds: { ...NOTHING, campaigns: 2, messages: 2, crashes: 1 },
  covers: ["elections", "commits", "truncations", "rejections", "lostWrites"],
};
const FIGURE_8: Scenario = {
  name: "figure 8",
  disks: FIGURE_8_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 4, messages: 2 },
  covers: ["elections", "commits", "truncations", "rejections"],
};
const LONG_AND_OLD: Scenario = {
  name: "long and old",
  disks: LONG_AND_OLD_DISKS,
  leader: null,
  bounds: { ...NOTHING, campaigns: 2, messages: 2 },
  covers: ["elections", "commits", "truncations", "rejections"],
};
const QUESTION: Scenario = {
  name: "question",
  disks: LONG_AND_OLD_DISKS,
  leader: null,
  bounds: { ...NOTHING, campaigns: 1, messages: 2, reconnections: 1 },
  covers: ["elections", "commits", "truncations", "rejections"],
};
const REPLICATION: Scenario = {
  name: "replication",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 2, rounds: 1 },
  covers: ["elections", "commits", "truncations", "rejections"],
};
const PIPELINE: Scenario = {
  name: "pipeline",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 1, proposals: 2, messages: 2, repetitions: 1 },
  covers: ["commits"],
};
const RECONNECTION: Scenario = {
  name: "reconnection",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 1, proposals: 1, messages: 2, crashes: 1, reconnections: 1, rounds: 2 },
  covers: ["commits", "lostWrites"],
};
const REPETITION: Scenario = {
  name: "repetition",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 2, repetitions: 1 },
  covers: ["elections", "commits", "truncations", "rejections"],
};
const READS: Scenario = {
  name: "reads",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, messages: 2, reads: 2 },
  covers: ["elections", "commits", "readsAnswered"],
};
const TRANSFER: Scenario = {
  name: "transfer",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, messages: 2, transfers: 1 },
  covers: ["elections", "commits", "transfers"],
};

const SNAPSHOT: Scenario = {
  name: "snapshot",
  disks: EMPTY_DISKS,
  leader: 1,
  bounds: { ...NOTHING, campaigns: 2, proposals: 1, messages: 2, compactions: 1 },
  covers: ["elections", "commits", "installs"],
};
const SNAPSHOT_CRASH: Scenario = {
  ...SNAPSHOT,
  name: "snapshot and crash",
  bounds: { ...SNAPSHOT.bounds, campaigns: 1, crashes: 1, reconnections: 1 },
  covers: ["commits", "installs", "lostWrites"],
};

/** Scenarios that are explored completely within seconds, by `deno task test`. */
export const SHORT_SCENARIOS: readonly Scenario[] = [
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

/** The same scenarios with larger bounds, for `deno task model`. */
export const LONG_SCENARIOS: readonly Scenario[] = [
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
