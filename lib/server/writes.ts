/**
 * The path of a write through this node: it is validated, then proposed here if this node leads, else forwarded to the
 * leader, else refused at once. A node does not queue writes that it can neither propose nor forward.
 *
 * A retry of a write that is in progress waits for the first attempt and gets its answer. The state machine would apply
 * only one of the copies, but each would be an entry of the log, written to every disk and sent to every follower:
 * where entries take longer than clients wait, copies would come faster than they are committed.
 */
import {
  type Command,
  FEATURE_LEVEL,
  isOfLevel,
  MAX_COMMAND_BYTES,
  NODE_IDENTITY,
  type PlainCommand,
  type StateMachine,
  unwrapped,
  type UserStamp,
  validateCommand,
} from "../kv/mod.ts";
import {
  authorizedHead,
  decodeCommand,
  isKeepAlive,
  ownedCommand,
  peekSessionStamp,
  wrapAuthorized,
} from "../protocol/command.ts";
import { DecodeError } from "../protocol/errors.ts";
import { type ErrorAnswer, futureRevision, notApplied, type WriteAnswer } from "./reply.ts";
import {
  MAX_WRITES_WITH_KEEP_ALIVES,
  type Quota,
  RangeAdmission,
  WriteAdmission,
} from "./write_admission.ts";
import type { Access } from "./auth/access.ts";
import type { ConnectionIdentity } from "./auth/connection_identity.ts";
import { refusalOfFrontEndCommand } from "./auth/front_end_rights.ts";
import type { Clock } from "../platform/clock.ts";
import type { Feature, FeatureLevels } from "./membership/feature_levels.ts";
import type { Logger } from "../platform/logger.ts";
import { NumberMap } from "../platform/memory/number_map.ts";
import type { Driver } from "./driver.ts";
import type { Forwarding } from "./forwarding.ts";
import type { NodeId } from "../raft/mod.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { Replica, WaitingWrite } from "./replica.ts";
import { assert } from "../platform/assert.ts";
import { areOfDifferentUsers, stampOf } from "./auth/write_stamp.ts";

/** Takes the answer of a write; called exactly once. */
type TakeAnswer = (answer: WriteAnswer) => void;

/** A write that this node takes: what its bytes say is read once. */
interface TakenWrite {
  readonly command: Command;
  /** Those of the entry. */
  readonly bytes: Uint8Array;
  /** Of the command. */
  readonly stamp: UserStamp | null;
}

/** The parts of a node that a write passes. */
export interface WritesOptions {
  readonly driver: Driver;
  readonly replica: Replica;
  readonly forwarding: Forwarding;
  /** Decides which commands are let through while authentication is enabled. */
  readonly access: Access;
  readonly maxValueBytes: number;
  readonly quota: Quota;
  readonly clock: Clock;
  /** Refuses commands that need a higher feature level. */
  readonly levels: FeatureLevels;
  /** Counts the log's time up to now; false if this leader cannot, see {@link LogClock.countNow}. */
  readonly countTime: () => boolean;
  /** Whether a node is a member of the newest or the committed configuration: others may not forward writes. */
  readonly isMember: (node: NodeId) => boolean;
  readonly logger: Logger;
  /** Counts what is proposed; null counts nothing. */
  readonly metrics?: Metrics | null;
}

const NODE_HEAD = authorizedHead(NODE_IDENTITY);

/** Takes writes. Every `answer` is called exactly once. */
export class Writes {
  readonly #options: WritesOptions;
  readonly #inFlight = new InFlightWrites();
  readonly #admission: WriteAdmission;
  readonly #ranges = new RangeAdmission();

  constructor(options: WritesOptions) {
    this.#options = options;
    this.#admission = new WriteAdmission(options.clock);
  }

