/**
 * Writes, exactly once: stamps each with the session's next number, and never sends one write under two stamps unless the
 * first was certainly not applied.
 *
 * The store refuses a stamp of a session that it has dropped. If the refused attempt was the only one, nothing happened,
 * and the write is sent again under a new session. If an attempt before it was lost, that one may have been applied
 * before the session was dropped; the outcome is unknown, and the call fails with SessionExpiredError.
 */
import {
  type CommandResult,
  MAX_SESSION_WINDOW,
  type RefusalReason,
  type SessionStamp,
} from "../kv/command.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { Random } from "../platform/clock.ts";
import { decodeCommand, decodeResult, encodeCommand } from "../protocol/command.ts";
import type { Outcome } from "../protocol/messages.ts";
import type { NodeId } from "../raft/types.ts";
import type { Answered, CallNotes, CallRunner } from "./calls.ts";
import { DatabaseNotFoundError, InternalError, SessionExpiredError, VersionMismatchError } from "./errors.ts";
import { bytesOf, toWrite, type UnstampedWrite, type WriteRequest } from "./input.ts";
import { backoffMs, describeOutcome, MAY_HAVE_BEEN_APPLIED, userRefused } from "./retry.ts";

/**
 * The result of a write in the store: of the short form of a transaction "applied" or "checksFailed", of the full one
 * "executed", of both "transactionFailed", and of a command on a lease, on users or on databases the others.
 */
export type WriteResult = Extract<
  CommandResult,
  {
    readonly kind:
      | "applied"
      | "checksFailed"
      | "executed"
      | "transactionFailed"
      | "leaseGranted"
      | "leaseRevoked"
      | "leaseFailed"
      | "authChanged"
      | "authFailed"
      | "databaseWritten"
      | "databaseChecksFailed"
      | "databaseWriteFailed"
      | "databasesChanged"
      | "databasesFailed";
  }
>;

/** Returns an id that no other client chooses at the same time: 1 to 2^53 - 1. */
export function randomId(random: Random): number {
  return 1 + Math.floor(random() * (Number.MAX_SAFE_INTEGER - 1));
}

/** The kind of a write's call and request, which are copies by spread for the reason that {@link CallRunner} has. */
const WRITE = { kind: "write" } as const;

/** Options of {@link SessionWriter}. */
export interface SessionWriterOptions {
  readonly runner: CallRunner;
  readonly random: Random;
  /** The newest log index that some node is known to have applied. */
  readonly appliedIndex: () => number;
}

/** The stamp of a write, which it has until it is finished. */
interface Stamped {
  readonly session: ClientSession;
  readonly stamp: SessionStamp;
}

/** A write that was admitted: its stamp, its size, and its encoded command. */
interface EnteredWrite extends Stamped {
  readonly bytes: number;
  readonly command: Uint8Array;
}

/**
 * One session, the client's side of exactly-once (thesis §6.3): a random id, one number for each write, and for the
 * store the number below which it may drop the answers. When the store has dropped the session, a new one replaces it.
 *
 * A write keeps its stamp over all its attempts. The store refuses every number below `acknowledgedBelow`, so an
 * attempt that is still in flight when its write was given up can only be applied before that, or never.
 *
 * Invariants: numbers are assigned once, in order; every number below `acknowledgedBelow` belongs to a write that
 * will not be sent again (it was answered, or given up); fewer than `MAX_SESSION_WINDOW` numbers lie between
 * `acknowledgedBelow` and the newest, which bounds the answers that the store must remember for this client.
 */
export class ClientSession {
  readonly #identity: Pick<SessionStamp, "sessionId" | "openedAt">;
  readonly #finished = new Set<number>();
  #nextSequence = 1;
  #acknowledgedBelow = 1;

  /** `openedAt`: the newest log index that a node is known to have applied. */
  constructor(openedAt: number, random: Random) {
    this.#identity = { sessionId: randomId(random), openedAt };
  }

  /** Whether the window has room for another write. */
  get canWrite(): boolean {
    return this.#nextSequence - this.#acknowledgedBelow < MAX_SESSION_WINDOW;
  }

  /** Takes the next number. Only while {@link canWrite}. */
  nextStamp(): SessionStamp {
    assert(this.canWrite, "a write is stamped only while the session's window is open");
    return {
      ...this.#identity,
      sequence: this.#nextSequence++,
      acknowledgedBelow: this.#acknowledgedBelow,
    };
  }

