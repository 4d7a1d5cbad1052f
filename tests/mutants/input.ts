/** Mutants that take a guard away from a door at which anything may come in (reliability.md §3, 41, 54, 59). */
import { CLI, FUZZ, RAFT, SERVER, STORAGE } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

export const INPUT_MUTANTS: readonly Mutant[] = [
  {
    id: "M80",
    title: "a heartbeat that commits what is not in the log is believed",
    failure: "one frame of a confused peer ends the node",
    file: "lib/raft/follower.ts",
    from: 'if (message.leaderCommit > log.lastIndex) return "heartbeat commits what is not in the log";',
    to: "",
    checks: [RAFT, FUZZ],
  },
  {
    id: "M82",
    title: "entries that conflict with committed ones are taken for good",
    failure: "one frame of a confused peer ends the node",
    file: "lib/raft/follower.ts",
    from: 'if (first.index <= log.commitIndex) return "conflicts with a committed entry";',
    to: "",
    checks: [RAFT, FUZZ],
  },
  {
    id: "M83",
    title: "an escape may name a character that there is not",
    failure: "a line with it ends the shell with a fault of kvraft's own",
    file: "lib/cli/tokenize.ts",
    from: " && isScalar(Number.parseInt(scalar[1], 16))",
    to: "",
    checks: [CLI, FUZZ],
  },
  {
    id: "M84",
    title: "recovery takes records behind a sync mark, which the reader of entries refuses",
    failure: "a node starts on a log from which it can't serve its peers",
    file: "lib/storage/recovery.ts",
    from: 'stop === end ? this.#replay(found, number) : "a record stands behind a sync mark"',
    to: "this.#replay(found, number)",
    checks: [STORAGE, FUZZ],
  },
  {
    id: "M85",
    title: "recovery does not ask whether an entry can follow those before it",
    failure: "damage is reported as a fault of the program, without the place and without advice",
    file: "lib/storage/recovery.ts",
    from: "if (reason !== null) return reason;\n        this.#state.setEntry(",
    to: "this.#state.setEntry(",
    checks: [STORAGE, FUZZ],
  },
  {
    id: "M203",
    title: "the size of a command is what is known of it",
    failure: "one padded write ends the leader that sends it on, and every later one",
    file: "lib/server/writes.ts",
    from: "if (bytes.length > MAX_COMMAND_BYTES) return tooLong(bytes.length);",
    to: "if (bytes.length > MAX_COMMAND_BYTES * 4) return tooLong(bytes.length);",
    checks: [SERVER],
  },
  {
    id: "M204",
    title: "entries of other nodes are applied without asking for the store's limits",
    failure: "a state with an empty key can't be read back from its snapshot, and the node does not start",
    file: "lib/server/replica.ts",
    from: "keepsStoreLimits(command) ? command : null",
    to: "command",
    checks: [SERVER],
  },
];
