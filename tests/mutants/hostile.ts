/**
 * Mutants that fail under hostile programs and scarce resources: the fuzz of well-formed frames and the simulator's
 * intruders must detect them.
 */
import { HOSTILE, NET, RAFT, RANDOM, SERVER, SIM, STORAGE } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

/** Mutants of the handling of hostile input and exhausted resources. */
export const HOSTILE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/platform/accept_loop.ts", [NET, SIM], [
    {
      id: "M210",
      title: "a node that lacks descriptors accepts no connection ever after",
      failure: "no client reaches it until it is restarted",
      from: "await pause(ACCEPT_RETRY_MS, { clock, signal });",
      to: "return void await pause(ACCEPT_RETRY_MS, { clock, signal });",
    },
  ]),
  ...inFile("lib/server/node.ts", [HOSTILE, SIM], [
    {
      id: "M213",
      title: "any term that a member names is taken",
      failure: "one frame leaves a cluster without a next term",
      from: 'if ("term" in message && !this.#termGuard.allows(message.term, this.#raft.term)) {',
      to: 'if ("term" in message && !this.#termGuard.allows(message.term, message.term)) {',
    },
  ]),
  ...inFile("lib/raft/follower.ts", [HOSTILE], [
    {
      id: "M215",
      title: "every node that claims to lead the term is followed",
      failure: "a member that claims leadership takes over the followers",
      from: "if (role.leader !== null && role.leader !== message.from) return false;",
      to: "if (role.leader !== null && role.leader < 0) return false;",
    },
  ]),
  ...inFile("lib/storage/wal/wal.ts", [STORAGE], [
    {
      id: "M211",
      title: "the log fails for good when the name of a segment lacks a descriptor",
      failure: "a node that is out of descriptors for a moment ends",
      from: "throw isOutOfDescriptors(error) ? storageError(directory, error) : this.#fail(error);",
      to: "throw this.#fail(error);",
    },
  ]),
  ...inFile("lib/server/driver.ts", [SERVER], [
    {
      id: "M212",
      title: "the log is written before the received snapshot has its name",
      failure: "after a crash the log begins behind a snapshot that does not exist: the node is lost",
      from:
        "if (snapshot !== null) this.#events.install(snapshot);\n      log.append({ hardState, entries, snapshot });",
      to:
        "log.append({ hardState, entries, snapshot });\n      if (snapshot !== null) this.#events.install(snapshot);",
    },
    {
      id: "M682",
      title: "a batch of committed entries is not made smaller after one that took long",
      failure: "a node that replays expensive transactions does not answer for many seconds",
      from: "if (tookMs <= MS_PER_TURN) {",
      to: "if (tookMs >= 0) {",
    },
    {
      id: "M683",
      title: "a turn does not end by time",
      failure: "a node that replays expensive transactions does not answer for many seconds",
      from: "bytes < BYTES_PER_TURN && clock.now() < end);",
      to: "bytes < BYTES_PER_TURN);",
    },
  ]),
  ...inFile("lib/server/read_scheduler.ts", [SERVER], [
    {
      id: "M214",
      title: "lists that wait are answered in one turn, however much they return",
      failure: "two hundred lists stop a leader for seconds, and another is elected",
      from: "list = this.#leftBytes > 0 ? first(this.#lists) : null;",
      to: "list = first(this.#lists);",
    },
  ]),
  ...inFile("lib/protocol/peer_frames.ts", [NET, HOSTILE], [
    {
      id: "M216",
      title: "the indexes of received entries may have gaps",
      failure: "one frame of a member ends every follower that takes it",
      from: "if (entry.index !== index)",
      to: "if (entry.index < index)",
    },
  ]),
  ...inFile("lib/raft/leader.ts", [RAFT, RANDOM, HOSTILE], [
    {
      id: "M217",
      title: "an answer to a heartbeat that was not sent is believed",
      failure: "a member that answers a future round confirms unconfirmed reads",
      from: 'if (message.round > role.reads.lastRound) return "acknowledgesUnsent";',
      to: "",
    },
  ]),
  ...inFile("lib/server/writes.ts", [SERVER], [
    {
      id: "M218",
      title: "a command may be twice as long as the limit",
      failure: "one padded write ends the leader that must send it to a follower",
      from: "if (bytes.length > MAX_COMMAND_BYTES) return tooLong(bytes.length);",
      to: "if (bytes.length > MAX_COMMAND_BYTES * 2) return tooLong(bytes.length);",
    },
    {
      id: "M361",
      title: "a node without a leader calls a retry of what it passed on not applied",
      failure: "a write reported as not applied takes effect",
      from: "if (stamp === null || !this.#options.forwarding.join(stamp, answer)) answer(refusal);",
      to: "answer(refusal);",
    },
    {
      id: "M362",
      title: "a stopping node knows nothing of writes that it passed on",
      failure: "a write reported as not applied takes effect",
      from: "(this.#inFlight.has(stamp) || this.#options.forwarding.has(stamp))",
      to: "this.#inFlight.has(stamp)",
    },
  ]),
  ...inFile("lib/server/forwarding.ts", [SERVER], [
    {
      id: "M360",
      title: "a follower that passes on all it may calls a retry not applied",
      failure: "a write reported as not applied takes effect",
      from: "return first === undefined ? answer(refusal) : void first.answers.push(answer);",
      to: "return answer(refusal);",
    },
  ]),
  ...inFile("lib/server/snapshot/receiver.ts", [SERVER], [
    {
      id: "M363",
      title: "a received snapshot is discarded when no descriptor is left to read it back",
      failure: "gigabytes are sent again for each moment without a descriptor",
      from: "if (isOutOfDescriptors(error)) return this.#readBackLater(current, error);",
      to: "",
    },
  ]),
  ...inFile("lib/server/client_service.ts", [SERVER], [
    {
      id: "M364",
      title: "any number of bytes of reads waits for the core",
      failure: "a leader whose followers are silent queues reads until its memory is used up",
      from: "if (this.#askedBytes + bytes > MAX_ASKED_BYTES) {",
      to: "if (this.#askedBytes + bytes > Infinity) {",
    },
    {
      id: "M365",
      title: "the bytes of answered reads are counted forever",
      failure: "after some hours a node calls every read busy",
      from: "this.#askedBytes -= bytes;",
      to: "",
    },
    {
      id: "M366",
      title: "a stopping node calls every write not applied",
      failure: "a write reported as not applied takes effect",
      from: 'request.kind === "write" && this.#options.writes.isInProgress(request.command);',
      to: 'request.kind === "write" && request.requestId < 0;',
    },
  ]),
  ...inFile("lib/transport/frame_channel.ts", [NET], [
    {
      id: "M367",
      title: "an idle connection keeps its send buffers",
      failure: "a thousand clients that once read a page hold a page of memory each",
      from: "if (!hasSent) this.#writer.release();",
      to: "",
    },
  ]),
  ...inFile("lib/server/server.ts", [SERVER], [
    {
      id: "M368",
      title: "a data directory that others can read causes no warning",
      failure: "folders of older versions stay readable by every user of the machine",
      from: "if (!directory.isPrivate) {",
      to: 'if (directory.path === "") {',
    },
  ]),
  ...inFile("lib/transport/http_server.ts", [NET], [
    {
      id: "M369",
      title: "one HTTP connection too many is closed without an answer",
      failure: "a supervisor takes a busy node for a dead one",
      from: "if (oldest === undefined) return await this.#refuse(connection);",
      to: "if (oldest === undefined) return connection.close();",
    },
  ]),
  ...inFile("lib/server/leadership_transfer.ts", [SERVER], [
    {
      id: "M219",
      title: "any number of transfers of leadership waits for its end",
      failure: "the requests of clients are bounded only by the core",
      from: "if (this.#waiting.size >= MAX_TRANSFERS) {",
      to: "if (this.#waiting.size >= Infinity) {",
    },
  ]),
];
