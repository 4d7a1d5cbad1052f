/** Mutants of the consensus core. */
import { GOLDEN, MODEL, RAFT, RANDOM, SIM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const CHECKS = [GOLDEN, RAFT, RANDOM, MODEL, SIM];

export const CONSENSUS_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/raft/transfer.ts", CHECKS, [
    {
      id: "M188",
      title: "a lost TimeoutNow is not sent again",
      failure: "writes wait for an election timeout, and no node has become leader",
      from: "sendTimeoutNow(state, transfer.target);",
      to: "",
    },
    {
      id: "M17",
      title: "leadership is transferred to a node that lacks entries",
      failure: "the requested election cannot be won: no node leads for a while",
      from: "if (peer.progress.matchIndex !== state.log.lastIndex) return;",
      to: "",
    },
    {
      id: "M240",
      title: "TimeoutNow is repeated only with heartbeats that are due by themselves",
      failure:
        "while reads come, one lost message makes a transfer fail, and writes wait for an election timeout",
      from: "transfer.elapsedTicks % state.heartbeatTicks === 0",
      to: "role.heartbeatElapsedTicks === 0",
    },
  ]),
  ...inFile("lib/raft/replication.ts", CHECKS, [
    {
      id: "M1",
      title: "entries of older terms are committed by counting",
      failure: "Raft Figure 8: an acknowledged write is overwritten by a later leader",
      from: " && log.termAt(index) === state.term",
      to: "",
    },
    {
      id: "M6",
      title: "the leader counts itself before its own sync",
      failure: "a write is acknowledged that a minority of disks holds",
      from: "node === state.id ? log.durableIndex",
      to: "node === state.id ? log.lastIndex",
    },
    {
      id: "M8",
      title: "the leader probes one entry above the hint of a rejection",
      failure: "a follower with a conflicting log never catches up",
      from: "becomeProbe(peer, agreement.index + 1);",
      to: "becomeProbe(peer, agreement.index + 2);",
    },
    {
      id: "M47",
      title: "an acknowledgement of entries that were not sent is accepted",
      failure: "a faulty follower makes the leader commit entries that it does not have",
      from: 'if (matchIndex > sentIndex) return "acknowledgesUnsent";',
      to: "",
    },
    {
      id: "M81",
      title: "after a silence the same entries are sent again instead of a probe without entries",
      failure: "a slow link carries the same megabytes repeatedly",
      from: 'return progress.kind === "probe" && progress.emptyProbeIndex !== null;',
      to: 'return progress.kind === "probe" && progress.emptyProbeIndex === -1;',
    },
    {
      id: "M241",
      title: "entries read back from disk are sent in place of a due probe",
      failure: "their answer does not end the probe: the follower gets nothing for an election timeout",
      from: "  if (isEmptyProbe(peer.progress)) return;\n",
      to: "",
    },
  ]),
  ...inFile("lib/raft/state.ts", CHECKS, [
    {
      id: "M2",
      title: "a vote in the present term is not persisted",
      failure: "after a restart the node votes for another candidate of the same term: two leaders",
      from: " ||\n      hardState.vote !== this.#persisting.vote",
      to: "",
    },
    {
      id: "M41",
      title: "the vote is forgotten over a restart",
      failure: "two leaders of one term",
      from: "this.#vote = hardState.vote;",
      to: "this.#vote = null;",
    },
    {
      id: "M43",
      title: "read ids start at the same number in each process",
      failure: "an answer to the earlier process's read confirms one of this process",
      from: "this.#nextReadId = Math.floor(config.random() * 2 ** 48);",
      to: "this.#nextReadId = 0;",
    },
    {
      id: "M46",
      title: "the commit index of a batch covers entries that are not on this disk yet",
      failure: "after a crash the log refers to entries that it lost: the node never starts again",
      from: "Math.min(this.log.commitIndex, this.log.durableIndex)",
      to: "this.log.commitIndex",
    },
  ]),
  ...inFile("lib/raft/election.ts", CHECKS, [
    {
      id: "M3",
      title: "a vote is granted to a log that is shorter or older",
      failure: "a leader without acknowledged writes is elected and removes them",
      from:
        "const granted = free && !isBound && state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);",
      to: "const granted = free && !isBound;",
    },
    {
      id: "M4",
      title: "a second vote is given in a term",
      failure: "two leaders of one term",
      from: "const free = state.vote === message.from || (state.vote === null && !leaderKnown);",
      to: "const free = !leaderKnown;",
    },
    {
      id: "M15",
      title: "a pre-vote is granted though a leader is alive",
      failure: "a node that was cut off deposes a healthy leader when it comes back",
      from: "message.term > state.term && !inLeaderLease(state) &&",
      to: "message.term > state.term &&",
    },
    {
      id: "M38",
      title: "a refused vote request resets the election timer",
      failure: "a node that can't win keeps those that can from trying",
      from: 'state.sendWhenDurable({ kind: "requestVoteResponse"',
      to:
        'if (state.role.kind === "follower") state.role.elapsedTicks = 0;\n  state.sendWhenDurable({ kind: "requestVoteResponse"',
    },
    {
      id: "M42",
      title: "a vote is answered before it is synced",
      failure: "after a loss of power the node votes again in the same term",
      from: 'state.sendWhenDurable({ kind: "requestVoteResponse"',
      to: 'state.send({ kind: "requestVoteResponse"',
    },
    {
      id: "M49",
      title: "a leader that steps down leaves its reads without an answer",
      failure: "reads wait until their deadline, also those through a follower",
      from: "for (const read of role.reads.drain()) state.refuseRead(read);",
      to: "role.reads.drain();",
    },
  ]),
  ...inFile("lib/raft/follower.ts", CHECKS, [
    {
      id: "M5",
      title: "a follower acknowledges entries before they are synced",
      failure: "a loss of power takes a write that was acknowledged",
      from: "state.sendWhenDurable({ ...answer",
      to: "state.sendAnswer({ ...answer",
    },
    {
      id: "M9",
      title: "a follower cuts its log without a conflict",
      failure: "a short message that was overtaken removes entries that were acknowledged",
      from: "beyondCompacted.findIndex((entry) => log.termAt(entry.index) !== entry.term)",
      to: "beyondCompacted.findIndex((entry) => entry.index > log.commitIndex)",
    },
    {
      id: "M10",
      title: "a follower commits beyond the last entry known to match",
      failure: "it applies entries that the leader never had",
      from: "Math.min(message.leaderCommit, matchIndex)",
      to: "Math.min(message.leaderCommit, log.lastIndex)",
    },
    {
      id: "M178",
      title: "a node that knows that the leader's process has ended still refuses its vote to others",
      failure: "a leader that is killed is replaced after the whole election timeout only",
      from: "role.elapsedTicks = electionTicks;",
      to: "",
      checks: [GOLDEN],
    },
  ]),
  ...inFile("lib/raft/raft.ts", CHECKS, [
    {
      id: "M7",
      title: "an acknowledgement of an earlier term raises matchIndex",
      failure: "entries are committed that the follower has overwritten since",
      from: "if (message.term < state.term) return",
      to: 'if (message.term < state.term && message.kind !== "appendEntriesResponse") return',
    },
    {
      id: "M12",
      title: "a read is answered without asking whether the leader still leads",
      failure: "a deposed leader serves old values",
      from: "takeRead(state, role, { readId, from: state.id });",
      to: "state.reads.push({ readId, index: state.log.commitIndex });",
    },
    {
      id: "M177",
      title: "any unreachable process is treated as the leader's",
      failure: "a node that is stopped starts an election under a healthy leader",
      from: 'if (role.kind === "follower" && role.leader === node) campaignSoon',
      to: 'if (role.kind === "follower") campaignSoon',
      checks: [GOLDEN],
    },
    {
      id: "M39",
      title: "a pre-vote of an earlier term is not answered with the current term",
      failure: "a node that lags requests pre-votes forever and never learns the current term",
      from: 'this.#state.sendAnswer({ kind: "preVoteResponse", from, to, term, granted: false });',
      to: "",
    },
    {
      id: "M48",
      title: "a late answer to an earlier pre-vote counts in the present one",
      failure: "a node campaigns that a majority would refuse now",
      from: 'if (message.term !== state.term + 1) return "stalePreVote";',
      to: "",
    },
  ]),
  ...inFile("lib/raft/leader.ts", CHECKS, [
    {
      id: "M11",
      title: "a new leader serves reads before it has committed in its term",
      failure: "a read misses a write that was acknowledged by the leader before",
      from: "state.log.commitIndex >= role.termStartIndex && ",
      to: "",
    },
    {
      id: "M16",
      title: "a leader never checks whether it still has a majority",
      failure: "cut off, it continues to lead and its clients hang",
      from: "role.quorumElapsedTicks++;",
      to: "",
    },
    {
      id: "M44",
      title: "a leader whose disk is stuck goes on sending heartbeats",
      failure: "the cluster stops as long as the disk does",
      from: "if (state.isDiskStuck) return becomeFollower(state, state.term, null);",
      to: "",
    },
    {
      id: "M45",
      title: "the commit index of a heartbeat exceeds its receiver's matchIndex",
      failure: "a follower applies entries that the leader never had",
      from: "Math.min(log.commitIndex, peer.progress.matchIndex)",
      to: "log.commitIndex",
    },
  ]),
  ...inFile("lib/raft/read_index.ts", CHECKS, [
    {
      id: "M13",
      title: "a read is confirmed by a round of heartbeats that began before it came in",
      failure: "a deposed leader serves old values",
      from: "{ round: this.#lastRound,",
      to: "{ round: this.#lastRound - 1,",
    },
  ]),
  ...inFile("lib/raft/log.ts", CHECKS, [
    {
      id: "M37",
      title: "a finished write counts for entries that were rewritten meanwhile",
      failure: "entries are acknowledged that are not on this disk (the ABA of asynchronous storage)",
      from: "this.#persisting.validIndex = Math.min(this.#persisting.validIndex, index - 1);",
      to: "",
    },
  ]),
];