  /** Records that the write with this number will not be sent again: it was answered or given up. */
  finish(sequence: number): void {
    assert(
      sequence >= this.#acknowledgedBelow && sequence < this.#nextSequence && !this.#finished.has(sequence),
      "a write is finished once",
    );
    // Answers mostly come in the order of the writes: then nothing is kept.
    if (sequence === this.#acknowledgedBelow) this.#acknowledgedBelow++;
    else this.#finished.add(sequence);
    while (this.#finished.delete(this.#acknowledgedBelow)) this.#acknowledgedBelow++;
  }
}

/** The writes of one client. */
export class SessionWriter {
  readonly #runner: CallRunner;
  readonly #random: Random;
  readonly #options: SessionWriterOptions;
  #session: ClientSession | null = null;

  /** Opens no session before the first write. */
  constructor(options: SessionWriterOptions) {
    this.#runner = options.runner;
    this.#random = options.random;
    this.#options = options;
  }

  /**
   * Resolves to what `read` returns for the result of the write. Rejects with a KvraftError that says whether the write may
   * have been applied.
   */
  write<T>(request: WriteRequest, notes: CallNotes, read: (result: WriteResult) => T): Promise<T> {
    try {
      const unstamped = toWrite(request);
      const write = this.#tryEnter(unstamped);
      if (write === null) {
        return this.#enter(own(unstamped), notes).then((entered) => this.#finish(entered, notes, read));
      }
      return this.#finish(write, notes, read);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Sends an admitted write. No async function, for the reason of {@link CallRunner.run}. */
  #finish<T>(write: EnteredWrite, notes: CallNotes, read: (result: WriteResult) => T): Promise<T> {
    return this.#send(write, notes).then((answered) => {
      const result = readAnswer(answered, notes.action);
      return "kind" in result ? read(result) : this.#writeAgain(write, result, { notes, read });
    });
  }

  /**
   * Repeats a write that was certainly not applied: in new sessions where the store has dropped its session, after a new
   * sign-in where its user was not accepted.
   */
  async #writeAgain<T>(
    refused: EnteredWrite,
    first: NotApplied,
    { notes, read }: { readonly notes: CallNotes; readonly read: (result: WriteResult) => T },
  ): Promise<T> {
    let write = refused;
    let why = first;
    let hasSignedIn = false;
    for (let round = 0;; round++) {
      if (round > 0) await notes.context.pause(backoffMs(round, this.#random));
      if (why.reason === "sessionExpired") {
        await this.#replace(write.session, notes);
      } else {
        if (hasSignedIn) throw userRefused(why.reason, notes.action, "not-applied");
        // A sign-in that was not answered is repeated at the next round, until the deadline.
        const unanswered = await this.#runner.signInAgain(why.node, { ...notes, outcome: "not-applied" });
        hasSignedIn = unanswered === null;
      }
      const same = writeIn(write.command);
      write = this.#tryEnter(same) ?? await this.#enter(same, notes);
      const result = readAnswer(await this.#send(write, notes), notes.action);
      if ("kind" in result) return read(result);
      why = result;
    }
  }

  /** Admits a write at once, and copies the caller's bytes into its command. Null: it must wait. */
  #tryEnter(write: UnstampedWrite): EnteredWrite | null {
    const bytes = bytesOf(write);
    const stamped = this.#runner.tryEnter({ bytes, take: this.#stamp });
    return stamped === null ? null : encodeWrite(write, bytes, stamped);
  }

  /** Waits until a write is admitted that owns its bytes. */
  async #enter(write: UnstampedWrite, notes: CallNotes): Promise<EnteredWrite> {
    const bytes = bytesOf(write);
    return encodeWrite(write, bytes, await this.#runner.enter({ bytes, take: this.#stamp }, notes));
  }

  /** Runs the write until it is answered, and finishes it. */
  #send(write: EnteredWrite, notes: CallNotes): Promise<Answered<"write">> {
    const request = { ...WRITE, command: write.command };
    return this.#runner.run({ ...notes, ...WRITE, request }, () => {
      write.session.finish(write.stamp.sequence);
      this.#runner.leave(write.bytes);
    });
  }

  /** Returns a stamp of the current session, or null while its window is full. */
  readonly #stamp = (): Stamped | null => {
    this.#session ??= new ClientSession(this.#options.appliedIndex(), this.#random);
    return this.#session.canWrite ? { session: this.#session, stamp: this.#session.nextStamp() } : null;
  };

  /**
   * Replaces a session that the store has dropped. The new one must be opened at an index no older than the last expired
   * one, so this asks a node for its applied index: the one reported before may be too old, or of a log that was rebuilt
   * since.
   */
  async #replace(expired: ClientSession, { action, context }: CallNotes): Promise<void> {
    if (this.#session !== expired) return;
    const call = { kind: "read", action, request: { kind: "status" }, context } as const;
    const { message } = await this.#runner.run(call, () => {});
    if (this.#session !== expired) return;
    this.#session = new ClientSession(message.status.appliedIndex, this.#random);
  }
}

function encodeWrite(write: UnstampedWrite, bytes: number, stamped: Stamped): EnteredWrite {
  return { ...stamped, bytes, command: encodeUnstamped(write, stamped.stamp) };
}

