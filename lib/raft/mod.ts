/**
 * The consensus core: Raft as a pure state machine.
 *
 * Inputs: `tick`, `step`, `propose`, `proposeConfiguration`, `readIndex`, `transferLeadership`, and what the outside
 * reports (`persisted`, `entriesRead`, `messagesLost`, `reportUnreachable`, `storageStalled`, `compact`, `snapshotFailed`).
 * Output: `takeReady`, which says what to make durable, what to send (and what only after the sync), what to apply,
 * which reads may be answered. The core does no I/O, has no clock, and gets its randomness from outside (and time, if
 * leases are enabled): same inputs, same outputs.
 *
 * What it does: randomized elections, PreVote, CheckQuorum, leader stickiness; pipelined replication with bounded
 * inflight and conflict hints; commit by counting entries of the current term only; a no-op at the start of a term;
 * ReadIndex, batched and forwarded, and optional reads under a lease; leadership transfer; log
 * compaction and snapshots; learners, and joint consensus for every change of voters.
 *
 * What it leaves out, and why: the data of snapshots, which the server carries beside the core, so that a transfer holds
 * up nothing here. Changes of one voter without a joint configuration: one way is enough. Proposals are not forwarded
 * by the core: the server forwards the client's request, so that its answer travels with it.
 *
 * Sources: Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm (Extended Version)", 2014
 * ("Raft §…"); Ongaro, "Consensus: Bridging Theory and Practice", 2014 ("thesis §…"); Ongaro, "bug in single-server
 * membership changes", raft-dev, 2015.
 *
 * @module
 */
export { stepsTo, targetProblem } from "./membership.ts";
export type { ConfigurationProposed } from "./membership.ts";
export { DEFAULT_LIMITS, EMPTY_CONFIGURATION, EMPTY_STATE, foundingState } from "./config.ts";
export type { RaftConfig, RaftLimits, RecoveredState } from "./config.ts";
export type { LeaseConfig } from "./lease.ts";
export type * from "./message.ts";
export { Raft } from "./raft.ts";
export type { Proposed } from "./raft.ts";
export type { EntryRead, Persist, ReadRequested, ReadState, Ready, SnapshotTransfer } from "./ready.ts";
export type { RaftDump, Role } from "./state.ts";
export type { PeerView, RaftStatus } from "./status.ts";
export type * from "./types.ts";
