/**
 * Faults that hostile programs and scarce resources bring out: what the fuzz of well-formed frames and the simulator's
 * intruders must notice.
 */
import { HOSTILE, NET, RAFT, RANDOM, SERVER, SIM, STORAGE } from "./checks.ts";
import type { Mutant } from "./mutant.ts";

/** Mutants of how nodes bear what arrives and what runs out. */
export const HOSTILE_MUTANTS: readonly Mutant[] = [
  {
    id: "M210",
    title: "a node that lacks descriptors accepts no connection ever after",
    failure: "nobody reaches it until it is started again",
    file: "lib/net/accept_loop.ts",
    from: "await pause(ACCEPT_RETRY_MS, { clock, signal });",
    to: "return void await pause(ACCEPT_RETRY_MS, { clock, signal });",
    checks: [NET, SIM],
  },
  {
    id: "M213",
    title: "any term that a member names is taken",
    failure: "one frame leaves a cluster without a next term",
    file: "lib/server/node.ts",
    from: 'if ("term" in message && !this.#termGuard.allows(message.term, this.#raft.term)) {',
    to: 'if ("term" in message && !this.#termGuard.allows(message.term, message.term)) {',
    checks: [HOSTILE, SIM],
  },
  {
    id: "M215",
    title: "whoever claims to lead the term is followed",
    failure: "a member that says so takes a cluster's followers from its leader",
    file: "lib/raft/follower.ts",
    from: "if (role.leader !== null && role.leader !== message.from) return false;",
    to: "if (role.leader !== null && role.leader < 0) return false;",
    checks: [HOSTILE],
  },
  {
    id: "M211",
    title: "the log fails for good when the name of a segment lacks a descriptor",
    failure: "a node that is out of descriptors for a moment ends",
    file: "lib/storage/wal.ts",
    from: "throw isOutOfDescriptors(error) ? storageError(directory, error) : this.#fail(error);",
    to: "throw this.#fail(error);",
    checks: [STORAGE],
  },
  {
    id: "M212",
    title: "the log is written before the received snapshot has its name",
    failure: "after a crash the log begins behind a snapshot that does not exist: the node is lost",
    file: "lib/server/driver.ts",
    from:
      "if (snapshot !== null) events.install(snapshot);\n      log.append({ hardState, entries, snapshot });",
    to:
      "log.append({ hardState, entries, snapshot });\n      if (snapshot !== null) events.install(snapshot);",
    checks: [SERVER],
  },
  {
    id: "M214",
    title: "lists that wait are answered in one turn, however much they return",
    failure: "two hundred lists stop a leader for seconds, and another is elected",
    file: "lib/server/read_scheduler.ts",
    from: "list = this.#leftBytes > 0 ? first(this.#lists) : null;",
    to: "list = first(this.#lists);",
    checks: [SERVER],
  },
  {
    id: "M216",
    title: "the indexes of received entries may have gaps",
    failure: "one frame of a member ends every follower that takes it",
    file: "lib/net/peer_codec.ts",
    from: "if (entry.index !== prevLogIndex + 1 + position) {",
    to: "if (entry.index < prevLogIndex + 1 + position) {",
    checks: [NET, HOSTILE],
  },
  {
    id: "M217",
    title: "an answer to a heartbeat that was not sent is believed",
    failure: "a member that names a round of the future confirms reads that nobody has confirmed",
    file: "lib/raft/leader.ts",
    from: 'if (message.round > role.reads.lastRound) return "acknowledges what was not sent";',
    to: "",
    checks: [RAFT, RANDOM, HOSTILE],
  },
  {
    id: "M218",
    title: "a command may be twice as long as the limit",
    failure: "one padded write ends the leader that must send it to a follower",
    file: "lib/server/writes.ts",
    from: "if (bytes.length > MAX_COMMAND_BYTES) return tooLong(bytes.length);",
    to: "if (bytes.length > MAX_COMMAND_BYTES * 2) return tooLong(bytes.length);",
    checks: [SERVER],
  },
  {
    id: "M360",
    title: "a follower that passes on all it may calls a retry not applied",
    failure: "a write that a client was told is not applied takes effect",
    file: "lib/server/forwarding.ts",
    from: "return first === undefined ? answer(refusal) : void first.answers.push(answer);",
    to: "return answer(refusal);",
    checks: [SERVER],
  },
  {
    id: "M361",
    title: "a node without a leader calls a retry of what it passed on not applied",
    failure: "a write that a client was told is not applied takes effect",
    file: "lib/server/writes.ts",
    from: "if (stamp === null || !this.#options.forwarding.join(stamp, answer)) answer(refusal);",
    to: "answer(refusal);",
    checks: [SERVER],
  },
  {
    id: "M362",
    title: "a stopping node knows nothing of writes that it passed on",
    failure: "a write that a client was told is not applied takes effect",
    file: "lib/server/writes.ts",
    from: "(this.#open.has(stamp) || this.#options.forwarding.has(stamp))",
    to: "this.#open.has(stamp)",
    checks: [SERVER],
  },
  {
    id: "M363",
    title: "a received snapshot is discarded when no descriptor is left to read it back",
    failure: "gigabytes are sent again for each moment without a descriptor",
    file: "lib/server/snapshot_receiver.ts",
    from: "if (isOutOfDescriptors(error)) return this.#readBackLater(current, error);",
    to: "",
    checks: [SERVER],
  },
];
