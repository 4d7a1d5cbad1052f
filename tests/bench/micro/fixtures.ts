/**
 * Fixtures of the micro benchmarks: one put in each of its forms, and a leader of three nodes.
 *
 * The budget of the whole path is 6.7 µs a put: the goal is 150 k puts a second on the leader's one thread, from the
 * received bytes to the sent bytes.
 */
import { assert } from "@std/assert";
import type { SessionStamp, Transaction } from "../../../lib/kv/command.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { DEFAULT_LIMITS, type Entry, foundingState, Raft, type Ready } from "../../../lib/raft/mod.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { configurationOf, TEXT_CODEC } from "../../support/raft/configuration.ts";

const VOTERS = [1, 2, 3] as const;
const KEYS = 100_000;
const utf8 = new TextEncoder();

/** 256 varying bytes. */
export const VALUE: Uint8Array = Uint8Array.from({ length: 256 }, (_, position) => position * 167 & 0xff);

/** Keys of 16 bytes, in random order. */
export const SHUFFLED_KEYS: readonly Uint8Array[] = (() => {
  const keys = Array.from(
    { length: KEYS },
    (_, key) => utf8.encode(`bench/${String(key).padStart(10, "0")}`),
  );
  const random = new SeededRandom(1);
  for (let last = keys.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const [a, b] = [keys[last], keys[other]];
    assert(a !== undefined && b !== undefined, "both are in the list");
    keys[last] = b;
    keys[other] = a;
  }
  return keys;
})();

/** Returns the next of the keys. */
export function keyAt(round: number): Uint8Array {
  const key = SHUFFLED_KEYS[round % KEYS];
  assert(key !== undefined, "there is a key at each position");
  return key;
}

/** Returns the stamp of a client that has acknowledged all but its last 16 writes. */
export function stampAt(round: number): SessionStamp {
  const sequence = round + 1;
  return { sessionId: 7, sequence, acknowledgedBelow: Math.max(1, sequence - 16), openedAt: 0 };
}

/** Returns the transaction of a put. */
export function putAt(round: number): Transaction {
  return {
    kind: "transaction",
    session: stampAt(round),
    checks: [],
    mutations: [{ kind: "put", key: keyAt(round), value: VALUE }],
  };
}

/** Returns the command of a put, encoded as in frames and in the log. */
export const PUT_COMMAND: Uint8Array = encodeCommand(putAt(0));

/** Returns entries as a leader sends and stores them. */
export function entriesFrom(index: number, count: number): readonly Entry[] {
  return Array.from({ length: count }, (_, offset) => ({
    index: index + offset,
    term: 1,
    kind: "command",
    data: PUT_COMMAND,
  }));
}

/** The leader of three nodes; the others answer every message at once. */
export class LoneLeader {
  readonly #raft: Raft;

  /** Creates a leader that is elected and has committed its first entry. */
  constructor() {
    const random = new SeededRandom(2);
    this.#raft = new Raft({
      id: 1,
      configurationCodec: TEXT_CODEC,
      electionTicks: 10,
      heartbeatTicks: 1,
      random: () => random.next(),
      limits: DEFAULT_LIMITS,
      recovered: foundingState(configurationOf({ voters: VOTERS })),
    });
    while (!this.#raft.isLeader) {
      this.#raft.tick();
      this.#drain();
    }
    this.#drain();
  }

  /** Proposes so many writes and runs until they are committed; returns how many were. */
  commit(writes: number): number {
    for (let write = 0; write < writes; write++) this.#raft.propose(PUT_COMMAND);
    return this.#drain();
  }

  /** Confirms so many reads by one round of heartbeats; returns how many were confirmed. */
  read(reads: number): number {
    for (let read = 0; read < reads; read++) this.#raft.readIndex();
    let confirmed = 0;
    for (let ready = this.#raft.takeReady(); ready !== null; ready = this.#raft.takeReady()) {
      confirmed += ready.reads.length;
      this.#answer(ready);
    }
    return confirmed;
  }

  #drain(): number {
    let committed = 0;
    for (let ready = this.#raft.takeReady(); ready !== null; ready = this.#raft.takeReady()) {
      committed += ready.committed.length;
      this.#answer(ready);
    }
    return committed;
  }

  #answer({ persist, messages }: Ready): void {
    for (const message of [...messages, ...persist?.messagesAfterSync ?? []]) {
      const envelope = { from: message.to, to: 1, term: message.term };
      switch (message.kind) {
        case "preVote":
          this.#raft.step({ ...envelope, kind: "preVoteResponse", granted: true });
          break;
        case "requestVote":
          this.#raft.step({ ...envelope, kind: "requestVoteResponse", granted: true });
          break;
        case "appendEntries": {
          const matchIndex = message.prevLogIndex + message.entries.length;
          const result = { kind: "accepted", matchIndex } as const;
          this.#raft.step({ ...envelope, kind: "appendEntriesResponse", result });
          break;
        }
        case "heartbeat":
          this.#raft.step({
            ...envelope,
            kind: "heartbeatResponse",
            round: message.round,
            promisedMs: 0,
            hasDiskSpace: true,
          });
          break;
      }
    }
    if (persist !== null) this.#raft.persisted(persist.lastIndex, persist.lastTerm);
  }
}