  /**
   * Takes a write of a client of this node: proposes it here, or forwards it to the leader. The bytes are copied: they need
   * not be valid after the call.
   */
  submit(bytes: Uint8Array, identity: ConnectionIdentity, answer: TakeAnswer): void {
    const { driver, access } = this.#options;
    if (driver.isLeader && this.#refusesOverload(bytes, identity, answer)) return;
    if (identity.isOfDatabases) return this.#submitOfFrontEnd(bytes, answer);
    // With its identity also while this node has authentication off: the leader may have it on already.
    if (access.auth.enabled || !identity.isAnonymous) return this.#submitOfUser(bytes, identity, answer);
    this.#submitWithoutUser(bytes, answer);
  }

  #submitWithoutUser(bytes: Uint8Array, answer: TakeAnswer): void {
    const owned = ownedCommand(bytes);
    const command = this.#readOfClient(owned);
    if (command.kind === "error") return answer(command);
    this.#proposeOrForward({ command, bytes: owned, stamp: stampOf(command) }, answer);
  }

  /**
   * Takes a write that node `from` has forwarded: proposes it, or refuses it, also when this node does not lead although
   * the sender believes so.
   */
  submitForwarded(bytes: Uint8Array, from: NodeId, answer: TakeAnswer): void {
    if (this.#refusesOverload(bytes, null, answer)) return;
    const command = this.#read(bytes);
    if (command.kind === "error") return answer(command);
    const { access, isMember, logger } = this.#options;
    if (!isMember(from)) {
      const message = `Cannot take a write from node ${from}: it is no member of the cluster.`;
      logger.warn("Refused a forwarded write: its sender is no member", { node: from });
      return answer(this.#outcomeOf(notApplied("notLeader", message), command));
    }
    if (isOfLeader(command)) {
      return answer(notApplied("invalidRequest", "Cannot write: only the leader makes this command."));
    }
    const refusal = access.auth.enabled ? access.refusalOfForwarded(command, from) : null;
    if (refusal !== null) return answer(this.#outcomeOf(refusal, command));
    this.#propose({ command, bytes, stamp: stampOf(command) }, answer);
  }

  /**
   * Takes a write of a front end of this node: it has no user, and names the access token by which it came. The identity of
   * the node shows that the front end has checked the token; any client can name one.
   */
  #submitOfFrontEnd(given: Uint8Array, answer: TakeAnswer): void {
    const bytes = wrapAuthorized(NODE_HEAD, given);
    const command = this.#read(bytes);
    if (command.kind === "error") return answer(command);
    const { enabled: isAuthEnabled } = this.#options.access.auth;
    const refusal = refusalOfFrontEndCommand(unwrapped(command), { isAuthEnabled });
    if (refusal !== null) return answer(this.#outcomeOf(refusal, command));
    this.#proposeOrForward({ command, bytes, stamp: stampOf(command) }, answer);
  }

  /** Takes a write of a user: the state machine gets it with its identity. */
  #submitOfUser(bytes: Uint8Array, connection: ConnectionIdentity, answer: TakeAnswer): void {
    const { access } = this.#options;
    const { auth } = access;
    const user = connection.user(auth);
    if (user === null && auth.enabled) return answer(access.refusalWithoutUser("write", connection));
    if (user === null) return this.#submitWithoutUser(bytes, answer);
    // Read with its identity, in the one copy that is made: a second copy and a second object for each write cost the
    // leader a tenth of its time. A command that has an identity already does not decode.
    const wrapped = wrapAuthorized(user.commandHead, bytes);
    const command = this.#read(wrapped);
    if (command.kind === "error") return answer(command);
    const refusal = auth.enabled ? access.refusalOfCommand(unwrapped(command), connection, user) : null;
    if (refusal !== null) return answer(this.#outcomeOf(refusal, command));
    this.#proposeOrForward({ command, bytes: wrapped, stamp: stampOf(command) }, answer);
  }

  #proposeOrForward(write: TakenWrite, answer: TakeAnswer): void {
    const { driver, forwarding } = this.#options;
    if (driver.isLeader) return this.#propose(write, answer);
    const { bytes, stamp } = write;
    const { leader } = driver;
    if (this.#join(stamp, answer)) return;
    if (leader !== null) return forwarding.forward(leader, { bytes, stamp }, answer);
    const refusal = driver.isDiskFull
      ? notApplied(
        "storageFull",
        "Cannot write: the disk of this node is full. Free disk space; the node continues by itself.",
      )
      : notApplied("noLeader", "Cannot write: this node knows of no leader. Try again.");
    this.#refuse(refusal, stamp, answer);
  }

  /**
   * Refuses a write if too many wait; returns whether it did. Checked before the command is decoded: refusals must cost
   * little, or they take the time of the writes in progress. A retry of a write in progress must not be refused as "not
   * applied": it waits for the first attempt.
   */
  #refusesOverload(bytes: Uint8Array, connection: ConnectionIdentity | null, answer: TakeAnswer): boolean {
    const { metrics = null, access } = this.#options;
    if (!this.#isFullFor(bytes)) return false;
    const peeked = peekSessionStamp(bytes);
    const userId = connection?.user(access.auth)?.identity.userId;
    const stamp = peeked === null || userId === undefined ? peeked : { ...peeked, userId };
    if (stamp !== null && this.#inFlight.join(stamp, answer)) return true;
    if (metrics !== null) metrics.proposals.busy += 1;
    this.#refuse(busy(), stamp, answer);
    return true;
  }

  /** Returns a refusal of a write whose earlier attempt may be in progress: then it is not said to be not applied. */
  #outcomeOf(refusal: ErrorAnswer, command: Command): ErrorAnswer {
    return this.#hasInProgress(stampOf(command)) ? { ...refusal, outcome: "unknown" } : refusal;
  }

  /**
   * Whether a write is to be refused because too many wait. Keep-alives have places of their own: the time of leases goes
   * on while a leader refuses writes, and those of holders that are well would end.
   */
  #isFullFor(bytes: Uint8Array): boolean {
    const { waitingWrites, appliedIndex } = this.#options.replica;
    if (!this.#admission.isFull(waitingWrites, appliedIndex)) return false;
    return waitingWrites >= MAX_WRITES_WITH_KEEP_ALIVES || !isKeepAlive(bytes);
  }

  /** Whether an earlier attempt of this write was proposed here or forwarded, and has not ended. */
  isInProgress(bytes: Uint8Array): boolean {
    return this.#hasInProgress(peekSessionStamp(bytes));
  }

  #hasInProgress(stamp: UserStamp | null): boolean {
    return stamp !== null && (this.#inFlight.has(stamp) || this.#options.forwarding.has(stamp));
  }

  /**
   * Refuses a write, unless an earlier attempt was forwarded and has not ended: that one may still be applied, so the
   * retry waits for it.
   */
  #refuse(refusal: ErrorAnswer, stamp: UserStamp | null, answer: TakeAnswer): void {
    if (stamp === null || !this.#options.forwarding.join(stamp, answer)) answer(refusal);
  }

  #propose({ command, bytes, stamp }: TakenWrite, answer: TakeAnswer): void {
    const { driver, replica, quota, metrics = null } = this.#options;
    const plain = unwrapped(command);
    // Checked before the quota: a write in progress was admitted, and its retry must not be refused as "not applied".
    if (this.#join(stamp, answer)) return;
    const refusal = this.#stateRefusal(command);
    if (refusal !== null) return this.#refuse(refusal, stamp, answer);
    const excess = quota.problemOf(plain);
    if (excess !== null) {
      if (metrics !== null) metrics.proposals.storageFull += 1;
      return this.#refuse(excess, stamp, answer);
    }
    const startsLease = plain.kind === "grantLease" || plain.kind === "keepLeasesAlive";
    if (startsLease && !this.#options.countTime()) {
      return this.#refuse(driver.isLeader ? cannotCount() : notLeader(), stamp, answer);
    }
    const rangeKeys = rangeKeysOf(plain, replica.stateMachine);
    if (!this.#ranges.tryEnter(rangeKeys)) {
      if (metrics !== null) metrics.proposals.busy += 1;
      return this.#refuse(busy(), stamp, answer);
    }
    const proposed = driver.propose(bytes);
    if (metrics !== null) metrics.proposals[proposed.kind === "accepted" ? "accepted" : proposed.reason] += 1;
    if (proposed.kind === "accepted") {
      const { index, term } = proposed;
      this.#admission.proposed(index, replica.appliedIndex);
      const answerOnce = rangeKeys === 0 ? answer : this.#leavingRanges(rangeKeys, answer);
      const write = stamp === null
        ? { term, command, answer: answerOnce }
        : this.#inFlight.open(stamp, { term, command, answer: answerOnce });
      return replica.awaitWrite(index, write);
    }
    this.#ranges.leave(rangeKeys);
    switch (proposed.reason) {
      case "notLeader":
        return this.#refuse(notLeader(), stamp, answer);
      case "busy":
        return this.#refuse(busy(), stamp, answer);
      case "transferring":
        return this.#refuse(
          notApplied("noLeader", "Cannot write: leadership is being transferred. Try again."),
          stamp,
          answer,
        );
    }
  }

  /** Returns the answer of a write whose ranges have so many keys: they do not wait any more when it is called. */
  #leavingRanges(keys: number, answer: TakeAnswer): (answer: WriteAnswer) => void {
    return (end) => {
      this.#ranges.leave(keys);
      answer(end);
    };
  }

  /**
   * Returns why this leader refuses a command in its present state; null for one that it proposes. A new leader that has
   * not applied all earlier entries leaves the revision of a compaction to the state machine.
   */
  #stateRefusal(command: Command): ErrorAnswer | null {
    const { driver, replica, levels } = this.#options;
    const { featureLevel, revision } = replica.stateMachine;
    const plain = unwrapped(command);
    if (featureLevel >= FEATURE_LEVEL && plain.kind !== "compact") return null;
    const isCurrent = driver.ask((raft) => raft.term) === replica.applied.term;
    if (!isOfLevel(command, featureLevel)) {
      return isCurrent ? levels.refusalOf(featureOf(plain)) : justElected();
    }
    if (!isCurrent) return null;
    return plain.kind === "compact" && plain.revision > revision
      ? futureRevision(plain.revision, revision)
      : null;
  }

