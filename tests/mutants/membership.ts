/** Mutants of the consensus core in log compaction, snapshots and membership changes. */
import { GOLDEN, RAFT, RANDOM } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

const CHECKS = [GOLDEN, RAFT, RANDOM];

export const MEMBERSHIP_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/raft/quorum.ts", CHECKS, [
    {
      id: "M30",
      title: "one of the two majorities of a joint configuration is enough",
      failure: "two halves of a changing cluster decide apart",
      from: "return Math.min(\n    majorityReached(confState.voters",
      to: "return Math.max(\n    majorityReached(confState.voters",
    },
    {
      id: "M34",
      title: "learners are counted toward the majority",
      failure: "a write is acknowledged that a minority of voters holds",
      from: "majorityReached(confState.voters, reached)",
      to: "majorityReached([...confState.voters, ...confState.learners], reached)",
    },
  ]),
  ...inFile("lib/raft/log.ts", CHECKS, [
    {
      id: "M31",
      title: "the configuration of a truncated entry is kept",
      failure:
        "a node counts majorities of a configuration that was never committed: two leaders of one term",
      from: "    this.configurations.truncateFrom(index);\n",
      to: "",
    },
    {
      id: "M120",
      title: "the end of a write counts though a snapshot has discarded what was written",
      failure: "entries are counted that are on no disk",
      from: "if (this.#persisting !== null) this.#persisting.validIndex = 0;",
      to: "",
    },
    {
      id: "M124",
      title: "entries are dropped with a snapshot that the disk was not given yet",
      failure: "the write of the other entries has a gap, and the node stops",
      from: "const index = Math.min(compactedIndex, this.#durableIndex);",
      to: "const index = compactedIndex;",
    },
    {
      id: "M125",
      title: "entries that a received snapshot discards still count as durable",
      failure: "torn by a crash, the hard state calls entries committed that never were",
      from: "this.#durableIndex = Math.min(this.#durableIndex, this.#commitIndex);",
      to: "",
    },
    {
      id: "M130",
      title: "a restarted node forgets the configurations in its log",
      failure: "it counts the majorities of the founders",
      from: "of recovered.configurations) {",
      to: "of recovered.configurations.slice(0, 0)) {",
    },
    {
      id: "M131",
      title: "the configuration of a received snapshot is not taken over",
      failure: "the node uses the configuration of a truncated log",
      from: "    this.configurations.reset(snapshot);\n",
      to: "",
    },
  ]),
  ...inFile("lib/raft/follower.ts", CHECKS, [
    {
      id: "M32",
      title: "a snapshot is installed that is older than what is committed",
      failure: "a node goes back behind writes that it has acknowledged",
      from: "if (snapshot.index > log.commitIndex) {",
      to: "if (snapshot.index > 0) {",
    },
    {
      id: "M121",
      title: "a snapshot is acknowledged before it is durable",
      failure: "a loss of power takes writes that the leader has counted",
      from: 'state.sendWhenDurable({\n    kind: "appendEntriesResponse",',
      to: 'state.sendAnswer({\n    kind: "appendEntriesResponse",',
    },
    {
      id: "M122",
      title: "a snapshot takes the place of a log that has all of it and more",
      failure: "entries are lost that this node has acknowledged (Raft Figure 13, 6)",
      from: "if (log.termAt(snapshot.index) === snapshot.term) {",
      to: "if (log.termAt(snapshot.index) === 0) {",
    },
    {
      id: "M123",
      title: "entries from before the base of the log are not skipped",
      failure: "a late message makes the follower reject entries that it has",
      from: "entries.slice(Math.max(0, compactedIndex - prevLogIndex));",
      to: "entries.slice(Math.min(0, compactedIndex - prevLogIndex));",
    },
    {
      id: "M129",
      title: "entries read back before a snapshot came are applied after it",
      failure: "the state machine reverts, and applies entries again",
      from: "      state.committedEntriesRead = [];\n",
      to: "",
    },
  ]),
  ...inFile("lib/raft/state.ts", CHECKS, [
    {
      id: "M110",
      title: "a configuration decides only once it is committed",
      failure: "the old voters alone commit, and elect, while the new ones do",
      from: "return this.log.configurations.newest.confState;",
      to: "return this.log.configurations.at(this.log.commitIndex).confState;",
    },
    {
      id: "M111",
      title: "learners and nodes outside of the configuration campaign",
      failure: "a node that was added or removed disturbs those who vote",
      from: "const votes = isVoter(this.confState, this.id) ||",
      to: "const votes = this.id > 0 || isVoter(this.confState, this.id) ||",
    },
    {
      id: "M112",
      title: "a node that is out by an uncommitted configuration does not campaign",
      failure:
        "only this node has the entry that removes it, no other node can win, and the cluster stops permanently",
      from: "isVoter(configurations.at(commitIndex).confState, this.id);",
      to: "configurations.at(commitIndex).confState.voters.length > 1_000;",
    },
  ]),
  ...inFile("lib/raft/membership.ts", CHECKS, [
    {
      id: "M113",
      title: "a leader changes members before it has committed in its term",
      failure: "two leaders go on from different configurations (Ongaro's correction of 2015)",
      from: 'if (log.commitIndex < role.termStartIndex) return "notReady";',
      to: "",
    },
    {
      id: "M114",
      title: "a second change begins before the first is committed",
      failure: "majorities of the first and of the third configuration need not meet",
      from: "if (newestIndex > log.commitIndex || isJoint(newest.confState))",
      to: "if (newestIndex > log.lastIndex || isJoint(newest.confState))",
    },
    {
      id: "M115",
      title: "a joint configuration is never completed",
      failure: "the replaced voter is required forever",
      from: "if (role.transfer === null) appendConfiguration(",
      to: "if (role.transfer !== null) appendConfiguration(",
    },
    {
      id: "M116",
      title: "a leader that was removed goes on leading",
      failure: "clients talk to a machine that is about to be switched off",
      from: "if (isVoter(newest.confState, state.id)) dropRemovedPeers(",
      to: "if (state.id > 0) dropRemovedPeers(",
    },
    {
      id: "M117",
      title: "a joint configuration is left before it is committed",
      failure: "old and new voters decide apart, each by their own configuration",
      from: "if (newestIndex > commitIndex) return;",
      to: "if (newestIndex > commitIndex && !isJoint(newest.confState)) return;",
    },
    {
      id: "M118",
      title: "voters change without a joint configuration",
      failure: "from 1, 2, 3 to 1, 4, 5: two majorities without a common node",
      from: "if (staysSame) return [withSameVoters(",
      to: "if (staysSame || before.length > 0) return [withSameVoters(",
    },
  ]),
  ...inFile("lib/raft/transfer.ts", CHECKS, [
    {
      id: "M119",
      title: "leadership is handed to a learner",
      failure: "no node leads for the time of an election",
      from: "peer === undefined || !state.confState.voters.includes(chosen)",
      to: "peer === undefined",
    },
  ]),
  ...inFile("lib/raft/replication.ts", CHECKS, [
    {
      id: "M126",
      title: "a snapshot that was too old when it arrived is not followed by another",
      failure: "the follower waits forever",
      from: "} else if (matchIndex >= progress.snapshotIndex) {",
      to: "} else if (matchIndex < 0) {",
    },
    {
      id: "M127",
      title: "entries are sent that were read back before the log was cut",
      failure: "the leader does not know the term before them, and stops",
      from: "sameLog && nextIndex > log.compacted.index &&",
      to: "sameLog &&",
    },
  ]),
  ...inFile("lib/raft/raft.ts", CHECKS, [
    {
      id: "M128",
      title: "an answer of an unknown sender is counted",
      failure: "a node that was removed deposes a healthy leader",
      from: "if (message.from === state.id || this.#isFromUnknownSender(message))",
      to: "if (message.from === state.id || (message.from < 0 && this.#isFromUnknownSender(message)))",
    },
  ]),
  ...inFile("lib/raft/configuration_history.ts", CHECKS, [
    {
      id: "M132",
      title: "the log is cut, and the configurations with it",
      failure: "a node that has taken a snapshot knows no members",
      from: "this.#snapshot = { index, configuration: this.at(index) };",
      to: "this.#snapshot = { index, configuration: this.#snapshot.configuration };",
    },
  ]),
];