function encodeUnstamped(write: UnstampedWrite, session: SessionStamp | null): Uint8Array {
  if (write.kind !== "transaction") return encodeCommand({ ...write, session });
  const { checks, mutations, returnCurrent } = write;
  const command = { kind: "transaction", session, checks, mutations } as const;
  return encodeCommand(returnCurrent === undefined ? command : { ...command, returnCurrent });
}

/** Returns a copy of a write that owns its bytes. */
function own(write: UnstampedWrite): UnstampedWrite {
  return writeIn(encodeUnstamped(write, null));
}

/** Returns the write in a command; its keys and values are views of `command`. */
function writeIn(command: Uint8Array): UnstampedWrite {
  const write = decodeCommand(command);
  assert(
    write.kind === "transaction" || write.kind === "branchingTransaction" || write.kind === "grantLease" ||
      write.kind === "revokeLease" || write.kind === "changeAuth" || write.kind === "databaseWrite" ||
      write.kind === "changeDatabases",
    "a write has a session",
  );
  return write;
}

/** Why a write was certainly not applied, and may be sent again. */
interface NotApplied {
  readonly reason: "sessionExpired" | "unauthenticated";
  /** The node that answered. */
  readonly node: NodeId;
}

/** Returns the result of a write, or why it was certainly not applied. */
function readAnswer(
  { message, outcome, connection }: Answered<"write">,
  action: string,
): WriteResult | NotApplied {
  const result = readResult(message.result, action);
  switch (result.kind) {
    case "applied":
    case "checksFailed":
    case "executed":
    case "transactionFailed":
    case "leaseGranted":
    case "leaseRevoked":
    case "leaseFailed":
    case "authChanged":
    case "authFailed":
    case "databaseWritten":
    case "databaseChecksFailed":
    case "databaseWriteFailed":
    case "databasesChanged":
    case "databasesFailed":
      return result;
    case "refused":
      return whyRefused(result.reason, { outcome, node: connection.node, action });
    case "sessionRegistered":
    case "sessionsExpired":
    case "featureLevelRaised":
    case "compacted":
    case "leasesKeptAlive":
    case "expiredDeleted":
      throw notToAWrite(action);
    default:
      return assertNever(result);
  }
}

/** Returns why the store refused a write that was certainly not applied; throws the error of another one. */
function whyRefused(
  reason: RefusalReason,
  { outcome, node, action }: { readonly outcome: Outcome; readonly node: NodeId; readonly action: string },
): NotApplied {
  switch (reason) {
    case "sessionExpired":
      if (outcome === "not-applied") return { reason, node };
      throw new SessionExpiredError(
        `Cannot ${action}: the cluster forgot this client's session before a retry arrived. ${MAY_HAVE_BEEN_APPLIED}`,
        { outcome },
      );
    case "invalidCommand":
      throw new VersionMismatchError(
        `Cannot ${action}: the cluster does not know this kind of write. ${describeOutcome(outcome)} ` +
          "Update its nodes, or use a client of their version.",
        { outcome },
      );
    case "unauthenticated":
      if (outcome === "not-applied") return { reason, node };
      throw userRefused(reason, action, outcome);
    case "permissionDenied":
      throw userRefused(reason, action, outcome);
    case "databaseNotFound":
      throw new DatabaseNotFoundError(
        `Cannot ${action}: the database does not exist. ${describeOutcome(outcome)}`,
        {
          outcome,
        },
      );
    case "futureRevision":
      throw notToAWrite(action);
    case "answerForgotten":
      // The client acknowledges no number before its write has ended, so this is a fault of one side or the other.
      throw new InternalError(
        `Cannot ${action}: the cluster has dropped the answer to this write. ${MAY_HAVE_BEEN_APPLIED}`,
        { outcome: "unknown" },
      );
    default:
      return assertNever(reason);
  }
}

function notToAWrite(action: string): InternalError {
  return new InternalError(`Cannot ${action}: the answer is not one to a write. ${MAY_HAVE_BEEN_APPLIED}`, {
    outcome: "unknown",
  });
}

/** Returns the error for a node that answered a write with the result of another one. */
export function wrongAnswer(action: string): InternalError {
  return new InternalError(`Cannot ${action}: the answer is not one to it. ${MAY_HAVE_BEEN_APPLIED}`, {
    outcome: "unknown",
  });
}

/** Decodes the result of a command; `action` is what the command does, for the error. */
export function readResult(bytes: Uint8Array, action: string): CommandResult {
  try {
    return decodeResult(bytes);
  } catch (cause) {
    throw new InternalError(`Cannot ${action}: the answer can't be read. ${MAY_HAVE_BEEN_APPLIED}`, {
      outcome: "unknown",
      cause,
    });
  }
}