  /** Makes a retry wait for its first attempt; returns false when none is in progress here. */
  #join(stamp: UserStamp | null, answer: TakeAnswer): boolean {
    return stamp !== null && this.#inFlight.join(stamp, answer);
  }

  /** Returns the command of a client, or the refusal of one that is invalid. */
  #readOfClient(bytes: Uint8Array): PlainCommand | ErrorAnswer {
    const command = this.#read(bytes);
    if (command.kind !== "authorized") return command;
    return notApplied("invalidRequest", "Cannot write: only nodes add the identity of a user to a command.");
  }

  /** Returns the command, or the refusal of an invalid one. */
  #read(bytes: Uint8Array): Command | ErrorAnswer {
    // The bound is on the bytes as they are stored and sent: fields of a newer version count, too.
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

/** Whether a command is one that the leader alone makes, of a kind that clients make, too. */
function isOfLeader(command: Command): boolean {
  return command.kind === "authorized" && command.identity.userId === NODE_IDENTITY.userId &&
    command.command.kind !== "databaseWrite";
}

/** Returns how many keys a command reads or deletes that it does not name, at most: one of few bytes may take long. */
function rangeKeysOf(command: PlainCommand, stateMachine: StateMachine): number {
  switch (command.kind) {
    case "branchingTransaction":
      return stateMachine.rangeKeys(command);
    case "revokeLease":
      return stateMachine.lease(command.leaseId)?.keyCount ?? 0;
    default:
      return 0;
  }
}

