/** Changes of role. Each sets up the new role's data and settles what the old role leaves behind. */
import { assert } from "../platform/assert.ts";
import { Lease } from "./lease.ts";
import { entryBytes } from "./log.ts";
import { newPeer } from "./progress.ts";
import { PendingReads, refuseRead } from "./read_index.ts";
import type { RaftState } from "./state.ts";
import type { Entry, NodeId } from "./types.ts";

/**
 * Follows in `term` (the present one, or a later one): `leader` leads it, or it is not known who does.
 *
 * Without a leader the election timer runs on: a later term alone, brought by a candidate that may not be able to
 * win, must not keep this node from campaigning.
 */
export function becomeFollower(state: RaftState, term: number, leader: NodeId | null): void {
  if (term > state.term) state.enterTerm(term);
  assert(term === state.term, "a node follows only in its present term");
  abandonReads(state);
  const elapsedTicks = leader === null && state.role.kind !== "leader" ? state.role.elapsedTicks : 0;
  state.role = {
    kind: "follower",
    leader,
    elapsedTicks,
    timeoutTicks: state.drawTimeoutTicks(),
    forwardedReads: new Map(),
  };
}

/** Sounds out an election in the next term; the term itself does not change yet. */
export function becomePreCandidate(state: RaftState): void {
  assert(state.role.kind !== "leader", "a leader does not campaign");
  abandonReads(state);
  state.role = {
    kind: "preCandidate",
    votes: new Map([[state.id, true]]),
    elapsedTicks: 0,
    timeoutTicks: state.drawTimeoutTicks(),
  };
}

/** Enters the next term and votes for itself; the vote counts once it is durable. */
export function becomeCandidate(state: RaftState): void {
  assert(state.role.kind !== "leader", "a leader does not campaign");
  abandonReads(state);
  state.enterTerm(state.term + 1);
  state.voteFor(state.id);
  state.role = {
    kind: "candidate",
    votes: new Map(),
    elapsedTicks: 0,
    timeoutTicks: state.drawTimeoutTicks(),
  };
}

/**
 * Begins to lead the term with a no-op: entries of earlier terms are committed only under an entry of this one
 * (Raft §5.4.2), and reads wait for it (thesis §6.4).
 */
export function becomeLeader(state: RaftState): void {
  assert(state.role.kind === "candidate", "only a candidate becomes leader");
  const { log, term } = state;
  const noop: Entry = { index: log.lastIndex + 1, term, kind: "noop", data: new Uint8Array(0) };
  // Nodes that a change leaves behind get the log until that is committed (see membership.ts).
  const nodes = log.configurations.nodesFrom(log.commitIndex);
  const others = [...nodes].filter((node) => node !== state.id);
  state.role = {
    kind: "leader",
    peers: new Map(others.map((node) => [node, newPeer(log.lastIndex)])),
    termStartIndex: noop.index,
    heartbeatElapsedTicks: 0,
    quorumElapsedTicks: 0,
    removalWaitTicks: null,
    transfer: null,
    reads: new PendingReads(),
    lease: state.lease === null ? null : new Lease(state.lease),
    unappliedBytes: entryBytes(noop),
  };
  log.write([noop]);
}

/** Reads that wait in a role that ends are not confirmed by anybody any more. */
function abandonReads(state: RaftState): void {
  const { role } = state;
  if (role.kind === "follower") {
    for (const readId of role.forwardedReads.keys()) refuseRead(state, { readId, from: state.id });
  } else if (role.kind === "leader") {
    for (const read of role.reads.drain()) refuseRead(state, read);
  }
}
