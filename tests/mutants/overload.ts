/** Mutants of the limits for clients: turns of reads, memory, and work for closed connections. */
import { NET, SERVER } from "./checks.ts";
import { inFile, type Mutant } from "./mutant.ts";

export const OVERLOAD_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/read_scheduler.ts", [SERVER], [
    {
      id: "M220",
      title: "any number of reads is answered in one turn",
      failure: "a thousand lists on one connection stop a leader for seconds, and another is elected",
      from: "this.#leftBytes -= READ_BYTES + entries * ENTRY_BYTES + looked * VERSION_BYTES + bytes;",
      to: "this.#leftBytes -= 0 * (entries + looked + bytes);",
    },
    {
      id: "M221",
      title: "pages are built for a client that reads nothing",
      failure: "connections that read nothing take gigabytes of memory",
      from: "return this.#options.isHeld() ? null : this.#reads[kind][0] ?? null;",
      to: "return this.#reads[kind][0] ?? null;",
    },
    {
      id: "M3227",
      title: "gets wait behind the pages of their own connection",
      failure:
        "a client of a gateway, or of the port of etcd, that lists much keeps the gets of all others waiting for a second",
      from: 'return isGet ? "get" : "page";',
      to: 'return isGet ? "page" : "page";',
    },
  ]),
  ...inFile("lib/server/snapshot/state_hashes.ts", [SERVER], [
    {
      id: "M222",
      title: "hashes are computed for closed connections",
      failure: "a client that asks a hundred times and leaves keeps the node walking its state",
      from: "!this.#isStopped && questions.some(({ requester }) => !requester.isClosed)",
      to: "!this.#isStopped",
    },
  ]),
  ...inFile("lib/transport/waiting_memory.ts", [NET], [
    {
      id: "M223",
      title: "slow clients may hold any number of bytes together",
      failure: "a hundred connections that read nothing take gigabytes of memory",
      from: "while (change > 0 && this.#usedBytes > this.#options.maxBytes) this.#closeLargest();",
      to: "if (change > Infinity) this.#closeLargest();",
    },
    {
      id: "M341",
      title: "the connection with the most bytes is closed although they are in transit",
      failure: "clients that hold little each, and end no frame, have every client closed that sends more",
      from: "this.#largest((share) => share.movedAt <= movedBefore) ?? this.#largest(() => true);",
      to: "this.#largest((share) => share.movedAt <= movedBefore || true) ?? this.#largest(() => true);",
    },
  ]),
  ...inFile("lib/transport/frame_reader.ts", [NET], [
    {
      id: "M224",
      title: "the frame that has only half come counts nothing",
      failure: "connections that send half frames take 16 MiB each, beside every bound",
      from: "this.#start === this.#end ? 0 : this.#buffer.length;",
      to: "0;",
    },
  ]),
  ...inFile("lib/transport/frame_channel.ts", [NET], [
    {
      id: "M225",
      title: "a frame may take as long as it likes",
      failure: "half frames are held for as long as their connections are open",
      from: "if (channel.check() <= FRAME_CHECKS) continue;",
      to: "if (channel.check() <= 1e9) continue;",
    },
  ]),
  ...inFile("lib/server/replica.ts", [SERVER], [
    {
      id: "M226",
      title: "a read waits at a follower for as long as that is behind",
      failure: "clients of a follower that is cut off wait, though others would answer",
      from: "this.#timer ??= clock.after(timeoutMs, this.#refuseLate);",
      to: "",
    },
    {
      id: "M227",
      title: "any number of reads waits at a follower that is behind",
      failure: "a follower that does not catch up gathers reads until its memory ends",
      from: "if (this.#reads.length >= MAX_CONFIRMED_READS) return answer(false);",
      to: "",
    },
    {
      id: "M342",
      title: "every failed check of a batch gives back the value that it found",
      failure: "seventy of them on a value of a megabyte stop a leader until another is elected",
      from: 'if (this.#leftCurrentBytes <= 0) return { ...result, current: "omitted" };',
      to: "",
    },
  ]),
  ...inFile("lib/server/snapshot/downloads.ts", [SERVER], [
    {
      id: "M228",
      title: "a snapshot stays open as long as a piece of it is read now and then",
      failure: "clients that never end pin one old snapshot after the other, until the disk is full",
      from: "if (clock.now() > download.deadline) {",
      to: "if (clock.now() > Infinity) {",
    },
    {
      id: "M229",
      title: "connections pin any number of snapshots together",
      failure: "a node keeps eighty old snapshots for twenty connections",
      from: "if (this.#options.totals.open < MAX_OPEN_IN_ALL) return null;",
      to: "if (this.#options.totals.open < Infinity) return null;",
    },
  ]),
  ...inFile("lib/transport/listener.ts", [NET], [
    {
      id: "M340",
      title: "what clients hold may close the lane over which a member sends entries",
      failure: "half frames of half a megabyte keep every larger entry from a follower, and writes stop",
      from: "channel.leaveMemory();",
      to: "",
    },
    {
      id: "M348",
      title: "nodes that are no members have any number of frames handled in one turn",
      failure: "a program that says it is a node keeps a leader from its timers, and another is elected",
      from: "    } else {\n      channel.shareTurns(this.#turns);\n    }",
      to: "    }",
    },
  ]),
  ...inFile("lib/transport/request_turns.ts", [NET], [
    {
      id: "M343",
      title: "any number of requests is handled in one turn",
      failure:
        "connections that are never empty keep the loop from timers and from other nodes, and the leader is deposed",
      from: "if (this.#left <= 0 || this.#waiting.size > 0) return false;",
      to: "",
    },
    {
      id: "M345",
      title: "a connection that has waited for its turn has all its requests handled at once",
      failure: "behind a client with very many requests all others wait for every one of them",
      from: "go(REQUESTS_A_GO);",
      to: "go(Infinity);",
    },
  ]),
  ...inFile("lib/transport/client_connection.ts", [NET], [
    {
      id: "M344",
      title: "a client that reads nothing may send on what is refused by its kind",
      failure: "answers of 64 MiB wait for each such connection",
      from: 'refusal("unknownKind", { requestId, message: error.message }));\n        this.#updateReading();',
      to: 'refusal("unknownKind", { requestId, message: error.message }));',
    },
  ]),
  ...inFile("lib/transport/inbound_lane.ts", [NET], [
    {
      id: "M347",
      title: "a peer may send pings and take no answers",
      failure: "64 MiB of answers wait on each of its lanes",
      from:
        'if (this.#channel.queuedBytes > MAX_PONG_QUEUE_BYTES) this.#close("it takes no answers to its pings");',
      to: "",
    },
  ]),
  ...inFile("lib/platform/sockets.ts", [NET], [
    {
      id: "M349",
      title: "any number of names is looked up at a time",
      failure:
        "names that do not resolve take every thread on which the disk is waited for, and writes stop for minutes",
      from:
        "if (isKnown ? knownUnderWay >= MAX_KNOWN_LOOKUPS : this.#newUnderWay >= MAX_NEW_LOOKUPS) continue;",
      to: "",
    },
  ]),
];