/** Returns what a command needs that does not exist at the present feature level. */
function featureOf({ kind }: PlainCommand): Feature {
  if (kind === "compact") return "history";
  if (kind === "changeAuth") return "users";
  if (kind === "databaseWrite" || kind === "changeDatabases") return "databases";
  return kind === "branchingTransaction" ? "branches" : "leases";
}

function ofOtherUser(): ErrorAnswer {
  return notApplied(
    "invalidRequest",
    "Cannot write: another user has a write in progress in this session. Choose another session id.",
  );
}

function notLeader(): ErrorAnswer {
  return notApplied("notLeader", "Cannot write: this node does not lead. Ask the leader.");
}

function justElected(): ErrorAnswer {
  return notApplied(
    "noLeader",
    "Cannot write: this leader was just elected, and has not applied all earlier entries. Try again.",
  );
}

function cannotCount(): ErrorAnswer {
  return notApplied(
    "noLeader",
    "Cannot start the time of a lease: this leader was just elected, or takes no writes now. Try again.",
  );
}

function tooLong(bytes: number): ErrorAnswer {
  return notApplied(
    "invalidRequest",
    `Cannot write a command of ${bytes} bytes: at most ${MAX_COMMAND_BYTES} are allowed. Split it into smaller ones.`,
  );
}

