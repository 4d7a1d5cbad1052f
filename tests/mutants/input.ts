/** Mutants that remove a check of external input. */
import { CLI, FUZZ, KV, NET, RAFT, SERVER, STORAGE } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const INPUT_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/raft/follower.ts", [RAFT, FUZZ], [
    {
      id: "M80",
      title: "a heartbeat with a commit index beyond the log is accepted",
      failure: "one frame of a confused peer ends the node",
      from: 'if (message.leaderCommit > log.lastIndex) return "commitBeyondLog";',
      to: "",
    },
    {
      id: "M82",
      title: "entries that conflict with committed ones are taken for good",
      failure: "one frame of a confused peer ends the node",
      from: 'if (first.index <= log.commitIndex) return "conflictsWithCommitted";',
      to: "",
    },
  ]),
  ...inFile("lib/cli/tokenize.ts", [CLI, FUZZ], [
    {
      id: "M83",
      title: "an escape may name a character that does not exist",
      failure: "a line with it ends the shell with a fault of kvraft's own",
      from: " && isScalar(Number.parseInt(scalar[1], 16))",
      to: "",
    },
  ]),
  ...inFile("lib/storage/wal/recovery.ts", [STORAGE, FUZZ], [
    {
      id: "M84",
      title: "recovery takes records behind a sync mark, which the reader of entries refuses",
      failure: "a node starts on a log from which it can't serve its peers",
      from: 'stop === end ? this.#replay(found, number) : "a record follows a sync mark"',
      to: "this.#replay(found, number)",
    },
    {
      id: "M85",
      title: "recovery does not check whether an entry may follow the earlier ones",
      failure: "damage is reported as a fault of the program, without the place and without advice",
      from: "if (reason !== null) return reason;\n        this.#state.setEntry(",
      to: "this.#state.setEntry(",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER], [
    {
      id: "M203",
      title: "the size of a command counts only its known elements",
      failure: "one padded write ends the leader that sends it on, and every later one",
      from: "if (bytes.length > MAX_COMMAND_BYTES) return tooLong(bytes.length);",
      to: "if (bytes.length > MAX_COMMAND_BYTES * 4) return tooLong(bytes.length);",
    },
  ]),
  ...inFile("lib/server/replica.ts", [SERVER], [
    {
      id: "M204",
      title: "entries of other nodes are applied without asking for the store's limits",
      failure: "a state with an empty key can't be read back from its snapshot, and the node does not start",
      from: "keepsStoreLimits(command) ? command : null",
      to: "command",
    },
  ]),
  ...inFile("lib/server/term_guard.ts", [SERVER], [
    {
      id: "M205",
      title: "every term of another node is accepted",
      failure: "one frame exhausts the terms of a cluster",
      from: "if (term <= this.#highestTerm) return true;",
      to: "if (term <= this.#highestTerm || term > 0) return true;",
    },
  ]),
  ...inFile("lib/server/membership/membership.ts", [SERVER], [
    {
      id: "M206",
      title: "a membership change is proposed without checking its plan",
      failure: "the request ends the leader, and then the next one",
      from: "if (problem !== null) return answer(membershipRefused(change, problem));",
      to: 'if (problem === "") return answer(membershipRefused(change, problem));',
    },
  ]),
  ...inFile("lib/server/snapshot/state_reader.ts", [SERVER], [
    {
      id: "M207",
      title: "a session of a snapshot may have been active later than the state is",
      failure: "the session's next command ends every node that has the snapshot, at each start",
      from: 'upTo(input, "lastActiveMs", this.#logTimeMs)',
      to: 'upTo(input, "lastActiveMs", MAX_LOG_TIME_MS)',
    },
    {
      id: "M765",
      title: "the clock of a snapshot may be at its end",
      failure: "a crafted snapshot makes a cluster in which no lease ever ends",
      from: "const MAX_STATE_TIME_MS = MAX_LOG_TIME_MS / 2;",
      to: "const MAX_STATE_TIME_MS = MAX_LOG_TIME_MS;",
    },
  ]),
  ...inFile("lib/kv/sessions/session_table.ts", [KV], [
    {
      id: "M208",
      title: "the store's clock runs beyond its end",
      failure: "the leader's next time entry ends every node, at each start",
      from: "MAX_LOG_TIME_MS - this.#logTimeMs",
      to: "MAX_LOG_TIME_MS",
    },
  ]),
  ...inFile("lib/protocol/configuration.ts", [NET, SERVER], [
    {
      id: "M209",
      title: "a joint configuration may lead to one that can't be written down",
      failure: "each leader ends with the step that follows from an entry of a confused peer",
      from: "removedIds.length + leaving.length > MAX_REMOVED_IDS",
      to: "removedIds.length + 0 * leaving.length > MAX_REMOVED_IDS",
    },
  ]),
];
