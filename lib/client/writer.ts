/**
 * Writes, exactly once: stamps each with the session's next number, and never sends one write under two stamps
 * unless it is certain that nothing came of the first.
 *
 * The store refuses a stamp of a session that it has dropped. When the refused attempt was the write's only one,
 * nothing happened, and the write goes again under a new session. When an attempt before it was lost, that one may
 * have been applied before the session was dropped: nobody can tell any more, and the caller is told so.
 */
import { assert, assertNever } from "../assert.ts";
import type { CommandResult, SessionStamp } from "../kv/command.ts";
import type { Random } from "../net/clock.ts";
import { decodeCommand, decodeResult, encodeCommand } from "../net/command_codec.ts";
import type { CallScope } from "./call_scope.ts";
import type { Answered, Caller, CallNotes } from "./caller.ts";
import { InternalError, SessionExpiredError, VersionMismatchError } from "./errors.ts";
import { bytesOf, toTransaction, type UnstampedTransaction } from "./input.ts";
import { backoffMs, describeOutcome } from "./retry.ts";
import { ClientSession } from "./session.ts";
import type { CallOptions, TransactionRequest } from "./types.ts";

/** What the store did with a write. */
export type WriteResult = Extract<CommandResult, { readonly kind: "applied" | "checksFailed" }>;

/** One write as its caller wants it done. */
export interface Write {
  /** For messages: "put a key". */
  readonly action: string;
  readonly request: TransactionRequest;
  readonly options: CallOptions;
}

/** What a {@link SessionWriter} works with. */
export interface SessionWriterOptions {
  readonly caller: Caller;
  readonly random: Random;
  /** The newest log index that some node is known to have applied. */
  readonly appliedIndex: () => number;
  /** The longest value that the cluster takes. */
  readonly maxValueBytes: () => number;
  /** The limits of a call that begins now. */
  readonly scope: (options: CallOptions) => CallScope;
}

/** A number that a write holds until it is finished. */
interface Stamped {
  readonly session: ClientSession;
  readonly stamp: SessionStamp;
}

/** The writes of one client. */
export class SessionWriter {
  readonly #caller: Caller;
  readonly #random: Random;
  readonly #options: SessionWriterOptions;
  #session: ClientSession | null = null;

  /** Opens no session before the first write. */
  constructor(options: SessionWriterOptions) {
    this.#caller = options.caller;
    this.#random = options.random;
    this.#options = options;
  }

  /**
   * Resolves to what `read` makes of what the store did. Rejects with a KvraftError that says whether the write may have
   * been applied.
   *
   * The bytes of `transaction` are the caller's, good until the first await: where the write has to wait for a place,
   * it takes a copy, and once it is encoded, the command holds them.
   */
  async write<T>({ action, request, options }: Write, read: (result: WriteResult) => T): Promise<T> {
    let transaction = toTransaction(request, this.#options.maxValueBytes());
    const scope = this.#options.scope(options);
    const bytes = bytesOf(transaction);
    for (let round = 0;; round++) {
      const admittance = { bytes, take: this.#stamp };
      let stamped = this.#caller.tryEnter(admittance);
      if (stamped === null) {
        transaction = transactionIn(encodeTransaction(transaction, null));
        stamped = await this.#caller.enter(admittance, { action, scope });
      }
      const { session, stamp } = stamped;
      const command = encodeTransaction(transaction, stamp);
      const call = { kind: "write", action, request: { kind: "write", command }, scope } as const;
      const answered = await this.#caller.run(call, () => {
        session.finish(stamp.sequence);
        this.#caller.leave(bytes);
      });
      const result = readAnswer(answered, action);
      if (result !== "sessionExpired") return read(result);
      transaction = transactionIn(command);
      if (round > 0) await scope.pause(backoffMs(round, this.#random));
      await this.#replace(session, { action, scope });
    }
  }

  /** Takes a number of the current session, or null while its window is full. */
  readonly #stamp = (): Stamped | null => {
    this.#session ??= new ClientSession(this.#options.appliedIndex(), this.#random);
    return this.#session.hasRoom ? { session: this.#session, stamp: this.#session.nextStamp() } : null;
  };

  /**
   * Puts a new session in the place of one that the store has dropped. It has to be opened at an index no older than
   * what the store has dropped, so a node is asked what it has applied now: what was heard before may be too old, or
   * of a log that was rebuilt since.
   */
  async #replace(expired: ClientSession, { action, scope }: CallNotes): Promise<void> {
    if (this.#session !== expired) return;
    const call = { kind: "read", action, request: { kind: "status" }, scope } as const;
    const { message } = await this.#caller.run(call, () => {});
    if (this.#session !== expired) return;
    this.#session = new ClientSession(message.status.appliedIndex, this.#random);
  }
}

function encodeTransaction(transaction: UnstampedTransaction, session: SessionStamp | null): Uint8Array {
  const { checks, mutations } = transaction;
  return encodeCommand({ kind: "transaction", session, checks, mutations });
}

/** The transaction that was encoded; its keys and values are views of `command`. */
function transactionIn(command: Uint8Array): UnstampedTransaction {
  const transaction = decodeCommand(command);
  assert(transaction.kind === "transaction", "a write is a transaction");
  return transaction;
}

/** What the store did; "sessionExpired" when it is certain that nothing came of the write. */
function readAnswer(
  { message, outcome }: Answered<"write">,
  action: string,
): WriteResult | "sessionExpired" {
  const result = readResult(message.result, action);
  switch (result.kind) {
    case "applied":
    case "checksFailed":
      return result;
    case "refused":
      break;
    case "sessionRegistered":
    case "sessionsExpired":
      throw new InternalError(
        `Cannot ${action}: the answer is not one to a write. ${describeOutcome("unknown")}`,
        {
          outcome: "unknown",
        },
      );
    default:
      assertNever(result);
  }
  switch (result.reason) {
    case "sessionExpired":
      if (outcome === "not-applied") return "sessionExpired";
      throw new SessionExpiredError(
        `Cannot ${action}: the cluster forgot this client's session before a retry arrived. ${
          describeOutcome(outcome)
        }`,
        { outcome },
      );
    case "invalidCommand":
      throw new VersionMismatchError(
        `Cannot ${action}: the cluster does not know this kind of write. ${describeOutcome(outcome)} ` +
          "Update its nodes, or use a client of their version.",
        { outcome },
      );
    case "answerForgotten":
      // The client acknowledges no number before its write has ended, so this is a fault of one side or the other.
      throw new InternalError(
        `Cannot ${action}: the cluster has dropped the answer to this write. ${describeOutcome("unknown")}`,
        { outcome: "unknown" },
      );
    default:
      return assertNever(result.reason);
  }
}

function readResult(bytes: Uint8Array, action: string): CommandResult {
  try {
    return decodeResult(bytes);
  } catch (cause) {
    throw new InternalError(`Cannot ${action}: the answer can't be read. ${describeOutcome("unknown")}`, {
      outcome: "unknown",
      cause,
    });
  }
}