function busy(): ErrorAnswer {
  return notApplied("busy", "Cannot write: too many writes are in progress. Try again later.");
}

/** A write that was proposed and has not ended, in the list of the writes of its session. */
class InFlightWrite implements WaitingWrite {
  readonly term: number;
  readonly command: Command;
  readonly stamp: UserStamp;
  /** The writes of the session with the next lower and the next higher sequence. */
  below: InFlightWrite | null = null;
  above: InFlightWrite | null = null;
  readonly #owner: InFlightWrites;
  readonly #answer: TakeAnswer;
  #retries: TakeAnswer[] | null = null;

  constructor(owner: InFlightWrites, stamp: UserStamp, { term, command, answer }: WaitingWrite) {
    this.#owner = owner;
    this.stamp = stamp;
    this.term = term;
    this.command = command;
    this.#answer = answer;
  }

  /** Makes a retry wait. */
  join(answer: TakeAnswer): void {
    this.#retries ??= [];
    this.#retries.push(answer);
  }

  /** Answers the write and its retries. */
  answer(end: WriteAnswer): void {
    this.#owner.close(this);
    this.#answer(end);
    for (const answer of this.#retries ?? []) answer(end);
  }
}

/**
 * The writes that this node has proposed and that have not ended, by their stamps.
 *
 * It has one object for each write, and one function for each retry that waits. The bounds on requests of clients and of
 * other nodes (MAX_CLIENT_REQUESTS_IN_FLIGHT, MAX_FORWARDS) bound it.
 */
export class InFlightWrites {
  /**
   * For each session, its write with the highest sequence; the others follow in a list. A client numbers its writes in
   * ascending order, so one comparison shows that a write is new, and no map is made for each session.
   */
  readonly #highest = new NumberMap<InFlightWrite>();

  /** Makes `answer` wait for the write with this stamp, if it is the same user's; returns false when none is in progress. */
  join(stamp: UserStamp, answer: TakeAnswer): boolean {
    const write = this.#find(stamp);
    if (write === null) return false;
    if (areOfDifferentUsers(write.stamp, stamp)) answer(ofOtherUser());
    else write.join(answer);
    return true;
  }

  /** Whether a write with this stamp is in progress, of any user: a client may have signed in as another one. */
  has(stamp: UserStamp): boolean {
    return this.#find(stamp) !== null;
  }

  /** Number of sessions that have a write in progress. */
  get sessions(): number {
    return this.#highest.size;
  }

  /** Adds a proposed write; returns the write that answers it and all that {@link join} it. */
  open(stamp: UserStamp, write: WaitingWrite): WaitingWrite {
    const { sessionId, sequence } = stamp;
    const opened = new InFlightWrite(this, stamp, write);
    let below = this.#highest.get(sessionId) ?? null;
    while (below !== null && below.stamp.sequence > sequence) {
      opened.above = below;
      below = below.below;
    }
    assert(below?.stamp.sequence !== sequence, "a write in progress is not proposed again");
    opened.below = below;
    if (below !== null) below.above = opened;
    if (opened.above === null) this.#highest.set(sessionId, opened);
    else opened.above.below = opened;
    return opened;
  }

  /** Removes a write that ends. */
  close(closed: InFlightWrite): void {
    const { stamp: { sessionId }, below, above } = closed;
    // Else a write that is old for the garbage collector would keep the one above it, and that one the next.
    closed.below = closed.above = null;
    if (below !== null) below.above = above;
    if (above !== null) above.below = below;
    else if (below !== null) this.#highest.set(sessionId, below);
    else this.#highest.delete(sessionId);
  }

  #find({ sessionId, sequence }: UserStamp): InFlightWrite | null {
    let write = this.#highest.get(sessionId) ?? null;
    while (write !== null && write.stamp.sequence > sequence) write = write.below;
    return write?.stamp.sequence === sequence ? write : null;
  }
}
