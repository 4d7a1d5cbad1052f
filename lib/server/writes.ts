/**
 * The way of a write through this node: checked at the door, then proposed here if this node leads, else passed on to
 * the leader, else refused at once. A node that can't do anything says so; it does not park requests.
 */
import { type Command, MAX_COMMAND_BYTES, type SessionStamp, validateCommand } from "../kv/mod.ts";
import { decodeCommand, peekSessionStamp } from "../protocol/command.ts";
import { DecodeError } from "../protocol/errors.ts";
import { type ErrorAnswer, notApplied, type WriteAnswer } from "./reply.ts";
import { type Quota, WriteAdmission } from "./write_admission.ts";
import type { Clock } from "../platform/clock.ts";
import type { Driver } from "./driver.ts";
import type { Forwarding } from "./forwarding.ts";
import type { Metrics } from "./metrics/metrics.ts";
import { InFlightWrites } from "./in_flight_writes.ts";
import type { Replica } from "./replica.ts";

/** What the way of a write leads over. */
export interface WritesOptions {
  readonly driver: Driver;
  readonly replica: Replica;
  readonly forwarding: Forwarding;
  readonly maxValueBytes: number;
  readonly quota: Quota;
  readonly clock: Clock;
  /** Counts what is proposed; null counts nothing. */
  readonly metrics?: Metrics | null;
}

/** Takes writes. Every `answer` is called exactly once. */
export class Writes {
  readonly #options: WritesOptions;
  readonly #inFlight = new InFlightWrites();
  readonly #admission: WriteAdmission;

  constructor(options: WritesOptions) {
    this.#options = options;
    this.#admission = new WriteAdmission(options.clock);
  }

  /** A client of this node writes: done here, or at the leader. */
  submit(bytes: Uint8Array, answer: (answer: WriteAnswer) => void): void {
    const { driver, forwarding } = this.#options;
    const { leader, isLeader } = driver.ask((raft) => ({ leader: raft.leader, isLeader: raft.isLeader }));
    if (isLeader) return this.submitHere(bytes, answer);
    const command = this.#read(bytes);
    if (command.kind === "error") return answer(command);
    const stamp = stampOf(command);
    if (this.#join(command, answer)) return;
    if (leader !== null) return forwarding.forward(leader, { bytes, stamp }, answer);
    const refusal = driver.isDiskFull
      ? notApplied(
        "storageFull",
        "Cannot write: the disk of this node is full. Make room; it goes on by itself.",
      )
      : notApplied("noLeader", "Cannot write: this node knows of no leader. Try again.");
    this.#refuse(refusal, stamp, answer);
  }

  /** Done here or not at all: this node leads, or one that took it for the leader passes the write on. */
  submitHere(bytes: Uint8Array, answer: (answer: WriteAnswer) => void): void {
    const { replica, metrics = null } = this.#options;
    // Before more than the stamp is read: what has to be refused must cost little, or it takes the time of what is not.
    // A retry of what is under way adds nothing and must not hear that it was not applied: it waits, too.
    if (this.#admission.isFull(replica.waitingWrites, replica.applied.index)) {
      const stamp = peekSessionStamp(bytes);
      if (stamp !== null && this.#inFlight.join(stamp, answer)) return;
      if (metrics !== null) metrics.proposals.busy += 1;
      return this.#refuse(busy(), stamp, answer);
    }
    const command = this.#read(bytes);
    if (command.kind === "error") return answer(command);
    this.#propose(command, bytes, answer);
  }

  /** Whether this is a write whose first attempt was proposed here or passed on, and has not ended. */
  isUnderWay(bytes: Uint8Array): boolean {
    const stamp = peekSessionStamp(bytes);
    return stamp !== null && (this.#inFlight.has(stamp) || this.#options.forwarding.has(stamp));
  }

  /**
   * Refuses a write, unless an earlier attempt was passed on to another node and has not ended: that one may be applied
   * yet, so the retry waits for it.
   */
  #refuse(refusal: ErrorAnswer, stamp: SessionStamp | null, answer: (answer: WriteAnswer) => void): void {
    if (stamp === null || !this.#options.forwarding.join(stamp, answer)) answer(refusal);
  }

  #propose(command: Command, bytes: Uint8Array, answer: (answer: WriteAnswer) => void): void {
    const { driver, replica, quota, metrics = null } = this.#options;
    // Before the quota: what is under way already has room, and must not be called refused.
    if (this.#join(command, answer)) return;
    const stamp = stampOf(command);
    const excess = quota.problemOf(command);
    if (excess !== null) {
      if (metrics !== null) metrics.proposals.storageFull += 1;
      return this.#refuse(excess, stamp, answer);
    }
    const proposed = driver.ask((raft) => raft.propose(bytes));
    if (metrics !== null) metrics.proposals[proposed.kind === "accepted" ? "accepted" : proposed.reason] += 1;
    if (proposed.kind === "accepted") {
      const { index, term } = proposed;
      this.#admission.proposed(index, replica.applied.index);
      return replica.awaitWrite(index, {
        term,
        command,
        answer: stamp === null ? answer : this.#inFlight.open(stamp, answer),
      });
    }
    switch (proposed.reason) {
      case "notLeader":
        return this.#refuse(
          notApplied("notLeader", "Cannot write: this node does not lead. Ask the leader."),
          stamp,
          answer,
        );
      case "busy":
        return this.#refuse(busy(), stamp, answer);
      case "transferring":
        return this.#refuse(
          notApplied("noLeader", "Cannot write: leadership is being handed over. Try again."),
          stamp,
          answer,
        );
    }
  }

  /** Lets a retry wait for its first attempt; false when that is not under way here. */
  #join(command: Command, answer: (answer: WriteAnswer) => void): boolean {
    const stamp = stampOf(command);
    return stamp !== null && this.#inFlight.join(stamp, answer);
  }

  /** The command, or what is wrong with it. */
  #read(bytes: Uint8Array): Command | ErrorAnswer {
    // On the bytes as they are stored and sent on, before any is decoded: what a newer version may have added at the end
    // of the command counts, too.
    if (bytes.length > MAX_COMMAND_BYTES) return tooLong(bytes.length);
    try {
      const command = decodeCommand(bytes);
      const problem = validateCommand(command, { maxValueBytes: this.#options.maxValueBytes });
      return problem === null ? command : notApplied(problem.kind, problem.message);
    } catch (error) {
      if (error instanceof DecodeError) return notApplied("invalidRequest", error.message);
      throw error;
    }
  }
}

function stampOf(command: Command): SessionStamp | null {
  return command.kind === "transaction" ? command.session : null;
}

function tooLong(bytes: number): ErrorAnswer {
  return notApplied(
    "invalidRequest",
    `Cannot write a command of ${bytes} bytes: at most ${MAX_COMMAND_BYTES} are allowed. Split it into smaller ones.`,
  );
}

function busy(): ErrorAnswer {
  return notApplied("busy", "Cannot write: too much is under way. Try again later.");
}
